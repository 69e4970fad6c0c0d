"""Tasks that Slurm does not start on the nodes it is given, whichever they are: they are Slurm's.

Not all that bears on nodes can be read: --segment of 24.11 stands in no record of the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slurm_het.core.jobs.reading import Handover
from slurm_het.core.jobs.task_pools import TaskPools
from slurm_het.core.model import Task
from slurm_het.core.planner.doubts import NEVER, Returned
from slurm_het.core.reasons import PlacedBySlurm, RefusesNodes

TRIES = 2


def give_up(queue: TaskPools, returned: Mapping[str, Returned]) -> TaskPools:
    """The tasks, but for those that came back so often for that: they are handed over."""
    theirs = {
        task.key: Handover(task.pools, RefusesNodes(NEVER, back.times))
        for task in queue.tasks
        if (back := returned.get(task.key)) and back.times >= _tries(task) and back.reason == NEVER
    }
    if not theirs:
        return queue
    return replace(
        queue,
        tasks=tuple(task for task in queue.tasks if task.key not in theirs),
        handovers=queue.handovers | theirs,
        blocked=queue.blocked | {key: PlacedBySlurm(one.why) for key, one in theirs.items()},
    )


def _tries(task: Task) -> int:
    """One, where Slurm deals out --gpus over several nodes: with as many tasks (`--gpus=5 -n5`) it
    can do so on no list of just these, if their cores have two threads (24.11, 26.05)."""
    return 1 if task.lot and len(task.slots) > 1 else TRIES
