"""How far Slurm's own backfill looks: whom it protects, and for how long ahead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backfill:
    """Of SchedulerParameters: bf_max_job_test jobs are looked at, bf_max_job_user of each user (0:
    any number), bf_max_job_array_resv tasks of each array, and only those that start within
    bf_window are waited for. bf_min_prio_reserve and
    bf_min_age_reserve: for whom has a lower priority, or is eligible since less, nothing is kept;
    that goes for the main scheduler too. With time_min_as_soft_limit (24.11, 26.05) a job with
    --time-min is planned as if it ended then, and keeps all of its limit.

    The defaults are those of 22.05, 24.11 and 26.05.
    """

    jobs: int = 500
    of_user: int = 0
    window_seconds: float = 86_400.0
    least_priority: int = 0
    least_age_seconds: float = 0.0
    time_min_is_soft: bool = False
    of_array: int = 20

    def keeps_for(self, priority: int, since: float, now: float) -> bool:
        """Whether Slurm keeps nodes for such a job, eligible `since` (epoch seconds)."""
        return priority >= self.least_priority and now - since >= self.least_age_seconds


USUAL = Backfill()
