"""What the look ahead costs at worst, as numbers of what it looks at: a cycle is to be short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.model import Job, Slot, Task
from slurm_het.core.policy import Limits
from slurm_het.core.preemption import Preemption, QosPreemption
from slurm_het.core.reservations import make_way as making
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.expected import expect
from slurm_het.core.reservations.in_vain import LEAST, InVain, affordable
from slurm_het.core.reservations.make_way import make_way
from slurm_het.core.reservations.reservation import coming_free, keep_free
from slurm_het.core.reservations.shield import Shield
from slurm_het.core.slurm_reservation import ReservationRecord
from tests.support.world import gated, inventory, policy, running, snapshot, task

NOW = 1000.0
ALL = "01234567"


def busy(number: int, node: str, devices: str, end: int, **fields: Any) -> Job:
    detail = f"gpu:a100:{len(devices)}(IDX:{','.join(devices)})"
    base: dict[str, Any] = {"end_time": end, "cpus": 4, "memory_per_cpu_mib": 1024}
    return running(number, node, detail, **(base | fields))


def axis(*jobs: Job) -> Axis:
    coming = coming_free(replace(snapshot(*jobs), time=NOW), policy())
    return Axis(inventory(*jobs), coming, NOW)


def wants(key: str, devices: int = 8, minutes: int | None = 10, **fields: Any) -> Task:
    return task(key, slots=(Slot(devices, 1, 1024),), minutes=minutes, **fields)


class Closed:
    """Nodes that are closed for ever, and by whose key that was asked."""

    def __init__(self, until: float | None = None) -> None:
        self.until = until
        self.asked: list[str] = []

    def __call__(self, asked: Task, _nodes: Sequence[str], start: float) -> float | None:
        self.asked.append(asked.key)
        return self.until and max(self.until, start)


def test_alike_short_jobs_are_not_each_sought_room_for() -> None:
    """Once what blocked ones have to spare is given out, it is so for all that ask the same."""
    it = axis(busy(1, "nv1", "012345", 1600), busy(2, "nv2", ALL, 0))
    it.opens = closed = Closed(until=NOW)
    shield = Shield(it, (), (), Limits())
    tasks = [wants("big"), *(wants(str(n), 1, minutes=5) for n in range(1000))]
    assert not any(shield.keep_off(one).exc_nodes for one in tasks)
    assert closed.asked == ["big", "0", "1"]


def test_who_asks_as_much_for_as_long_is_sought_no_room_again() -> None:
    it = axis()
    it.opens = closed = Closed()
    tasks = [wants("a"), wants("b"), wants("c", minutes=11), wants("d", minutes=None)]
    assert expect([*tasks, wants("e", minutes=9)], (), it) == {}
    assert set(closed.asked) == {"a", "e"}, "a shorter one might end before that"


def test_so_many_in_vain_are_enough() -> None:
    it = axis(busy(1, "nv1", "0", 1600), busy(2, "nv2", "0", 1600))
    it.opens, it.in_vain = (closed := Closed()), InVain(LEAST)
    shield = Shield(it, (), (), Limits())
    for n in range(3 * LEAST):
        shield.keep_off(task(str(n), slots=(Slot(8, 1, 1024 + n),)))
    assert len(set(closed.asked)) == LEAST
    other = task("other", slots=(Slot(8, 1, 1024),), pools=("train-nv", "infer-nv"))
    shield.keep_off(other)
    assert "other" in closed.asked, "it may use other nodes than those"


def test_on_a_small_cluster_as_many_are_tried_as_slurms_backfill_looks_at() -> None:
    assert affordable(80) == 500
    assert affordable(14) > 500
    assert affordable(12_500) == LEAST


def test_what_a_copy_has_given_away_the_first_one_still_has() -> None:
    it = axis(busy(1, "nv1", ALL, 1600), busy(2, "nv2", ALL, 0))
    other = it.copy()
    found = expect([wants("a", minutes=None), wants("b")], (), other)
    assert set(found) == {"a"}
    assert it.soonest(wants("b")) is not None


def test_in_vain_for_an_hour_is_in_vain_for_two() -> None:
    known = InVain(LEAST)
    known.add(wants("a", minutes=60))
    assert wants("b", minutes=60) in known
    assert wants("c", minutes=None) in known
    assert wants("d", minutes=59) not in known
    assert wants("e", 7) not in known


def test_jobs_of_many_nodes_before_a_maintenance_are_told_apart_at_once() -> None:
    """No window is looked at that opens only once a start is found."""
    it = axis(busy(1, "nv1", ALL, 1600), busy(2, "nv2", ALL, 1700))
    it.opens = closed = Closed(until=NOW + 7200)
    made = it.soonest(task("a", slots=(Slot(8, 1, 1024),) * 2, minutes=600))
    assert made is not None
    assert made.start == NOW + 7200
    assert len(closed.asked) == 3, "of each node, and of both together"


def test_a_thousand_time_limits_share_what_is_closed_to_them() -> None:
    records = tuple(
        ReservationRecord(f"r{n}", NOW + 600 * n, NOW + 600 * n + 60, (f"nv{n}",)) for n in (1, 2)
    )
    shot = replace(snapshot(), time=NOW, reservations=records)
    room = take_inventory(shot, policy())
    tasks = tuple(wants(str(n), minutes=n) for n in range(1, 1000))
    kept = Closings.of(shot, room).keep_off(tasks, room)
    assert {",".join(sorted(one.exc_nodes)) for one in kept} == {"", "nv1", "nv1,nv2"}
    assert len({id(one.exc_nodes) for one in kept if one.exc_nodes}) == 2


def test_tasks_kept_off_the_same_nodes_share_them() -> None:
    made = axis(busy(1, "nv1", ALL, 1600), busy(2, "nv2", ALL, 0)).soonest(wants("big", priority=9))
    assert made is not None
    tasks = tuple(wants(str(n), minutes=60 + n) for n in range(100))
    (off,) = {one.exc_nodes for one in keep_free(tasks, [made], inventory(), NOW)}
    assert off == {"nv1"}
    assert len({id(one.exc_nodes) for one in keep_free(tasks, [made], inventory(), NOW)}) == 1


def test_making_way_has_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each that preempts come many that can start, and whose room is found first."""
    rules = {"high": QosPreemption(9, frozenset({"low"})), "low": QosPreemption(1)}
    preemption = Preemption("qos", frozenset({"REQUEUE"}), qos=rules)
    low = [busy(n, f"nv{n}", "0123456", 4600, qos="low", partition="train-nv") for n in (1, 2)]
    waiting = [gated(900 + n, qos="high") for n in range(400)]
    shot = replace(snapshot(*low, *waiting), time=NOW, preemption=preemption)
    slots = ((Slot(1, 1, 1024) if n % 40 else Slot(7, 1, 1024 + n),) for n in range(1, 400))
    tasks = tuple(task(str(900 + n), job_id=900 + n, slots=s) for n, s in enumerate(slots, 1))
    room = take_inventory(shot, policy())

    def evicted() -> int:
        way = make_way(shot, room, tasks, (), policy())
        assert len(way.tasks) + len(way.waits) == len(tasks), "nobody is lost"
        return len(way.evictions)

    assert evicted() == 2
    with monkeypatch.context() as patch:
        patch.setattr(making, "SOUGHT_MOST", 40)  # 39 that start, and the first that preempts
        assert evicted() == 1, "the next one is for the next cycle"
    monkeypatch.setattr(making, "NODES_MOST", 1)
    assert evicted() == 1
