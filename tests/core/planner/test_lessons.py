"""Limits that nobody has modelled: what one refusal says of other jobs, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.model import Job, Placement, Slot, Task
from slurm_het.core.planner.lessons import Lessons, scope_of, size_of
from slurm_het.core.planner.pins import does_not_start

TRAIN = "train-nv"
REASONS: dict[str, list[str]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data/limit_reasons.yaml").read_text()
)
SOME = Job(0, user="alice", account="vision", qos="normal", licenses="matlab:1")


def job(number: int, state: str = "PENDING", **fields: object) -> Job:
    nodes = "nv1" if state == "RUNNING" else ""
    return replace(SOME, id=number, state=state, nodes=nodes, **fields)  # type: ignore[arg-type]  # names of fields, given by the tables below


def task(of: Job, devices: int = 1, pools: tuple[str, ...] = (TRAIN,)) -> Task:
    slots = (Slot(devices, 1, 0),)
    return Task(of.key, of.id, of.user, "training", frozenset({"a100"}), slots, pools)


def pin(of: Job, devices: int = 1, pool: str = TRAIN) -> Pin:
    where = Placement(of.key, pool, ("nv1",), (tuple(range(devices)),), ("a100",), 80)
    return Pin(task(of, devices), where, 0.0)


class Slurm:
    """A Slurm that has refused to start job 1, of so many devices, for a reason."""

    def __init__(self, reason: str, devices: int = 1) -> None:
        self.lessons = Lessons(first_seconds=10.0, retry_seconds=60.0)
        self.running = [job(90, "RUNNING")]
        self.refuse(reason, devices=devices)

    def refuse(self, reason: str, at: float = 0.0, devices: int = 1, number: int = 1) -> None:
        refused = job(number, reason=reason)
        pinned = replace(pin(refused, devices), since=at - 0.5)
        self.learnt = self.lessons.learn(pinned, refused, self.running, at)

    def tried(
        self, jobs: Iterable[Job], at: float = 0.0, pins: Iterable[Pin] = (), devices: int = 1
    ) -> list[int]:
        """The ids of the jobs that may be planned."""
        by_id = {one.id: one for one in jobs} | {p.task.job_id: job(p.task.job_id) for p in pins}
        tasks = tuple(task(one, devices) for one in jobs)
        free, held = self.lessons.heed(tasks, by_id.values(), pins, at, lambda _: True)
        assert {t.key for t in free} | set(held) == {t.key for t in tasks}
        return [one.job_id for one in free]


@pytest.mark.parametrize(
    ("reason", "same", "other"),
    [
        ("QOSMaxGRESPerUser", {"account": "language"}, {"user": "bob"}),
        ("QOSMaxJobsPerUserLimit", {}, {"qos": "high"}),
        ("QOSGrpGRES", {"user": "bob", "account": "language"}, {"qos": "high"}),
        ("QOSMaxGRESPerAccount", {"user": "bob"}, {"account": "language"}),
        ("AssocGrpGRES", {"user": "bob", "qos": "high"}, {"account": "language"}),
        ("AssocGrpGRESMinutes", {"user": "bob"}, {"account": "language"}),
        ("AssocMaxJobsLimit", {"qos": "high"}, {"user": "bob"}),
        ("Licenses", {"user": "bob", "account": "x"}, {"licenses": ""}),
        ("QOSNotAllowed", {"user": "bob"}, {"qos": "high"}),
        ("MaxGRESRunMinsPerUser", {"account": "language"}, {"user": "bob"}),
        ("MaxGRESRunMinsPerAccount", {"user": "bob"}, {"account": "language"}),
        ("QOSUsageThreshold", {}, {"user": "bob"}),
        ("QOSGrpLicense", {"user": "bob"}, {"licenses": ""}),
    ],
)
def test_a_refusal_holds_back_the_jobs_that_count_against_the_same_limit(
    reason: str, same: dict[str, str], other: dict[str, str]
) -> None:
    slurm = Slurm(reason)
    assert slurm.learnt
    assert slurm.tried([job(2), job(3, **same), job(4, **other)]) == [4]


@pytest.mark.parametrize("reason", ["BadConstraints", "Dependency", "JobHeldUser", "QOSMinGRES"])
def test_a_refusal_of_one_job_alone_holds_back_no_other(reason: str) -> None:
    slurm = Slurm(reason)
    assert not slurm.learnt
    assert slurm.tried([job(2)]) == [2]


@pytest.mark.parametrize("whom", REASONS)
def test_each_reason_of_slurms_holds_back_whom_its_name_says(whom: str) -> None:
    common, _, counts = whom.partition(":")
    asked = replace(task(job(1)), minutes=60, slots=(Slot(2, 4, 8), Slot(2, 4, 8)))
    size = {"devices": 4, "cpus": 8, "nodes": 2, "minutes": 60, "memory": 16}
    for reason in REASONS[whom]:
        assert does_not_start(job(1, reason=reason)), reason
        scope = scope_of(reason, SOME, TRAIN)
        if common == "one job's alone":
            assert scope is None, reason
            continue
        assert scope, reason
        assert scope.common == tuple(getattr(SOME, name) for name in common.split()), reason
        expected = {name: size[name] for name in counts.split()}
        told = size_of(reason, asked)._asdict()
        assert {name: value for name, value in told.items() if value} == expected, reason


def test_of_two_sizes_that_were_refused_neither_may_start_after_the_other() -> None:
    """Else the two take turns on an idle device."""
    slurm = Slurm(reason := "MaxGRESRunMinsPerUser")
    sizes = {2: (4, 60), 3: (1, 600)}
    tasks = {n: replace(task(job(n), devices), minutes=m) for n, (devices, m) in sizes.items()}
    slurm.lessons.known.clear()
    for number, refused in tasks.items():
        slurm.lessons.learn(
            replace(pin(job(number)), task=refused), job(number, reason=reason), [], 0.0
        )
    jobs = [job(number) for number in tasks]
    free, _ = slurm.lessons.heed(tuple(tasks.values()), jobs, (), 0.0, lambda _: True)
    assert not free


def test_a_job_that_asks_for_less_may_still_start() -> None:
    slurm = Slurm("QOSMaxGRESPerUser", devices=4)
    assert slurm.tried([job(2)], devices=4) == []
    assert slurm.tried([job(2)], devices=3) == [2]
    assert Slurm("QOSMaxJobsPerUserLimit", devices=4).tried([job(2)], devices=3) == []


def test_one_job_is_tried_after_a_while_and_later_each_time() -> None:
    slurm = Slurm("QOSMaxGRESPerUser")
    assert slurm.tried([job(2), job(3)], at=9.0) == []
    assert slurm.tried([job(2), job(3)], at=10.0) == [2]
    assert slurm.tried([job(3)], at=11.0, pins=[pin(job(2))]) == []
    slurm.refuse("QOSMaxGRESPerUser", at=12.0)
    assert slurm.tried([job(2), job(3)], at=31.0) == []
    assert slurm.tried([job(2), job(3)], at=32.0) == [2]


def test_a_job_that_was_tried_in_vain_is_tried_again_after_the_others() -> None:
    slurm = Slurm(reason := "QOSMaxGRESPerUser")
    waiting = [job(1), job(2), job(3)]
    assert slurm.tried(waiting, at=10.0) == [1]  # refused once before, but that was no try
    slurm.refuse(reason, at=12.0)
    assert slurm.tried(waiting, at=40.0) == [2]
    slurm.refuse(reason, at=42.0, number=2)
    slurm.lessons.look([], 43.0)  # one ends
    assert slurm.tried(waiting, at=43.0) == [3]
    slurm.refuse(reason, at=44.0, number=3)
    assert slurm.tried(waiting, at=200.0) == [1]


def test_a_try_that_starts_gives_the_others_their_turn_again() -> None:
    slurm = Slurm(reason := "QOSMaxGRESPerUser")
    slurm.refuse(reason, at=12.0)
    slurm.lessons.look([*slurm.running, job(2, "RUNNING")], 40.0)
    assert slurm.tried([job(1), job(3), job(4)], at=40.0) == [1, 3]


def test_what_never_ends_asks_for_more_minutes_than_anything() -> None:
    slurm = Slurm("QOSGrpGRESMinutes")  # a job without a time limit was refused
    assert slurm.tried([job(2)]) == []
    free, _ = slurm.lessons.heed(
        (replace(task(job(3)), minutes=9999),), [job(3)], (), 0.0, lambda _: True
    )
    assert len(free) == 1


def test_one_job_is_tried_when_one_that_counts_ends_and_twice_as_many_once_it_starts() -> None:
    slurm = Slurm("QOSMaxGRESPerUser")
    waiting = [job(n) for n in range(2, 9)]
    slurm.lessons.look(slurm.running, 1.0)
    assert slurm.tried(waiting) == []
    slurm.lessons.look([job(90, "COMPLETED")], 1.0)
    assert slurm.tried(waiting) == [2]
    slurm.lessons.look([job(2, "RUNNING")], 1.0)
    assert slurm.tried(waiting[1:]) == [3, 4]
    slurm.lessons.look([job(n, "RUNNING") for n in (2, 3, 4)], 1.0)
    assert slurm.tried(waiting[3:]) == [5, 6, 7, 8]


SOME_REASONS = ("QOSMaxGRESPerUser", "QOSGrpGRES", "AssocGrpGRES", "Licenses", "QOSUsageThreshold")


@given(
    st.lists(st.tuples(*[st.sampled_from("abc")] * 3, st.sampled_from(["RUNNING", "PENDING"]))),
    st.lists(st.tuples(st.sampled_from(SOME_REASONS), *[st.sampled_from("abc")] * 3)),
)
def test_those_that_count_for_a_lesson_are_those_that_have_its_common_things(
    held: list[tuple[str, str, str, str]], refused: list[tuple[str, str, str, str]]
) -> None:
    jobs = [
        job(100 + n, state, user=user, account=account, qos=qos)
        for n, (user, account, qos, state) in enumerate(held)
    ]
    lessons = Lessons(first_seconds=10.0, retry_seconds=60.0)
    for n, (reason, user, account, qos) in enumerate(refused):
        one = job(n, user=user, account=account, qos=qos, reason=reason)
        lessons.learn(pin(one), one, [], 0.0)
    lessons.look(jobs, 1.0)
    for scope, lesson in lessons.known.items():
        alike = (scope_of(scope.reason, one, scope.partition) == scope for one in jobs)
        pairs = zip(jobs, alike, strict=True)
        assert lesson.counted == {o.key for o, same in pairs if same and o.state == "RUNNING"}


def test_each_running_job_is_looked_at_once_however_many_lessons_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand lessons and 5,000 running jobs took 3.8 s of each cycle."""
    lessons = Lessons(first_seconds=10.0, retry_seconds=60.0)
    for n in range(100):
        one = job(n, user=f"user{n}", reason="QOSMaxGRESPerUser")
        lessons.learn(pin(one), one, [], 0.0)
    runs = [job(1000 + n, "RUNNING", user=f"user{n}") for n in range(100)]
    seen: list[int] = []

    def holds_nodes(one: Job) -> bool:
        seen.append(one.id)
        return one.state == "RUNNING"

    monkeypatch.setattr(Job, "holds_nodes", property(holds_nodes))
    lessons.look(runs, 1.0)
    assert all(len(lesson.counted) == 1 for lesson in lessons.known.values())
    assert len(seen) == len(runs)


