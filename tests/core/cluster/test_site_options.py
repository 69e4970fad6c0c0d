"""What a site's partitions and cards leave of a node: MaxCPUsPerNode, cards under MPS, Weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import Need
from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.cluster.fit import fitting_states, has_room, holds_when_empty, misfit
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.cluster.occupancy import give_back, take
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import Job, Node, Slot
from slurm_het.core.network import EXCLUSIVE_LEAF, EXCLUSIVE_USER, Layout, Part
from slurm_het.core.planner.at_once import openings_of
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.plan import plan
from slurm_het.core.planner.proposal import Memory, observe, prepare
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import HostTooSmall, NeedsWholeNode
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.reservation import coming_free
from tests.support.world import marked, policy, running, snapshot, task, with_side_door


def nv1(*jobs: Job, most: int | None = None) -> Node:
    """Node nv1 in a pool with that MaxCPUsPerNode."""
    found = snapshot(*jobs)
    capped = tuple(
        replace(p, max_cpus_per_node=most if p.name == "train-nv" else None)
        for p in found.partitions
    )
    return take_inventory(replace(found, partitions=capped), policy()).nodes["nv1"]


def test_max_cpus_per_node_is_a_sum_over_the_jobs_of_the_partition() -> None:
    free = nv1().cpus_free
    assert nv1(most=12).cpus_free == 12
    one = running(1, "nv1", "gpu:a100:1(IDX:0)", partition="train-nv", cpus=8)
    two = running(2, "nv[1-2]", "gpu:a100:1(IDX:1)", partition="train-nv", cpus=6)
    assert nv1(one, most=12).cpus_free == 4
    assert nv1(one, two, most=12).cpus_free == 1
    assert nv1(replace(one, partition="cpu"), most=12).cpus_free == 12
    assert nv1(one, most=1000).cpus_free == free
    assert nv1(one, most=12).cpus == 12


@pytest.mark.parametrize(("needs", "fit"), [(1, {0, 1, 2}), (2, {0, 2}), (3, {0})])
def test_a_node_with_too_few_sockets_is_no_candidate(needs: int, fit: set[int]) -> None:
    """Where Slurm does not tell how many there are it may be one."""
    node, asked = nv1(), replace(task("1"), sockets=needs)
    nodes = {f"n{has}": replace(node, name=f"n{has}", sockets=has) for has in range(3)}
    grid = Inventory(nodes).grid
    assert {grid.states[s].node.sockets for s in fitting_states(asked, grid)} == fit
    few = misfit(replace(asked, sockets=2), nodes["n1"])
    assert few
    assert str(few.rest) == "fewer than 2 sockets"


def in_two_pools(*jobs: Job, **train: Any) -> Inventory:
    """The inventory with infer-nv on nv1 too, which is in train-nv with these settings."""
    found = snapshot(*jobs)
    return take_inventory(
        replace(
            found,
            partitions=tuple(
                replace(p, **train) if p.name == "train-nv" else p for p in found.partitions
            ),
            nodes=tuple(
                replace(n, partitions=(*n.partitions, "infer-nv")) if n.name == "nv1" else n
                for n in found.nodes
            ),
        ),
        policy(),
    )


def test_what_a_pool_allows_its_jobs_of_a_node_binds_no_other_pools_jobs() -> None:
    """MaxCPUsPerNode of one of two pools: planned by it, Slurm refuses no pin for it."""
    there = running(1, "nv1", "gpu:a100:1(IDX:0)", partition="train-nv", cpus=8)
    on = in_two_pools(there, max_cpus_per_node=12)
    slots = (Slot(1, 5, 1024),)
    off = frozenset({"nv2"})
    mine, other = task("2", slots=slots, exc_nodes=off), task("3", slots=slots, pools=("infer-nv",))
    assert not has_room(mine, mine.slots[0], on.nodes["nv1"])
    assert has_room(other, other.slots[0], on.nodes["nv1"])
    made = plan(on, (mine, other), policy(), greedy)
    assert [p.key for p in made.placements] == ["3"]
    assert made.waiting["2"] == HostTooSmall(5, 1024, "nv1", 4, on.nodes["nv1"].memory_free_mib)
    four = task("2", slots=(Slot(1, 4, 1024),), exc_nodes=off)
    assert not plan(on, (four, other), policy(), greedy).waiting


def test_two_of_a_plan_take_no_more_cpus_than_their_pool_allows() -> None:
    on = in_two_pools(max_cpus_per_node=12)
    tasks = [
        task(key, slots=(Slot(1, 8, 1024),), exc_nodes=frozenset({"nv2"})) for key in ("1", "2")
    ]
    made = plan(on, tuple(tasks), policy(), greedy)
    assert [p.key for p in made.placements] == ["1"]
    then = take(on.nodes["nv1"], tasks[0], (0,), Need(8, 1024))
    assert not has_room(tasks[1], tasks[1].slots[0], then)
    assert has_room(tasks[1], tasks[1].slots[0], give_back(then, "1", 8, 1024))
    assert holds_when_empty(tasks[1], then)


def test_an_exclusive_pool_takes_whole_nodes_for_its_own_jobs_alone() -> None:
    """The other's share the node, and wait for no idle one."""
    there = running(1, "nv1", "gpu:a100:1(IDX:0)", partition="infer-nv", cpus=8)
    on = in_two_pools(there, exclusive=True)
    whole = task("2", exc_nodes=frozenset({"nv2"}))
    others = [task(key, pools=("infer-nv",)) for key in ("3", "4")]
    made = plan(on, (whole, *others), policy(), greedy)
    assert [p.key for p in made.placements] == ["3", "4"]
    assert made.waiting["2"] == NeedsWholeNode("nv1")


