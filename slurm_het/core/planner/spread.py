"""Over how many nodes a task is spread that leaves that open: over more where it starts so now.

A request for devices in all (--gpus), or for each of its tasks (--gpus-per-task), is counted for
the largest node that it may use. Where that has no room now, plain Slurm starts it on several
(22.05, 24.11 and 26.05), unless its user has said that it is one task, or one node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from slurm_het.core.cluster.fit import could_start, fitting_states, grid_for, groups_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import Grid
from slurm_het.core.model import Task
from slurm_het.core.planner.slurm_picks import most_lots, of_lots


def spread(tasks: Iterable[Task], room: Inventory) -> tuple[Task, ...]:
    """The tasks; those that could start on more nodes alone ask for so many."""
    known: dict[Task, tuple[int, ...]] = {}
    out: list[Task] = []
    for task in tasks:
        if task.most_nodes <= len(task.slots) or could_start(task, room):
            out.append(task)
            continue
        if task.request not in known:
            known[task.request] = _lots(task.request, room)
        lots = known[task.request]
        out.append(_with_lots(task, lots) if lots else task)
    return tuple(out)


def _lots(task: Task, room: Inventory) -> tuple[int, ...]:
    """How many lots each of its nodes is to give, the most first; () where it cannot start now."""
    grid = grid_for(task, room)
    nodes = [state.node for state in grid.states]
    several = replace(task, slots=(_with_lots(task, (1, 1)).slots))
    ways = (
        _dealt(task, grid, group)
        for group in groups_of(several, nodes, list(fitting_states(task, grid)))
    )
    able = [lots for lots in ways if lots and could_start(_with_lots(task, lots), room)]
    return min(able, key=len, default=())


def _dealt(task: Task, grid: Grid, group: frozenset[int]) -> tuple[int, ...]:
    """All its lots, on as few of a group's nodes as can be."""
    left, lots = _all_lots(task), list[int]()
    free = {s: most_lots(task, task.slots[0], grid.states[s].node) for s in group}
    for s in sorted(group, key=lambda s: -free[s]):
        for _ in range(grid.states[s].count):
            if not left or not free[s] or len(lots) == task.most_nodes:
                return tuple(lots) if not left else ()
            lots.append(min(left, free[s]))
            left -= lots[-1]
    return tuple(lots) if not left else ()


def _with_lots(task: Task, lots: tuple[int, ...]) -> Task:
    return replace(task, slots=tuple(of_lots(task, task.slots[0], n) for n in lots))


def _all_lots(task: Task) -> int:
    return sum(slot.devices for slot in task.slots) // task.lot
