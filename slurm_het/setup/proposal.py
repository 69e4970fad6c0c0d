"""Which partitions of a site become its intake and its pools: pure, from a snapshot of its Slurm.

Partitions that are there are taken where they can be, so that old scripts stay right:

- the intake is one that has all accelerator nodes and no other node (closing it must stop no
  other job), is UP, open to everybody, and as wide as what most jobs use; else a new one;
- pools are partitions that share no accelerator node, largest first, and take all that the intake
  takes, with its rank; what is left of the nodes gets new ones, by vendor and scenario.

A new one is as the partition that has most of its nodes: whom that keeps out it keeps out, too.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from slurm_het.core.catalog import Catalog, DeviceType
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.model import Device, Node, Partition, Scenario, Snapshot
from slurm_het.core.partition import narrower
from slurm_het.core.policy import GresName, Policy, Pool
from slurm_het.core.syntax import gres
from slurm_het.errors import HetError
from slurm_het.setup.unknown_gres import unknown_gres

NEW_INTAKE, SPANNING = "accel", "accel-any"
SHARED = ("shard",)
UNKNOWN = "unknown"
_NO_NODES = frozenset[str]()


@dataclass(frozen=True, slots=True)
class GresVendors:
    """What GRES names mean: by name, the vendor whose cards it is for; '' for gpu, which is of all.

    `aliases` are those that users may write where the cluster registers gpu.
    """

    vendors: Mapping[str, str]

    def aliases(self, registered: Container[str], vendors: Container[str]) -> dict[str, str]:
        """By alias, its vendor, of these that have cards: the names that are not registered."""
        return {n: v for n, v in self.vendors.items() if v in vendors and n not in registered}


@dataclass(frozen=True, slots=True)
class ProposedPartition:
    """A partition that is to be the intake or a pool: its accelerator nodes, and why this one.

    `like` is the partition whose limits a new one gets; `new`: Slurm does not have it.
    """

    name: str
    nodes: tuple[str, ...]
    why: str
    new: bool = False
    like: Partition | None = None


@dataclass(frozen=True, slots=True)
class ProposedPool:
    """A pool; `types` are the models of its devices, `share` how much of their memory is of them
    that fit its scenario better than the other one, 0..1."""

    partition: ProposedPartition
    scenario: Scenario
    vendors: tuple[str, ...]
    types: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True)
class ProposedType:
    """A device type that needs a line: `known` is the catalogue's, None if it has none.

    `memory_gib` is what the site's shards say, or a guess; 0 if nothing says it.
    """

    name: str
    vendor: str
    memory_gib: int
    known: DeviceType | None = None


@dataclass(frozen=True, slots=True)
class SiteProposal:
    """What het.yaml is to say.

    `registered` has the GRES names that the nodes have, and whose cards each is for; `left_out` are
    sentences on what it does not mention; `features` are nodes and what they lack.
    """

    intake: ProposedPartition
    pools: tuple[ProposedPool, ...]
    registered: Mapping[str, str]
    aliases: Mapping[str, str]
    types: tuple[ProposedType, ...]
    default_vendor: str
    shares: bool = False
    spanning: ProposedPartition | None = None
    left_out: tuple[str, ...] = ()
    features: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()


def propose_site(snapshot: Snapshot, catalog: Catalog, names: GresVendors) -> SiteProposal:
    """A configuration for the site. Raises HetError if no node has an accelerator."""
    found = _look(snapshot, catalog, names)
    unknown = tuple(unknown_gres(snapshot.nodes, {*names.vendors, *SHARED}))
    if not found.nodes:
        remedy = "add Gres= to the nodes in slurm.conf, and gres.conf; see docs/install.md"
        known = ", ".join(sorted(names.vendors))
        raise HetError(
            f"no node has an accelerator that Slurm knows as GRES {known}",
            "; ".join(unknown) or remedy,
        )
    intake = _intake(snapshot, found)
    pools = _pools(snapshot, found, intake)
    spanning = _spanning(snapshot, found, intake, pools)
    ours = {intake.name, *(pool.partition.name for pool in pools)}
    ours |= {spanning.name} if spanning else set()
    new = [p for p in (intake, *(pool.partition for pool in pools), spanning) if p and p.new]
    named = {name: names.vendors[name] for name in found.registered if name in names.vendors}
    devices = Counter(d.vendor for n in found.nodes.values() for d in n.devices)
    return SiteProposal(
        intake,
        pools,
        named,
        names.aliases(named, devices),
        tuple(_types(found)),
        devices.most_common(1)[0][0],
        any(name in SHARED for name in found.registered),
        spanning,
        tuple(
            f"partition {p.name} stays as it is: Slurm starts its jobs beside ours on the same"
            f" nodes{_opened(p, found, new)}"
            for p in snapshot.partitions
            if p.name in found.by_partition and p.name not in ours
        )
        + unknown,
        tuple(_features(found, pools)),
    )


def _opened(partition: Partition, found: _Accelerators, new: Iterable[ProposedPartition]) -> str:
    """Which new ones let others onto the nodes of a partition that keeps some out, in words."""
    inside = found.by_partition[partition.name]
    names = [
        p.name for p in new
        if p.like and inside & set(p.nodes) and _access(p.like) != _access(partition)
    ]  # fmt: skip
    if not (names and any(_access(partition))):
        return ""
    return f"; it keeps some out: look whom {', '.join(names)} (new, with its nodes) lets in"


@dataclass(frozen=True, slots=True)
class _Accelerators:
    """The accelerator nodes; of each partition those in it, how many others, how many jobs."""

    nodes: Mapping[str, Node]
    registered: tuple[str, ...]
    catalog: Catalog
    by_partition: Mapping[str, frozenset[str]]
    others: Mapping[str, int]
    jobs: Mapping[str, int]

    def suits(self, model: str) -> Scenario:
        """What a model is better for."""
        known = self.catalog.get(model)
        return "inference" if known and known.inference > known.training else "training"

    def kind(self, name: str) -> tuple[Scenario, str]:
        """What a node is for, by most of its memory, and whose cards it has."""
        devices = self.nodes[name].devices
        infers = sum(d.memory_gib for d in devices if self.suits(d.type) == "inference")
        scenario: Scenario = (
            "inference" if 2 * infers > sum(d.memory_gib for d in devices) else "training"
        )
        return scenario, "-".join(sorted({d.vendor for d in devices}))


def _look(snapshot: Snapshot, catalog: Catalog, names: GresVendors) -> _Accelerators:
    registered = tuple(dict.fromkeys(n for r in snapshot.nodes for n in _gres_names(r.gres)))
    known = {n: GresName(vendors=(v,) if v else ()) for n, v in names.vendors.items()}
    known |= {name: GresName(shared=True) for name in SHARED}
    # Every partition is a pool here, so that devices of unknown types are read as well.
    vendors = tuple(sorted({t.vendor for t in catalog.values()}))
    everywhere = tuple(Pool(p.name, "training", vendors) for p in snapshot.partitions)
    policy = Policy("", everywhere, known, catalog)
    inventory: Inventory = take_inventory(replace(snapshot, jobs=()), policy)
    inside: dict[str, set[str]] = {}
    others: Counter[str] = Counter()
    for record in snapshot.nodes:
        for partition in record.partitions:
            if record.name in inventory.nodes:
                inside.setdefault(partition, set()).add(record.name)
            else:
                others[partition] += 1
    nodes = {name: _with_vendor(node) for name, node in inventory.nodes.items()}
    jobs = Counter(name for job in snapshot.jobs for name in job.partition.split(","))
    frozen = {name: frozenset(nodes) for name, nodes in inside.items()}
    return _Accelerators(nodes, registered, catalog, frozen, others, jobs)


def _with_vendor(node: Node) -> Node:
    """The node; cards of unknown models count as the others' vendor's there, or NVIDIA's."""
    known = {d.vendor for d in node.devices} - {UNKNOWN}
    guess = min(known) if len(known) == 1 else "nvidia"
    devices = (replace(d, vendor=guess) if d.vendor == UNKNOWN else d for d in node.devices)
    return replace(node, devices=tuple(devices))


