"""Journals what became of jobs, each by its id and its submit time: ids come again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from slurm_het.core.model import Snapshot
from slurm_het.core.planner.outcomes import Outcome
from slurm_het.journal import Records


def journal_outcomes(
    journal: Records, now: float, outcomes: Sequence[Outcome], snapshot: Snapshot
) -> None:
    """Have them written; `snapshot` has the jobs as they were, `now` is epoch seconds."""
    if outcomes:
        kept = tuple(outcomes)
        submitted = submitted_of({outcome.key for outcome in kept}, snapshot)
        journal.write(lambda journal: journal.record_outcomes(now, kept, submitted))


def submitted_of(keys: Collection[str], snapshot: Snapshot) -> dict[str, int]:
    """When the jobs and tasks with these keys were submitted (epoch seconds).

    A task that has no record of its own yet was submitted with its array.
    """
    own = {job.key: job.submit_time for job in snapshot.jobs if job.key in keys}
    arrays = {str(job.array_job_id): job.submit_time for job in snapshot.jobs if job.unsplit}
    known = {key: own.get(key, arrays.get(key.partition("_")[0])) for key in keys}
    return {key: time for key, time in known.items() if time is not None}
