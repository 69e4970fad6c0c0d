"""How long programs ran: which ends count, what is known of the next one's, what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.paces import (
    LEAST_RUNS,
    LIKELY,
    MOST_OF_USER,
    MOST_RUNS,
    Pace,
    Paces,
    part_by,
    parts_of,
    usual_part,
    without_runs,
)
from slurm_het.core.model import Classification, Job
from slurm_het.core.worth.speeds import PastRun
from tests.support.world import inventory, policy

PARTS = st.lists(st.floats(0.001, 1.0), max_size=30).map(sorted)


def ended(number: int = 1, types: tuple[str, ...] = (), **fields: Any) -> Job:
    """A job of ten minutes that ended well after three, unless the fields say otherwise."""
    mark = encode_comment(Classification("training", types=types, program="p"), {})
    base: dict[str, Any] = {
        "user": "ann", "state": "COMPLETED", "nodes": "nv1", "admin_comment": mark,
        "tres_per_node": "gpu:2", "time_limit_minutes": 10,
        "start_time": 1000 * number, "end_time": 1000 * number + 180,
    }  # fmt: skip
    return Job(number, **(base | fields))


def after(*jobs: Job) -> Paces:
    """What is known after these jobs."""
    paces = Paces()
    for job in jobs:
        if pace := paces.after(job, inventory(), policy()):
            paces.put(pace)
    return paces


@pytest.mark.parametrize(
    ("fields", "run"),
    [
        ({}, PastRun(180, 600, True)),
        ({"types": ("a100", "mi300x")}, PastRun(180, 600, True)),
        (
            {"types": ("a100",)},
            PastRun(180, 600, False),
        ),  # its user may keep that type for such jobs
        ({"tres_per_node": "gpu:a100:2"}, PastRun(180, 600, False)),
        ({"time_limit_minutes": None}, PastRun(180, 0, True)),
        ({"state": "TIMEOUT"}, PastRun(180, 600, False)),
        ({"state": "CANCELLED"}, PastRun(180, 600, False)),
        ({"state": "FAILED", "exit_code": 1}, PastRun(180, 600, False)),
        ({"state": "NODE_FAIL"}, None),
        ({"state": "PREEMPTED"}, None),
        ({"state": "RUNNING"}, None),
        ({"start_time": 0}, None),
        ({"nodes": ""}, None),
        ({"nodes": "nv1,amd1"}, None),
        ({"nodes": "gone1"}, None),
        ({"nodes": "nv["}, None),
        ({"tres_per_node": ""}, None),
        ({"admin_comment": ""}, None),
        ({"user": ""}, None),
        ({"user": "x" * 100}, None),
    ],
)
def test_which_ends_count_and_as_what(fields: dict[str, Any], run: PastRun | None) -> None:
    known = after(ended(**fields)).all()
    wanted = run and run._replace(ended=1180, job=1)
    assert [pace.runs for pace in known] == ([(wanted,)] if wanted else [])


def test_they_are_told_apart_by_type_and_number_of_devices() -> None:
    jobs = (
        ended(1), ended(2), ended(3, nodes="amd1"), ended(4, tres_per_node="gpu:1"),
        ended(5, nodes="nv[1-2]", nodes_min=2), ended(6, tres_per_node="shard:8"),
    )  # fmt: skip
    known = {(p.type, p.devices): (len(p.runs), p.job) for p in after(*jobs).all()}
    assert known == {
        ("a100", 2): (2, "2"), ("mi300x", 2): (1, "3"), ("a100", 1): (1, "4"),
        ("a100", 4): (1, "5"), ("a100", 0): (1, "6"),
    }  # fmt: skip


@given(st.permutations(range(1, MOST_RUNS + 5)), st.integers(0, 3))
def test_in_which_order_and_how_often_they_are_heard_of_makes_no_difference(
    order: list[int], again: int
) -> None:
    """hetd asks for all that ended when it starts; tasks of an array end in one second."""
    jobs = [ended(n, start_time=8000, end_time=9000 + n // 4) for n in order]
    (pace,) = after(*jobs, *jobs[:again]).all()
    assert [run.job for run in pace.runs] == list(range(5, MOST_RUNS + 5))
    assert (pace.time, pace.job) == (9000 + (MOST_RUNS + 4) // 4, str(MOST_RUNS + 4))


def test_the_newest_runs_of_the_newest_programs_are_kept() -> None:
    jobs = [ended(n, end_time=1000 * n + n) for n in range(1, MOST_RUNS + 4)]
    (pace,) = after(*jobs).all()
    assert [run.seconds for run in pace.runs] == list(range(4, MOST_RUNS + 4))
    paces = Paces(
        Pace("ann", f"p{n}", "a100", 1, n, runs=(PastRun(1),)) for n in range(MOST_OF_USER)
    )
    assert paces.put(Pace("bob", "p", "a100", 1, runs=(PastRun(1),))) == []
    assert paces.put(Pace("ann", "new", "a100", 1, runs=(PastRun(1),))) == [
        Pace("ann", "p0", "a100", 1, 0)
    ]
    assert len(paces.of("ann")) == MOST_OF_USER
    assert paces.older(1) == [pace for pace in paces.all() if pace.time < 1]
    for pace in paces.of("ann", "new"):
        paces.put(without_runs(pace))
    assert paces.of("ann", "new") == []


@given(PARTS, st.floats(0.05, 0.95), st.floats(0, 1))
def test_by_which_part_the_next_run_has_ended(
    parts: list[float], probability: float, begun: float
) -> None:
    """It is one that was seen, past what has begun; no sooner for a higher probability; and of all
    that have come so far it would have been right for as many as it says."""
    by = part_by(parts, probability, begun)
    longer = [part for part in parts if part > begun]
    if by is None:
        assert len(longer) < LEAST_RUNS or probability * (len(longer) + 1) > len(longer)
        return
    assert by in longer
    assert sum(part <= by for part in longer) >= probability * len(longer)
    later = part_by(parts, min(1.0, probability + 0.04), begun)
    assert later is None or later >= by


@given(st.lists(st.floats(0.001, 1.0), min_size=6, max_size=12, unique=True))
def test_of_runs_in_any_order_the_last_has_ended_by_then_as_often_as_it_says(
    parts: list[float],
) -> None:
    """The promise itself: each of them may have been the next one, all else being known."""
    right = 0
    for n, part in enumerate(parts):
        by = part_by(sorted(parts[:n] + parts[n + 1 :]), LIKELY)
        right += by is None or part <= by
    assert right >= LIKELY * len(parts)


def test_without_limits_or_with_few_runs_nothing_is_known_of_ends() -> None:
    pace = Pace("ann", "p", "a100", 1, runs=(PastRun(60, 600), PastRun(1200, 600), PastRun(60)))
    assert parts_of([pace]) == (0.1, 1.0)
    assert usual_part((0.1, 1.0)) is None
    assert part_by((0.1, 1.0), 0.5) is None
    assert usual_part((0.1, 0.2, 0.3, 0.4)) == pytest.approx(0.25)


def test_a_job_that_was_requeued_is_two_runs() -> None:
    first = ended(1, state="TIMEOUT")
    (pace,) = after(first, replace(ended(1), start_time=5000, end_time=5100)).all()
    assert [run.seconds for run in pace.runs] == [180, 100]
