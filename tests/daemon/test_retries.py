"""A job that died of its share's size has another chance with a larger one, once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from slurm_het.core.jobs.mark import MARK, decode_comment, encode_comment
from slurm_het.core.model import Classification, Job
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.daemon.retries import Retries
from slurm_het.journal import Journal
from slurm_het.settings import TelemetrySettings
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import inventory, mixed, policy, snapshot

GIB = 1024
KEPT = Path()
POLICY = policy()
COMMENT = encode_comment(Classification("inference", memory_gib=20, share=True), {"a": "b"})


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.KEPT", tmp_path / "journal.db")


def dead(number: int = 7, **fields: Any) -> Job:
    base: dict[str, Any] = {
        "state": "FAILED", "nodes": "l40s1", "user": "ann", "tres_per_node": "shard:20",
        "exit_code": 1, "admin_comment": COMMENT, "comment": "het: retry=yes",
        "partition": "infer-nv",
    }  # fmt: skip
    return Job(number, **(base | fields))


def tried(
    job: Job, peak_gib: float = 19, refuse: str = "", shadowed: str = "", **settings: Any
) -> FakeSlurm:
    """What Slurm is asked for once that job has ended."""
    slurm = FakeSlurm(job)
    slurm.refuse = {refuse}
    policy = mixed(shadowed).planned if shadowed else POLICY
    retries = Retries(TelemetrySettings(**settings), policy, slurm, journal())
    retries.heard([job], {job.id: int(peak_gib * GIB)}, inventory())
    given(retries)
    return slurm


def given(retries: Retries, *jobs: Job) -> list[str]:
    """What a cycle says of them, that sees these jobs."""

    async def cycle() -> list[str]:
        chosen = await retries.choose(snapshot(*jobs))
        retries.journal.write(lambda j: j.record_outcomes(snapshot().time, chosen, {}))
        return [outcome.detail for outcome in await retries.give()]

    return asyncio.run(cycle())


def journal() -> Journal:
    return Journal(KEPT)


def test_it_goes_back_into_the_gate_with_half_as_much_again() -> None:
    slurm = tried(dead())
    assert slurm.requeued == ["7"]
    ((key, fields),) = slurm.updates
    comment = fields.pop("AdminComment")
    assert (key, fields) == (
        "7", {"Partition": "accel", "ReqNodeList": "", "Gres": "shard:30", "StartTime": "now"},
    )  # fmt: skip
    mark = decode_comment(comment)
    assert mark is not None
    assert (mark.classification.memory_gib, mark.original) == (30, {"a": "b"})
    assert mark.classification.evidence[0] == (
        "shard:30: it failed with 19.0 GiB of a device, of shard:20"
    )


def test_what_a_site_wrote_before_our_record_stays() -> None:
    ((_, fields),) = tried(dead(admin_comment=f"budget=p42 {COMMENT}")).updates
    assert fields["AdminComment"].startswith(f"budget=p42 {MARK}")


@pytest.mark.parametrize(
    ("job", "peak_gib", "settings"),
    [
        (dead(restarts=1), 19, {}),  # it had its chance
        (dead(state="COMPLETED"), 19, {}),
        (dead(state="CANCELLED"), 19, {}),
        (dead(state="TIMEOUT"), 19, {}),
        (dead(), 12, {}),  # it died of something else
        (dead(), 0, {}),
        (dead(tres_per_node="gpu:1"), 48, {}),
        (dead(tres_per_node="shard:20,gpu:1"), 19, {}),
        (dead(tres_per_node="shard:192"), 191, {}),  # no device has more
        (dead(tres_per_node="\x00"), 19, {}),
        (dead(comment=""), 19, {}),  # nobody asked for it
        (dead(comment="retry=yes"), 19, {}),
        (dead(comment="het: retry=no"), 19, {}),
        (dead(admin_comment=""), 19, {}),  # it is none of ours
        (dead(), 19, {"resubmit": "never"}),
    ],
)
def test_nobody_else_does(job: Job, peak_gib: float, settings: dict[str, Any]) -> None:
    slurm = tried(job, peak_gib, **settings)
    assert (slurm.requeued, slurm.updates) == ([], [])


def test_nor_does_who_ran_in_a_pool_in_shadow() -> None:
    assert tried(dead(), shadowed="train-nv").requeued == ["7"]
    slurm = tried(dead(), shadowed="infer-nv")
    assert (slurm.requeued, slurm.updates) == ([], [])


def test_a_site_may_have_it_for_all() -> None:
    assert tried(dead(comment=""), resubmit="always").requeued == ["7"]


def test_of_an_array_one_task_runs_again() -> None:
    assert tried(dead(array_job_id=7, array_task_id=3)).requeued == ["7_3"]


def test_who_wants_no_requeue_has_none() -> None:
    assert tried(dead(), refuse="7").updates == []


@pytest.mark.parametrize(
    "now", [dead(state="PENDING", restarts=1), dead(state="RUNNING", restarts=1), dead(restarts=1)]
)
def test_nor_whom_somebody_requeued_meanwhile(now: Job) -> None:
    """To requeue one that runs by now would end it."""
    slurm = FakeSlurm(now)
    retries = Retries(TelemetrySettings(), POLICY, slurm, journal())
    retries.heard([dead()], {7: 19 * GIB}, inventory())
    assert given(retries, now) == []
    assert (slurm.requeued, slurm.updates) == ([], [])


def test_who_is_heard_of_twice_runs_again_once() -> None:
    slurm = FakeSlurm(dead())
    retries = Retries(TelemetrySettings(), POLICY, slurm, journal())
    retries.heard([dead(), dead()], {7: 19 * GIB}, inventory())
    given(retries)
    assert slurm.requeued == ["7"]


BEGUN = "it failed with 19.0 GiB of a device, of shard:20: it is to have shard:30"


def begun(job: Job, *events: Outcome, ago: float = 5.0) -> tuple[FakeSlurm, list[str]]:
    """What is asked of Slurm, and said, by a hetd that finds this job and these events."""
    slurm, kept = FakeSlurm(job), journal()
    kept.record_outcomes(snapshot().time - ago, events, {})
    retries = Retries(TelemetrySettings(), POLICY, slurm, kept)
    said = given(retries, job)
    assert given(retries, job) == [], "it is looked for once"
    return slurm, said


def test_what_a_hetd_began_the_next_one_ends() -> None:
    slurm, said = begun(dead(state="PENDING", restarts=1), Outcome("7", Event.OUTGREW, BEGUN))
    assert said == ["with shard:30: it failed with 19.0 GiB of a device, of shard:20"]
    ((key, fields),) = slurm.updates
    assert (slurm.requeued, key, fields["Gres"], fields["Partition"]) == (
        [], "7", "shard:30", "accel",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("detail", "more", "ago", "fields"),
    [
        (BEGUN, (), 5.0, {"state": "RUNNING"}), (BEGUN, (), 5.0, {"restarts": 2}),
        (BEGUN, (), 5.0, {"restarts": 0}), (BEGUN, (), 5.0, {"admin_comment": ""}),
        (BEGUN, (), 5000.0, {}),
        (BEGUN, (Event.RESUBMITTED,), 5.0, {}), (BEGUN, (Event.REFUSED,), 5.0, {}),
        (BEGUN.replace("shard:30", "gpu:1"), (), 5.0, {}), ("\x00", (), 5.0, {}),
        (BEGUN + ",shard:2", (), 5.0, {}),
    ],
)  # fmt: skip
def test_nothing_else_is_taken_for_begun(
    detail: str, more: tuple[Event, ...], ago: float, fields: dict[str, Any]
) -> None:
    base: dict[str, Any] = {"state": "PENDING", "restarts": 1}
    events = [Outcome("7", event, "") for event in more]
    job = dead(**(base | fields))
    slurm, said = begun(job, Outcome("7", Event.OUTGREW, detail), *events, ago=ago)
    assert (said, slurm.updates, slurm.requeued) == ([], [], [])
