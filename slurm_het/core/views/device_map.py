"""The device map: pools, nodes, a cell for each device, why each idle one is idle, and the largest
job that would start now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from slurm_het.core.cluster.fit import cpus_free_for, need
from slurm_het.core.model import Device, Node, Task
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.reasons.idle import Cause, Idle
from slurm_het.core.reservations.reservation import end_of
from slurm_het.core.syntax import hostlist
from slurm_het.core.views.probes import (
    NO_JOB,
    Asked,
    Largest,
    ProbeOptions,
    Probes,
    asks_for,
    largest_now,
    requests_waiting,
    share_name,
    wanted_types,
)

_RESERVED = ("RESERVED", "MAINT")


@dataclass(frozen=True, slots=True)
class MapDevice:
    """A device: how full its memory is (GiB), who holds it, or why nobody does."""

    index: int
    type: str
    vendor: str
    memory_gib: int
    occupied_gib: int
    holders: tuple[str, ...]
    idle: Idle | None


@dataclass(frozen=True, slots=True)
class MapNode:
    """A node: `pools` are those that it is in, CPUs and host memory (MiB) what is free of them."""

    node: str
    pools: tuple[str, ...]
    state: str
    reason: str
    cpus: int
    cpus_free: int
    memory_mib: int
    memory_free_mib: int
    devices: tuple[MapDevice, ...]


@dataclass(frozen=True, slots=True)
class PoolType:
    """The devices of one type and memory in a pool; `state` is that of its partition."""

    pool: str
    scenario: str
    state: str
    vendor: str
    type: str
    memory_gib: int
    devices: int
    idle: int
    starts_now: int
    occupied_gib: int
    largest: Largest


@dataclass(frozen=True, slots=True)
class DeviceMap:
    """All of it, in the order of the pools."""

    types: tuple[PoolType, ...]
    nodes: tuple[MapNode, ...]


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How to make it: `shown` has the nodes to show, None: all."""

    probes: ProbeOptions = field(default_factory=ProbeOptions)
    shown: frozenset[str] | None = None


def device_map(prepared: Prepared, options: MapOptions) -> DeviceMap:
    """The map of a snapshot, as what waits leaves it."""
    probes = Probes(prepared, options.probes)
    causes = _Causes(prepared, probes)
    order = [pool.partition for pool in prepared.policy.pools]

    def rank(node: MapNode) -> int:
        return order.index(node.pools[0]) if node.pools else len(order)

    nodes = [
        _node(node, order, causes)
        for name, node in prepared.inventory.nodes.items()
        if options.shown is None or name in options.shown
    ]
    nodes.sort(key=rank)
    return DeviceMap(tuple(_types(prepared, probes, nodes)), tuple(nodes))


def _node(node: Node, order: list[str], causes: _Causes) -> MapNode:
    idle = causes.of(node)
    return MapNode(
        node.name,
        tuple(p for p in order if p in node.partitions),
        node.state,
        node.reason,
        node.cpus,
        node.cpus_free,
        node.memory_mib,
        node.memory_free_mib,
        tuple(
            MapDevice(
                d.index, d.type, d.vendor, d.memory_gib, d.occupied_gib, d.holders,
                idle.get(d.index),
            )
            for d in node.devices
        ),
    )  # fmt: skip


def _types(prepared: Prepared, probes: Probes, nodes: list[MapNode]) -> Iterator[PoolType]:
    states = {p.name: p.state for p in prepared.snapshot.partitions}
    for pool in prepared.policy.pools:
        groups: dict[tuple[str, str, int], list[tuple[str, MapDevice]]] = {}
        for node in nodes:
            for d in node.devices if pool.partition in node.pools else ():
                groups.setdefault((d.vendor, d.type, d.memory_gib), []).append((node.node, d))
        state = states.get(pool.partition, "missing")
        for (vendor, kind, memory), there in groups.items():
            devices = [prepared.inventory.nodes[name].devices[d.index] for name, d in there]
            idle = [d.idle for _, d in there if d.idle]
            yield PoolType(
                pool.partition, pool.scenario, state, vendor, kind, memory,
                devices=len(there),
                idle=len(idle),
                starts_now=sum(one.cause.starts_now for one in idle),
                occupied_gib=sum(d.occupied_gib for _, d in there),
                largest=largest_now(probes, pool, devices) if state == "UP" else NO_JOB,
            )  # fmt: skip


def _ailing(device: Device) -> Idle | None:
    """What telemetry holds against a device that Slurm takes for idle."""
    if device.trouble:
        return Idle(Cause.UNHEALTHY, device.trouble)
    return Idle(Cause.FOREIGN, f"{device.excess_gib} GiB") if device.excess_gib else None


