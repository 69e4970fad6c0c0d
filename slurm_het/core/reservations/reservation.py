"""Reservations: where and when a task starts that cannot start now, by the running jobs' limits.

In each pool the first tasks that must wait, by priority, are pinned to the nodes that come free
soonest. There Slurm's backfill protects them. Lower ones are kept off, unless they end before that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slurm_het.core.cluster.fit import groups_of, has_room, misfit, serving
from slurm_het.core.cluster.holdings import held_indexes
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import give_back
from slurm_het.core.cluster.placement import common_pool, placement_of
from slurm_het.core.model import Node, Placement, Slot, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.syntax import hostlist


@dataclass(frozen=True, slots=True)
class ComingFree:
    """What a running job gives back on one node when it ends, at the latest at `end`.

    `end` are epoch seconds; `memory_mib` None is all of the node's host memory.
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
    """By node, what the running jobs give back, soonest first. A job without a limit never does.

    Slurm's records do not say what a job holds on each of its nodes. Its CPUs are taken to be
    spread evenly; memory follows from what it asks per CPU, node or device.
    """
    by_node: dict[str, list[ComingFree]] = {}
    for job in snapshot.jobs:
        if job.holds_nodes and job.end_time:
            nodes = hostlist.expand_readable(job.nodes)  # take_inventory warns of bad lists
            held = held_indexes(job, policy)
            for node in nodes:
                cpus = -(-job.cpus // len(nodes))
                memory = job.memory_on_node(cpus, len(held.get(node, ())))
                by_node.setdefault(node, []).append(ComingFree(job.end_time, job.key, cpus, memory))
    return {node: tuple(sorted(there, key=lambda e: e.end)) for node, there in by_node.items()}


def reserve_ahead(
    task: Task,
    inventory: Inventory,
    coming: dict[str, tuple[ComingFree, ...]],
    now: float,
    closings: Closings | None = None,
) -> Reservation | None:
    """The soonest start of a task, and where; None if no set of nodes is ever free for it.

    `closings` are those of Slurm's own reservations.
    """
    closings = closings or Closings(now)
    nodes = tuple(inventory.nodes.values())
    candidates = [n for n, node in enumerate(nodes) if not misfit(task, node)]
    slot = task.largest_slot
    ready: dict[int, tuple[float, Node]] = {}
    for n in candidates:
        start = soonest(task, slot, nodes[n], coming.get(nodes[n].name, ()), now)
        opens = closings.opens(task, [nodes[n].name], start[0]) if start else None
        if start and opens is not None:
            ready[n] = opens, start[1]
    best: tuple[float, list[int]] | None = None
    for group in groups_of(task, nodes, candidates):
        able = sorted((n for n in group if n in ready), key=lambda n: (ready[n][0], n))
        if len(able) >= len(task.slots):
            chosen = able[: len(task.slots)]
            last = closings.opens(task, [nodes[n].name for n in chosen], ready[chosen[-1]][0])
            if last is not None and (best is None or last < best[0]):
                best = last, chosen
    if best is None:
        return None
    return Reservation(task, _placement(task, [ready[n][1] for n in best[1]]), best[0])


def soonest(
    task: Task, slot: Slot, node: Node, coming: Iterable[ComingFree], now: float
) -> tuple[float, Node] | None:
    """When the node has room for the slot at the latest, and the node as it is then.

    None if it never has, as far as is known.
    """
    if has_room(task, slot, node):
        return now, node
    for ending in coming:
        node = give_back(node, ending.key, ending.cpus, ending.memory_mib)
        if has_room(task, slot, node):
            return max(now, ending.end), node
    return None


def _placement(task: Task, nodes: list[Node]) -> Placement:
    where = (
        (node.name, serving(task, node)[: slot.devices])
        for node, slot in zip(nodes, task.slots, strict=True)
    )
    return placement_of(task, common_pool(task, nodes), where, {node.name: node for node in nodes})


def keep_free(
    tasks: Iterable[Task], reservations: Iterable[Reservation], room: Inventory, now: float
) -> tuple[Task, ...]:
    """The tasks, each kept off the nodes of the reservations that start before it would end.

    A task with priority over the reserved one is not kept off. The others are, in every pool that
    the nodes are in: Slurm's backfill protects nodes, not devices, and starts nothing there that
    would outlast the wait, whatever else is free (22.05, 24.11, 26.05).
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
    return task if off <= task.exc_nodes else replace(task, exc_nodes=task.exc_nodes | off)
