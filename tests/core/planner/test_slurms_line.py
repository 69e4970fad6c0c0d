"""Tasks that are put into Slurm's own line, for others wait for the same nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.jobs.mark import without_blanks
from slurm_het.core.model import Job, Partition, Placement, Snapshot
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Observed, Prepared, observe, prepare
from slurm_het.core.planner.slurms_line import STAYS_SECONDS, line_fields
from slurm_het.core.policy import Limits
from slurm_het.core.views.job_rows import make_view
from tests.support.world import marked, policy, running, snapshot

FULL = tuple(
    running(n, node, "gpu:a100:8(IDX:0-7)", end_time=9999)
    for n, node in enumerate(["nv1", "nv2"], 1)
)


def scavenger(number: int = 90, **fields: Any) -> Job:
    base: dict[str, Any] = {"partition": "scavenge", "tres_per_node": "gpu:1", "priority": 1}
    return Job(number, **(base | {"reason": "Resources"} | fields))


def site(*jobs: Job) -> Snapshot:
    """The nodes of train-nv are in the partition scavenge too, which is no pool."""
    now = snapshot(*jobs)
    nodes = tuple(
        replace(n, partitions=(*n.partitions, "scavenge")) if "train-nv" in n.partitions else n
        for n in now.nodes
    )
    return replace(now, nodes=nodes, partitions=(*now.partitions, Partition("scavenge")))


class Hetd:
    """What one hetd remembers from look to look."""

    def __init__(self) -> None:
        self.memory = Memory(Pins(10, 60))

    def observe(self, *jobs: Job, seconds: float = 0.0) -> Observed:
        return observe(site(*jobs), policy(), self.memory, seconds)

    def prepare(self, *jobs: Job) -> Prepared:
        return prepare(self.observe(*jobs), Limits(), self.memory, 0.0)


def in_line(job: Job) -> Job:
    """The job once it was put into the line."""
    found = Hetd().prepare(*FULL, scavenger(), job)
    (task,) = found.line.joins
    fields = line_fields(task, job)
    assert set(fields) == {"Partition", "AdminComment"}
    partition = fields["Partition"]
    return replace(
        job,
        partition=partition,
        admin_comment=without_blanks(fields["AdminComment"]),
        reason="Resources",
    )


def test_what_a_site_wrote_before_our_record_stays() -> None:
    job = marked(7)
    job = replace(job, admin_comment=f"budget=p42 {job.admin_comment}")
    assert in_line(job).admin_comment.startswith("budget")


def test_where_others_wait_for_its_nodes_it_stands_in_line_with_them() -> None:
    found = Hetd().prepare(*FULL, scavenger(), marked(7))
    assert [task.key for task in found.line.joins] == ["7"]
    assert not found.ahead.reserve, "where it will be free first nobody knows"
    assert not found.window


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "QOSMaxGRESPerUser"},
        {"reason": "ReqNodeNotAvail"},
        {"dependency": "afterok:1"},
        {"priority": 0},
        {"tres_per_node": ""},
        {"partition": "cpu"},
        {"partition": "scavenge,train-nv", "priority": 10**6},  # before it in any case
        {"partition": "train-nv", "priority": 10**6},
        {"partition": "train-nv", "reason": "None"},  # just submitted: it may start at once
        {"partition": "train-nv,accel"},
        {"state": "RUNNING", "nodes": "nv1"},
    ],
)
def test_who_is_no_rival(fields: dict[str, Any]) -> None:
    found = Hetd().prepare(*FULL, scavenger(**fields), marked(7))
    assert not found.line.joins
    assert [made.task.key for made in found.ahead.reserve] == ["7"]


@pytest.mark.parametrize("nodes", ["", "nv1"])
def test_older_jobs_go_before_one_that_was_passed_to_their_pool(nodes: str) -> None:
    """In its order: no more of them than could take what it waits for."""
    passed = scavenger(partition="train-nv", priority=50, req_nodes=nodes)
    gated = [marked(n, tres_per_node="gpu:a100:4", priority=100 - n) for n in range(10, 20)]
    found = Hetd().prepare(*FULL, passed, *gated, marked(60, priority=40))
    expected = ["10", "11"] if nodes else ["10", "11", "12", "13"]
    assert [task.key for task in found.line.joins] == expected
    pinned = Hetd()
    (made,) = pinned.prepare(*FULL, marked(7)).ahead.reserve
    pinned.memory.pins.add(made.task, made.placement, 0.0, made.start)
    ahead = marked(7, partition="train-nv", req_nodes=made.placement.nodes[0], reason="Resources")
    assert not pinned.prepare(*FULL, passed, ahead).ahead.move, "it has its claim already"


def test_a_job_that_its_user_moved_to_a_pool_passes_nobody_either() -> None:
    """It keeps the mark that the hook gave it."""
    moved = marked(5, partition="train-nv", priority=50, reason="Resources")
    gated = [marked(n, tres_per_node="gpu:a100:4", priority=100 - n) for n in range(10, 20)]
    found = Hetd().prepare(*FULL, moved, *gated, marked(60, priority=40))
    assert [task.key for task in found.line.joins] == ["10", "11", "12", "13"]


def test_what_is_free_for_it_now_is_planned() -> None:
    """The others wait for more than that."""
    found = Hetd().prepare(FULL[0], scavenger(tres_per_node="gpu:8"), marked(7))
    assert not found.line.joins
    assert [task.key for task in found.window] == ["7"]


def test_the_line_is_no_longer_than_the_pool_has_devices() -> None:
    jobs = [marked(n, tres_per_node="gpu:a100:4", priority=100 - n) for n in range(10, 20)]
    found = Hetd().prepare(*FULL, scavenger(), *jobs)
    assert [task.key for task in found.line.joins] == ["10", "11", "12", "13"]
    assert "Slurm" in str(found.ahead.kept["14"])


def test_who_comes_later_does_not_pass_those_in_line() -> None:
    hetd = Hetd()
    first = in_line(marked(7, tres_per_node="gpu:a100:8", priority=9))
    found = hetd.prepare(replace(FULL[0], gres_detail=("gpu:a100:4(IDX:0-3)",)), FULL[1],
                         first, marked(8, priority=1))  # fmt: skip
    assert [pin.task.key for pin in found.pins if pin.in_line] == ["7"]
    assert [task.key for task in found.line.joins] == ["8"]
    (row,) = (row for row in make_view(site(first), policy(), Limits()).rows if row.id == "7")
    assert "Slurm's own line" in row.reason


def test_its_end_is_told_and_a_limit_takes_it_back() -> None:
    hetd, job = Hetd(), in_line(marked(7))
    assert not hetd.observe(*FULL, scavenger(), job, seconds=500.0).take_back
    held = replace(job, reason="QOSMaxGRESPerUser")
    assert [due.key for due in hetd.observe(*FULL, held).take_back] == ["7"]
    runs = replace(job, state="RUNNING", nodes="nv1", gres_detail=("gpu:a100:1(IDX:2)",))
    assert [o.event for o in hetd.observe(runs).outcomes] == ["started"]


def test_it_goes_back_to_be_planned_once_nobody_else_waits() -> None:
    hetd, job = Hetd(), in_line(marked(7))
    assert not hetd.observe(*FULL, job).take_back
    due = hetd.observe(*FULL, job, seconds=STAYS_SECONDS).take_back
    assert [(one.key, one.penalty) for one in due] == [("7", False)]


def test_a_pin_ahead_joins_the_line() -> None:
    hetd = Hetd()
    (made,) = hetd.prepare(*FULL, marked(7)).ahead.reserve
    hetd.memory.pins.add(made.task, made.placement, 0.0, made.start)
    pinned = marked(7, partition="train-nv", req_nodes=made.placement.nodes[0], reason="Resources")
    assert "7" in hetd.prepare(*FULL, scavenger(), pinned).ahead.move


def test_a_pin_whose_devices_others_took_is_tried_elsewhere_at_once() -> None:
    hetd = Hetd()
    (task,) = hetd.prepare(FULL[0], marked(7)).window
    hetd.memory.pins.add(task, Placement("7", "train-nv", ("nv2",), ((0,),), (), 80), 0.0)
    pinned = marked(7, partition="train-nv", req_nodes="nv2", reason="Resources")
    assert not hetd.observe(FULL[0], scavenger(), pinned).take_back
    due = hetd.observe(*FULL, scavenger(), pinned).take_back
    assert [(one.key, one.penalty) for one in due] == [("7", False)]


def test_who_could_be_given_a_type_that_does_not_fit_does_not_stand_in_line() -> None:
    """Only one of its pool's types has enough memory, and its request does not say so."""
    mixed, job = Hetd(), marked(7, comment="het:mem=60")
    taken = site(*FULL, scavenger(), job)
    for other, joins in (("gpu:a100:8", ["7"]), ("gpu:l40s:8", [])):
        nodes = [replace(n, gres=other) if n.name == "nv2" else n for n in taken.nodes]
        held = (f"{other}(IDX:0-7)",)
        jobs = [replace(j, gres_detail=held) if j.nodes == "nv2" else j for j in taken.jobs]
        seen = replace(taken, nodes=tuple(nodes), jobs=tuple(jobs))
        found = prepare(observe(seen, policy(), mixed.memory, 0.0), Limits(), mixed.memory, 0.0)
        assert [task.key for task in found.line.joins] == joins