class _Causes:
    """Finds why devices are idle."""

    def __init__(self, prepared: Prepared, probes: Probes) -> None:
        self.prepared, self.probes = prepared, probes
        self.states = {p.name: p.state for p in prepared.snapshot.partitions}
        self.shared = share_name(prepared.policy)
        requests = requests_waiting(prepared, probes.starting)
        self.wanted = wanted_types(probes.room, requests)
        self.alone = _alone(prepared)

    def of(self, node: Node) -> dict[int, Idle]:
        """The cause of each idle device of a node, by index."""
        there = self.probes.room.nodes[node.name]
        idle = [d for d in node.devices if not (d.holders or d.occupied_gib)]
        known: dict[tuple[str, str], Idle] = {}
        found: dict[int, Idle] = {}
        whole = self._of_node(node) if idle else None
        for device in idle:
            then = there.devices[device.index]
            like = device.type, device.gres
            if cause := whole or _ailing(device):
                found[device.index] = cause
            elif not then.empty:  # promised to one that is released, or is next
                found[device.index] = Idle(Cause.HELD, job=then.holders[-1])
            else:
                if like not in known:
                    known[like] = self._of_device(device, there)
                found[device.index] = known[like]
        return found

    def _of_node(self, node: Node) -> Idle | None:
        """Why nothing starts on any device of the node; None if it may."""
        state = node.state.upper()
        if node.reserved:
            return Idle(Cause.RESERVED, node.reserved)
        if not node.usable:
            reserved = any(word in state for word in _RESERVED)
            return Idle(Cause.RESERVED if reserved else Cause.DRAINED, _out_of_use(node))
        pools = [p.partition for p in self.prepared.policy.pools if p.partition in node.partitions]
        if not any(self.states.get(pool) == "UP" for pool in pools):
            closed = ", ".join(f"{pool} is {self.states.get(pool, 'missing')}" for pool in pools)
            return Idle(Cause.CLOSED, f"pool {closed}" if pools else "its node is in no pool")
        if self.probes.options.gate_open and "PLANNED" in state:
            return Idle(Cause.HELD, "Slurm plans to start a job on the node")
        if node.held_exclusively and node.name in self.alone:
            return self.alone[node.name]
        return None

    def _of_device(self, device: Device, there: Node) -> Idle:
        """Why a device is idle that nobody has been promised: what a job for it would find."""
        first: Idle | None = None
        for task in self._tasks_for(device, there):
            cause = self._met(task, there)
            if cause is None:
                state = self.probes.room.grid.state_of[there.name]
                wanted = device.type in self.wanted.get(state, ())
                return Idle(Cause.USABLE if wanted else Cause.UNWANTED)
            first = first or cause
        return first or Idle(Cause.CLOSED, "no job of its pool is given such a device")

    def _tasks_for(self, device: Device, there: Node) -> Iterator[Task]:
        """Probes for the device as a whole, then for a GiB of it, in each pool that is open."""
        gres = asks_for([d for d in there.devices if d.type == device.type])
        for pool in self.prepared.policy.pools:
            if pool.partition in there.partitions and self.states.get(pool.partition) == "UP":
                for name in (gres, self.shared if there.has_shards else ""):
                    asked = Asked(pool.partition, name, device.type, device.vendor)
                    if name and (task := self.probes.task(asked)):
                        yield task

    def _met(self, task: Task, there: Node) -> Idle | None:
        """What keeps a probe from the node; None if nothing does."""
        needs = need(task, task.largest_slot, there)
        if needs is None:
            sharers = tuple(dict.fromkeys(h for d in there.devices for h in d.holders))
            return Idle(Cause.HELD, f"Slurm does not mix it with what runs there ({sharers[0]})"
                        if sharers else "its node is another job's alone")  # fmt: skip
        if needs.cpus > cpus_free_for(task, there):
            return Idle(Cause.NO_CORES)
        if needs.memory_mib > there.memory_free_mib:
            return Idle(Cause.NO_MEMORY)
        if there.name in self.probes.kept_off(task).exc_nodes:
            return self.probes.keeper(there.name)
        return None


def _out_of_use(node: Node) -> str:
    """The state of a node that starts nothing, and the reason that somebody gave."""
    state = node.state.upper()
    words = "drained" if "DRAIN" in state else "down" if "DOWN" in state else node.state.lower()
    if "*" in state or "NOT_RESPONDING" in state:
        words += ", does not answer"
    return f"{words}: {node.reason}" if node.reason else words


def _alone(prepared: Prepared) -> dict[str, Idle]:
    """By node that a job has alone, that job and its end."""
    now = prepared.snapshot.time
    return {
        name: Idle(Cause.HELD, "has the node alone", job.key, end_of(job, now))
        for job in prepared.snapshot.jobs
        if job.exclusive and job.holds_nodes
        for name in hostlist.expand_readable(job.nodes)
    }