def _gres_names(text: str) -> Iterator[str]:
    try:
        yield from (item.name for item in gres.parse(text) if item.count)
    except HetError:
        return


def _intake(snapshot: Snapshot, found: _Accelerators) -> ProposedPartition:
    every = frozenset(found.nodes)
    like = _model(snapshot, found, every)
    able = [
        p for p in snapshot.partitions
        if not any(_access(p)) and p.state in {"UP", "DOWN"} and like and _stands_for(p, like)
        and found.by_partition.get(p.name) == every and not found.others.get(p.name)
    ]  # fmt: skip
    if able:
        # One that is DOWN may be retired, or be the intake already, whose gate is closed now.
        best = max(
            able,
            key=lambda p: (p.state == "UP", found.jobs.get(p.name, 0), p.default, _lax(p)),
        )
        why = "it has all accelerator nodes, and no other node; its jobs are managed as they are"
        return ProposedPartition(best.name, tuple(sorted(every)), why, like=best)
    names = {p.name for p in snapshot.partitions}
    why = "no partition has all accelerator nodes and only those, is UP, and is open to everybody"
    return ProposedPartition(_free(NEW_INTAKE, names), tuple(sorted(every)), why, True, like)


def _model(snapshot: Snapshot, found: _Accelerators, nodes: frozenset[str]) -> Partition | None:
    """The partition that a new one of these nodes is to be like; None where none has any."""
    inside = {p.name: len(found.by_partition.get(p.name, _NO_NODES) & nodes)
              for p in snapshot.partitions}  # fmt: skip
    return max(
        (p for p in snapshot.partitions if inside[p.name]),
        key=lambda p: (
            p.state == "UP" and not (p.root_only or p.reservation_required), inside[p.name],
            not p.preempt_modes - {"OFF"}, found.jobs.get(p.name, 0), p.default, _lax(p), p.tier,
        ),
        default=None,
    )  # fmt: skip


