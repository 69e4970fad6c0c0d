"""How far Slurm's backfill looks, from SchedulerParameters in `scontrol show config`."""

from __future__ import annotations

import re

from slurm_het.core.backfill import USUAL, Backfill


def backfill_of(parameters: str) -> Backfill:
    """Read SchedulerParameters. As in Slurm, a number that makes no sense is as none."""
    return Backfill(
        jobs=_count(parameters, "bf_max_job_test") or USUAL.jobs,
        of_user=_count(parameters, "bf_max_job_user"),
        window_seconds=_count(parameters, "bf_window") * 60.0 or USUAL.window_seconds,
        least_priority=_count(parameters, "bf_min_prio_reserve"),
        least_age_seconds=float(_count(parameters, "bf_min_age_reserve")),
        time_min_is_soft="time_min_as_soft_limit" in parameters.lower(),
    )


def _count(parameters: str, name: str) -> int:
    match = re.search(rf"(?:^|[,\s]){name}=(\d{{1,10}})", parameters, re.ASCII | re.IGNORECASE)
    return int(match.group(1)) if match else 0
