"""What a journal has of the jobs to be expected."""

from __future__ import annotations

from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.journal import Journal


def asked(journal: Journal, since: float = 0.0) -> dict[TaskProfile, float]:
    """The minutes of the time limits of the tasks that came since then, by profile."""
    past = journal.past(since, since)
    assert past
    return {p: sum(one.minutes for one in seen) for p, seen in past.seen.items()}
