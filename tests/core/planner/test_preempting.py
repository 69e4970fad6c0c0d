"""What becomes of a pin for which others are preempted, and of those; when to look again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slurm_het.core.model import Job, Placement, Snapshot
from slurm_het.core.planner.alarm import next_change
from slurm_het.core.planner.outcomes import Event
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, observe, prepare
from slurm_het.core.policy import Limits
from slurm_het.core.preemption import Preemption, QosPreemption
from tests.support.world import gated, marked, policy, running, snapshot, task

NOW = 10_000.0
RULES = Preemption(
    by="qos",
    modes=frozenset({"REQUEUE"}),
    exempt_seconds=600,
    qos={"high": QosPreemption(preempts=frozenset({"idle"}))},
)
ON_NV1 = Placement("1", "train-nv", ("nv1",), ((0,),), ("a100",), 80)


def at(*jobs: Job) -> Snapshot:
    return replace(snapshot(*jobs), time=NOW, preemption=RULES)


def busy(number: int, **fields: Any) -> Job:
    """A job on a whole node."""
    base = {"qos": "idle", "start_time": 9500, "partition": "train-nv", "cpus": 8}
    return running(number, f"nv{number % 10}", "gpu:a100:8(IDX:0-7)", **(base | fields))


def pinned(number: int, **fields: Any) -> Job:
    """A job that is released to a whole node."""
    base = {"partition": "train-nv", "req_nodes": "nv1", "tres_per_node": "gpu:8"}
    return replace(marked(number), **(base | fields))


def pins() -> Pins:
    """Hetd's, with job 1 pinned to nv1, where job 11 is to make room."""
    made = Pins(grace_seconds=45, retry_seconds=60)
    made.add(task("1"), ON_NV1, 0.0)
    made.await_room("1", ("11",), patience=100.0)
    return made


def test_a_pin_has_patience_with_those_who_are_preempted() -> None:
    mine = pins()
    assert not mine.late(140.0, NOW)
    assert mine.late(145.0, NOW)


def test_who_was_preempted_is_told_of_once_and_for_whom() -> None:
    mine, waits = pins(), pinned(1)
    assert not mine.observe(at(waits, busy(11)), policy(), 1.0)
    requeued = pinned(11, restarts=1)
    (outcome,) = mine.observe(at(waits, requeued), policy(), 2.0)
    assert outcome == ("11", Event.PREEMPTED, "for job 1, on nv1")
    assert not mine.observe(at(waits, requeued), policy(), 3.0)
    other = pins()
    (outcome,) = other.observe(at(waits, replace(busy(11), state="PREEMPTED")), policy(), 2.0)
    assert outcome.event is Event.PREEMPTED
    assert not pins().observe(at(waits, replace(busy(11), state="COMPLETED")), policy(), 2.0)


def test_a_requeued_job_is_unpinned_until_it_may_begin() -> None:
    """Slurm keeps its node list and lets it begin two minutes later."""
    later = pinned(1, restarts=1, submit_time=9_990, eligible_time=10_111, reason="BeginTime")
    (back,) = observe(at(later), policy(), Memory(Pins(45, 60)), 0.0).take_back
    assert (back.key, back.penalty) == ("1", False)
    (back,) = observe(at(later), policy(), Memory(pins()), 0.0).take_back
    assert back.key == "1"
    for settled in (
        replace(later, eligible_time=9_999),
        replace(later, admin_comment=""),
        replace(later, reason="JobHeldUser"),
        replace(later, partition="accel", req_nodes=""),
    ):
        assert not observe(at(settled), policy(), Memory(Pins(45, 60)), 0.0).take_back


def change(*jobs: Job) -> float | None:
    memory = Memory(Pins(45, 60))
    return next_change(prepare(observe(at(*jobs), policy(), memory, 0.0), Limits(), memory, 0.0))


def test_when_to_look_again() -> None:
    waits = gated(1, qos="high", tres_per_node="gpu:8")
    assert change(waits) is None
    assert change(busy(11)) is None
    assert change(waits, busy(11), busy(12, start_time=9600)) == 10_100
    later = replace(waits, submit_time=9_990, eligible_time=10_050)
    assert change(later, busy(11)) == 10_050


def test_it_looks_again_when_the_nodes_may_be_done_with_a_job() -> None:
    waits = gated(1, tres_per_node="gpu:8")
    depends = replace(waits, dependency="afterok:11(unfulfilled)")
    for ended, again in ((10_000, 10_000.5), (9_999, 10_001), (9_960, 10_040)):
        ending = replace(busy(11), state="COMPLETING", end_time=ended)
        assert change(waits, ending) == again
        assert change(depends, ending) == again
        assert change(ending) is None
        assert change(replace(depends, dependency="afterok:12(unfulfilled)"), ending) is None
