"""Jobs that are alike are read alike: of a thousand runs of one script the first is read."""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter

from slurm_het.core.jobs.mark import MARK
from slurm_het.core.jobs.waits import begins_later
from slurm_het.core.model import Job, Task

OWN = frozenset({
    "id", "name", "priority", "array_job_id", "array_task_id", "array_tasks", "submit_time",
    "eligible_time", "start_time", "end_time"})  # fmt: skip
"""What does not decide over how a waiting job is read that the hook has prepared, and is not held.

Its name counts where nothing is written into it: then it is classified by that, too.
"""
_decides = attrgetter(*(field.name for field in fields(Job) if field.name not in OWN))


def likeness(job: Job) -> tuple[object, ...] | None:
    """The same for jobs that are read alike; None for one that is read by itself."""
    by_itself = MARK not in job.admin_comment or not job.priority or begins_later(job)
    return None if by_itself else _decides(job)


def as_its_own(task: Task, job: Job) -> Task:
    """The task of a job, by that of one that is like it."""
    since = job.eligible_time or job.submit_time
    return replace(task, key=job.key, job_id=job.id, priority=job.priority, since=since)
