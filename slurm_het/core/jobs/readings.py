"""Gated jobs are read once: as long as they are the same, and of those that are alike the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.mark import MARK
from slurm_het.core.jobs.reading import Reading, read_job
from slurm_het.core.jobs.request import all_that_decides
from slurm_het.core.jobs.waits import is_yet_to_begin
from slurm_het.core.model import Job, Task


def likeness(job: Job, now: float) -> tuple[object, ...] | None:
    """The same for jobs that are read alike; None for one that is read by itself."""
    by_itself = MARK not in job.admin_comment or not job.priority or is_yet_to_begin(job, now)
    return None if by_itself else all_that_decides(job)


def as_its_own(task: Task, job: Job) -> Task:
    """The task of a job, by that of one that is like it."""
    since = job.eligible_time or job.submit_time
    return replace(task, key=job.key, job_id=job.id, priority=job.priority, since=since)


class Readings:
    """A cache: what the jobs of the last snapshot were read as. Most of the next one are the same.

    To read ten thousand waiting jobs takes half a second where they are all different. For one
    policy.
    """

    def __init__(self) -> None:
        self._fingerprint: object = None
        self._known: dict[int, tuple[Job, Reading]] = {}  # by job id: to hash a job takes longer

    def of(self, jobs: Iterable[Job], facts: ClusterFacts) -> Iterator[Reading]:
        """The reading of each job; from now on these are what is known."""
        fingerprint = facts.fingerprint()
        alike: dict[tuple[object, ...], Reading] = {}
        same = fingerprint is not None and fingerprint == self._fingerprint
        before = self._known if same else {}
        self._fingerprint, self._known = fingerprint, {}
        for job in jobs:
            known = before.get(job.id)
            if known and (known[0] is job or known[0] == job):
                reading = known[1]
            else:
                reading = _read_once(job, facts, alike)
            # Most jobs of some sites had to wait for others: they are like the rest by then.
            if not is_yet_to_begin(job, facts.now):
                self._known[job.id] = job, reading
            yield reading


def _read_once(job: Job, facts: ClusterFacts, alike: dict[tuple[object, ...], Reading]) -> Reading:
    """Read a gated job by what those like it were read as, which `alike` has."""
    like = likeness(job, facts.now)
    if like is None:
        return read_job(job, facts)
    if known := alike.get(like):
        own = known.outcome
        return known._replace(outcome=as_its_own(own, job)) if isinstance(own, Task) else known
    return alike.setdefault(like, read_job(job, facts))
