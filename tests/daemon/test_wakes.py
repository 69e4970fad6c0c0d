"""When hetd plans next: bursts settle, floods are waited out, who sits before a terminal is not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from slurm_het.daemon.wakes import Wakes

SETTLE = 0.4


def waited(urgent: bool, took: float, flood: int = 0) -> float:
    """For how long (seconds) planning waits after an admission, and `flood` more that follow."""

    async def main() -> float:
        wakes = Wakes(Path("unused"), SETTLE)
        wakes.begin()
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        wakes.admitted(1, False, False)
        for number in range(flood):
            loop.call_later(0.1 * number, wakes.admitted, 2, False, False)
        loop.call_later(0.05, wakes.admitted, 1, False, urgent)
        await wakes.wait(5.0, took)
        return time.monotonic() - began

    return asyncio.run(main())


def test_a_burst_settles() -> None:
    assert waited(urgent=False, took=0.0) >= SETTLE


@pytest.mark.parametrize("flood", [0, 10])
def test_an_interactive_job_is_planned_ahead_of_the_settle_time(flood: int) -> None:
    assert waited(urgent=True, took=0.0, flood=flood) < SETTLE


def test_interactive_jobs_too_leave_half_of_the_time_to_others() -> None:
    assert waited(urgent=True, took=0.3) >= 0.3
