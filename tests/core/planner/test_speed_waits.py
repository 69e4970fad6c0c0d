"""Who waits for a faster type: for how long at most, with which words, and where nobody does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.paces import Pace, Paces, speeds_of
from slurm_het.core.model import Classification, Job
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Prepared, decide, observe, prepare
from slurm_het.core.planner.speed_waits import SpeedWaits
from slurm_het.core.policy import Limits
from slurm_het.core.worth.forecast import Forecast
from slurm_het.core.worth.speeds import PastRun
from tests.support.world import gated, inventory, policy, running, snapshot, task

BOTH = ("a100", "mi300x")
FULL = "gpu:a100:8(IDX:0-7)"
SUBMITTED = 1000


def paces(a100: int, mi300x: int) -> Paces:
    """A program of ann's takes so many seconds on each type."""
    return Paces(
        Pace("ann", "p", name, 1, runs=(PastRun(seconds, 0, True),) * 12)
        for name, seconds in (("a100", a100), ("mi300x", mi300x))
    )


def job(number: int = 1, program: str = "p") -> Job:
    """A job of the program that may use both types."""
    what = Classification("training", types=BOTH, program=program)
    return gated(number, admin_comment=encode_comment(what, {}), eligible_time=SUBMITTED)


def cycle(
    now: float, known: Paces, *jobs: Job, patience: float = 1.0
) -> tuple[Prepared, dict[str, str]]:
    """What is prepared then, and on which types jobs start."""
    memory = Memory(Pins(10.0, 60.0))
    memory.paces = known
    taken = replace(snapshot(*jobs), time=now)
    observed = observe(taken, policy(), memory, now)
    prepared = prepare(observed, Limits(speed_patience=patience), memory, now)
    speeds = Forecast(speeds=speeds_of(prepared.window, known))
    made = decide(prepared, speeds, greedy)
    return prepared, {p.key: p.types[0] for p in made.placements}


BUSY = (running(90, "nv1", FULL), running(91, "nv2", FULL), running(92, "nv3", FULL))
"""No A100 is free."""


def test_it_waits_for_the_time_that_it_saves_and_no_longer() -> None:
    """On an A100 it would take 1000 s, on a MI300X that is free 4000 s (a little more: the mean of
    a distribution is above its median)."""
    known = paces(1000, 4000)
    prepared, started = cycle(SUBMITTED + 2500, known, job(), *BUSY)
    assert started == {}
    told = prepared.ahead.kept["1"].told(lambda at: f"{at:.0f}")
    until = int(told.rsplit("from ", 1)[1].split()[0])
    assert SUBMITTED + 3000 < until < SUBMITTED + 3300
    assert told == (
        f"waits for a100, on which its program ends so much sooner; from {until} on it takes others"
    )
    assert cycle(until + 1, known, job(), *BUSY)[1] == {"1": "mi300x"}


def test_with_less_patience_it_waits_a_part_of_that_and_without_any_not_at_all() -> None:
    known = paces(1000, 4000)
    assert cycle(SUBMITTED + 1400, known, job(), *BUSY, patience=0.5)[1] == {}
    assert cycle(SUBMITTED + 1800, known, job(), *BUSY, patience=0.5)[1] == {"1": "mi300x"}
    assert cycle(SUBMITTED, known, job(), *BUSY, patience=0.0)[1] == {"1": "mi300x"}


def test_it_keeps_nobody_from_anything_and_takes_the_fast_type_once_it_is_free() -> None:
    known = paces(1000, 4000)
    other = job(2, program="q")
    prepared, started = cycle(SUBMITTED + 9, known, job(), other, *BUSY)
    assert started == {"2": "mi300x"}
    assert prepared.ahead.reservations == ()
    assert cycle(SUBMITTED + 9, known, job(), other)[1]["1"] == "a100"


def test_it_does_not_wait_for_what_is_not_there_or_not_certain() -> None:
    known = paces(1000, 4000)
    gone = [replace(node, state="DOWN") for node in snapshot().nodes if "nv" in node.name]
    memory = Memory(Pins(10.0, 60.0))
    memory.paces = known
    rest = tuple(node for node in snapshot().nodes if "nv" not in node.name)
    taken = replace(snapshot(job()), nodes=(*gone, *rest), time=SUBMITTED + 1.0)
    prepared = prepare(
        observe(taken, policy(), memory, 0.0), Limits(speed_patience=1.0), memory, 0.0
    )
    assert [t.key for t in prepared.window] == ["1"]
    few = Paces(pace._replace(runs=pace.runs[:2]) for pace in known.all())
    assert cycle(SUBMITTED + 1, few, job(), *BUSY)[1] == {"1": "mi300x"}


@given(st.integers(10, 10_000), st.integers(10, 10_000), st.floats(0, 1), st.floats(0, 40_000))
def test_whatever_is_known_nobody_waits_beyond_his_part_of_what_is_saved(
    a100: int, mi300x: int, patience: float, waited: float
) -> None:
    """And who has waited longer may use all that he might use before."""
    mine = task("1", program="p", types=frozenset(BOTH), pools=("train-nv", "train-amd"), since=5.0)
    free = inventory()

    def types(now: float) -> frozenset[str]:
        (made,) = SpeedWaits(free, paces(a100, mi300x), patience, now).over([mine])
        return made.types

    saved = 1.2 * abs(a100 - mi300x) * patience  # 1.2: above the mean of the distribution
    assert types(mine.since + saved + 1) == mine.types
    fastest = "a100" if a100 <= mi300x else "mi300x"
    assert fastest in types(mine.since + waited)
    assert types(mine.since + waited) <= types(mine.since + waited + 10)


@pytest.mark.parametrize("patience", [0.0, 1.0])
def test_of_whom_nothing_is_known_nothing_changes(patience: float) -> None:
    jobs = (job(1, program="q"), job(2, program=""), *BUSY[:1])
    assert (
        cycle(SUBMITTED, Paces(), *jobs, patience=patience)[1]
        == (cycle(SUBMITTED, Paces(), *jobs, patience=0.0)[1])
    )
