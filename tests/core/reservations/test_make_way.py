"""Who starts by preempting others, where, and whom that costs what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.cluster.placement import placement_of
from slurm_het.core.model import Job, Partition, Slot, Snapshot, Task
from slurm_het.core.preemption import Preemption, QosPreemption
from slurm_het.core.reasons import PreemptsFirst, RoomIsMade
from slurm_het.core.reservations.make_way import Way, make_way, why_pinned
from slurm_het.core.site_limits import Budget, Claim
from tests.support.world import gated, policy, running, snapshot, task

NOW = 10_000.0
REQUEUE, CANCEL, OFF = frozenset({"REQUEUE"}), frozenset({"CANCEL"}), frozenset({"OFF"})
SUSPEND = frozenset({"GANG", "SUSPEND"})
HIGH = QosPreemption(priority=100, preempts=frozenset({"idle", "old", "new"}))
BY_QOS = Preemption(by="qos", modes=REQUEUE, qos={"high": HIGH, "idle": QosPreemption()})
BY_TIER = Preemption(by="partition", modes=REQUEUE)
WHOLE = Slot(8, 8, 1024)


def busy(number: int, node: str, devices: str = "0-7", start: int = 9000, **fields: Any) -> Job:
    """A job of a QOS that others preempt, running on these A100s since `start`."""
    low, _, high = devices.partition("-")
    count = int(high or low) - int(low) + 1
    base: dict[str, Any] = {"qos": "idle", "partition": "train-nv", "cpus": 4, "priority": 5}
    base |= {"memory_per_cpu_mib": 1024, "start_time": start, "end_time": 90_000}
    return running(number, node, f"gpu:a100:{count}(IDX:{devices})", **(base | fields))


def site(*jobs: Job, preemption: Preemption = BY_QOS) -> Snapshot:
    """The sandbox with these jobs, and gated ones of the QOS high for the tasks."""
    wait = [gated(number, qos="high") for number in range(900, 910)]
    return replace(snapshot(*jobs, *wait), time=NOW, preemption=preemption)


def seeker(number: int = 900, slots: tuple[Slot, ...] = (WHOLE,), **fields: Any) -> Task:
    """A task of one of the gated jobs."""
    return task(str(number), job_id=number, slots=slots, **fields)


def way(at: Snapshot, *tasks: Task, pins: tuple[Pin, ...] = ()) -> Way:
    """What preemption changes."""
    room = room_beside(take_inventory(at, policy()), pins)
    return make_way(at, room, tasks, pins, policy())


def chosen(made: Way) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """By task: its nodes, and whom that preempts."""
    return [(e.task.key, e.placement.nodes, e.victims) for e in made.evictions]


def tiers(at: Snapshot, **changes: Any) -> Snapshot:
    """The pool a tier above a partition `scavenger` over the same nodes."""
    pool = next(p for p in at.partitions if p.name == "train-nv")
    low = Partition("scavenger", nodes=pool.nodes, **({"preempt_modes": REQUEUE} | changes))
    return replace(at, partitions=(*(replace(p, tier=10) for p in at.partitions), low))


def test_the_node_where_least_is_thrown_away() -> None:
    made = way(site(busy(1, "nv1", start=5000), busy(2, "nv2", start=9000)), seeker())
    assert chosen(made) == [("900", ("nv2",), ("2",))]
    assert made.evictions[0].lost == 8 * 1000
    assert str(made.waits["900"]) == "starts once 1 job is preempted on nv2"
    assert not made.tasks


def test_each_task_has_victims_of_its_own() -> None:
    at = site(busy(1, "nv1", start=5000), busy(2, "nv2", start=9000))
    made = way(at, seeker(900), seeker(901), seeker(902))
    assert chosen(made) == [("900", ("nv2",), ("2",)), ("901", ("nv1",), ("1",))]
    assert [t.key for t in made.tasks] == ["902"]


def test_nobody_is_preempted_for_what_a_limit_holds_back() -> None:
    claims = (Claim(Budget("QOSMaxGRESPerUser", "ann", "gres/gpu", most=20, used=8), 8),)
    at = site(busy(1, "nv1"), busy(2, "nv2"))
    made = way(at, seeker(900, claims=claims), seeker(901, claims=claims))
    assert [key for key, *_ in chosen(made)] == ["900"]
    assert [t.key for t in made.tasks] == ["901"]


@pytest.mark.parametrize(
    ("above", "minutes", "starts"),
    [
        ({}, 60, True),
        ({}, 61, False),
        ({}, None, False),
        ({"slots": (Slot(4, 4, 512),) * 2}, 61, False),
        ({"job_id": 800}, 61, True),
        ({"job_id": 800}, None, False),
        ({"priority": 1}, 61, True),
        ({"priority": 1}, None, True),
        ({"slots": (Slot(8, 99, 512),)}, 61, True),
    ],
    ids=[
        "in time", "too long", "for ever", "two nodes", "before an end it waits for", "after that",
        "it is below", "below one without a limit", "it never starts",
    ],
)  # fmt: skip
def test_who_preempts_delays_nobody_above_that_waits(
    above: dict[str, Any], minutes: int | None, starts: bool
) -> None:
    """In an hour all of nv1 is free for the first, who may then preempt as well."""
    there = busy(1, "nv1", "0-3", qos="high", end_time=13_600), busy(2, "nv1", "4-7")
    at = site(
        *there,
        busy(3, "nv2", "0-3", qos="high", end_time=0),
        busy(4, "nv2", "4-7", qos="high", end_time=13_600),
    )
    at = replace(at, jobs=(*at.jobs, gated(800, qos="normal")))
    first = replace(seeker(900), **({"priority": 10} | above))
    small = Slot(4, 4, 512)
    made = way(at, first, seeker(901, (small,), priority=5, minutes=minutes))
    assert chosen(made) == ([("901", ("nv1",), ("2",))] if starts else [])


def test_who_is_too_long_keeps_no_shorter_one_from_preempting() -> None:
    there = busy(1, "nv1", "0-3", qos="high", end_time=13_600), busy(2, "nv1", "4-7")
    at = site(*there, busy(3, "nv2", qos="high"))
    small = (Slot(4, 4, 512),)
    others = (seeker(901 + n, small, priority=9 - n, minutes=m) for n, m in enumerate((600, 30)))
    assert chosen(way(at, seeker(900, priority=10), *others)) == [("902", ("nv1",), ("2",))]


def test_two_nodes_of_one_job_cost_it_once() -> None:
    both = replace(busy(1, "nv[1-2]"), gres_detail=("gpu:a100:8(IDX:0-7)",) * 2)
    made = way(site(both), seeker(slots=(WHOLE, WHOLE)))
    assert chosen(made) == [("900", ("nv1", "nv2"), ("1",))]
    assert made.evictions[0].lost == 16 * 1000


def test_who_has_room_preempts_nobody() -> None:
    made = way(site(busy(1, "nv1")), seeker())
    assert not made.evictions
    assert [t.key for t in made.tasks] == ["900"]


def test_what_is_left_by_the_preempted_is_enough_for_others() -> None:
    at = site(busy(1, "nv1"), busy(2, "nv2"))
    two = (Slot(2, 2, 1024),)
    made = way(at, seeker(900, two), seeker(901, two))
    assert chosen(made) == [("900", ("nv1",), ("1",))]
    assert isinstance(made.waits["901"], RoomIsMade)
    pin = Pin(seeker(900, two), made.evictions[0].placement, 0.0, preempts=("1",))
    again = way(at, seeker(901, two), pins=(pin,))
    assert not again.evictions
    assert set(again.waits) == {"901"}


def test_who_can_start_takes_its_room_first() -> None:
    """Six devices of nv1 are free, and one before it wants them."""
    at = site(busy(1, "nv1", "0-1"), busy(2, "nv2", start=5000))
    first, second = seeker(900, (Slot(6, 2, 1024),)), seeker(901)
    assert chosen(way(at, first, second)) == [("901", ("nv2",), ("2",))]
    assert chosen(way(at, second)) == [("901", ("nv1",), ("1",))]


def test_slurm_takes_the_oldest_record_first_on_a_node() -> None:
    """And leaves out those that were not enough by themselves (seen on 22.05)."""
    full = busy(9, "nv2", qos="other")
    at = site(full, busy(1, "nv1", "0"), busy(2, "nv1", "1-4"), busy(3, "nv1", "5-7", start=9999))
    assert chosen(way(at, seeker(slots=(Slot(1, 1, 1024),)))) == [("900", ("nv1",), ("1",))]
    assert chosen(way(at, seeker(slots=(Slot(4, 1, 1024),)))) == [("900", ("nv1",), ("2",))]
    young = replace(at, preemption=replace(BY_QOS, youngest_first=True))
    assert chosen(way(young, seeker(slots=(Slot(1, 1, 1024),)))) == [("900", ("nv1",), ("3",))]


def test_the_lowest_qos_goes_first_whatever_it_has_done() -> None:
    qos = {"high": HIGH, "old": QosPreemption(priority=1), "new": QosPreemption(priority=2)}
    jobs = busy(1, "nv1", start=5000, qos="old"), busy(2, "nv2", start=9999, qos="new")
    made = way(site(*jobs, preemption=replace(BY_QOS, qos=qos)), seeker())
    assert chosen(made) == [("900", ("nv1",), ("1",))]


def test_sooner_is_better_than_cheaper() -> None:
    qos = {"high": HIGH, "old": QosPreemption(), "new": QosPreemption(grace_seconds=60)}
    jobs = busy(1, "nv1", start=5000, qos="old"), busy(2, "nv2", start=9999, qos="new")
    made = way(site(*jobs, preemption=replace(BY_QOS, qos=qos)), seeker())
    assert chosen(made) == [("900", ("nv1",), ("1",))]
    assert made.evictions[0].patience == 0.0


QOS_CASES: dict[str, tuple[Job, dict[str, Any], bool]] = {
    "may": (busy(1, "nv1"), {}, True),
    "is of a QOS that is not listed": (busy(1, "nv1", qos="normal"), {}, False),
    "is of the same QOS": (busy(1, "nv1", qos="high"), {}, False),
    "within, of less priority": (
        busy(1, "nv1", qos="high"), {"modes": REQUEUE | {"WITHIN"}}, True),
    "within, of more priority": (
        busy(1, "nv1", qos="high", priority=2000), {"modes": REQUEUE | {"WITHIN"}}, False),
    "priority decides, of more": (
        busy(1, "nv1", priority=2000), {"modes": REQUEUE | {"PRIORITY"}}, False),
    "is exempt": (busy(1, "nv1", start=9900), {"exempt_seconds": 101}, False),
    "was exempt": (busy(1, "nv1", start=9900), {"exempt_seconds": 100}, True),
    "is exempt by priority": (busy(1, "nv1", priority=8), {"min_exempt_priority": 7}, False),
    "is suspended only": (busy(1, "nv1"), {"modes": SUSPEND}, False),
    "is ending": (replace(busy(1, "nv1"), state="COMPLETING"), {}, False),
    "nobody preempts": (busy(1, "nv1"), {"by": ""}, False),
}  # fmt: skip


@pytest.mark.parametrize("case", QOS_CASES)
def test_who_may_preempt_whom_by_qos(case: str) -> None:
    victim, rules, may = QOS_CASES[case]
    at = site(victim, busy(2, "nv2", qos="other"), preemption=replace(BY_QOS, **rules))
    assert bool(way(at, seeker()).evictions) == may


TIER_CASES: dict[str, tuple[dict[str, Any], str, bool]] = {
    "a tier below": ({}, "scavenger", True),
    "off there": ({"preempt_modes": OFF}, "scavenger", False),
    "cancelled there": ({"preempt_modes": CANCEL}, "scavenger", True),
    "suspended there": ({"preempt_modes": SUSPEND}, "scavenger", False),
    "the same tier": ({"tier": 10}, "scavenger", False),
    "its own pool": ({}, "train-nv", False),
}


@pytest.mark.parametrize("case", TIER_CASES)
def test_who_may_preempt_whom_by_tier(case: str) -> None:
    changes, partition, may = TIER_CASES[case]
    jobs = (busy(1, "nv1", partition=partition), busy(2, "nv2", partition="train-nv"))
    at = tiers(site(*jobs, preemption=BY_TIER), **changes)
    assert bool(way(at, seeker()).evictions) == may


def test_a_suspended_job_gives_its_cpus() -> None:
    """It keeps devices and memory (tried on 22.05)."""
    hogs = [
        running(n, f"nv{n}", "", cpus=64, partition="scavenger", start_time=1, end_time=90_000)
        for n in (1, 2)
    ]
    at = tiers(site(*hogs, preemption=BY_TIER), preempt_modes=SUSPEND)
    nodes = [replace(n, cpus_alloc=64) if n.name in ("nv1", "nv2") else n for n in at.nodes]
    made = way(replace(at, nodes=tuple(nodes)), seeker())
    assert chosen(made) == [("900", ("nv1",), ("1",))]
    assert made.evictions[0].lost == 0.0


def test_all_components_must_be_preemptable() -> None:
    parts = busy(1, "nv1", het_job_id=1), busy(2, "nv2", "0-3", het_job_id=1)
    made = way(site(*parts, busy(3, "nv2", "4-7", qos="other")), seeker())
    assert chosen(made) == [("900", ("nv1",), ("1", "2"))]
    kept = replace(parts[1], qos="other")
    assert not way(site(parts[0], kept, busy(3, "nv2", "4-7", qos="other")), seeker()).evictions


def pin_of(nodes: tuple[str, ...], start: float, **fields: Any) -> Pin:
    """A whole node, pinned."""
    wanted = seeker(**fields)
    place = placement_of(wanted, "train-nv", [(n, tuple(range(8))) for n in nodes], {})
    return Pin(wanted, place, 0.0, start)


def test_a_pin_ahead_moves_once_it_may_preempt() -> None:
    at = site(busy(1, "nv1"), busy(2, "nv2", qos="other"))
    assert way(at, pins=(pin_of(("nv2",), 90_000.0),)).move == ("900",)
    assert not way(site(busy(1, "nv1", qos="other")), pins=(pin_of(("nv2",), 90_000.0),)).move


def test_who_waits_for_a_grace_time_goes_where_room_is_free_meanwhile() -> None:
    pin = replace(pin_of(("nv1",), 0.0), preempts=("1",), patience=100.0)
    assert way(site(busy(1, "nv1")), pins=(pin,)).move == ("900",)
    assert not way(site(busy(1, "nv1"), busy(2, "nv2")), pins=(pin,)).move
    assert not way(site(busy(3, "nv1")), pins=(pin,)).move, "it starts at once"
    assert not way(site(busy(1, "nv1")), pins=(replace(pin, patience=0.0),)).move


def test_a_reservation_of_higher_priority_is_kept() -> None:
    at = site(busy(1, "nv1"), busy(2, "nv2", start=5000))
    others = replace(pin_of(("nv1",), 90_000.0), task=seeker(999, priority=50))
    assert chosen(way(at, seeker(priority=9), pins=(others,))) == [("900", ("nv2",), ("2",))]


def test_why_a_pinned_task_waits() -> None:
    at = site(busy(1, "nv1"), busy(2, "nv2", qos="other"))
    whys = why_pinned(at, take_inventory(at, policy()), [pin_of(("nv1",), 0.0)], policy())
    assert whys == {"900": PreemptsFirst(1, ("nv1",))}
    assert not why_pinned(at, take_inventory(at, policy()), [pin_of(("nv2",), 0.0)], policy())
