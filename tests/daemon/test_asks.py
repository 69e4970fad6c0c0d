"""Users who ask for something else of what they have in the queue: whose, which parts, and what."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_het.core.jobs.asked import updated
from slurm_het.core.jobs.mark import decode_comment, rewritten
from slurm_het.core.jobs.request import gres_of
from slurm_het.core.model import Job
from slurm_het.core.planner.pins import Pins
from slurm_het.core.syntax import gres
from slurm_het.daemon.asks import Asks
from slurm_het.daemon.control import Caller
from slurm_het.daemon.release import Releaser
from slurm_het.daemon.trials import TrialKeeper
from slurm_het.errors import HetError, SlurmError
from slurm_het.journal import Journal
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import marked, policy

ANN, BOB, ADMIN = Caller(1000, "ann", False), Caller(1001, "bob", False), Caller(0, "root", True)
ARRAY = 100


def task(number: int, **fields: Any) -> Job:
    """A task of an array that waits in the gate, with a record of its own."""
    job = replace(marked(ARRAY + number, **fields), array_job_id=ARRAY, array_task_id=number)
    return replace(job, state=fields.get("state", "PENDING"))


def rest(tasks: str) -> Job:
    """What has no record of its own yet of the array."""
    return replace(marked(ARRAY), state="PENDING", array_job_id=ARRAY, array_tasks=tasks)


class Refusing(FakeSlurm):
    """A Slurm that refuses the updates of some keys, as of jobs that have just started."""

    async def update_job(self, key: str, fields: Any) -> None:
        if key in self.refuse:
            raise SlurmError(f"job {key} is no longer pending execution")
        await super().update_job(key, fields)


class Desk:
    """hetd's end of `slurm-het ask`."""

    def __init__(self, path: Path, *jobs: Job) -> None:
        self.slurm = Refusing(*(replace(j, state=j.state or "PENDING") for j in jobs))
        releaser = Releaser(self.slurm, policy(), Pins(45, 60), lambda: 0.0)
        trials = TrialKeeper(policy(), Journal(path / "journal.db"), lambda: 0.0)
        self.asks = Asks(self.slurm, policy(), releaser, trials, asyncio.Lock())

    def ask(self, key: str, words: str = "vendors=amd", who: Caller = ANN) -> dict[str, Any]:
        return asyncio.run(self.asks.ask(key, words, who))

    @property
    def updated(self) -> list[str]:
        """The keys that were updated; each in the gate, as it has to be."""
        assert all(fields["Partition"] == "accel" for _, fields in self.slurm.updates)
        return [key for key, _ in self.slurm.updates]


@pytest.mark.parametrize(
    ("key", "updated"),
    [
        ("100", ["100_2", "100_[4-9]"]),
        ("100_2", ["100_2"]),
        ("100_5", ["100_5"]),
        ("102", ["100_2"]),  # its own id, as squeue -o %A prints it
        ("77", ["77"]),
    ],
)
def test_what_waits_of_what_is_named_is_changed(
    tmp_path: Path, key: str, updated: list[str]
) -> None:
    jobs = (task(1, state="RUNNING"), task(2), rest("4-9%2"), replace(marked(77), state="PENDING"))
    desk = Desk(tmp_path, *jobs)
    made = desk.ask(key)
    assert made["understood"].startswith("training, on amd devices")
    assert (desk.updated, made["left"]) == (updated, [])


@pytest.mark.parametrize(
    ("key", "who", "told"),
    [
        ("100", BOB, "you have no job 100"),
        ("100_5", BOB, "you have no job 100_5"),
        ("100_3", ANN, "you have no job 100_3"),
        ("100_1", ANN, "does not wait for a plan: it is RUNNING"),
        ("99", ANN, "you have no job 99"),
    ],
)
def test_nobody_changes_what_is_not_his_or_does_not_wait(
    tmp_path: Path, key: str, who: Caller, told: str
) -> None:
    desk = Desk(tmp_path, task(1, state="RUNNING"), task(2), rest("4-9"))
    with pytest.raises(HetError, match=told):
        desk.ask(key, who=who)
    assert desk.updated == []


def test_what_is_wrong_changes_nothing_of_an_array(tmp_path: Path) -> None:
    desk = Desk(tmp_path, task(2), rest("4-9"))
    with pytest.raises(HetError, match="did you mean nvidia"):
        desk.ask("100", "vendors=nvdia")
    with pytest.raises(HetError, match="the largest that it may use"):
        desk.ask("100", "memory=900G")
    assert desk.updated == []
    assert desk.ask("100", who=ADMIN)["left"] == []


@pytest.mark.parametrize(
    ("request_", "words", "told"),
    [
        (
            "gpu:a100:1",
            "vendors=amd",
            "vendors=amd would come to nothing: the request names gpu:a100",
        ),
        (
            "gpu:a100:1",
            "vendor=amd",
            "vendor=amd would come to nothing: the request names gpu:a100",
        ),
        ("gpu:a100:1", "types=mi300x", "the request names gpu:a100:1"),
        ("gpu:a100:1", "types=mi300x memory=40G", "types=mi300x would come to nothing"),
        ("gpu:1 nvlink", "vendors=amd", "no other node meets --constraint=nvlink"),
        ("shard:20", "scenario=training", "a share of a device is asked for"),
        ("shard:20", "memory=40G", "memory=40g would come to nothing: the request is shard:20"),
        ("gpu:1", "memory=900G", r"\(mi300x\) has 192 GiB\n"),
        ("gpu:a100:1", "vendors=amd,nvidia", ""),
        ("gpu:a100:1", "types=a100 memory=40G", ""),
        ("gpu:a100:1", "scenario=inference", ""),
        ("gpu:a100:1", "vendors=any", ""),
        ("gpu:1", "types=a100,mi300x", ""),
    ],
)
def test_a_word_that_the_request_overrules_is_refused(
    tmp_path: Path, request_: str, words: str, told: str
) -> None:
    gres, _, features = request_.partition(" ")
    desk = Desk(tmp_path, marked(77, tres_per_node=gres, features=features))
    if not told:
        assert desk.ask("77", words)["left"] == []
        assert desk.updated == ["77"]
        return
    with pytest.raises(HetError, match=told) as refused:
        desk.ask("77", words)
    assert "is read as" not in str(refused.value)
    assert (refused.value.hint, desk.updated) == ("nothing is changed", [])


