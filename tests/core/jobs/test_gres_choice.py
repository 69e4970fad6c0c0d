"""Which GRES a job asks for where: as it is written, with a type, or by another name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.config import parse_config
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.fit import misfit
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.jobs.asked import Anew, adoption, asked_anew, update_of, updated
from slurm_het.core.jobs.gres_choice import original_gres, rewritten_gres
from slurm_het.core.jobs.mark import decode_comment, encode_mark, rewritten
from slurm_het.core.jobs.task_pools import TaskPools, fill_task_pools
from slurm_het.core.model import Job, NodeRecord, Partition, Placement, Slot, Snapshot, Task
from slurm_het.core.planner.build_problem import build
from slurm_het.core.planner.plan import plan
from slurm_het.core.planner.settled import asks_anew
from slurm_het.core.planner.slurm_picks import pick_devices
from slurm_het.core.planner.switch import out_of_the_gate
from slurm_het.core.planner.updates import gres_fields, release_fields, return_fields
from slurm_het.core.reasons import Unfit

CONFIG = """
intake_partition: accel
gres: {gpu: {}, shard: {shared: true}, npu: {vendors: [ascend]}}
pools:
  train-nv: {scenario: training, vendors: [nvidia]}
  train-ascend: {scenario: training, vendors: [ascend]}
types:
  a100: {vendor: nvidia, memory_gib: 80}
  l40s: {vendor: nvidia, memory_gib: 48}
  t4: {vendor: nvidia, memory_gib: 16}
  910b: {vendor: ascend, memory_gib: 64}
