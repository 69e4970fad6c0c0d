"""From Slurm's records to nodes and devices: M_j, U_j, who holds what, what is free.

Occupancy is summed from the running jobs' GRES details, which is right on every Slurm version
(22.05's `GresUsed` counts devices for shards, not GiB).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from operator import itemgetter
from typing import NamedTuple

from slurm_het.core.cluster.ailing import with_measured
from slurm_het.core.cluster.configured import bare_devices
from slurm_het.core.cluster.host_cpus import HostCpus, cpus_of
from slurm_het.core.cluster.node_states import Grid, build_of, grid_of
from slurm_het.core.cluster.occupancy import shared_by, taken_whole
from slurm_het.core.cluster.uses import NodeUse, Uses, ends_of, read_gres, uses_of
from slurm_het.core.measured import Measured
from slurm_het.core.model import Device, Job, Node, NodeRecord, Snapshot
from slurm_het.core.network import (
    ALONE,
    EXCLUSIVE_LEAF,
    NO_NETWORK,
    Network,
    Part,
    Parts,
    leaf_of,
)
from slurm_het.core.policy import Policy
from slurm_het.core.records import state_words
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import HetError

_UNUSABLE = {
    "DOWN", "DRAIN", "DRAINED", "DRAINING", "FAIL", "FAILING", "FUTURE", "NOT_RESPONDING",
    "POWERING_DOWN", "REBOOT", "REBOOT_ISSUED", "UNKNOWN", "INVALID_REG",
    "BLOCKED", "PERFCTRS", "UNREGISTERED", "OUTSIDE_TOPOLOGY",
}  # fmt: skip
# The same states as suffixes: no answer, powering down, maintenance, reboot. POWERED_DOWN and `~`
# are usable: Slurm powers such a node up for the first job that it is given.
_MARKS = frozenset("*!%@^")
# Nodes of a reservation that lasts, even of one that has but a part of them (22.05, 24.11, 26.05).
# Who may use them the reservation tells, if it is known; else nobody.
_RESERVED = {"RESERVED", "MAINT", "MAINTENANCE"}
_RESERVED_MARK = "$"


class TypeThere(NamedTuple):
    """Of a device type that the cluster has: whose it is, and the most memory that one has."""

    vendor: str
    memory_gib: int


@dataclass(frozen=True)
class Inventory:
    """The accelerator nodes by name. `warnings` are sentences on what could not be read;
    `reservations` are Slurm's; `measured` is what devices say of themselves, by node. `ends` has
    those of the jobs that hold nodes: see uses.ends_of."""

    nodes: dict[str, Node]
    warnings: tuple[str, ...] = ()
    reservations: tuple[ReservationRecord, ...] = ()
    measured: Mapping[str, tuple[Measured, ...]] = field(default_factory=dict)
    ends: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def grid(self) -> Grid:
        """The nodes grouped by state."""
        return grid_of(self.nodes.values())

    def partitions_beside(self, names: Set[str]) -> frozenset[str]:
        """All partitions that have a node of these partitions, themselves among them."""
        there = (state.node.partitions for state in self.grid.states)
        return frozenset().union(*(own for own in there if not names.isdisjoint(own)))

    @cached_property
    def coming_free(self) -> dict[str, tuple[tuple[float, Device], ...]]:
        """By node, when each device is empty at the latest, soonest first."""

        def empty_at(device: Device) -> float:
            ends = [self.ends.get(key, inf) for key in device.holders]
            return max(ends, default=0.0 if device.empty else inf)

        return {
            name: tuple(sorted(((empty_at(d), d) for d in node.devices), key=itemgetter(0)))
            for name, node in self.nodes.items()
        }

    @cached_property
    def leaves(self) -> tuple[frozenset[str], ...]:
        """The nodes under each leaf switch or in each base block, as far as they are known."""
        under: dict[str, set[str]] = {}
        for node in self.nodes.values():
            if node.parts:
                under.setdefault(leaf_of(node.parts), set()).add(node.name)
        return tuple(map(frozenset, under.values()))

    @cached_property
    def builds(self) -> tuple[Node, ...]:
        """The first of the nodes that are built alike, whatever runs there and in what state they
        are: most nodes are."""
        first: dict[int, Node] = {}
        for node in self.nodes.values():
            first.setdefault(id(build_of(node)), node)
        return tuple(first.values())

    @cached_property
    def makes(self) -> tuple[str, ...]:
        """What of the nodes decides where a job may go, once for those that are alike: features,
        partitions, and how many devices of a type. As text that is the same in any process."""
        alike = {
            (
                tuple(sorted(node.features)),
                tuple(sorted(node.partitions)),
                tuple(
                    sorted(Counter((d.type, d.vendor, d.memory_gib) for d in node.devices).items())
                ),
            )
            for node in self.builds
        }
        return tuple(sorted(map(repr, alike)))

    @cached_property
    def kinds(self) -> dict[frozenset[str], frozenset[str]]:
        """The device types on the nodes with the same features, by those."""
        kinds: dict[frozenset[str], frozenset[str]] = {}
        for node in self.builds:
            there = frozenset(d.type for d in node.devices)
            kinds[node.features] = kinds.get(node.features, frozenset()) | there
        return kinds

    @cached_property
    def vendors(self) -> dict[str, frozenset[str]]:
        """The device types of each vendor."""
        types: dict[str, frozenset[str]] = {}
        for device in self.devices():
            types[device.vendor] = types.get(device.vendor, frozenset()) | {device.type}
        return types

    def devices(self) -> Iterable[Device]:
        """Every device, node by node."""
        return (device for node in self.nodes.values() for device in node.devices)

    def largest_of(self, partition: str) -> dict[str, int]:
        """By device type, the most that one node of a partition has."""
        return self._largest.get(partition, {})

    @cached_property
    def _largest(self) -> dict[str, dict[str, int]]:
        largest: dict[str, dict[str, int]] = {}
        for node in self.builds:
            counts = Counter([d.type for d in node.devices])
            for partition in node.partitions:
                most = largest.setdefault(partition, {})
                for name, count in counts.items():
                    most[name] = max(count, most.get(name, 0))
        return largest

    def types_of(self, partition: str) -> frozenset[str]:
        """The device types on a partition's nodes."""
        return frozenset(
            d.type for n in self.nodes.values() if partition in n.partitions for d in n.devices
        )

    @cached_property
    def types(self) -> dict[str, TypeThere]:
        """Every device type of the cluster."""
        there: dict[str, TypeThere] = {}
        for node in self.builds:
            for device in node.devices:
                known = there.get(device.type)
                if known is None or known.memory_gib < device.memory_gib:
                    there[device.type] = TypeThere(device.vendor, device.memory_gib)
        return there