def _like(
    intake: ProposedPartition, nodes: frozenset[str], snapshot: Snapshot, found: _Accelerators
) -> Partition | None:
    """What a pool of these nodes is to be like: the intake, or what has them."""
    if intake.like and nodes <= found.by_partition.get(intake.like.name, _NO_NODES):
        return intake.like
    return _model(snapshot, found, nodes)


def _lax(partition: Partition) -> tuple[bool, int]:
    """Wider limits compare higher."""
    return partition.max_minutes is None, partition.max_minutes or 0


def _open(snapshot: Snapshot) -> list[Partition]:
    """The partitions that start jobs, of everybody."""
    return [p for p in snapshot.partitions if p.state == "UP" and not any(_access(p))]


def _access(partition: Partition) -> tuple[object, ...]:
    """Whom it keeps out; nothing of it is true where that is nobody."""
    p = partition
    lists = p.allow_groups, p.allow_accounts, p.deny_accounts, p.allow_qos, p.deny_qos
    return *lists, p.alloc_nodes, p.root_only, p.reservation_required


def _stands_for(partition: Partition, other: Partition) -> bool:
    """Whether a job of the other partition's fares no worse in this one."""
    return not narrower(partition, other) and _rank(partition) == _rank(other)


def _rank(partition: Partition) -> tuple[object, ...]:
    """Who goes first there, who is preempted, and what else holds for all of its jobs."""
    p = partition
    return p.tier, p.preempt_modes, p.grace_seconds, p.qos, p.exclusive, p.oversubscribe, p.topology


