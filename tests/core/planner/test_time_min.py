"""A job with --time-min gets the longest time that delays nobody above it, as under backfill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.backfill import Backfill
from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.model import Job
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Prepared, decide, observe, prepare
from slurm_het.core.planner.switch import out_of_the_gate
from slurm_het.core.planner.updates import release_fields, return_fields
from slurm_het.core.policy import Limits
from slurm_het.core.preemption import Preemption, QosPreemption
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.views.starts import waiting_starts
from slurm_het.core.worth.forecast import Forecast
from tests.support.world import gated, inventory, policy, running, snapshot, with_side_door

NOW, HOUR = 1000.0, 3600.0


def held(number: int, node: str, until: float, devices: int = 4) -> Job:
    """A job that holds so many of a node's A100s until then; 0 is for ever."""
    detail = f"gpu:a100:{devices}(IDX:0-{devices - 1})"
    return running(number, node, detail, end_time=int(until), cpus=devices)


FULL_NV2 = held(2, "nv2", 0, 8)
"""nv1 is the only node with room."""
HALF_AN_HOUR = held(1, "nv1", NOW + HOUR), FULL_NV2
"""Half of nv1 is free now, and all of it in an hour."""


def asks(number: int, devices: int, minutes: int | None, least: int = 0, **fields: Any) -> Job:
    """A gated job of A100s as it was submitted: the lower its number, the sooner its turn."""
    limit = "" if minutes is None else str(minutes)
    sent = {"tres_per_node": f"gpu:a100:{devices}", "user_name": "ann", "time_limit": limit}
    sent |= {"time_min": str(least)} if least else {}
    made = admit_message(sent, policy(), inventory())
    assert isinstance(made, Admitted)
    record = {"tres_per_node": sent["tres_per_node"], "time_limit_minutes": minutes, "cpus": 1}
    mark = made.fields["admin_comment"]
    return gated(number, admin_comment=mark, priority=1000 - number, **(record | fields))


def look(memory: Memory, *jobs: Job, **taken: Any) -> Prepared:
    shot = replace(snapshot(*jobs), time=NOW, **taken)
    observed = observe(shot, policy(), memory, 0.0)
    return prepare(observed, Limits(reserve_after_seconds=0.0), memory, 0.0)


def hetd() -> Memory:
    return Memory(Pins(10.0, 60.0))


def released(ready: Prepared) -> dict[str, dict[str, str]]:
    """By key of the jobs that start, the fields of their release."""
    jobs, tasks = {j.key: j for j in ready.snapshot.jobs}, {t.key: t for t in ready.window}
    plan = decide(ready, Forecast(), greedy)
    return {
        p.key: release_fields(p, jobs[p.key], limits=plan.as_placed(tasks[p.key], p).time_limits)
        for p in plan.placements
    }


def given(*jobs: Job, **taken: Any) -> dict[str, str]:
    """By key of the jobs that start, the time limit that their release writes; '' for none."""
    made = released(look(hetd(), *jobs, **taken))
    return {key: fields.get("TimeLimit", "") for key, fields in made.items()}


@pytest.mark.parametrize("door", [False, True], ids=["a place", "pinned ahead"])
@pytest.mark.parametrize(
    ("limit", "least", "above", "sent"),
    [
        (600, 10, True, "60"),
        (600, 60, True, "60"),
        (600, 0, True, None),
        (600, 90, True, None),
        (50, 10, True, ""),
        (None, 10, True, "60"),
        (600, 10, False, ""),
    ],
    ids=[
        "until the first who waits", "just its least", "no --time-min", "the least is too long",
        "all it asks for", "no limit", "nobody waits",
    ],
)  # fmt: skip
def test_it_gets_the_time_until_the_first_above_starts(
    door: bool, limit: int | None, least: int, above: bool, sent: str | None
) -> None:
    low = asks(8, 4, limit, least)
    shot = snapshot()
    there = with_side_door(shot) if door else shot
    made = given(
        *HALF_AN_HOUR, *[asks(7, 8, 60)] * above, low,
        nodes=there.nodes, partitions=there.partitions,
    )  # fmt: skip
    assert made == ({} if sent is None else {"8": sent})


