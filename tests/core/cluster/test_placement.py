"""A placement says the same of the devices it is on, whoever made it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.placement import placement_of
from slurm_het.core.jobs.mark import MARK
from slurm_het.core.model import Placement, Task
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.plan import plan
from slurm_het.core.planner.repairs import no_journal
from slurm_het.core.reservations.axis import Axis
from tests.support.world import gated, inventory, policy, snapshot, task

ON_L40S: dict[str, Any] = {"types": frozenset({"l40s", "a100"}), "pools": ("infer-nv",)}


def planned(asked: Task) -> Placement:
    """Where the planner puts it."""
    return plan(inventory(), (asked,), policy(), greedy).placements[0]


def reserved(asked: Task) -> Placement:
    """Where it is pinned ahead."""
    made = Axis(inventory(), {}, 0.0).soonest(asked)
    assert made is not None
    return made.placement


def recovered(asked: Task) -> Placement:
    """Where it was released to, of which Slurm tells the nodes alone."""
    gres = f"shard:{asked.memory_gib}" if asked.takes_share else "gpu:1"
    pending = replace(
        gated(1, tres_per_node=gres), partition="infer-nv", req_nodes="l40s1", admin_comment=MARK
    )
    (pin,) = Pins(0.0, 0.0).recover(snapshot(pending), inventory(), policy(), no_journal)
    return pin.placement


@pytest.mark.parametrize("make", [planned, reserved, recovered])
@pytest.mark.parametrize(
    ("fields", "gib"),
    [({}, 48), ({"memory_gib": 40}, 48), ({"takes_share": True, "memory_gib": 8}, 8)],
)
def test_what_it_takes_of_each_device_and_of_which_types(
    make: Any, fields: dict[str, Any], gib: int
) -> None:
    made = make(task("1", **ON_L40S, **fields))
    assert (made.partition, made.nodes, made.devices) == ("infer-nv", ("l40s1",), ((0,),))
    assert (made.types, made.memory_gib) == (("l40s",), gib)


def test_nodes_that_slurm_knows_no_more() -> None:
    where = (("gone", (0,)), ("nv1", (1,)))
    made = placement_of(task("1"), "train-nv", where, inventory().nodes)
    assert (made.nodes, made.types, made.memory_gib) == (("gone", "nv1"), ("a100",), 80)
    made = placement_of(task("1"), "train-nv", where[:1], Inventory({}).nodes)
    assert (made.nodes, made.types, made.memory_gib) == (("gone",), (), 0)
