"""Tasks that Slurm does not start on the nodes it is given, whichever they are: they are Slurm's.

Not all that bears on nodes can be read: --segment of 24.11 stands in no record of the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slurm_het.core.jobs.reading import Handover
from slurm_het.core.jobs.task_pools import TaskPools
from slurm_het.core.planner.doubts import NEVER, Returned
from slurm_het.core.reasons import PlacedBySlurm, RefusesNodes

TRIES = 2


def give_up(queue: TaskPools, returned: Mapping[str, Returned]) -> TaskPools:
    """The tasks, but for those that came back so often for that: they are handed over."""
    why = RefusesNodes(NEVER, TRIES)
    theirs = {
        task.key: Handover(task.pools, why)
        for task in queue.tasks
        if (back := returned.get(task.key)) and back.times >= TRIES and back.reason == NEVER
    }
    if not theirs:
        return queue
    return replace(
        queue,
        tasks=tuple(task for task in queue.tasks if task.key not in theirs),
        handovers=queue.handovers | theirs,
        blocked=queue.blocked | dict.fromkeys(theirs, PlacedBySlurm(why)),
    )
