"""What is said of a waiting job when hetd does not: the same, or that it is not known; never
another thing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.jobs.mark import MARK
from slurm_het.core.model import Job
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, decide, observe, prepare
from slurm_het.core.policy import Limits
from slurm_het.core.reasons.codes import code_of
from slurm_het.core.views.waiting import Remembered
from slurm_het.core.worth.forecast import Forecast
from slurm_het.daemon.own_reasons import OwnReasons
from slurm_het.times import local_time
from tests.support.squeue_cluster import NOW, POLICY, row, running, snapshot, view, waiting

FULL = (running(1, "nv1", "gpu:a100:4(IDX:0-3)"), running(2, "nv2", "gpu:a100:8(IDX:0-7)"))
BLOCKED = waiting(3, "gpu:a100:8", time_limit_minutes=60, eligible_time=NOW - 600)
LATER = waiting(4, "gpu:a100:1", time_limit_minutes=600, priority=1, eligible_time=NOW - 600)
FITS = waiting(5, "gpu:mi300x:1", eligible_time=NOW - 600)


def said(job: Job, memory: Remembered) -> tuple[str, str]:
    """Code and sentence of a job beside those that run."""
    found = row(job, *FULL, memory=memory, at=lambda t: f"T{t - NOW:+.0f}")
    return found.code, found.reason


@pytest.mark.parametrize(("job", "code"), [(BLOCKED, "busy"), (LATER, "kept")])
@pytest.mark.parametrize("since", [0.0, None, NOW - 60.0])
def test_what_slurms_records_show_is_said_without_hetd(
    job: Job, code: str, since: float | None
) -> None:
    others = () if job is BLOCKED else (BLOCKED,)
    alone = row(job, *FULL, *others, memory=Remembered(since=since))
    told = row(job, *FULL, *others, memory=Remembered(True))
    assert (alone.code, alone.reason) == (told.code, told.reason)
    assert told.code == code


def test_a_job_that_a_dead_hetd_did_not_let_start_waits_for_something_unknown() -> None:
    """Slurm did not start one like it, say: only hetd knows."""
    unknown = "by Slurm's records alone: can start now; waits for hetd"
    assert said(FITS, Remembered(since=NOW - 60.0)) == (
        "no-plan",
        f"not known since T-60; {unknown}",
    )
    assert said(FITS, Remembered(since=None))[1] == f"not known here; {unknown}"


def test_a_job_that_came_after_its_last_plan_waits_for_it() -> None:
    for since in (NOW - 600.0, NOW - 900.0, 0.0):
        assert said(FITS, Remembered(since=since)) == ("no-plan", "can start now; waits for hetd")


def test_who_sees_less_than_hetd_is_told_nothing_as_certain() -> None:
    """Devices of jobs that Slurm hides look free; what ails is told by hetd."""
    code, text = said(BLOCKED, Remembered(since=NOW - 60.0, sees_more=True))
    assert code == "busy"
    assert text.startswith("not known since T-60; by Slurm's records alone: needs 8 free")
    heard = Remembered(True, {"3": "waits for x"}, codes={"3": "limit"}, sees_more=True)
    assert said(BLOCKED, heard) == ("limit", "waits for x"), "hetd's word is certain"
    held = replace(BLOCKED, reason="JobHeldUser", priority=0)
    assert said(held, Remembered(since=None, sees_more=True))[0] == "held"
    assert "not known" not in said(held, Remembered(since=None, sees_more=True))[1]


def test_hetd_tells_a_user_of_his_own_jobs_what_all_records_show() -> None:
    jobs = (*FULL, BLOCKED, LATER, replace(FITS, user="eve"))
    memory = Memory(Pins(0, 0), not_adopted={job.id for job in jobs})
    observed = observe(snapshot(*jobs), POLICY, memory, 0.0)
    prepared = prepare(observed, Limits(), memory, 0.0)
    plan = decide(prepared, Forecast(), greedy)
    reasons = OwnReasons()
    assert asyncio.run(reasons.of("bob", lambda: False)) == {}, "nothing is planned yet"
    waiting = plan.waiting.items()
    reasons.planned(
        prepared,
        {key: reason.told(local_time) for key, reason in waiting},
        {key: code_of(reason) for key, reason in waiting},
    )
    told = asyncio.run(reasons.of("bob", lambda: False))
    rows = {
        r.id: (r.code, r.reason) for r in view(*jobs, memory=Remembered(True), at=local_time).rows
    }
    assert told.keys() == {"3", "4"}, "and none of others"
    assert told["3"] == rows["3"]
    assert told["4"][0] == rows["4"][0] == "kept"
    assert asyncio.run(reasons.of("", lambda: False)) == {}
    reasons.planned(prepared, {}, {})
    assert asyncio.run(reasons.of("bob", lambda: True)) == {}, "a cycle thinks"


def test_hetd_tells_a_user_who_is_at_the_nodes_that_his_job_is_pinned_to() -> None:
    """Slurm keeps the jobs there from him; of another pin of the job's that is not said."""
    pinned = waiting(
        6, "gpu:a100:8", partition="train-nv", req_nodes="nv2", reason="Resources",
        admin_comment=f"{MARK}{{}}", start_time=NOW + 3600,
    )  # fmt: skip
    jobs = (*FULL, pinned)
    memory = Memory(Pins(0, 0), not_adopted={job.id for job in jobs})
    reasons = OwnReasons()
    prepared = prepare(observe(snapshot(*jobs), POLICY, memory, 0.0), Limits(), memory, 0.0)
    reasons.planned(prepared, {}, {})
    told = asyncio.run(reasons.of("bob", lambda: False))
    heard = Remembered(
        True, {key: text for key, (_, text) in told.items()}, sees_more=True,
        codes={key: code for key, (code, _) in told.items()},
    )  # fmt: skip
    shown = row(pinned, memory=heard)
    assert shown.reason.endswith("(2 is there)")
    assert (shown.code, shown.reason) == next(iter(told.values()))
    elsewhere = row(replace(pinned, req_nodes="nv1"), memory=heard)
    assert "is there" not in elsewhere.reason