def test_where_cpus_are_shared_by_force_two_jobs_may_have_one() -> None:
    """OverSubscribe=FORCE:2 (22.05): a node whose CPUs are all allocated takes as many again."""
    found = snapshot(
        running(1, "nv1", "gpu:a100:1(IDX:0)", partition="train-nv", cpus=60),
        running(2, "nv1", "gpu:a100:1(IDX:1)", partition="train-nv", cpus=60),
    )
    forced = tuple(replace(p, oversubscribe=2) for p in found.partitions)
    all_taken = tuple(replace(n, cpus_alloc=n.cpus) for n in found.nodes)
    for jobs, free in (((), 64), (found.jobs[:1], 64), (found.jobs, 8)):
        now = replace(found, jobs=jobs, partitions=forced, nodes=all_taken)
        assert take_inventory(now, policy()).nodes["nv1"].cpus_free == free
    plain = replace(found, nodes=all_taken)
    assert take_inventory(plain, policy()).nodes["nv1"].cpus_free == 0


@pytest.mark.parametrize("detail", ["mps:50(IDX:2)", "mps:50(0/100,0/100,50/100,0/100)"])
def test_a_card_under_mps_is_nobody_elses(detail: str) -> None:
    """22.05 tells its index, 24.11 and 26.05 what is used of each."""
    held = [d.index for d in nv1(running(1, "nv1", detail)).devices if not d.empty]
    assert held == [2]


def test_of_equal_nodes_those_of_a_low_weight_come_first() -> None:
    found = take_inventory(snapshot(), policy())
    nodes = {
        name: replace(node, weight={"nv1": 100, "nv2": 10}.get(name, 50))
        for name, node in found.nodes.items()
    }
    asked = task("1", slots=(Slot(8, 8, 1024),))
    for first, other in (("nv2", "nv1"), ("nv1", "nv2")):
        placed = plan(replace(found, nodes=nodes), (asked,), policy(), greedy).placements
        assert placed[0].nodes == (first,)
        nodes[first], nodes[other] = (
            replace(nodes[first], weight=100),
            replace(nodes[other], weight=10),
        )


def test_a_leaf_that_a_job_has_alone_is_closed() -> None:
    """--exclusive=topo (24.11, 26.05)."""
    alone = replace(
        running(1, "nv1", "gpu:a100:1(IDX:0)"), layout=Layout(by_slurm=(EXCLUSIVE_LEAF,))
    )
    network = {"nv1": (Part("a", 2),), "nv2": (Part("a", 2),), "amd1": (Part("b", 2),)}
    found = replace(snapshot(alone), networks={"": network})
    nodes = take_inventory(found, policy()).nodes
    assert {n for n in network if nodes[n].held_exclusively} == {"nv1", "nv2"}


