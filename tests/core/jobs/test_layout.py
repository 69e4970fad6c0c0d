"""How a job's nodes are to lie: what is planned, and what Slurm itself has to choose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.reading import Handover, read_job
from slurm_het.core.jobs.request import from_message
from slurm_het.core.model import Classification, Job, Placement, Task
from slurm_het.core.network import ALONE, ANY_NUMBER, ANYHOW, Layout, Part
from slurm_het.core.planner.leaf_waits import LeafWaits
from slurm_het.core.planner.updates import release_fields, spread_fields
from slurm_het.core.reasons import SlurmChooses
from tests.support.world import gated, inventory, policy, snapshot

PER_TASK: dict[str, Any] = {"tres_per_node": "", "tres_per_task": "gpu:1", "ntasks_per_node": 4}


def facts(*leaves: str) -> ClusterFacts:
    """The default cluster's A100 node as often, each under one of these leaf switches."""
    node = inventory().nodes["nv1"]
    nodes = {
        f"n{n}": replace(
            node,
            name=f"n{n}",
            parts=(Part(leaf), Part("top", ANY_NUMBER)),
            devices=tuple(replace(d, node=f"n{n}") for d in node.devices),
        )
        for n, leaf in enumerate(leaves)
    }
    found = ClusterFacts.of(snapshot(), inventory(), policy())
    return replace(found, inventory=Inventory(nodes)) if nodes else found


@pytest.mark.parametrize(
    ("parts", "nodes", "passed"),
    [
        ((Part("b", 2), Part("bb", 4)), 4, False),
        ((Part("b", 2), Part("bb", 4)), 5, True),  # topology/block: more than the largest
        ((Part("r", 1),), 1, False),
        ((Part("r", 1),), 2, True),  # topology/ring: only Slurm knows
        ((Part("leaf"), Part("top", ANY_NUMBER)), 5, False),
        ((), 5, False),
    ],
)
def test_slurm_chooses_where_the_network_keeps_no_such_number_together(
    parts: tuple[Part, ...], nodes: int, passed: bool
) -> None:
    first = replace(inventory().nodes["nv1"], parts=parts)
    alone = replace(inventory().nodes["nv2"], parts=(Part("nv2", ALONE),) if parts else ())
    found = ClusterFacts.of(snapshot(), inventory(), policy())
    where = replace(found, inventory=Inventory({"nv1": first, "nv2": alone}))
    one = job(nodes_min=nodes, nodes_max=nodes, tasks=nodes)
    assert bool(chosen_by_slurm(one, where)) == passed


def job(layout: Layout = ANYHOW, **fields: Any) -> Job:
    given = {"tres_per_node": "gpu:2", "nodes_min": 2, "nodes_max": 2, "tasks": 2} | fields
    return replace(gated(7, **given), layout=layout)


def chosen_by_slurm(one: Job, where: ClusterFacts) -> tuple[str, ...]:
    outcome = read_job(one, where).outcome
    if isinstance(outcome, Handover):
        assert isinstance(outcome.why, SlurmChooses)
        return outcome.why.options
    assert isinstance(outcome, Task)
    return ()


@pytest.mark.parametrize(
    ("options", "fields", "left"),
    [
        (("--contiguous",), {}, ("--contiguous",)),
        (("--contiguous",), {"nodes_min": 1, "nodes_max": 1, "tasks": 1}, ()),
        (("--segment=2",), {}, ("--segment=2",)),
        (("--segment=2",), {"nodes_min": 1, "nodes_max": 0, "tasks": 1}, ()),
        (("--spread-job",), {"nodes_min": 1, "nodes_max": 0, "tasks": 4}, ("--spread-job",)),
        (("--spread-job",), {"nodes_min": 1, "nodes_max": 1, "tasks": 4}, ()),
        (("--exclusive=user",), {"nodes_min": 1, "nodes_max": 1}, ("--exclusive=user",)),
        (("--prefer=ib",), {"nodes_min": 1, "nodes_max": 1, "tasks": 1}, ("--prefer=ib",)),
        ((), {**PER_TASK, "tasks": 5}, ("--ntasks-per-node=4",)),
        ((), {**PER_TASK, "tasks": 8}, ()),
        ((), {**PER_TASK, "tasks": 3, "nodes_min": 1, "nodes_max": 1}, ()),
        ((), {"tasks": 5, "ntasks_per_node": 4}, ()),
    ],
)  # fmt: skip
def test_options_that_slurm_keeps_only_where_it_chooses(
    options: tuple[str, ...], fields: dict[str, Any], left: tuple[str, ...]
) -> None:
    assert chosen_by_slurm(job(Layout(by_slurm=options), **fields), facts()) == left