@pytest.mark.parametrize("door", [False, True])
def test_those_below_bound_it_not(door: bool) -> None:
    """Job 9 wants all of the node, and comes after it."""
    shot = with_side_door(snapshot()) if door else snapshot()
    jobs = *HALF_AN_HOUR, asks(8, 4, 600, 10), asks(9, 8, 60)
    assert given(*jobs, nodes=shot.nodes, partitions=shot.partitions) == {"8": ""}


def test_who_starts_beside_it_and_waits_above_it_bound_it_together() -> None:
    """Job 6 starts for two hours, and only then job 7 has all of the node."""
    jobs = HALF_AN_HOUR[0], FULL_NV2, asks(6, 2, 120), asks(7, 8, 60), asks(8, 2, 600, 10)
    assert given(*jobs) == {"6": "", "8": "120"}


def test_those_below_see_how_long_it_runs() -> None:
    """It runs for an hour; job 9 is to start then, at the soonest, and does not keep job 10 off."""
    jobs = *HALF_AN_HOUR, asks(7, 8, 60), asks(8, 3, 600, 10), asks(9, 4, 30), asks(10, 1, 60)
    assert given(*jobs) == {"8": "60", "10": ""}


def test_who_waits_is_told_when_it_ends_by_that_limit() -> None:
    """It runs for 60 minutes of 600, and job 7 for an hour; then job 9 has all of the node."""
    jobs = *HALF_AN_HOUR, asks(7, 8, 60), asks(8, 4, 600, 10), asks(9, 8, 60)
    ready = look(hetd(), *jobs)
    starts = waiting_starts(ready, decide(ready, Forecast(), greedy))
    assert starts == {"7": NOW + HOUR, "9": NOW + 2 * HOUR}
    alone = look(hetd(), FULL_NV2, asks(8, 4, 120, 10), asks(9, 8, 60))
    assert waiting_starts(alone, decide(alone, Forecast(), greedy)) == {"9": NOW + 2 * HOUR}


PREEMPTION = Preemption(
    by="qos",
    modes=frozenset({"REQUEUE"}),
    qos={"high": QosPreemption(preempts=frozenset({"idle"}))},
)


@pytest.mark.parametrize(
    ("above", "least", "soft", "sent"),
    [(True, 10, False, "60"), (True, 60, False, "60"), (False, 10, False, ""),
     (True, 10, True, ""), (True, 90, False, None)],
)  # fmt: skip
def test_who_preempts_gets_the_time_until_the_first_above_starts(
    above: bool, least: int, soft: bool, sent: str | None
) -> None:
    """Job 3 makes room for job 8, whom Slurm would start with all of its limit."""
    low = running(3, "nv1", "gpu:a100:4(IDX:4-7)", qos="idle", partition="train-nv", cpus=4)
    jobs = *HALF_AN_HOUR, low, *[asks(7, 8, 60, qos="high")] * above
    job = asks(8, 4, 600, least, qos="high")
    taken = {"preemption": PREEMPTION, "backfill": Backfill(time_min_is_soft=soft)}
    ready = look(hetd(), *jobs, job, **taken)
    made = [release_fields(e.placement, job, "", e.task.time_limits) for e in ready.way.evictions]
    assert [fields.get("TimeLimit", "") for fields in made] == ([] if sent is None else [sent])


def test_it_gets_all_of_its_time_where_another_node_has_that() -> None:
    jobs = HALF_AN_HOUR[0], held(2, "nv2", 0), asks(7, 8, 60)
    plan = decide(look(hetd(), *jobs, asks(8, 4, 600, 10)), Forecast(), greedy)
    assert [p.nodes for p in plan.placements] == [("nv2",)]
    assert not plan.shortened
    both = decide(look(hetd(), *jobs, asks(8, 4, 600), asks(9, 4, 600, 10)), Forecast(), greedy)
    assert not both.shortened