@pytest.mark.parametrize(
    ("beside", "end", "start"),
    [((), 1600, 1600.0), (("gpu:a100:2(IDX:0-1)",), 1600, 1600.0), ((), None, None)],
)
def test_a_leaf_comes_free_once_the_job_that_has_it_alone_has_ended(
    beside: tuple[str, ...], end: int | None, start: float | None
) -> None:
    """Its other nodes too, idle or not, and none of them before."""
    alone = replace(
        running(1, "nv1", "gpu:a100:8(IDX:0-7)", end_time=end or 0),
        layout=Layout(by_slurm=(EXCLUSIVE_LEAF,)),
    )
    others = [running(2, "nv2", detail, end_time=1200) for detail in beside]
    taken = replace(
        snapshot(alone, *others), time=1000.0,
        networks={"": {"nv1": (Part("a", 2),), "nv2": (Part("a", 2),), "amd1": (Part("b", 2),)}},
    )  # fmt: skip
    axis = Axis(take_inventory(taken, policy()), coming_free(taken, policy()), taken.time)
    for slots in ((Slot(1, 1, 1024),), (Slot(8, 8, 1024),) * 2):
        made = axis.soonest(task("7", slots=slots))
        assert (made and made.start) == start


def test_nodes_that_a_user_has_alone_are_closed_to_others_until_his_job_ends() -> None:
    alone = replace(
        running(1, "nv1", "gpu:a100:1(IDX:0)", user="ann", end_time=1600),
        layout=Layout(by_slurm=(EXCLUSIVE_USER,)),
    )
    taken = replace(snapshot(alone), time=1000.0)
    room = take_inventory(taken, policy())
    closings = Closings.of(taken, room)
    tasks = task("1"), task("2", user="bob")
    hers, his = closings.keep_off(tasks, room)
    assert (hers.exc_nodes, his.exc_nodes) == (frozenset(), frozenset({"nv1"}))
    assert [closings.opens(one, ("nv1",), 1000.0) for one in tasks] == [1000.0, 1600.0]
    for_ever = Closings.of(replace(taken, jobs=(replace(alone, time_limit_minutes=None),)), room)
    assert for_ever.opens(tasks[1], ("nv1",), 1000.0) is None


def test_a_job_waits_for_a_node_that_another_user_has_alone() -> None:
    """A reservation is made there, as Slurm's backfill would; nothing is offered there at once."""
    alone = [
        replace(
            running(n, f"nv{n}", "gpu:a100:1(IDX:0)", user="ann", end_time=1000 + 600 * n),
            layout=Layout(by_slurm=(EXCLUSIVE_USER,)),
        )
        for n in (1, 2)
    ]
    his = marked(7, user="bob", uid=1001, features="a100", eligible_time=1)
    taken = replace(with_side_door(snapshot(*alone, his)), time=1000.0)
    memory = Memory(Pins(10.0, 60.0))
    prepared = prepare(observe(taken, policy(), memory, 0.0), Limits(), memory, 0.0)
    (made,) = prepared.ahead.reserve
    assert (made.placement.nodes, made.start) == (("nv1",), 1600.0)
    openings = openings_of(prepared, (), 0.0)
    assert openings is not None
    assert not {"nv1", "nv2"} & openings.room.nodes.keys()


def test_a_node_in_no_block_makes_no_tree_of_the_network() -> None:
    blocks = {name: (Part("b1", 4), Part("b", 8)) for name in ("nv1", "amd1")}
    taken = replace(snapshot(), networks={"": blocks})
    assert ClusterFacts.of(taken, take_inventory(taken, policy()), policy()).leaves == 0


@pytest.mark.parametrize("features", ["mig", "a100&mig"])
def test_a_job_for_a_feature_that_a_node_gets_by_a_reboot_is_slurms(features: str) -> None:
    """NodeFeaturesPlugins: Slurm reboots a node into it, if a job asks for that."""
    for could in (True, False):
        job = replace(marked(7), features=features)
        taken = snapshot(job)
        may = frozenset({"mig"}) if could else frozenset[str]()
        nodes = tuple(replace(n, could_have=may if n.name == "nv1" else n.could_have)
                      for n in taken.nodes)  # fmt: skip
        taken = replace(taken, nodes=nodes)
        queue = fill_task_pools(taken, take_inventory(taken, policy()), policy())
        assert bool(queue.handovers) == could
        kinds = capacity_of(taken, policy()).kinds
        assert any("mig" in kind.features for kind in kinds) == could