@pytest.mark.parametrize(
    ("prefers", "named", "partitions", "features"),
    [
        ("a100", (), ("train-nv",), None),
        ("l40s", (), tuple(pool.partition for pool in policy().pools), ""),
        ("l40s", ("train-nv", "infer-nv"), ("train-nv", "infer-nv"), ""),
        ("l40s", ("train-nv",), ("train-nv",), None),
        ("nowhere", (), ("train-nv",), None),
    ],
)
def test_what_a_job_prefers_and_its_pools_lack_is_sought_in_all(
    prefers: str, named: tuple[str, ...], partitions: tuple[str, ...], features: str | None
) -> None:
    """Slurm may hold a job for ever that prefers what no node of its partitions has."""
    what = Classification("training", vendors=("nvidia",), partitions=named)
    one = job(Layout(by_slurm=(f"--prefer={prefers}",)), nodes_min=1, nodes_max=1, tasks=1)
    comment = encode_comment(what, {}, "", {"features": "a100"})
    given = read_job(replace(one, features="a100", admin_comment=comment), facts()).outcome
    assert isinstance(given, Handover)
    assert (set(given.partitions), given.features) == (set(partitions), features)


@pytest.mark.parametrize(
    ("sent", "fields", "left"),
    [
        ({"min_nodes": "2", "max_nodes": "4"}, {}, ("--nodes=2-4",)),
        ({"min_nodes": "2", "max_nodes": "4", "num_tasks": "4"}, {}, ("--nodes=2-4",)),
        ({"min_nodes": "2", "max_nodes": "2"}, {}, ()),
        ({"min_nodes": "1", "max_nodes": "4", "num_tasks": "4"}, {}, ()),  # 26.05: only -n4
        ({"max_nodes": "4"}, {}, ("--nodes=1-4",)),
        ({"pn_min_tmp_disk": "1024"}, {}, ("--tmp=1024M",)),
        ({"pn_min_tmp_disk": "0"}, {}, ()),
        ({"min_nodes": "2", "max_nodes": "4"}, {"tres_per_node": "", "tres_per_job": "gpu:8"}, ()),
    ],
)
def test_a_range_of_nodes_is_slurms_where_each_gives_as_many_devices_and_so_is_tmp(
    sent: dict[str, str], fields: dict[str, Any], left: tuple[str, ...]
) -> None:
    """Slurm takes as many of `--nodes=2-4` as are free; a job's record tells but one number."""
    request = from_message({"tres_per_node": "gpu:2", **sent})
    comment = encode_comment(Classification("training"), request.original)
    assert chosen_by_slurm(job(admin_comment=comment, **fields), facts()) == left


def test_a_range_is_seen_without_a_mark_too() -> None:
    unmarked: dict[str, Any] = {"admin_comment": ""}
    assert chosen_by_slurm(job(nodes_min=2, nodes_max=4, **unmarked), facts()) == ("--nodes=2-4",)
    assert chosen_by_slurm(job(nodes_min=4, nodes_max=4, **unmarked), facts()) == ("--nodes=?-4",)
    assert chosen_by_slurm(job(nodes_min=1, nodes_max=2, **unmarked), facts()) == ()
    fewest = Layout(fewest=True)
    assert chosen_by_slurm(job(fewest, nodes_min=2, nodes_max=4, **unmarked), facts()) == ()


def released(nodes: int) -> Job:
    """The record of a job after a release to so many nodes, but back in the gate."""
    wants: dict[str, Any] = {"tres_per_node": "", "tres_per_job": "gpu:a100:16", "tasks": 1}
    one = job(nodes_min=1, nodes_max=0, **wants)
    request = from_message({"tres_per_job": "gpu:a100:16"})
    one = replace(one, admin_comment=encode_comment(Classification("training"), request.original))
    names = tuple(f"nv{n}" for n in range(nodes))
    there = Placement("7", "train-nv", names, ((0,),) * nodes, ("a100",) * nodes, 80)
    comment = release_fields(there, one).get("AdminComment", one.admin_comment)
    return replace(one, admin_comment=comment, nodes_min=nodes, nodes_max=nodes)


