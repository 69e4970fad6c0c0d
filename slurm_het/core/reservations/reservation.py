"""Reservations: where and when a task starts that cannot start now, by the running jobs' limits.

In each pool the first tasks that must wait, by priority, are pinned to the nodes that come free
soonest. There Slurm's backfill protects them. Lower ones are kept off, unless they end before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf

from slurm_het.core.assignment.problem import Need
from slurm_het.core.cluster.fit import has_room, serving
from slurm_het.core.cluster.holdings import held_indexes
from slurm_het.core.cluster.host_cpus import kept_cpus
from slurm_het.core.cluster.inventory import Inventory, in_taken_leaves
from slurm_het.core.cluster.occupancy import emptied, give_back
from slurm_het.core.cluster.pinned import Pin, needs_of
from slurm_het.core.cluster.placement import common_pool, placement_of
from slurm_het.core.model import Job, Node, Placement, Slot, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist

SOON = 30.0
"""Seconds until a job gives back what it holds that is past its end: Slurm's own KillWait."""


@dataclass(frozen=True, slots=True)
class ComingFree:
    """What a running job gives back on one node when it ends, at the latest at `end`; so does a
    reservation of Slurm's that has a part of the node, without a key.

    `end` are epoch seconds, inf is never; `memory_mib` None is all of the node's host memory.
    """

    end: float
    key: str
    cpus: int
    memory_mib: int | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """A task, where it will start, and when (epoch seconds) at the latest."""

    task: Task
    placement: Placement
    start: float


def coming_free(snapshot: Snapshot, policy: Policy) -> dict[str, tuple[ComingFree, ...]]:
    """By node, what all who have a part of it give back, soonest first. A job without a limit
    never does.

    One that is past its end (it is being killed, or cleans up) is taken to need as long again as it
    has been for, and SOON at least: so nobody waits for it for ever where other nodes are free.
    Slurm's records do not say what a job holds on each of its nodes. Its CPUs are taken to be
    spread evenly; memory follows from what it asks per CPU, node or device. Once all have ended the
    node is empty whatever that came to: see as_they_end. Of a leaf that a job has alone nothing is
    free before that ends.
    """
    return snapshot.once("coming free", partial(_coming_free, snapshot, policy), policy)


def _coming_free(snapshot: Snapshot, policy: Policy) -> dict[str, tuple[ComingFree, ...]]:
    by_node: dict[str, list[ComingFree]] = {}
    for job in snapshot.jobs:
        if job.holds_nodes:
            end = end_of(job, snapshot.time)
            for node, given in given_back(job, policy, end).items():
                by_node.setdefault(node, []).append(given)
    for node, parts in kept_cpus(snapshot).items():
        kept = (ComingFree(until, "", cpus, 0) for cpus, until in parts)
        by_node.setdefault(node, []).extend(kept)
    for node, owners in in_taken_leaves(snapshot, policy).items():
        until = max(end_of(job, snapshot.time) for job in owners)
        there = by_node.get(node) or [ComingFree(until, "", 0, 0)]
        by_node[node] = [replace(one, end=max(one.end, until)) for one in there]
    return {node: tuple(sorted(there, key=lambda e: e.end)) for node, there in by_node.items()}


def given_back(job: Job, policy: Policy, end: float = 0.0) -> dict[str, ComingFree]:
    """By node, what a running job gives back when it ends."""
    return job.once("gives back", partial(_given_back, job, policy, end), (policy, end))


