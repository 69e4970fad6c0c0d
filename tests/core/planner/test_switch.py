"""Waiting jobs that go into the gate with a pool, and out of it again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slurm_het.core.jobs.trials import NO_TRIALS
from slurm_het.core.model import Job
from slurm_het.core.planner.shadow import as_submitted
from slurm_het.core.planner.switch import Move, into_the_gate, out_of_the_gate
from slurm_het.core.policy import Policy
from tests.support.world import gated, inventory, marked, policy, snapshot

RECORD = {
    "Partition": "partition", "Features": "features", "AdminComment": "admin_comment",
    "ReqNodeList": "req_nodes",
}  # fmt: skip
TRAIN_NV = frozenset({"train-nv"})


def only(*names: str) -> Policy:
    """The policy of these pools in plan, the others in shadow."""
    pools = tuple(p if p.partition in names else replace(p, mode="shadow") for p in policy().pools)
    return replace(policy(), pools=pools).planned


def after(job: Job, move: Move | None) -> Job:
    """The job as Slurm has it then."""
    assert move
    for update in move.updates:
        assert (
            "ReqNodeList" not in update or update.get("Partition", job.partition) != job.partition
        )
        fields: dict[str, Any] = {RECORD[name]: text for name, text in update.items()}
        job = replace(job, **fields)
    return job


def into(job: Job, plan: Policy) -> Move | None:
    made = as_submitted(job, "#HET vendors=nvidia\n", plan, inventory(), NO_TRIALS)
    return into_the_gate(job, made, plan)


def test_a_job_goes_into_the_gate_and_comes_out_as_it_was() -> None:
    plan = only("train-nv")
    job = gated(1, partition="train-nv", features="ib", reason="Resources")
    inside = after(job, into(job, plan))
    assert inside.partition == "accel"
    assert "het1:" in inside.admin_comment
    (out,) = out_of_the_gate(snapshot(inside), only(), TRAIN_NV)
    assert after(inside, out) == job
    pinned = replace(inside, partition="train-nv", req_nodes="nv1")
    (out,) = out_of_the_gate(snapshot(pinned), only(), TRAIN_NV)
    assert after(pinned, out) == job


def test_who_stays_where_he_is() -> None:
    plan = only("train-nv")
    assert into(gated(1, partition="train-nv", req_nodes="nv1"), plan) is None
    assert into(gated(2, partition="train-nv", tres_per_node=""), plan) is None
    assert into(gated(4, partition="train-nv", admin_comment="site=1"), plan) is None
    assert into(gated(3), plan) is None, "it waits in the intake: the gate closes over it"


def test_what_is_too_long_to_be_kept_stays_and_is_not_wiped() -> None:
    long = gated(1, partition="train-nv", features="&".join(["ib"] * 300))
    assert into(replace(long, features="ib"), only("train-nv"))
    assert into(long, only("train-nv")) is None
    by_the_hook = marked(1, features=long.features)
    (out,) = out_of_the_gate(snapshot(by_the_hook), only(), TRAIN_NV)
    assert after(by_the_hook, out) == replace(by_the_hook, admin_comment="")
    pinned = replace(by_the_hook, partition="train-nv", req_nodes="nv1")
    (out,) = out_of_the_gate(snapshot(pinned), only(), TRAIN_NV)
    assert after(pinned, out) == long


def test_while_other_pools_are_in_plan_their_jobs_stay_in_the_gate() -> None:
    both = only("train-nv", "train-amd")
    nv = gated(1, partition="train-nv")
    amd = gated(2, partition="train-amd", tres_per_node="gpu:mi300x:1")
    inside = [after(job, into(job, both)) for job in (nv, amd)]
    moves = list(out_of_the_gate(snapshot(*inside), only("train-amd"), TRAIN_NV))
    assert [move.key for move in moves] == ["1"]


def test_of_an_array_what_waits_is_moved_and_what_runs_is_not() -> None:
    plan = only("train-nv")
    rest = gated(7, partition="train-nv", array_job_id=7, array_tasks="3-9%2")
    last = gated(7, partition="train-nv", array_job_id=7, array_task_id=9)
    split = gated(12, partition="train-nv", array_job_id=7, array_task_id=2)
    moves = [into(job, plan) for job in (rest, last, split)]
    assert [move and move.key for move in moves] == ["7_[3-9]", "7_9", "7_2"]
    inside = [after(job, move) for job, move in zip((rest, split), moves[::2], strict=True)]
    out = list(out_of_the_gate(snapshot(*inside), only(), TRAIN_NV))
    assert [move.key for move in out] == ["7_[3-9]", "7_2"]
    nodes = ["ReqNodeList" in move.updates[-1] for move in out]
    assert nodes == [False, True], "scontrol: Invalid job ID 7_[3-9]"
