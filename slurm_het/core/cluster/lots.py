"""Lots of devices (Task.lot) on nodes, and over how many nodes a task is spread.

A request for devices in all (--gpus), or for each of its tasks (--gpus-per-task), is counted for
the largest node that it may use. Where that has no room now, plain Slurm starts it on several
(22.05, 24.11 and 26.05), unless its user has said that it is one task, or one node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slurm_het.core.cluster.fit import (
    could_start,
    excluded_from,
    fitting_states,
    grid_for,
    groups_of,
    has_room,
    serving,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import Grid
from slurm_het.core.model import Node, Slot, Task


def most_lots(task: Task, slot: Slot, node: Node) -> int:
    """For how many lots the node has room, if each takes as many CPUs as in the slot."""
    lots = range(len(serving(task, node)) // task.lot, 0, -1)
    return next((n for n in lots if has_room(task, of_lots(task, slot, n), node)), 0)


def of_lots(task: Task, slot: Slot, lots: int) -> Slot:
    """The slot with so many lots instead of those it was planned with."""
    devices = lots * task.lot
    cpus = -(-slot.cpus * devices // slot.devices)
    memory = slot.memory_mib + (cpus - slot.cpus) * slot.memory_per_cpu_mib
    by_pool = tuple((pool, of_lots(task, there, lots)) for pool, there in slot.by_pool)
    return replace(slot, devices=devices, cpus=cpus, memory_mib=memory, by_pool=by_pool)


def spread(task: Task, room: Inventory) -> Task:
    """A task that has no room as it is; on more nodes, if it could start there now.

    GRES that are rewritten say a number for each node: such a task stays as it is.
    """
    if task.most_nodes <= len(task.slots) or task.rewrites or task.rewritten:
        return task
    known, request = room.grid.known.spread, task.request
    if request not in known:
        known[request] = _lots(request, room)
    return _with_lots(task, known[request]) if known[request] else task


def _lots(task: Task, room: Inventory) -> tuple[int, ...]:
    """How many lots each of its nodes is to give, the most first; () where it cannot start now."""
    grid = grid_for(task, room)
    nodes = [state.node for state in grid.states]
    excluded, several = excluded_from(task, grid), _with_lots(task, (1, 1))
    ways = (
        _dealt(task, grid, group, excluded)
        for group in groups_of(several, nodes, list(fitting_states(task, grid)))
    )
    able = [lots for lots in ways if lots and could_start(_with_lots(task, lots), room)]
    return min(able, key=len, default=())


def _dealt(
    task: Task, grid: Grid, group: frozenset[int], excluded: Mapping[int, int]
) -> tuple[int, ...]:
    """All its lots, on as few of a group's nodes as can be; () if these have not the room."""
    left, lots = sum(slot.devices for slot in task.slots) // task.lot, list[int]()
    free = {s: most_lots(task, task.slots[0], grid.states[s].node) for s in group}
    for s in sorted(group, key=lambda s: -free[s]):
        for _ in range(grid.states[s].count - excluded[s]):
            if not left or not free[s] or len(lots) == task.most_nodes:
                break
            lots.append(min(left, free[s]))
            left -= lots[-1]
    return tuple(lots) if not left else ()


def _with_lots(task: Task, lots: tuple[int, ...]) -> Task:
    return replace(task, slots=tuple(of_lots(task, task.slots[0], n) for n in lots))