def _given_back(job: Job, policy: Policy, end: float) -> dict[str, ComingFree]:
    nodes = hostlist.expand_readable(job.nodes)  # take_inventory warns of bad lists
    held = held_indexes(job, policy)
    given: dict[str, ComingFree] = {}
    for node in nodes:
        cpus = -(-job.cpus // len(nodes))
        memory = job.memory_on_node(cpus, len(held.get(node, ())))
        given[node] = ComingFree(end, job.key, cpus, memory)
    return given


def with_pins(
    coming: Mapping[str, tuple[ComingFree, ...]], pins: Iterable[Pin], room: Inventory, now: float
) -> dict[str, tuple[ComingFree, ...]]:
    """What is given back if the tasks that are about to start do so now: all that they take."""
    out = dict(coming)
    for pin in pins:
        for name, given in _given_by(pin, room, now):
            out[name] = tuple(sorted((*out.get(name, ()), given), key=lambda one: one.end))
    return out


def _given_by(pin: Pin, room: Inventory, now: float) -> Iterator[tuple[str, ComingFree]]:
    minutes = pin.task.limit_in(pin.placement.partition)
    if pin.start or minutes is None:
        return
    for name, slot in zip(pin.placement.nodes, pin.task.slots, strict=False):
        if node := room.nodes.get(name):
            # One that may not start beside others has taken all that they left.
            needs = needs_of(pin, slot, emptied(node)) or Need(node.cpus, node.memory_mib)
            yield name, ComingFree(now + minutes * 60, pin.task.key, *needs)


def end_of(job: Job, now: float) -> float:
    """When a job that holds nodes gives them back at the latest (epoch seconds); inf: never."""
    if not job.last_end:
        return inf
    late = now - job.last_end
    return float(job.last_end) if late < 0 else now + max(SOON, late)


def as_they_end(node: Node, coming: Sequence[ComingFree]) -> Iterator[tuple[float, Node]]:
    """When others end who have a part of a node, soonest first, and the node as it is then.

    Whoever gave back less than he had, nobody has anything of it once all of them have ended.
    """
    for left, given in zip(range(len(coming) - 1, -1, -1), coming, strict=True):
        if given.end == inf:
            return
        node = give_back(node, given.key, given.cpus, given.memory_mib)
        if not left and not any(device.holders for device in node.devices):
            node = emptied(node)
        yield given.end, node


def soonest(
    task: Task, slot: Slot, node: Node, coming: Sequence[ComingFree], now: float
) -> tuple[float, Node] | None:
    """When the node has room for the slot at the latest, and the node as it is then.

    None if it never has, as far as is known.
    """
    if has_room(task, slot, node):
        return now, node
    for end, then in as_they_end(node, coming):
        if has_room(task, slot, then):
            return max(now, end), then
    return None


def placement_on(task: Task, nodes: Sequence[Node]) -> Placement:
    """The placement on nodes that have room for it, in Slurm's order of devices."""
    where = (
        (node.name, serving(task, node)[: slot.devices])
        for node, slot in zip(nodes, task.slots, strict=True)
    )
    return placement_of(task, common_pool(task, nodes), where, {node.name: node for node in nodes})


def keep_free(
    tasks: Iterable[Task], reservations: Iterable[Reservation], room: Inventory, now: float
) -> tuple[Task, ...]:
    """The tasks, each kept off the nodes of the reservations that start before it would end.

    A task that Slurm comes to before the reserved one is not kept off. The others are, in every
    pool that the nodes are in: Slurm's backfill protects nodes, not devices, and starts nothing
    there that would outlast the wait, whatever else is free (22.05, 24.11, 26.05).
    """
    with_pools = [(reservation, _pools(reservation, room)) for reservation in reservations]
    sets: dict[tuple[int, ...], frozenset[str]] = {}  # most tasks are kept off the same ones
    return tuple(_kept_off(task, with_pools, now, sets) for task in tasks)


def _pools(reservation: Reservation, room: Inventory) -> frozenset[str]:
    nodes = (room.nodes[name] for name in reservation.placement.nodes if name in room.nodes)
    return frozenset(pool for node in nodes for pool in node.partitions)


def _kept_off(
    task: Task,
    with_pools: Sequence[tuple[Reservation, frozenset[str]]],
    now: float,
    sets: dict[tuple[int, ...], frozenset[str]],
) -> Task:
    before = []
    for i, (reservation, pools) in enumerate(with_pools):
        reserved = reservation.task
        first = task.key == reserved.key or turn_of(task) < turn_of(reserved)
        ends_before = task.minutes is not None and now + task.minutes * 60 <= reservation.start
        if not first and not ends_before and not pools.isdisjoint(task.pools):
            before.append(i)
    if not before:
        return task
    off = sets.get(which := tuple(before))
    if off is None:
        off = frozenset(n for i in before for n in with_pools[i][0].placement.nodes)
        sets[which] = off
    return task.off(off)


def turn_of(task: Task) -> tuple[int, int]:
    """When Slurm comes to it in its queue: of equal priority the job that came first is first."""
    return -task.priority, task.job_id
