"""When the simulated hetd looks: as the real one, who waits for a pause in a flood of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_het.daemon.wakes import FLOOD_SECONDS
from slurm_het.replay.sides import FirstFitSolver
from slurm_het.replay.trace import DAY
from slurm_het.simulation.hetd import READ_SECONDS, Hetd
from slurm_het.simulation.slurm import Slurm
from tests.replay.past import record, site, trace_of

AT = 1000.0


@pytest.fixture
def hetd(tmp_path: Path) -> Iterator[Hetd]:
    """One that has just looked, at AT."""
    trace, _ = trace_of(record(1, 2 * DAY))
    there = Hetd(Slurm(trace.world, site().settings), FirstFitSolver(), tmp_path)
    there.slurm.now = AT
    there.look()
    yield there
    there.close()


def soon(hetd: Hetd) -> float:
    """How long after something has happened it looks."""
    return READ_SECONDS + hetd.config.planner.settle_seconds


def told(hetd: Hetd, at: float, came: int = 0, *, freed: bool = False) -> float:
    """When it looks after that has happened, too."""
    hetd.slurm.now = hetd.slurm.changed = at
    hetd.wake(came, freed=freed)
    return hetd.next_look


def test_a_job_that_comes_alone_is_looked_at_soon(hetd: Hetd) -> None:
    assert told(hetd, AT + 2, 1) == pytest.approx(AT + 2 + soon(hetd), abs=1e-6)


def looks(hetd: Hetd, gap: float, many: int) -> list[float]:
    """When it looks while so many jobs come, from AT + 1 on, and once after them."""
    found: list[float] = []
    for at in (AT + 1 + n * gap for n in range(many)):
        while hetd.next_look < at:
            hetd.slurm.now = hetd.next_look
            found.append(hetd.slurm.now)
            hetd.look()
        told(hetd, at, 1)
    return [*found, hetd.next_look]


def test_who_comes_one_after_the_other_is_looked_at_once_in_a_pause(hetd: Hetd) -> None:
    (only,) = looks(hetd, 0.02, 20)
    end = AT + 1 + 0.02 * 19
    assert end + soon(hetd) <= only <= end + 2 * soon(hetd)


def test_who_comes_more_slowly_is_not_waited_for(hetd: Hetd) -> None:
    found = looks(hetd, 0.04, 20)
    assert found[0] == pytest.approx(AT + 1 + soon(hetd), abs=1e-6)
    assert len(found) > 2


def test_a_burst_of_one_time_takes_as_long_as_submitting_does(hetd: Hetd) -> None:
    assert told(hetd, AT + 2, 30) == pytest.approx(AT + 2 + 30 * 0.02 + soon(hetd), abs=1e-6)


def test_a_flood_without_end_is_looked_at_all_the_same(hetd: Hetd) -> None:
    found = looks(hetd, 0.014, 200)
    assert found[0] == pytest.approx(AT + 1 + FLOOD_SECONDS + soon(hetd), abs=1e-6)
    assert len(found) == 2


def test_devices_that_are_free_end_the_waiting_for_a_pause(hetd: Hetd) -> None:
    told(hetd, AT + 2, 60)
    assert told(hetd, AT + 2.1, freed=True) == pytest.approx(AT + 2.1 + soon(hetd), abs=1e-6)


def test_what_no_event_tells_of_is_seen_by_the_slow_timer(hetd: Hetd) -> None:
    every = hetd.config.planner.poll_seconds
    hetd.slurm.now = hetd.slurm.changed = AT + 3 * every + 1
    assert hetd.next_look == AT + 4 * every
