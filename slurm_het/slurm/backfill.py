"""How far Slurm's backfill looks, from SchedulerParameters in `scontrol show config`."""

from __future__ import annotations

import re

from slurm_het.core.backfill import USUAL, Backfill


def backfill_of(parameters: str) -> Backfill:
    """Read SchedulerParameters. As in Slurm, a number that makes no sense is as none."""
    tasks = count_of(parameters, "bf_max_job_array_resv")
    return Backfill(
        jobs=count_of(parameters, "bf_max_job_test") or USUAL.jobs,
        of_user=count_of(parameters, "bf_max_job_user") or 0,
        of_array=USUAL.of_array if tasks is None else max(1, tasks),
        window_seconds=60.0 * (count_of(parameters, "bf_window") or 0) or USUAL.window_seconds,
        least_priority=count_of(parameters, "bf_min_prio_reserve") or 0,
        least_age_seconds=float(count_of(parameters, "bf_min_age_reserve") or 0),
        time_min_is_soft="time_min_as_soft_limit" in parameters.lower(),
    )


def count_of(parameters: str, name: str) -> int | None:
    """The number that SchedulerParameters give by this name; None if they give none."""
    match = re.search(rf"(?:^|[,\s]){name}=(\d{{1,10}})", parameters, re.ASCII | re.IGNORECASE)
    return int(match.group(1)) if match else None