default_vendors: [nvidia]
"""
POLICY = parse_config(CONFIG).policy


def record(name: str, gres: str, pool: str) -> NodeRecord:
    types = frozenset({"a100", "l40s", "t4", "910b"})
    return NodeRecord(name, "IDLE", gres, 64, 0, 512_000, 0, 1, types, ("accel", pool))


MIX = record("mix1", "gpu:a100:2,gpu:l40s:2,gpu:t4:2", "train-nv")
PURE = record("nv1", "gpu:a100:2", "train-nv")
NPU = record("asc1", "npu:910b:4", "train-ascend")


def snapshot(*jobs: Job, nodes: tuple[NodeRecord, ...] = (MIX,), rewrites: bool = True) -> Snapshot:
    partitions = tuple(Partition(name) for name in ("accel", "train-nv", "train-ascend"))
    return Snapshot(0.0, jobs, nodes, partitions, rewrites)


def gated(script: str, **fields: str) -> Job:
    """A job as the hook leaves it; `script` decides what fits."""
    sent = {"script": f"#!/bin/sh\n{script}\n", **fields}
    there = take_inventory(snapshot(nodes=(MIX, PURE, NPU)), POLICY)
    admission = admit_message(sent, POLICY, there)
    assert isinstance(admission, Admitted), admission
    known = {"tres_per_node", "tres_per_job", "admin_comment"}
    final = {k: v for k, v in (fields | admission.fields).items() if k in known}
    return Job(7, partition="accel", priority=1, memory_per_cpu_mib=1024, **final)  # type: ignore[arg-type]


def filled(taken: Snapshot) -> tuple[Inventory, TaskPools]:
    inventory = take_inventory(taken, POLICY)
    return inventory, fill_task_pools(taken, inventory, POLICY)


def placed(taken: Snapshot) -> tuple[Task, Placement]:
    inventory, queue = filled(taken)
    (task,) = queue.tasks
    made = plan(inventory, queue.tasks, POLICY, greedy)
    assert made.placements, made.waiting
    return task, made.placements[0]


FORTY = "#HET memory=40G vendors=nvidia"  # an a100 or an l40s, no t4


@pytest.mark.parametrize("field", ["tres_per_node", "tres_per_job"])
def test_a_type_is_added_on_a_mixed_node(field: str) -> None:
    job = gated(FORTY, **{field: "gpu:2"})
    task, placement = placed(snapshot(job))
    wanted = rewritten_gres(task, placement)
    assert wanted in {"gpu:a100:2", "gpu:l40s:2"}
    assert placement.types == (wanted.split(":")[1],)
    fields = release_fields(placement, job, wanted)
    assert fields["Gres"] == wanted
    assert fields.get("TresPerJob") == ("" if field == "tres_per_job" else None)
    back = gres_fields(fields["AdminComment"], original_gres(task))
    pin = Pin(task, placement, 0.0, gives_back=back)
    assert return_fields(POLICY, pin)["Gres"] == "gpu:2"
    known = decode_comment(fields["AdminComment"]), decode_comment(back["AdminComment"])
    told = [mark.wrote["tres_per_node"] for mark in known if mark and mark.wrote]
    assert told == [wanted, "gpu:2"], "so that it is not taken for its user's own"


@pytest.mark.parametrize("taken_back", [False, True])
@pytest.mark.parametrize(
    ("field", "given_back"),
    [
        ("tres_per_node", {"Gres": "gpu:2"}),
        ("tres_per_job", {"TresPerNode": "", "TresPerJob": "gres/gpu:2"}),
    ],
)
def test_who_leaves_plan_asks_again_for_what_its_user_wrote(
    field: str, given_back: dict[str, str], taken_back: bool
) -> None:
    job = gated(FORTY, **{field: "gpu:2"})
    task, placement = placed(snapshot(job))
    fields = release_fields(placement, job, rewritten_gres(task, placement))
    if taken_back:
        fields |= gres_fields(fields["AdminComment"], original_gres(task))
    released = replace(
        job, partition="accel" if taken_back else placement.partition, req_nodes="mix1",
        tres_per_node=fields["Gres"], tres_per_job="", admin_comment=fields["AdminComment"],
    )  # fmt: skip
    shadow = replace(POLICY, pools=tuple(replace(p, mode="shadow") for p in POLICY.pools)).planned
    (move,) = out_of_the_gate(snapshot(released), shadow, frozenset({"train-nv"}))
    assert given_back.items() <= move.updates[-1].items()
    assert not {"Gres", "TresPerNode", "TresPerJob"} & (move.updates[-1].keys() - given_back)
    changed = replace(released, tres_per_node="gpu:t4:1")
    (move,) = out_of_the_gate(snapshot(changed), shadow, frozenset({"train-nv"}))
    assert not {"Gres", "TresPerNode", "TresPerJob"} & move.updates[-1].keys(), "its user's own"


def test_what_the_hook_has_rewritten_stays_as_a_pool_leaves_plan() -> None:
    job = gated("#HET types=l40s", tres_per_node="gpu:1")
    assert job.tres_per_node == "gpu:l40s:1"
    shadow = replace(POLICY, pools=tuple(replace(p, mode="shadow") for p in POLICY.pools)).planned
    (move,) = out_of_the_gate(snapshot(job), shadow, frozenset({"train-nv"}))
    assert "Gres" not in move.updates[-1]


def test_what_is_busy_is_not_asked_for() -> None:
    other = Job(
        1, partition="train-nv", state="RUNNING", nodes="mix1", tres_per_node="gpu:a100:1",
        gres_detail=("gpu:a100:1(IDX:0)",), end_time=99,
    )  # fmt: skip
    task, placement = placed(snapshot(gated(FORTY, tres_per_node="gpu:2"), other))
    assert rewritten_gres(task, placement) == "gpu:l40s:2"
    assert placement.devices == ((2, 3),)


def test_22_05_leaves_mixed_nodes_to_typed_requests() -> None:
    inventory, queue = filled(snapshot(gated(FORTY, tres_per_node="gpu:2"), rewrites=False))
    unfit = misfit(queue.tasks[0], inventory.nodes["mix1"])
    assert unfit
    assert unfit.what is Unfit.MIXED
    problem = build(inventory, queue.tasks, POLICY).problem
    assert not problem.weights[problem.request(0).weights]
    task, placement = placed(snapshot(gated("", tres_per_node="gpu:l40s:2"), rewrites=False))
    assert placement.devices == ((2, 3),)
    assert rewritten_gres(task, placement) == ""


def test_on_a_node_of_one_type_the_request_stays() -> None:
    task, placement = placed(snapshot(gated(FORTY, tres_per_node="gpu:2"), nodes=(PURE,)))
    assert rewritten_gres(task, placement) == ""
    assert "Gres" not in release_fields(placement, Job(7))


def test_a_release_that_came_to_nothing_is_forgotten() -> None:
    """The job is typed now, for the mixed node; on the other node it asks as its user did."""
    before = gated(FORTY, tres_per_node="gpu:2")
    comment = rewritten(before.admin_comment, "gpu:l40s:2")
    job = replace(before, tres_per_node="gpu:l40s:2", admin_comment=comment)
    task, placement = placed(snapshot(job, nodes=(PURE, replace(MIX, state="DOWN"))))
    assert rewritten_gres(task, placement) == original_gres(task) == "gpu:2"
    typed = gated("", tres_per_node="gpu:l40s:2")
    assert not filled(snapshot(typed, nodes=(MIX,)))[1].tasks[0].rewritten, "the user's own type"


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("later", ["gpu:t4:2", "gpu:l40s:1", "npu:910b:2"])
def test_what_its_user_asks_for_later_is_no_type_of_ours(released: bool, later: str) -> None:
    """By `scontrol update Gres=`: whatever was fitting, and whatever a release had written."""
    job = gated(FORTY, tres_per_node="gpu:2")
    if released:
        job = replace(job, admin_comment=rewritten(job.admin_comment, "gpu:a100:2"))
    job = replace(job, tres_per_node=later)
    task, placement = placed(snapshot(job, nodes=(PURE, MIX, NPU)))
    assert rewritten_gres(task, placement) == ""
    assert {*task.types, *placement.types} == {later.split(":")[1]}


def test_several_nodes_and_shares_are_not_rewritten() -> None:
    scratch = replace(gated(FORTY, tres_per_job="gpu:1"), tres_per_node="scratch:9")
    assert not filled(snapshot(scratch))[1].tasks[0].rewrites, "an update would replace it"
    job = replace(gated(FORTY, tres_per_node="gpu:1"), nodes_min=2)
    assert not filled(snapshot(job))[1].tasks[0].rewrites
    share = replace(gated(FORTY, tres_per_node="gpu:1"), tres_per_node="shard:24")
    assert not filled(snapshot(share))[1].tasks[0].rewrites


@pytest.mark.parametrize(
    ("script", "asked", "named"),
    [
        ("#HET types=l40s", {"tres_per_node": "gpu:1"}, {"tres_per_node": "gpu:l40s:1"}),
        ("#HET types=l40s", {"tres_per_job": "gpu"}, {"tres_per_job": "gpu:l40s:1"}),
        ("npu-smi info", {"tres_per_node": "gpu:2"}, {"tres_per_node": "npu:910b:2"}),
        (FORTY, {"tres_per_node": "gpu:2"}, {}),
        ("#HET types=a100", {"tres_per_node": "gpu:a100:2"}, {}),
        ("", {"tres_per_node": "npu:2"}, {}),
        (
            "#HET types=l40s",
            {"tres_per_job": "gpu:2", "tres_per_node": "scratch:9"},
            {"tres_per_job": "gpu:l40s:2"},
        ),
    ],
)
def test_at_submit_the_only_type_is_named(
    script: str, asked: dict[str, str], named: dict[str, str]
) -> None:
    inventory = take_inventory(snapshot(nodes=(MIX, PURE, NPU)), POLICY)
    admission = admit_message({"script": f"#!/bin/sh\n{script}\n", **asked}, POLICY, inventory)
    assert isinstance(admission, Admitted)
    assert {f: v for f, v in admission.fields.items() if f.startswith("tres")} == named


def test_the_name_that_a_node_registers_counts() -> None:
    """A job for any vendor: gpu:2 on the NVIDIA node, npu:910b:2 on the other one."""
    job = gated("#HET vendors=any memory=40G", tres_per_node="gpu:2")
    task, placement = placed(snapshot(job, nodes=(NPU,)))
    assert rewritten_gres(task, placement) == "npu:910b:2"
    inventory, queue = filled(snapshot(job, nodes=(NPU,), rewrites=False))
    why = "has its devices as npu:910b, and the request asks for gpu"
    unfit = misfit(queue.tasks[0], inventory.nodes["asc1"])
    assert unfit
    assert unfit.said_of(1) == why


def test_slurm_takes_the_first_devices_that_a_request_reaches() -> None:
    """Not those that the plan preferred: a request without a type is given the l40s, which come
    first, and nobody else is promised them."""
    pair = record("pair1", "gpu:l40s:4,gpu:a100:4", "train-nv")
    inventory, queue = filled(snapshot(gated(FORTY, tres_per_node="gpu:2"), nodes=(pair,)))
    (untyped,) = queue.tasks
    four = replace(untyped.slots[0], devices=4)
    typed = replace(untyped, key="8", types=frozenset({"l40s"}), asks="gpu:l40s", slots=(four,))
    wished = [
        Placement("7", "train-nv", ("pair1",), ((4, 5),), ("a100",), 80),
        Placement("8", "train-nv", ("pair1",), ((0, 1, 2, 3),), ("l40s",), 48),
    ]
    placed, dropped = pick_devices(inventory, wished, {"7": untyped, "8": typed})
    assert [(p.devices, p.types, p.memory_gib) for p in placed] == [(((0, 1),), ("l40s",), 48)]
    assert list(dropped) == ["8"]


def test_a_share_on_a_mixed_node_may_be_of_any_of_its_devices() -> None:
    """Slurm takes the first that has as much: a type that the job excludes must not be reached."""
    mixed = record("mix2", "gpu:a100:2,gpu:l40s:2,gpu:t4:2,shard:288", "train-nv")
    (node,) = take_inventory(snapshot(nodes=(mixed,)), POLICY).nodes.values()
    share = Task(
        "7", 7, "ann", "inference", frozenset({"l40s"}), (Slot(1, 1, 1024),), ("train-nv",),
        memory_gib=8, takes_share=True, asks="gpu",
    )  # fmt: skip
    unfit = misfit(share, node)
    assert unfit
    assert unfit.what is Unfit.MIXED
    assert not misfit(replace(share, types=frozenset({"l40s", "a100", "t4"})), node)


# --- what we wrote is not taken for its user's own ---


def with_features(script: str, **fields: str) -> Job:
    """As the hook leaves it, with its Features too."""
    sent = {"script": f"#!/bin/sh\n{script}\n", **fields}
    there = take_inventory(snapshot(nodes=(MIX, PURE, NPU)), POLICY)
    made = admit_message(sent, POLICY, there)
    assert isinstance(made, Admitted)
    features = made.fields.get("features", "")
    return replace(gated(script, **fields), features=features)


def test_of_a_job_that_an_older_hetd_marked_it_is_not_known_what_we_wrote() -> None:
    """Nor is it after a release: else the hook's Features would be taken for its user's."""
    job = with_features(FORTY, tres_per_node="gpu:2")
    mark = decode_comment(job.admin_comment)
    assert mark
    old = replace(job, admin_comment=encode_mark(mark._replace(wrote=None)))
    task, placement = placed(snapshot(old))
    fields = release_fields(placement, old, rewritten_gres(task, placement))
    assert fields["Gres"] == "gpu:a100:2"
    assert "AdminComment" not in fields
    released = replace(old, partition=placement.partition, tres_per_node=fields["Gres"])
    assert not asks_anew(released)


def test_a_user_who_changes_features_has_not_asked_for_the_type_of_our_release() -> None:
    """He does so while it is pinned; it comes back, and is classified anew."""
    job = with_features(FORTY, tres_per_node="gpu:2")
    task, placement = placed(snapshot(job))
    fields = release_fields(placement, job, rewritten_gres(task, placement))
    pin = Pin(task, placement, 0.0, gives_back=gres_fields(fields["AdminComment"], "gpu:2"))
    changed = replace(
        job, partition=placement.partition, tres_per_node=fields["Gres"],
        admin_comment=fields["AdminComment"], features="a100|l40s",
    )  # fmt: skip
    assert not asks_anew(changed)
    back = replace(
        changed, partition="accel", tres_per_node=return_fields(POLICY, pin)["Gres"],
        admin_comment=return_fields(POLICY, pin)["AdminComment"],
    )  # fmt: skip
    for still in (back, changed):  # with its own GRES, or with ours if its return was lost
        there = take_inventory(snapshot(nodes=(MIX, PURE, NPU)), POLICY)
        update = adoption(Anew(still, f"#!/bin/sh\n{FORTY}\n"), POLICY, there)
        now = replace(
            still, partition="accel", admin_comment=update["AdminComment"],
            features=update.get("Features", still.features),
        )  # fmt: skip
        _, queue = filled(snapshot(now, nodes=(MIX, PURE, NPU)))
        assert not queue.changed
        assert {task.types for task in queue.tasks} == {frozenset({"a100", "l40s"})}


def test_who_asks_for_another_vendor_gets_his_own_gres_back() -> None:
    """The hook had written npu for it."""
    script = "#HET vendors=ascend"
    job = with_features(script, tres_per_node="gpu:2")
    assert job.tres_per_node == "npu:910b:2"
    there = take_inventory(snapshot(nodes=(MIX, PURE, NPU)), POLICY)
    anew = Anew(job, f"#!/bin/sh\n{script}\n", "vendors=nvidia memory=40G")
    update = update_of(job, asked_anew(anew, POLICY, there).fields, POLICY, rewrites=True)
    assert update["Gres"] == "gpu:2"
    _, queue = filled(snapshot(updated(job, update), nodes=(MIX, PURE, NPU)))
    assert not queue.changed
    assert {task.types for task in queue.tasks} == {frozenset({"a100", "l40s"})}
