"""When hetd plans next: bursts settle, floods are waited out, who sits before a terminal is not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket

import pytest

from slurm_het.daemon.wakes import BURST_SECONDS, Wakes

SETTLE = 0.4


def waited(urgent: bool, took: float, flood: int = 0, raced: bool = False) -> float:
    """For how long (seconds) planning waits after an admission, and `flood` more that follow."""

    async def main() -> float:
        wakes = Wakes(Path("unused"), SETTLE)
        wakes.raced = raced
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


@pytest.mark.parametrize("raced", [False, True])
def test_a_flood_is_not_waited_out_where_others_may_take_what_is_idle(raced: bool) -> None:
    took = waited(urgent=False, took=0.0, flood=10, raced=raced)
    assert (took < SETTLE + 0.3) is raced


def test_interactive_jobs_too_leave_half_of_the_time_to_others() -> None:
    assert waited(urgent=True, took=0.3) >= 0.3


def idle(event_after: float, took: float) -> float:
    """For how long planning waits in all for an event that comes so much later."""

    async def main() -> float:
        wakes = Wakes(Path("unused"), 0.05)
        wakes.begin()
        began = time.monotonic()
        asyncio.get_running_loop().call_later(event_after, wakes.wake)
        await wakes.wait(5.0, took)
        return time.monotonic() - began

    return asyncio.run(main())


def test_an_event_after_a_while_does_not_wait_for_as_long_as_a_cycle() -> None:
    assert idle(event_after=0.0, took=0.8) >= 0.8
    assert idle(event_after=0.8, took=0.8) < 0.8 + BURST_SECONDS + 0.3


def test_a_job_that_ends_amid_a_flood_has_its_devices_planned_at_once(short_path: Path) -> None:
    async def main() -> float:
        wakes = Wakes(short_path / "events", 0.05)
        wakes.listen()
        wakes.begin()
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        for number in range(40):
            loop.call_later(0.03 * number, wakes.admitted, 2, False, False)
        sender = socket(AF_UNIX, SOCK_DGRAM)
        loop.call_later(0.2, sender.sendto, b"x", str(wakes.path))
        await wakes.wait(5.0, 0.0)
        sender.close()
        wakes.close()
        return time.monotonic() - began

    assert 0.2 <= asyncio.run(main()) < 1.0