@dataclass
class KnownNodes:
    """The nodes of the last inventory, each with all that it was made from, and the warnings: where
    nothing of that has changed it is the same object again, with what was worked out of it."""

    policy: Policy | None = None
    nodes: dict[str, tuple[tuple[object, ...], Node | None, list[str]]] = field(
        default_factory=dict
    )
    uses: Uses = field(default_factory=dict)


def take_inventory(
    snapshot: Snapshot, policy: Policy, known: KnownNodes | None = None
) -> Inventory:
    """Build the inventory of all nodes that have accelerators."""
    same = known if known and known.policy is policy else KnownNodes()
    before = same.nodes
    after: dict[str, tuple[tuple[object, ...], Node | None, list[str]]] = {}
    warnings: list[str] = []
    uses = uses_of(snapshot.jobs, policy, warnings, same.uses)
    exclusive = frozenset(
        p.name for p in snapshot.partitions if p.exclusive and policy.pool(p.name)
    )
    nodes: dict[str, Node] = {}
    told = frozenset(name for r in snapshot.reservations for name in r.nodes)
    reserved, cpus = _reserved_now(snapshot), cpus_of(snapshot, policy)
    network_of = _networks(snapshot, policy)
    for record in snapshot.nodes:
        name = record.name
        made_from = _MadeFrom(
            record, uses[name][1] if name in uses else None, cpus[name], name in told,
            reserved.get(name, ""), exclusive.intersection(record.partitions),
            snapshot.forgets_sharers, _parts(name, network_of(record)),
            snapshot.measured.get(name, ()),
        )  # fmt: skip
        last = before.get(name)
        if last is None or last[0] != made_from:
            said: list[str] = []
            last = made_from, _made(made_from, policy, said), said
        after[name] = last
        warnings += last[2]
        if last[1]:
            nodes[name] = last[1]
    if known:
        known.policy, known.nodes, known.uses = policy, after, uses
    for name in nodes.keys() & in_taken_leaves(snapshot, policy).keys():
        nodes[name] = replace(nodes[name], held_exclusively=True)
    warned = tuple(dict.fromkeys(warnings))
    ends = ends_of(snapshot.jobs, snapshot.time)
    return Inventory(nodes, warned, snapshot.reservations, snapshot.measured, ends)


class _MadeFrom(NamedTuple):
    """All that a node of the inventory is made from."""

    record: NodeRecord
    use: NodeUse | None
    cpus: HostCpus
    reservation_known: bool
    reserved: str
    exclusive_in: frozenset[str]
    forgets_sharers: bool
    parts: Parts
    measured: tuple[Measured, ...]


def _made(told: _MadeFrom, policy: Policy, warnings: list[str]) -> Node | None:
    """The node; None if it has no accelerators."""
    record = told.record
    bare = bare_devices(record, policy, warnings)
    if not bare:
        return None
    node = replace(
        _node(record, bare, told.use or NodeUse(), policy),
        cpus=told.cpus.most,
        cpus_free=told.cpus.free,
        usable=is_usable(record.state, reservation_known=told.reservation_known),
        reserved=told.reserved,
        cpu_caps=told.cpus.caps,
        exclusive_in=told.exclusive_in,
        forgets_sharers=told.forgets_sharers,
        parts=told.parts,
    )
    return with_measured(node, told.measured) if told.measured else node


