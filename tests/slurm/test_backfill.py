"""SchedulerParameters as `scontrol show config` prints it: how far Slurm's backfill looks."""

from __future__ import annotations

import pytest

from slurm_het.core.backfill import USUAL, Backfill
from slurm_het.slurm.backfill import backfill_of


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("(null)", USUAL),
        ("", USUAL),
        ("batch_sched_delay=0,bf_interval=30", USUAL),
        ("bf_window=4320,bf_max_job_test=1000,bf_max_job_user=2", Backfill(1000, 2, 259_200.0)),
        ("BF_MAX_JOB_TEST=7,bf_max_job_user_part=3", Backfill(jobs=7)),
        ("bf_max_job_test=0,bf_window=0,bf_max_job_user=-1", USUAL),
        ("bf_min_prio_reserve=4294967295", Backfill(least_priority=4294967295)),
        ("bf_min_age_reserve=7200", Backfill(least_age_seconds=7200.0)),
        ("bf_interval=30,time_min_as_soft_limit", Backfill(time_min_is_soft=True)),
        ("bf_max_job_array_resv=5", Backfill(of_array=5)),
        ("bf_max_job_array_resv=0", Backfill(of_array=1)),
        ("xbf_max_job_test=9,bf_max_job_test=", USUAL),
    ],
)
def test_how_far_it_looks(parameters: str, expected: Backfill) -> None:
    assert backfill_of(parameters) == expected