def test_of_those_that_start_meanwhile_it_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, task(2), rest("4-9"))
    desk.slurm.refuse = {"100_2"}
    (left,) = desk.ask("100")["left"]
    assert left.startswith("100_2 is left as it is: job 100_2 is no longer pending")
    assert desk.updated == ["100_[4-9]"]
    desk.slurm.refuse = {"100_2", "100_[4-9]"}
    with pytest.raises(HetError, match="no longer pending"):
        desk.ask("100")


@pytest.mark.parametrize(
    ("submitted", "now", "sent"),
    [
        ({"tres_per_node": "gpu:8"}, {"tres_per_node": "gpu:2"}, "gpu:2"),
        ({"tres_per_node": "gpu:8"}, {"tres_per_node": "gpu:8"}, "gpu:8"),
        ({"tres_per_node": "npu:8"}, {"tres_per_node": "gpu:8"}, "npu:8"),
        ({"tres_per_node": "npu:8"}, {"tres_per_node": "gpu:4"}, "gpu:4"),
        ({"tres_per_node": "gpu:2"}, {"tres_per_node": "gpu:a100:2"}, "gpu:a100:2"),
        ({"tres_per_node": "gpu:a100:2"}, {"tres_per_node": "gpu:mi300x:2"}, "gpu:mi300x:2"),
        ({"tres_per_job": "gpu:2"}, {"tres_per_job": "", "tres_per_node": "gpu:4"}, "gpu:4"),
        ({"tres_per_node": "gpu:1"}, {"tres_per_node": "shard:30"}, "shard:30"),
    ],
)
def test_what_its_user_has_made_of_its_gres_since_stays(
    tmp_path: Path, submitted: dict[str, Any], now: dict[str, Any], sent: str
) -> None:
    """By scontrol (from 24.11 on); what the hook wrote there is not his."""
    desk = Desk(tmp_path, replace(marked(5, **submitted), **now))
    desk.ask("5", "vendors=any")
    (fields,) = [fields for key, fields in desk.slurm.updates if key == "5"]
    mark = decode_comment(fields["AdminComment"])
    assert mark
    kept = {mark.original.get(name, "") for name in ("tres_per_node", "tres_per_job")}
    assert kept - {""} == {sent}
    job = updated(desk.slurm.jobs[0], fields)
    assert gres_of(job).all()[0].count == gres.parse(sent)[0].count


@pytest.mark.parametrize("submitted", [{"tres_per_node": "gpu:2"}, {"tres_per_job": "gpu:2"}])
def test_what_a_release_wrote_there_is_not_his(tmp_path: Path, submitted: dict[str, Any]) -> None:
    job = marked(5, **submitted)
    comment = rewritten(job.admin_comment, "gpu:a100:2")
    job = replace(job, tres_per_job="", tres_per_node="gpu:a100:2", admin_comment=comment)
    desk = Desk(tmp_path, job)
    desk.ask("5", "vendors=any")
    mark = decode_comment(desk.slurm.updates[0][1]["AdminComment"])
    assert mark
    assert mark.original == {**submitted, "partition": "accel", "time_limit": "?"}


@pytest.mark.parametrize(
    ("submitted", "now", "begins"),
    [
        ("", "nvlink", "nvlink&"),
        ("", "ib&nvlink", "ib&nvlink&"),
        ("nvlink", "ib", "ib&"),
        ("nvlink", "", ""),
        ("nvlink,ib", "nvlink&ib", "nvlink&ib&"),  # as Slurm keeps it
        ("nvlink", "as the hook left it", "nvlink&"),
    ],
)
def test_the_constraint_that_its_user_wrote_last_stays(
    tmp_path: Path, submitted: str, now: str, begins: str
) -> None:
    job = marked(5, features=submitted)
    mark = decode_comment(job.admin_comment)
    assert mark
    assert mark.wrote
    now = mark.wrote["features"] if now.startswith("as the") else now
    desk = Desk(tmp_path, replace(job, features=now))
    desk.ask("5", "vendors=nvidia")
    features = desk.slurm.updates[0][1]["Features"]
    assert features.replace(",", "&").startswith(begins)
    assert [word in features for word in ("ib", "nvlink")] == [
        w in begins for w in ("ib", "nvlink")
    ]


def test_what_a_site_wrote_before_our_record_stays(tmp_path: Path) -> None:
    job = marked(5)
    desk = Desk(tmp_path, replace(job, admin_comment=f"budget=p42 {job.admin_comment}"))
    desk.ask("5")
    assert desk.slurm.updates[0][1]["AdminComment"].startswith("budget=p42 het1:")
    long = "x" * 999
    desk = Desk(tmp_path, replace(job, admin_comment=f"{long} {job.admin_comment}"))
    desk.ask("5")
    assert desk.slurm.updates[0][1]["AdminComment"].startswith("het1:"), "as the hook has it"
