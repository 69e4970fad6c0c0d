"""What no node can ever hold, or no partition ever allows, is refused at submit as by plain Slurm.

In a DOWN partition, as the intake is, Slurm from 24.11 on looks at no node at submit: such a job
would wait for ever. So the hook says what Slurm would say of the partitions that the user named.
Here is only what is certain, of nodes in any state; whatever is not certain is not refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from slurm_het.core.capacity import Capacity, NodeKind, PartitionBounds
from slurm_het.core.jobs.job_size import JobSize
from slurm_het.core.jobs.pools import Suits
from slurm_het.core.jobs.request import JobRequest
from slurm_het.core.partition import LIFTED
from slurm_het.core.policy import Policy
from slurm_het.core.reasons.base import few
from slurm_het.core.reasons.never import (
    MEMORY,
    NODE_COUNT,
    TIME_LIMIT,
    TOO_MANY_CPUS,
    Never,
    NodeHasNot,
    NoNodeHas,
    NotSoMany,
    PartitionNever,
)
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import HetError

_COUNT = re.compile(r"([\w.-]{1,64})\*(\d{1,6})")
_COUNTED = re.compile(r"\[?[\w.-]{1,64}\*\d{1,6}(?:&[\w.-]{1,64}\*\d{1,6})*\]?")
MAX_NODES = 1 << 30
"""More than there are."""


def never(
    sent: Mapping[str, str], request: JobRequest, size: JobSize, capacity: Capacity, policy: Policy
) -> Never | None:
    """Why plain Slurm would refuse the job; None if it would not, or that is not certain.

    Slurm tests neither a job that is submitted held, nor do we one in a reservation.
    """
    named = _certain(sent, request, capacity, policy)
    limits = _limits(sent, size, capacity, named)
    broken = [limit for limit in limits.values() if limit]
    if broken and capacity.rules.enforces not in ("ANY", "ALL"):
        return None  # the limit lets it wait then, whatever the nodes have
    if broken and request.partitions and capacity.rules.enforces == "ALL":
        return broken[0]
    return _in_none(limits, size, capacity, policy)


def never_starts(
    sent: Mapping[str, str], request: JobRequest, size: JobSize, capacity: Capacity, policy: Policy
) -> Never | None:
    """Why the job could start in none of its partitions, though plain Slurm may accept it and let
    it wait; None if it could, or that is not certain."""
    named = _certain(sent, request, capacity, policy)
    return _in_none(_limits(sent, size, capacity, named), size, capacity, policy)


def _certain(
    sent: Mapping[str, str], request: JobRequest, capacity: Capacity, policy: Policy
) -> tuple[str, ...]:
    """The partitions that it may go to; none where not enough is known of them, or of the job."""
    if not capacity.kinds or sent.get("priority") == "0" or request.reservation:
        return ()
    named = request.partitions or (policy.intake_partition, *(p.partition for p in policy.pools))
    return () if any(name not in capacity.partitions for name in named) else named


def _limits(
    sent: Mapping[str, str], size: JobSize, capacity: Capacity, named: Iterable[str]
) -> dict[str, PartitionNever | None]:
    lifts = may_lift(sent, capacity)
    return {name: _beyond(size, name, capacity.partitions[name], lifts) for name in named}


def may_lift(sent: Mapping[str, str], capacity: Capacity) -> frozenset[str]:
    """The flags that the QOS of such a job may have."""
    return capacity.lifts.union(LIFTED if sent.get("qos") else ())


def _in_none(
    limits: Mapping[str, PartitionNever | None], size: JobSize, capacity: Capacity, policy: Policy
) -> Never | None:
    """What keeps it out of the first of these partitions, if something does out of each."""
    first: Never | None = None
    for name, limit in limits.items():
        why = limit or _unable(size, name, capacity, policy)
        if not why:
            return None
        first = first or why
    return first


def suits_of(
    size: JobSize, capacity: Capacity, policy: Policy, lifts: Set[str] = frozenset()
) -> Suits:
    """Whether a partition's nodes with devices of some types could ever hold the job, and whether
    it is within the partition's limits; `lifts` are the flags that its QOS may have.

    Of what is not known it is said that they could.
    """

    def holds(partition: str, types: frozenset[str]) -> bool:
        if not capacity.kinds:
            return True
        here = (k.names for k in capacity.kinds if partition in k.partitions)
        if size.named and not size.named <= frozenset(chain.from_iterable(here)):
            return False
        return not _unable(size, partition, capacity, policy, types)

    def allows(partition: str) -> bool:
        bounds = capacity.partitions.get(partition)
        return bounds is None or not _beyond(size, partition, bounds, lifts)

    return Suits(holds, allows)


def _beyond(
    size: JobSize, name: str, bounds: PartitionBounds, lifts: Set[str]
) -> PartitionNever | None:
    """What of a partition's size and limits the job is beyond; Slurm looks at these first.

    `lifts` are the flags that its QOS may have.
    """
    minutes = None if "PartitionTimeLimit" in lifts else bounds.max_minutes
    most = None if "PartitionMaxNodes" in lifts else bounds.max_nodes
    nodes = bounds.nodes if most is None else min(bounds.nodes, most)
    limits = (
        (size.minutes, minutes, "min", TIME_LIMIT),
        (size.nodes, nodes, "nodes", NODE_COUNT),
        (size.cpus, bounds.cpus, "CPUs", TOO_MANY_CPUS),
        (size.memory_mib, bounds.max_memory_mib, "MiB on a node", MEMORY),
    )
    for asked, most, unit, number in limits:
        if most is not None and asked > most:
            return PartitionNever(f"{asked} {unit}", name, str(most), number)
    return None


class _Ask(NamedTuple):
    """One thing that each node must have: as people read it, how much, how much each kind has."""

    text: str
    least: int
    has: Sequence[int]
    told: Callable[[int], str] = str


def _unable(
    size: JobSize,
    partition: str,
    capacity: Capacity,
    policy: Policy,
    types: frozenset[str] | None = None,
) -> Never | None:
    """Why no nodes of a partition (with devices of these types) can hold the job, whatever runs.

    Where it is only that it does not want the nodes that could, that is said.
    """
    why = _lacks(size, partition, capacity, policy, types)
    if not (why and size.excluded):
        return why
    with_all = replace(size, excluded=frozenset())
    if _lacks(with_all, partition, capacity, policy, types):
        return why
    if isinstance(why, NoNodeHas):
        return NoNodeHas(f"{why.asked} and is not in --exclude", why.within)
    if isinstance(why, NotSoMany):
        return replace(why, most=f"{why.most} outside of --exclude")
    return why


def _lacks(
    size: JobSize,
    partition: str,
    capacity: Capacity,
    policy: Policy,
    types: frozenset[str] | None,
) -> Never | None:
    """The same, whosever wish it is."""
    within = "" if partition == policy.intake_partition else partition
    kinds = [k for k in capacity.kinds if partition in k.partitions]
    if types is not None:
        kinds = [_by_any_name(k, size) for k in kinds if types & k.types]
    if size.excluded:
        kept = (
            replace(k, names=tuple(n for n in k.names if n not in size.excluded)) for k in kinds
        )
        kinds = [k for k in kept if k.names]
    if not kinds:
        return NoNodeHas("a device", within)
    allowed = _with_features(size.features, kinds)
    if not allowed:
        return NoNodeHas(f"the features {size.features!r}", within)
    able = allowed
    for ask in _asks(size, allowed):
        held = {id(kind) for kind, has in zip(allowed, ask.has, strict=True) if has >= ask.least}
        before, able = able, [kind for kind in able if id(kind) in held]
        for kind in before:
            if id(kind) not in held and (names := size.named.intersection(kind.names)):
                return NodeHasNot(min(names), ask.text)
        if not able:
            return _no_node(ask, allowed, before, within, policy)
    return _not_together(size, able, within, capacity)


def _by_any_name(kind: NodeKind, size: JobSize) -> NodeKind:
    """The kind as we ask for its devices: where no type is named, by the name that they have."""
    asked = {item.name for item in size.devices.all() if not item.type}
    own = {text.partition(":")[0] for text, _ in kind.devices}
    others = ((text.partition(":")[2], count) for text, count in kind.devices)
    more = tuple((f"{n}:{t}", count) for t, count in others for n in asked - own)
    return replace(kind, devices=(*kind.devices, *more))


def _no_node(
    ask: _Ask, kinds: Sequence[NodeKind], before: Sequence[NodeKind], within: str, policy: Policy
) -> NoNodeHas:
    """Of the nodes that have all else (`before`), the largest, and what it has."""
    mine = {id(kind) for kind in before}
    had, largest = max(
        ((has, kind) for has, kind in zip(ask.has, kinds, strict=True) if id(kind) in mine),
        key=lambda pair: pair[0],
    )
    if not had and ask.told is str:  # a type that none of them has
        there = sorted({text.partition(":")[2] or text for k in before for text, _ in k.devices})
        return NoNodeHas(ask.text, within, few(there))
    pools = [p.partition for p in policy.pools if p.partition in largest.partitions]
    where = f"{pools[0]}: {few(largest.names)}" if pools else few(largest.names)
    return NoNodeHas(ask.text, within, where, ask.told(had))


def _with_features(text: str, kinds: Sequence[NodeKind]) -> list[NodeKind]:
    try:
        wanted = parse_features(text)
    except HetError:
        return list(kinds)  # with counts, for one
    return [kind for kind in kinds if wanted.allows(kind.features)]


def _asks(size: JobSize, kinds: Sequence[NodeKind]) -> Iterator[_Ask]:
    of_all = [replace(item, count=1) for item in size.devices.job]
    for item in (*size.devices._replace(job=()).all(), *of_all):
        has = [_count(kind, item) for kind in kinds]
        yield _Ask(_devices(item.count, item), item.count, has)
    cpus = max(size.cpus_on_node, size.cpus_per_device * size.devices_on_node)
    if cpus:
        yield _Ask(f"{cpus} CPUs", cpus, [kind.cpus for kind in kinds])
    memory = max(
        size.memory_mib,
        size.memory_per_cpu_mib * max(1, size.cpus_on_node),
        size.memory_per_device_mib * size.devices_on_node,
    )
    yield from _of_hardware(size, kinds)
    if memory:
        has = [kind.memory_mib for kind in kinds]
        yield _Ask(f"{_gib(memory)} of memory", memory, has, _gib)


def _of_hardware(size: JobSize, kinds: Sequence[NodeKind]) -> Iterator[_Ask]:
    if size.threads:
        has = [kind.threads for kind in kinds]
        yield _Ask(f"{size.threads} threads in a core", size.threads, has)
    if size.sockets:
        yield _Ask(f"{size.sockets} sockets", size.sockets, [kind.sockets for kind in kinds])
    if cores := size.cores_per_socket:
        yield _Ask(f"{cores} cores in a socket", cores, [kind.cores for kind in kinds])
    if disk := size.tmp_disk_mib:
        has = [kind.tmp_disk_mib for kind in kinds]
        yield _Ask(f"{_gib(disk)} of local disk (TmpDisk)", disk, has, _gib)


def _not_together(
    size: JobSize, able: Sequence[NodeKind], within: str, capacity: Capacity
) -> NotSoMany | None:
    """Why those that could each hold a part of it are too few, or have too little."""
    for feature, count in _counted_features(size.features):
        have = sum(len(kind.names) for kind in able if feature in kind.features)
        if have < count:
            return NotSoMany(f"{count} nodes with {feature}", f"{have} such", within)
    nodes = sum(len(kind.names) for kind in able)
    if size.nodes > nodes:
        return NotSoMany(f"{size.nodes} such nodes", f"{nodes} of them", within)
    for item in size.devices.job:
        most = size.nodes_max if capacity.rules.bounds_gpus or size.nodes_max > 1 else 0
        total = _total(((_count(kind, item), len(kind.names)) for kind in able), most)
        if total < item.count:
            on = f" on {most} nodes" if most else ""
            return NotSoMany(_devices(item.count, item) + on, str(total), within)
    for item in size.devices.task:
        lots = _total(((_count(k, item) // item.count, len(k.names)) for k in able), size.nodes_max)
        if lots < size.tasks:
            asked = f"{size.tasks} tasks with {_devices(item.count, item)} each"
            return NotSoMany(asked, f"room for {lots}", within)
    cpus = max(size.cpus, size.cpus_per_device * sum(i.count for i in size.devices.job))
    total = _total(((kind.cpus, len(kind.names)) for kind in able), size.nodes_max)
    if cpus > total:
        on = f" on {size.nodes_max} nodes" if size.nodes_max else ""
        return NotSoMany(f"{cpus} CPUs{on}", str(total), within)
    return None


def _counted_features(text: str) -> list[tuple[str, int]]:
    """The features and counts of `[a100*3&l40s*1]`; none of anything else."""
    if not _COUNTED.fullmatch(text):
        return []
    return [(name, int(count)) for name, count in _COUNT.findall(text)]


def _total(amounts: Iterable[tuple[int, int]], nodes: int) -> int:
    """The total of (amount, how many nodes have it), of the largest so many nodes; 0: of all."""
    total, left = 0, nodes or MAX_NODES
    for amount, count in sorted(amounts, reverse=True):
        total += amount * min(left, count)
        left -= min(left, count)
    return total


def _count(kind: NodeKind, item: Gres) -> int:
    """How many devices of a node a request reaches. Slurm takes a type as it is written."""
    wanted = f"{item.name}:{item.type}" if item.type else ""
    return sum(
        count
        for gres_text, count in kind.devices
        if gres_text == wanted or (not wanted and gres_text.partition(":")[0] == item.name)
    )


def _devices(count: int, item: Gres) -> str:
    if item.type:
        return f"{count} {item.type}"
    noun = "GPU" if item.name == "gpu" else item.name
    return f"{count} {noun}s" if count != 1 and item.name == "gpu" else f"{count} {noun}"


def _gib(mib: int) -> str:
    return f"{mib / 1024:.4g} GiB"