def test_an_unrelated_job_that_ends_says_nothing() -> None:
    slurm = Slurm("QOSMaxGRESPerUser")
    slurm.lessons.look([*slurm.running, job(91, "RUNNING", user="bob")], 1.0)
    slurm.lessons.look(slurm.running, 1.0)
    assert slurm.tried([job(2)]) == []


def test_what_started_beside_the_refused_job_tells_of_no_room() -> None:
    slurm = Slurm("QOSMaxGRESPerUser")
    slurm.lessons.look([*slurm.running, job(2, "RUNNING")], 1.0)
    assert slurm.tried([job(3)]) == []


def test_the_limit_of_one_pool_leaves_the_others_open() -> None:
    slurm = Slurm("QOSMaxGRESPerUser")
    both = task(job(2), pools=(TRAIN, "infer-nv"))
    free, held = slurm.lessons.heed((both,), [job(2)], (), 0.0, lambda _: True)
    assert [t.pools for t in free] == [("infer-nv",)]
    assert not held


def test_a_job_that_has_no_room_is_no_try() -> None:
    slurm = Slurm("QOSMaxGRESPerUser")
    slurm.lessons.look([], 1.0)
    tasks = (task(job(2)), task(job(3)), task(job(4)))
    jobs = {n: job(n) for n in (2, 3, 4)}
    free, _ = slurm.lessons.heed(tasks, jobs.values(), (), 0.0, lambda t: t.job_id != 2)
    assert [t.job_id for t in free] == [2, 3]
