"""The speed of a class of jobs: who is in the class, and what it makes of the plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.config import parse_config
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.device_class import device_class_of
from slurm_het.core.jobs.classify import classify
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.request import from_message
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import Classification, Task
from slurm_het.core.planner.plan import plan
from slurm_het.core.policy import Policy
from slurm_het.core.worth.weights import believed_speed, site_of, throughput
from tests.support.world import gated, inventory, policy, snapshot, task

CONFIG = """
intake_partition: accel
pools: {train-nv: {scenario: training, vendors: [nvidia]}}
rules: [{name: vision, words: [resnet50], job_class: resnet}]
throughput:
  training: {a100: 0.9, mi300x: 1.0}
  resnet: {a100: 0.2, mi300x: 0.8}
  npu-only: {a100: 0, mi300x: 0, k100ai: 0, 910b: 0.5}
"""


def world() -> Policy:
    """The default sandbox with this site's table and rule."""
    site = parse_config(CONFIG).policy
    return replace(policy(), throughput=site.throughput, rules=site.rules)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ({"script": "python resnet50.py"}, "resnet"),
        ({"script": "#HET class=npu-only\npython resnet50.py"}, "npu-only"),
        ({"comment": "het: class=npu-only", "script": "#HET class=resnet"}, "npu-only"),
        ({"script": "python train.py"}, ""),
        # A scenario's row is no class.
        ({"script": "#HET class=training"}, ""),
    ],
)
def test_a_rule_or_a_hint_names_the_class(sent: dict[str, str], name: str) -> None:
    assert classify(from_message(sent), world()).job_class == name


def test_an_unknown_class_is_evidence() -> None:
    made = classify(from_message({"script": "#HET class=resnt"}), world())
    assert made.job_class == ""
    (problem,) = made.problems
    assert "class=resnt is no class, did you mean resnet?; valid: resnet, npu-only" in problem


def speed(type_: str, job_class: str, site: Policy | None = None) -> float:
    on = inventory()
    where = next(
        device_class_of(d, n) for n in on.nodes.values() for d in n.devices if d.type == type_
    )
    asked = task("1", types=frozenset({type_}), job_class=job_class)
    return throughput(asked, where, site_of(on, site or world()))


def test_a_class_goes_before_the_scenario_and_that_before_tflops() -> None:
    assert speed("a100", "resnet") == 0.2
    assert speed("a100", "") == 0.9
    assert speed("a100", "unheard-of") == 0.9
    tflops = {d.type: policy().types[d.type].tflops for n in inventory().nodes.values()
              for d in n.devices}  # fmt: skip
    assert speed("910b", "resnet") == tflops["910b"] / max(tflops.values())


def test_of_tflops_alone_a_tenth_is_believed() -> None:
    unmeasured = replace(policy(), throughput={})
    promise = unmeasured.types["910b"].tflops / unmeasured.types["mi300x"].tflops
    assert speed("mi300x", "", unmeasured) == 1.0
    assert speed("910b", "", unmeasured) == pytest.approx(1 - 0.1 * (1 - promise))


def test_a_promise_does_not_outweigh_the_memory_that_is_not_needed() -> None:
    """It chooses among types that are otherwise alike."""
    there = site_of(inventory(), replace(policy(), throughput={}))
    lost = there.scale["throughput"] * (1 - believed_speed("training", "a100", there))
    assert 0 < lost < there.scale["scarcity"] * 0.5 * 40 / 80


def queued(job_class: str) -> Task:
    """The task of a gated job of that class that any vendor can run."""
    comment = encode_comment(Classification("training", job_class=job_class), {})
    waits = gated(1, admin_comment=comment)
    return fill_task_pools(snapshot(waits), inventory(), world()).tasks[0]


def test_the_class_survives_in_slurms_record_and_speed_0_excludes_a_type() -> None:
    assert queued("resnet").job_class == "resnet"
    assert "a100" in queued("resnet").types
    assert queued("npu-only").types & {"a100", "mi300x", "k100ai"} == set()
    assert "910b" in queued("npu-only").types


@pytest.mark.parametrize(("job_class", "scale", "type_"), [
    ("resnet", 20.0, "mi300x"), ("npu-only", 20.0, "910b"), ("slow-amd", 20.0, "a100"),
    ("slow-amd", 0.0, "k100ai"),
])  # fmt: skip
def test_the_plan_follows_the_table_unless_it_is_switched_off(
    job_class: str, scale: float, type_: str
) -> None:
    table = world().throughput | {"slow-amd": {"a100": 1.0, "mi300x": 0.1, "910b": 0.1,
                                               "k100ai": 0.1}}  # fmt: skip
    weights = replace(policy().weights, throughput=scale)
    here = replace(world(), throughput=table, weights=weights, preference={"k100ai": 0.01})
    placed = plan(inventory(), (queued(job_class),), here, greedy).placements[0]
    assert placed.types == (type_,)
    assert ("throughput" in placed.terms) == bool(scale)
