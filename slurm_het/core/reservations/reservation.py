"""Reservations: where and when a task that must wait will start, by the running jobs' time limits.

In each pool, the waiting task of highest priority is pinned to the nodes that free up soonest:
Slurm's backfill protects it there. Lower tasks are kept off them unless they end before it starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slurm_het.core.cluster.fit import fits_device, groups_of, has_room, misfit
from slurm_het.core.cluster.holdings import held_indexes
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import give_back
from slurm_het.core.model import Node, Placement, Slot, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist

ALL_MEMORY = 1 << 30
"""More MiB than any node has."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What a running job gives back on one node when it ends, at the latest at `end`."""

    end: float
    key: str
    cpus: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """A task, where it will start, and when (epoch seconds) at the latest."""

    task: Task
    placement: Placement
    start: float


def endings(snapshot: Snapshot, policy: Policy) -> dict[str, tuple[Ending, ...]]:
    """By node, what the running jobs give back, soonest first. A job without a time limit is
    expected to give nothing back.

    Slurm's records do not say what a job holds on each of its nodes. So its CPUs are taken to be
    spread evenly, and its memory follows from its per-CPU, per-node or per-device figure.
    """
    by_node: dict[str, list[Ending]] = {}
    for job in snapshot.jobs:
        if job.holds_nodes and job.end_time:
            nodes = hostlist.expand_readable(job.nodes)  # take_inventory warns of bad lists
            held = held_indexes(job, policy)
            for node in nodes:
                cpus = -(-job.cpus // len(nodes))
                memory = job.memory_on_node(cpus, len(held.get(node, ())))
                memory = ALL_MEMORY if memory is None else memory
                by_node.setdefault(node, []).append(Ending(job.end_time, job.key, cpus, memory))
    return {name: tuple(sorted(ends, key=lambda e: e.end)) for name, ends in by_node.items()}


def reserve_ahead(
    task: Task, inventory: Inventory, coming: dict[str, tuple[Ending, ...]], now: float
) -> Reservation | None:
    """The soonest start of a task, and where; None if no set of nodes is ever free for it."""
    nodes = tuple(inventory.nodes.values())
    candidates = [n for n, node in enumerate(nodes) if not misfit(task, node)]
    slot = task.largest_slot
    ready: dict[int, tuple[float, Node]] = {}
    for n in candidates:
        time_and_node = soonest(task, slot, nodes[n], coming.get(nodes[n].name, ()), now)
        if time_and_node:
            ready[n] = time_and_node
    best: tuple[float, list[int]] | None = None
    for group in groups_of(task, nodes, candidates):
        able = sorted((n for n in group if n in ready), key=lambda n: (ready[n][0], n))
        if len(able) >= len(task.slots):
            chosen = able[: len(task.slots)]
            start = ready[chosen[-1]][0]
            if best is None or start < best[0]:
                best = start, chosen
    if best is None:
        return None
    return Reservation(task, _placement(task, [ready[n][1] for n in best[1]]), best[0])


def soonest(
    task: Task, slot: Slot, node: Node, coming: Iterable[Ending], now: float
) -> tuple[float, Node] | None:
    """The latest time by which the node has room for the slot, and the node as it is then."""
    if has_room(task, slot, node):
        return now, node
    for ending in coming:
        node = give_back(node, ending.key, ending.cpus, ending.memory_mib)
        if has_room(task, slot, node):
            return max(now, ending.end), node
    return None


def _placement(task: Task, nodes: list[Node]) -> Placement:
    common = [p for p in task.pools if all(p in n.partitions for n in nodes)]
    picks = []
    for node, slot in zip(nodes, task.slots, strict=True):
        able = [d.index for d in node.devices if fits_device(task, d)]
        picks.append(tuple(able[: slot.devices]))
    types = {d.type for node in nodes for d in node.devices if fits_device(task, d)}
    return Placement(
        key=task.key,
        partition=common[0],
        nodes=tuple(node.name for node in nodes),
        devices=tuple(picks),
        types=tuple(sorted(types)),
        memory_gib=task.memory_gib,
    )


def keep_free(
    tasks: Iterable[Task], reservations: Iterable[Reservation], room: Inventory, now: float
) -> tuple[Task, ...]:
    """The tasks, each kept off the nodes of the reservations that start before it would end.

    It is kept off the whole nodes, in every pool they are in: Slurm's backfill protects nodes, not
    devices. It starts nothing there that would outlast the wait, whatever else is free on the node
    (22.05, 24.11, 26.05). Tasks with priority over the reserved one are not kept off.
    """
    with_pools = [(reservation, _pools(reservation, room)) for reservation in reservations]
    return tuple(_kept_off(task, with_pools, now) for task in tasks)


def _pools(reservation: Reservation, room: Inventory) -> frozenset[str]:
    nodes = (room.nodes[name] for name in reservation.placement.nodes if name in room.nodes)
    return frozenset(pool for node in nodes for pool in node.partitions)


def _kept_off(
    task: Task, with_pools: Iterable[tuple[Reservation, frozenset[str]]], now: float
) -> Task:
    off: set[str] = set()
    for reservation, pools in with_pools:
        reserved = reservation.task
        first = task.key == reserved.key or task.priority > reserved.priority
        ends_before = task.minutes is not None and now + task.minutes * 60 <= reservation.start
        if not first and not ends_before and not pools.isdisjoint(task.pools):
            off |= set(reservation.placement.nodes)
    return replace(task, exc_nodes=task.exc_nodes | off) if off else task


def first_blocked(
    tasks: Iterable[Task], blocked: Iterable[str], taken: set[str], per_pool: int
) -> tuple[Task, ...]:
    """The tasks to reserve for: in order, the first `per_pool` blocked ones of each pool.

    Pools in `taken` have their reservations already. A task with several pools counts in each.
    """
    keys = set(blocked)
    used: dict[str, int] = dict.fromkeys(taken, per_pool)
    chosen: list[Task] = []
    for task in tasks:
        if task.key in keys and all(used.get(pool, 0) < per_pool for pool in task.pools):
            chosen.append(task)
            for pool in task.pools:
                used[pool] = used.get(pool, 0) + 1
    return tuple(chosen)