def _pools(
    snapshot: Snapshot, found: _Accelerators, intake: ProposedPartition
) -> tuple[ProposedPool, ...]:
    left = set(found.nodes)
    pools: list[ProposedPool] = []
    every = frozenset(left)
    several = len({found.kind(name) for name in every}) > 1
    here = [
        p for p in _open(snapshot)
        if p.name != intake.name and p.name in found.by_partition
        and (model := _like(intake, found.by_partition[p.name], snapshot, found))
        and _stands_for(p, model)
    ]  # fmt: skip
    for record in sorted(here, key=lambda p: (-len(found.by_partition[p.name]), p.name)):
        inside = found.by_partition[record.name]
        if not inside <= left or (inside == every and several):
            continue
        if len({found.kind(name)[0] for name in inside}) > 1:
            continue  # a pool is for one of the two: its nodes get pools by type
        why = "it shares no accelerator node with the other pools"
        partition = ProposedPartition(record.name, tuple(sorted(inside)), why, like=record)
        pools.append(_pool(partition, found))
        left -= inside
    taken = {p.name for p in snapshot.partitions} | {intake.name}
    groups: dict[tuple[Scenario, str], list[str]] = {}
    for name in sorted(left):
        groups.setdefault(found.kind(name), []).append(name)
    for (scenario, vendor), names in groups.items():
        name = _free(f"{'train' if scenario == 'training' else 'infer'}-{vendor}", taken)
        taken.add(name)
        why = f"these nodes have {vendor}'s cards, which fit {scenario}"
        like = _like(intake, frozenset(names), snapshot, found)
        pools.append(_pool(ProposedPartition(name, tuple(names), why, True, like), found))
    return tuple(pools)


def _pool(partition: ProposedPartition, found: _Accelerators) -> ProposedPool:
    devices = [d for name in partition.nodes for d in found.nodes[name].devices]
    scenario = found.kind(partition.nodes[0])[0]
    suits = sum(d.memory_gib for d in devices if found.suits(d.type) == scenario)
    return ProposedPool(
        partition,
        scenario,
        tuple(sorted({d.vendor for d in devices})),
        tuple(sorted({d.type for d in devices})),
        suits / sum(d.memory_gib for d in devices),
    )


def _spanning(
    snapshot: Snapshot,
    found: _Accelerators,
    intake: ProposedPartition,
    pools: Sequence[ProposedPool],
) -> ProposedPartition | None:
    """A partition beside intake and pools that has the nodes of all; none where one pool has."""
    if len(pools) < 2:
        return None
    used = {pool.partition.name for pool in pools} | {intake.name}
    every = tuple(sorted(found.nodes))
    able = [
        p for p in _open(snapshot)
        if p.name not in used and found.by_partition.get(p.name) == frozenset(every)
        and (intake.like is None or _stands_for(p, intake.like))
    ]  # fmt: skip
    if able:
        best = max(able, key=_lax)
        return ProposedPartition(best.name, every, "it has the nodes of all pools", like=best)
    name = _free(SPANNING, used | {p.name for p in snapshot.partitions})
    return ProposedPartition(name, every, "none has the nodes of all pools", True, intake.like)


def _types(found: _Accelerators) -> Iterator[ProposedType]:
    """The types that no catalogue has, or whose cards have another memory here."""
    seen: dict[str, Device] = {}
    for node in found.nodes.values():
        for device in node.devices:
            seen.setdefault(device.type, device)
    for name, device in sorted(seen.items()):
        known = found.catalog.get(name)
        if known is None:
            told = device.memory_gib if device.memory_gib > 1 else 0
            yield ProposedType(name, device.vendor, told)
        elif known.memory_gib != device.memory_gib:
            yield ProposedType(name, known.vendor, device.memory_gib, known)


def _features(
    found: _Accelerators, pools: Iterable[ProposedPool]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """By the features that nodes lack (their types and their pool's name), those nodes."""
    lacking: dict[tuple[str, ...], list[str]] = {}
    for pool in pools:
        for name in pool.partition.nodes:
            node = found.nodes[name]
            wanted = [*sorted({d.type for d in node.devices}), pool.partition.name]
            if lacks := tuple(word for word in wanted if word not in node.features):
                lacking.setdefault(lacks, []).append(name)
    for lacks, names in lacking.items():
        yield tuple(names), lacks


def _free(name: str, taken: Container[str]) -> str:
    """The name, or with a number behind it the first that is free."""
    tried = (name if n == 1 else f"{name}-{n}" for n in itertools.count(1))
    return next(word for word in tried if word not in taken)
