"""What the prices kept free with a placement, as facts and in words."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial

import msgspec
import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Placement, Slot, Task
from slurm_het.core.planner.plan import plan
from slurm_het.core.reasons import Spared
from slurm_het.core.worth.forecast import Forecast, appraised, forecast
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.solve.fluid import solve_fluid
from tests.core.worth.test_forecast import A100, either
from tests.support.world import inventory, policy, running, task

EIGHT = A100._replace(devices=8)
BUSY = inventory(running(9, "nv2", "gpu:a100:1(IDX:0)"))
SIX = 6 * 3600.0


def expecting(tasks: dict[TaskProfile, float], on: Inventory) -> Forecast:
    """So many of each come within six hours, with the prices that this makes."""
    expected = replace(forecast(tasks), tasks=tasks, until=SIX)
    return appraised(expected, on.grid, partial(solve_fluid, seconds=10.0))


def told(on: Inventory, *tasks: Task, expected: Forecast | None = None) -> dict[str, Spared | None]:
    if expected is None:
        expected = expecting({EIGHT: 3.0, A100: 24.0}, on)
    made = plan(on, tasks, policy(), greedy, expected)
    return {placement.key: placement.spared for placement in made.placements}


def test_a_small_task_keeps_the_whole_nodes_for_those_that_need_them() -> None:
    assert told(BUSY, task("1")) == {
        "1": Spared(1, 0, 8, ("a100",), whole=True, jobs=3.0, until=SIX)
    }


def test_what_a_plan_takes_is_left_for_nobody_after_it() -> None:
    """Eight do not fit beside the one that runs: the last must break the whole node."""
    found = told(BUSY, *(task(str(n)) for n in range(8)))
    assert [one and (one.places, one.took) for one in found.values()] == [(1, 0)] * 7 + [(0, 1)]


def test_who_needs_such_a_place_is_not_told_that_it_takes_one() -> None:
    eight = task("1", slots=(Slot(8, 8, 1024),))
    assert told(inventory(), eight) == {"1": None}


def test_nothing_is_told_where_no_place_is_short() -> None:
    nothing = expecting({A100: 24.0}, BUSY)
    assert told(BUSY, task("1"), expected=nothing) == {"1": None}
    assert told(BUSY, task("1"), expected=Forecast()) == {"1": None}


def test_what_the_task_would_not_have_chosen_anyway_is_not_kept() -> None:
    """An L40S suits its scenario better than an A100: no price was needed."""
    fitting = either("1", scenario="inference")
    assert told(BUSY, fitting) == {"1": None}


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (
            Spared(8, 0, 8, ("a100",), True, 3.2, SIX),
            "keeps 8 whole a100 nodes for jobs of 8 devices, about 3 of which are expected by 6 h",
        ),
        (
            Spared(4, 1, 4, ("a100", "h100"), False, 0.2, SIX),
            "takes 1 of 5 places for 4 a100|h100 devices on one node for such jobs, less than one"
            " of which is expected by 6 h",
        ),
        (
            Spared(1, 0, 1, ("l40s",), False, 1.0, SIX),
            "keeps 1 free l40s device for jobs that can use no others, one of which is expected by"
            " 6 h",
        ),
        (
            Spared(0, 1, 8, ("a100",), True, 0.7, SIX),
            "takes the last whole a100 node for jobs of 8 devices, one of which is expected by 6 h",
        ),
        (
            Spared(0, 2, 4, tuple("abcd"), False, 5.0, SIX),
            "takes the last 2 places for 4 devices on one node for such jobs, about 5 of which are"
            " expected by 6 h",
        ),
        (
            Spared(2, 0, 8, ("a100",), True),
            "keeps 2 whole a100 nodes for jobs of 8 devices, which expected_jobs names",
        ),
    ],
)
def test_the_words(fact: Spared, words: str) -> None:
    assert fact.told(lambda seconds: f"{seconds / 3600:.0f} h") == words


def test_it_survives_the_journal_and_an_older_entry_has_none() -> None:
    placement = Placement("1", "train-nv", ("nv1",), ((0,),), ("a100",), 80)
    full = replace(placement, spared=Spared(8, 0, 8, ("a100",), True, 3.2, SIX))
    older = asdict(placement)
    del older["spared"]
    for one, written in ((full, asdict(full)), (placement, older)):
        assert msgspec.json.decode(json.dumps(written), type=Placement) == one
