"""Reservations for the tasks that cannot start now: where, when, and who must keep off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.model import Job, Slot
from slurm_het.core.policy import Limits
from slurm_het.core.reservations.look_ahead import first_blocked, look_ahead
from slurm_het.core.reservations.reservation import coming_free, keep_free, reserve_ahead
from tests.support.world import inventory, policy, running, snapshot, task

NOW = 1000.0
WHOLE = (Slot(8, 8, 1024),)


def busy(number: int, node: str, devices: str, end: int) -> Job:
    """A running job that holds A100s until `end` at the latest; 0 is no limit."""
    count = len(devices.split(","))
    detail = f"gpu:a100:{count}(IDX:{devices})"
    return running(number, node, detail, end_time=end, cpus=4, memory_per_cpu_mib=1024)


def reserve(whole: tuple[Slot, ...], *jobs: Job) -> tuple[tuple[str, ...], float] | None:
    """Nodes and start of a reservation for a task of these slots."""
    coming = coming_free(snapshot(*jobs), policy())
    made = reserve_ahead(task("9", slots=whole), inventory(*jobs), coming, NOW)
    return (made.placement.nodes, made.start) if made else None


def test_the_node_that_is_free_soonest() -> None:
    jobs = (busy(1, "nv1", "0,1", 5000), busy(2, "nv2", "3", 3000), busy(3, "nv2", "4", 4000))
    assert reserve(WHOLE, *jobs) == (("nv2",), 4000)


def test_several_nodes_wait_for_the_last_of_them() -> None:
    jobs = (busy(1, "nv1", "0,1", 5000), busy(2, "nv2", "3", 3000))
    assert reserve(WHOLE * 2, *jobs) == (("nv2", "nv1"), 5000)


def test_a_job_without_limit_gives_nothing_back() -> None:
    assert reserve(WHOLE, busy(1, "nv1", "0", 0), busy(2, "nv2", "0", 0)) is None
    assert reserve(WHOLE, busy(1, "nv1", "0", 0), busy(2, "nv2", "0", 7000)) == (("nv2",), 7000)


def test_a_late_job_counts_as_ending_now() -> None:
    """Slurm kills it at its limit; its end may lie a moment in the past."""
    assert reserve(WHOLE, busy(1, "nv1", "0", 900), busy(2, "nv2", "0", 0)) == (("nv1",), NOW)


def test_a_free_node_is_reserved_from_now() -> None:
    assert reserve(WHOLE, busy(1, "nv1", "0", 5000)) == (("nv2",), NOW)


def test_lower_tasks_fill_only_what_ends_in_time() -> None:
    jobs = (busy(1, "nv1", "0", 0), busy(2, "nv2", "0", 4600))
    coming = coming_free(snapshot(*jobs), policy())
    first = task("9", slots=WHOLE, priority=50)
    reservation = reserve_ahead(first, inventory(*jobs), coming, NOW)
    assert reservation is not None
    assert reservation.placement.nodes == ("nv2",)
    cases = {
        "ends in time": (task("a", priority=10, minutes=60), frozenset[str]()),
        "ends late": (task("b", priority=10, minutes=61), frozenset({"nv2"})),
        "has no limit": (task("c", priority=10, minutes=None), frozenset({"nv2"})),
        "is more important": (task("d", priority=51, minutes=None), frozenset()),
    }
    for name, (low, kept_off) in cases.items():
        (kept,) = keep_free([low], [reservation], inventory(*jobs), NOW)
        assert kept.exc_nodes == kept_off, name
        assert could_start(kept, inventory(*jobs)), "the other node is still there"


def test_the_whole_node_is_kept_in_every_pool_it_is_in() -> None:
    """Slurm's backfill starts nothing beside a pinned job, though a card would be spare."""
    full, ending = busy(1, "nv1", "0,1,2,3,4,5,6,7", 0), busy(2, "nv2", "0,1,2,3,4,5", 4600)
    coming = coming_free(snapshot(full, ending), policy())
    room = inventory(full, ending)
    made = reserve_ahead(task("9", slots=(Slot(6, 1, 1024),), priority=50), room, coming, NOW)
    assert made is not None
    assert (made.placement.nodes, made.start) == (("nv2",), 4600)
    others = set(room.nodes["nv2"].partitions) - {made.placement.partition}
    assert others
    pools = [(made.placement.partition,), tuple(others), ("train-amd",)]
    lower = [task("a", priority=10, minutes=None, pools=names) for names in pools]
    kept = keep_free(lower, [made], room, NOW)
    assert [t.exc_nodes for t in kept] == [frozenset({"nv2"}), frozenset({"nv2"}), frozenset()]


def test_one_reservation_per_pool_in_priority_order() -> None:
    queue = [
        task("1", pools=("train-nv",)),
        task("2", pools=("train-nv",)),
        task("3", pools=("train-amd",)),
        task("4", pools=("train-amd", "train-nv")),
        task("5", pools=("infer-nv",)),
    ]
    keys = {t.key for t in queue}
    assert [t.key for t in first_blocked(queue, keys, set(), 1)] == ["1", "3", "5"]
    assert [t.key for t in first_blocked(queue, keys - {"1"}, set(), 1)] == ["2", "3", "5"]
    assert [t.key for t in first_blocked(queue, keys, {"train-nv"}, 1)] == ["3", "5"]
    assert [t.key for t in first_blocked(queue, keys, set(), 2)] == ["1", "2", "3", "5"]


def test_a_blocked_task_gets_its_reservation_once_it_has_waited() -> None:
    full = [running(n, f"nv{n}", "gpu:a100:8(IDX:0-7)", end_time=500) for n in (1, 2)]
    at = replace(snapshot(*full), time=100.0)
    room = take_inventory(at, policy())

    def reserved(since: float, after: float) -> tuple[str, ...]:
        waits = task("7", slots=(Slot(8, 1, 1024),), since=since)
        view = look_ahead(at, room, (waits,), (), policy(), Limits(reserve_after_seconds=after))
        return tuple(made.task.key for made in view.reserve)

    assert reserved(since=41.0, after=60.0) == ()
    assert reserved(since=40.0, after=60.0) == ("7",)
    assert reserved(since=100.0, after=0.0) == ("7",)


def test_a_whole_device_is_not_pinned_ahead_beside_sharers_where_slurm_forgets_them() -> None:
    """The room is kept all the same: lower tasks are kept off it."""
    jobs = [
        replace(running(n, f"l40s{n}", "shard:12(IDX:0)"), end_time=2000, cpus=1) for n in (1, 2)
    ]
    shot = replace(snapshot(*jobs), time=NOW, forgets_sharers=True)
    room = take_inventory(shot, policy())
    fields: dict[str, Any] = {"types": frozenset({"l40s"}), "pools": ("infer-nv",)}
    whole = task("8", priority=9, **fields)
    share = task("9", takes_share=True, memory_gib=8, priority=1, minutes=600, **fields)
    view = look_ahead(shot, room, (whole, share), (), policy(), Limits(reserve_after_seconds=0))
    assert not view.reserve
    assert [t.key for t in view.tasks] == ["8", "9"]
    assert len(view.tasks[1].exc_nodes) == 1
