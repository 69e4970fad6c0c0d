"""How far Slurm's own backfill looks: whom it protects, and for how long ahead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backfill:
    """Of SchedulerParameters: bf_max_job_test jobs are looked at, bf_max_job_user of each user (0:
    any number), and only those that start within bf_window are waited for.

    The defaults are those of 22.05, 24.11 and 26.05.
    """

    jobs: int = 500
    of_user: int = 0
    window_seconds: float = 86_400.0


USUAL = Backfill()