def test_it_ends_before_a_reservation_of_slurms() -> None:
    """Slurm's main scheduler would not start it with more."""
    stop = ReservationRecord("stop", int(NOW + HOUR), int(NOW + 9 * HOUR), nodes=("nv1", "nv2"))
    made = given(asks(8, 4, 600, 10), reservations=(stop,))
    assert 10 <= int(made["8"]) < 60


def test_where_the_least_time_is_but_soft_it_keeps_its_limit() -> None:
    jobs = *HALF_AN_HOUR, asks(7, 8, 60), asks(8, 4, 600, 10)
    assert given(*jobs, backfill=Backfill(time_min_is_soft=True)) == {"8": ""}


SHORTENED = *HALF_AN_HOUR, asks(7, 8, 60)


def sent(job: Job, **fields: Any) -> Job:
    """The job's record once its release was sent."""
    update = released(look(hetd(), *SHORTENED, job))[job.key]
    minutes = None if update["TimeLimit"] == "UNLIMITED" else int(update["TimeLimit"])
    there: dict[str, Any] = {"partition": update["Partition"], "req_nodes": update["ReqNodeList"]}
    there |= {"admin_comment": update["AdminComment"], "time_limit_minutes": minutes}
    return replace(job, reason="None", **(there | fields))


@pytest.mark.parametrize(("limit", "text"), [(600, "600"), (None, "UNLIMITED")])
@pytest.mark.parametrize("then", [60, 10], ids=["it waits yet", "requeued, Slurm gave the least"])
def test_who_is_taken_back_has_his_users_limit_again(
    then: int, limit: int | None, text: str
) -> None:
    """Also by a hetd that has just started, and knows no more than the record."""
    job = sent(asks(8, 4, limit, 10))
    assert job.time_limit_minutes == 60
    memory = hetd()
    for now in (60, then):
        record = replace(job, time_limit_minutes=now, restarts=int(now != 60))
        look(memory, *SHORTENED, record)
        back = return_fields(policy(), memory.pins.pins["8"])
        assert (back["Partition"], back["TimeLimit"]) == ("accel", text)


def test_a_limit_that_somebody_set_since_stays() -> None:
    job, memory = sent(asks(8, 4, 600, 10), time_limit_minutes=45), hetd()
    look(memory, *SHORTENED, job)
    assert "TimeLimit" not in return_fields(policy(), memory.pins.pins["8"])


@pytest.mark.parametrize(("now", "then"), [(60, "600"), (10, "600"), (600, ""), (200, "")])
def test_who_is_in_the_gate_again_has_his_users_limit(now: int, then: str) -> None:
    job = asks(8, 4, 600, 10)
    mark = sent(job).admin_comment
    assert given(replace(job, admin_comment=mark, time_limit_minutes=now)) == {"8": then}
    again = replace(job, admin_comment=mark, time_limit_minutes=now)
    update = released(look(hetd(), *SHORTENED, again))["8"]
    own = "600" if then else str(now)
    assert f"60 of {own}" in update.get("AdminComment", mark)


def test_who_leaves_plan_after_a_shorter_release_has_all_of_his_limit_again() -> None:
    job = asks(2, 4, 600, 30)
    sent = released(look(hetd(), *HALF_AN_HOUR, asks(1, 8, 600), job))["2"]
    assert sent["TimeLimit"] == "60"
    pinned = replace(
        job, partition=sent["Partition"], req_nodes=sent["ReqNodeList"], time_limit_minutes=60,
        admin_comment=sent["AdminComment"],
    )  # fmt: skip
    (move,) = out_of_the_gate(snapshot(pinned), policy(), frozenset({"train-nv"}))
    assert move.updates[-1]["TimeLimit"] == "600"