def in_taken_leaves(snapshot: Snapshot, policy: Policy) -> dict[str, list[Job]]:
    """By node, the jobs that have its leaf alone (--exclusive=topo): Slurm gives nobody else a node
    there until they end (24.11, 26.05)."""
    jobs = [j for j in snapshot.jobs if EXCLUSIVE_LEAF in j.layout.by_slurm and j.holds_nodes]
    if not jobs:
        return {}
    network_of = _networks(snapshot, policy)
    leaves = {r.name: leaf_of(_parts(r.name, network_of(r))) for r in snapshot.nodes}
    by_leaf: dict[str, list[Job]] = {}
    for job in jobs:
        for leaf in {leaves.get(name, "") for name in hostlist.expand_readable(job.nodes)} - {""}:
            by_leaf.setdefault(leaf, []).append(job)
    return {name: by_leaf[leaf] for name, leaf in leaves.items() if leaf in by_leaf}


def _networks(snapshot: Snapshot, policy: Policy) -> Callable[[NodeRecord], Network]:
    """What gives the network of a node: that of the first pool that it is in."""
    topologies = {p.name: p.topology for p in snapshot.partitions}

    def network_of(record: NodeRecord) -> Network:
        pools = (p.partition for p in policy.pools if p.partition in record.partitions)
        return snapshot.networks.get(topologies.get(next(pools, ""), ""), NO_NETWORK)

    return network_of


def _parts(name: str, network: Network) -> Parts:
    """A node that nothing is connected to is a part of its own."""
    return network.get(name, (Part(name, ALONE),)) if network else ()


def _reserved_now(snapshot: Snapshot) -> dict[str, str]:
    """By node, the reservation that has all of it now."""
    return {
        name: r.name
        for r in snapshot.reservations
        if not r.partial and r.start <= snapshot.time < r.end
        for name in r.nodes
    }


def devices_lost(snapshot: Snapshot) -> tuple[str, ...]:
    """The nodes where Slurm counts devices as used that no job holds.

    22.05 does that (SlurmVersion.forgets_devices), and starts nothing there that needs them.
    """
    stale = {node.name for node in snapshot.nodes if node.gres_stale}
    for job in snapshot.jobs if stale else ():
        if job.holds_nodes:
            try:
                stale.difference_update(hostlist.expand(job.nodes))
            except HetError:
                return ()  # this job may be on any node, and hold the devices there
    return tuple(sorted(stale))


def _node(record: NodeRecord, bare: tuple[Device, ...], use: NodeUse, policy: Policy) -> Node:
    devices = [_occupied(device, use) for device in bare]
    for key, item in use.unplaced:  # no index known: count it on the first devices free for it
        left, shared = item.count, policy.gres[item.name].shared
        for position in sorted(range(len(devices)), key=lambda p: not _may_be(item, devices[p])):
            device = devices[position]
            if left > 0 and device.empty:
                occupied = shared_by(device, key, left) if shared else taken_whole(device, key)
                devices[position] = occupied
                left -= device.memory_gib if shared else 1
    return Node(
        name=record.name,
        usable=False,  # take_inventory knows
        state=record.state,
        cpus=record.cpus,
        cpus_free=0,  # take_inventory knows
        memory_mib=record.memory_mib,
        memory_free_mib=max(0, record.memory_mib - record.memory_alloc_mib),
        threads_per_core=max(1, record.threads_per_core),
        features=record.features,
        weight=record.weight,
        sockets=record.sockets[0],
        partitions=record.partitions,
        devices=tuple(devices),
        idle=record.cpus_alloc == 0 and not any(d.holders for d in devices),
        has_shards=any(g.name in policy.gres and policy.gres[g.name].shared
                   for g in read_gres(record.gres, "", [])),  # bare_devices has warned
        held_exclusively=use.exclusive,
        reason=record.reason,
    )  # fmt: skip


def _may_be(item: Gres, device: Device) -> bool:
    """Whether a holding may be of the device, by its type."""
    return not item.type or device.gres.endswith(f":{item.type}")


def is_usable(state: str, *, reservation_known: bool) -> bool:
    """Whether Slurm may start jobs on a node in this state (`IDLE+DRAIN`, `DOWN*`, `MIXED-`).

    It does while a node is to be rebooted or powered down once it is idle (REBOOT_REQUESTED,
    POWER_DOWN), unless that says DRAIN too; and while one is powered up and does not answer yet.
    """
    words = state_words(state)
    if not reservation_known and (words & _RESERVED or _RESERVED_MARK in state):
        return False
    if "POWERING_UP" in words:
        words -= {"NOT_RESPONDING"}
    return not (words & _UNUSABLE or set(state) & _MARKS)


def _occupied(device: Device, use: NodeUse) -> Device:
    for key in use.whole.get(device.index, ()):
        device = taken_whole(device, key)
    for key, gib in use.shares.get(device.index, ()):
        device = shared_by(device, key, gib)
    return device
