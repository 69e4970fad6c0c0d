"""Which nodes are in the same state: what tells them apart must tell their states apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import grid_of
from slurm_het.core.model import CpuCap, Node, Slot, Task
from slurm_het.core.planner.plan import plan
from slurm_het.solve.solve import solve
from tests.support.world import inventory, policy, task


def twins(**fields: Any) -> tuple[Node, Node]:
    """Two equal nodes but for these fields of the second."""
    node = inventory().nodes["l40s1"]
    other = replace(node, name="l40s2", **fields)
    return node, other


@pytest.mark.parametrize(
    "fields",
    [
        {"cpus_free": 1}, {"memory_free_mib": 1}, {"features": frozenset()}, {"partitions": ()},
        {"usable": False}, {"idle": False}, {"exclusive_in": frozenset({"train-nv"})},
        {"held_exclusively": True}, {"cpu_caps": (CpuCap("train-nv", 8, 8),)},
    ],
)  # fmt: skip
def test_what_a_node_is_tells_states_apart(fields: dict[str, Any]) -> None:
    assert len(grid_of(twins()).states) == 1
    assert len(grid_of(twins(**fields)).states) == 2


def test_nodes_that_slurm_would_mix_shares_and_whole_devices_on_are_a_state_of_their_own() -> None:
    """22.05: the one node waits for a whole-device job; a share goes to the other."""
    nodes = twins(promised_whole=True)
    shot = Inventory({n.name: replace(n, forgets_sharers=True) for n in nodes})
    share: Task = task(
        "1", types=frozenset({"l40s"}), pools=("infer-nv",), takes_share=True, memory_gib=8,
        slots=(Slot(1, 1, 1024),),
    )  # fmt: skip
    made = plan(shot, (share,), policy(), lambda problem: solve(problem, 5))
    assert [p.nodes for p in made.placements] == [("l40s1",)]
    turned = {n.name: replace(n, promised_whole=not n.promised_whole) for n in shot.nodes.values()}
    other = plan(Inventory(turned), (share,), policy(), lambda problem: solve(problem, 5))
    assert [p.nodes for p in other.placements] == [("l40s2",)]
