"""Tasks that Slurm does not start on the nodes it is given, whichever they are: they are Slurm's.

Not all that bears on nodes can be read: --segment of 24.11 stands in no record of the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from slurm_het.core.jobs.reading import Handover
from slurm_het.core.jobs.task_pools import TaskPools
from slurm_het.core.model import Task
from slurm_het.core.planner.pins import Returned
from slurm_het.core.reasons import PlacedBySlurm, RefusesNodes

TRIES = 2
WORD = "BadConstraints"
"""Slurm's reason of a job that these nodes can never hold."""


def give_up(queue: TaskPools, returned: Mapping[str, Returned]) -> TaskPools:
    """The tasks, but for those that came back so often for that: they are handed over."""
    why = RefusesNodes(WORD, TRIES)
    theirs = {
        task.key: Handover(task.pools, why)
        for task in queue.tasks
        if (back := returned.get(task.key)) and back.times >= TRIES and back.reason == WORD
    }
    if not theirs:
        return queue
    return replace(
        queue,
        tasks=tuple(task for task in queue.tasks if task.key not in theirs),
        handovers=queue.handovers | theirs,
        blocked=queue.blocked | dict.fromkeys(theirs, PlacedBySlurm(why)),
    )


def doubted_last(
    tasks: Iterable[Task], waiting: Iterable[Task], returned: Mapping[str, Returned]
) -> tuple[Task, ...]:
    """The tasks in order, but those last that are like one which came back for that and waits: of
    its user, with as many devices. Each may well hold idle devices in vain, one after the other.
    """
    doubted = {
        _kind(task) for task in waiting if (back := returned.get(task.key)) and back.reason == WORD
    }
    return tuple(sorted(tasks, key=lambda task: _kind(task) in doubted) if doubted else tasks)


def _kind(task: Task) -> tuple[str, bool, tuple[int, ...]]:
    return task.user, task.takes_share, tuple(slot.devices for slot in task.slots)