@pytest.mark.parametrize(
    ("now", "slots"),
    [
        ({"nodes_min": 1, "nodes_max": 2}, 1),  # as it came back
        ({"nodes_min": 2, "nodes_max": 0, "restarts": 1}, 1),  # 22.05: as many as it had
        ({"nodes_min": 2, "nodes_max": 2, "restarts": 1}, 2),  # somebody wants two
        ({"nodes_min": 4, "nodes_max": 4}, 4),
    ],
)
def test_a_release_to_several_nodes_binds_nobody_to_as_many(
    now: dict[str, Any], slots: int
) -> None:
    """Where a node has 16, one will do; where three are needed, two are not the most."""
    known = facts("a")
    large = replace(known.inventory.nodes["n0"], devices=known.inventory.nodes["n0"].devices * 2)
    there = replace(known, inventory=Inventory({"n0": large}))
    task = read_job(replace(released(2), **now), there).outcome
    assert isinstance(task, Task)
    assert len(task.slots) == slots


def test_what_a_user_made_of_the_number_of_nodes_is_not_taken_back() -> None:
    """He asked for two since it came back: its next release says no more what was before."""
    his = replace(released(2), nodes_min=2, nodes_max=2)
    there = Placement("7", "train-nv", ("nv1", "nv2"), ((0,), (0,)), ("a100",) * 2, 80)
    assert '"num_nodes"' in his.admin_comment
    assert '"num_nodes"' not in release_fields(there, his)["AdminComment"]
    came_back = replace(his, nodes_min=1)
    assert "AdminComment" not in release_fields(there, came_back)


def test_one_switch_is_planned_and_more_are_slurms() -> None:
    two, three = facts("a", "a", "b", "b"), facts("a", "a", "b", "c")
    asks = Layout(switches=1, wait_seconds=60)
    task = read_job(job(asks), two).outcome
    assert isinstance(task, Task)
    assert task.leaf_patience == 60
    single = read_job(job(asks, nodes_min=1, nodes_max=1, tasks=1), two).outcome
    assert isinstance(single, Task)
    assert single.leaf_patience is None
    wide: dict[str, Any] = {"nodes_min": 3, "nodes_max": 3, "tasks": 3}
    assert chosen_by_slurm(job(Layout(switches=2), **wide), two) == ()
    assert chosen_by_slurm(job(Layout(switches=2), **wide), three) == ("--switches=2",)
    assert chosen_by_slurm(job(Layout(switches=2), **wide), facts()) == ()


def test_the_wait_for_one_switch_counts_from_when_others_would_do() -> None:
    apart, record = facts("a", "b"), job(Layout(switches=1, wait_seconds=60))
    together = facts("a", "a", "b", "b").inventory
    task = read_job(record, facts("a", "a", "b", "b")).outcome
    assert isinstance(task, Task)
    waits, full = (
        LeafWaits(),
        Inventory(
            {"n0": apart.inventory.nodes["n0"]}
            | {
                name: replace(node, usable=False)
                for name, node in together.nodes.items()
                if name != "n0"
            }
        ),
    )
    split = Inventory({name: replace(node, held_exclusively=name in {"n1", "n3"}, idle=False)
                       for name, node in together.nodes.items()})  # fmt: skip
    assert could_be_spread(waits, task, 0.0, split) is False
    assert could_be_spread(waits, task, 59.0, split) is False
    assert could_be_spread(waits, task, 60.0, split) is True
    assert could_be_spread(waits, task, 61.0, together) is False, "there is room under one"
    assert could_be_spread(LeafWaits(), task, 0.0, full) is True, "no switch has as many nodes"
    waits.over((), (), 62.0, split)
    assert waits.since == {}
    assert spread_fields(task, record) == {}
    assert spread_fields(replace(task, leaf_patience=None), record) == {"Switches": "1@0"}
    assert spread_fields(replace(task, leaf_patience=None), job()) == {}


def could_be_spread(waits: LeafWaits, task: Task, ticks: float, room: Inventory) -> bool:
    (now,) = waits.over((task,), (), ticks, room)
    return now.leaf_patience is None
