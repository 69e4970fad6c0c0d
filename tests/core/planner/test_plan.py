"""The planner: nothing over capacity, Slurm's own order of devices, explanations that are true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import Problem, SlotChoice, Solution
from slurm_het.core.cluster.fit import could_start, misfit, need
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import Job, Node, Plan, Slot, Task
from slurm_het.core.network import ANY_NUMBER, Part
from slurm_het.core.planner.plan import in_turn, plan, select
from slurm_het.core.reasons import NeedsWholeNode, OutOfTime
from slurm_het.solve.solve import solve as solve_mip
from tests.support.world import forgetful, gated, inventory, policy, running, snapshot, task

Solve = Callable[[Problem], Solution]


def milp(problem: Problem) -> Solution:
    """The MIP, with time to prove its optimum."""
    return solve_mip(problem, 20.0)


SOLVERS = [pytest.param(greedy, id="greedy"), pytest.param(milp, id="milp")]


def planned(*tasks: Task, on: Inventory | None = None, solve: Solve = greedy) -> Plan:
    """The plan of these tasks on the sandbox, idle unless `on` says otherwise."""
    return plan(on or inventory(), tasks, policy(), solve)


def check(found: Plan, tasks: tuple[Task, ...], on: Inventory) -> None:
    """Recount every resource from the inventory: a second opinion, independent of the solver."""
    gib = {(d.node, d.index): d.memory_gib - d.occupied_gib for d in on.devices()}
    cpus = {n.name: n.cpus_free for n in on.nodes.values()}
    memory = {n.name: n.memory_free_mib for n in on.nodes.values()}
    by_key = {t.key: t for t in tasks}
    assert {p.key for p in found.placements}.isdisjoint(found.waiting)
    assert {p.key for p in found.placements} | set(found.waiting) == set(by_key)
    for placement in found.placements:
        asked = by_key[placement.key]
        assert placement.partition in asked.pools
        assert len(set(placement.nodes)) == len(placement.nodes) == len(asked.slots)
        assert not set(placement.nodes) & asked.exc_nodes
        for slot, name, indexes in zip(
            asked.slots, placement.nodes, placement.devices, strict=True
        ):
            node = on.nodes[name]
            assert node.usable
            assert placement.partition in node.partitions
            assert len(set(indexes)) == len(indexes) == slot.devices
            cpus[name] -= node.cpus if asked.exclusive else slot.cpus
            memory[name] -= node.memory_mib if asked.all_memory else slot.memory_mib
            for index in indexes:
                device = node.devices[index]
                assert device.type in asked.types
                assert device.memory_gib >= asked.memory_gib
                if not asked.takes_share:
                    assert gib[name, index] == device.memory_gib
                gib[name, index] -= asked.memory_gib if asked.takes_share else device.memory_gib
    assert min(gib.values()) >= 0
    assert min(cpus.values()) >= 0
    assert min(memory.values()) >= 0


POOLS = {
    "train-nv": "a100", "train-amd": "mi300x", "train-ascend": "910b", "infer-nv": "l40s",
    "infer-mlu": "mlu370",
}  # fmt: skip


@st.composite
def any_task(draw: st.DrawFn) -> dict[str, Any]:
    """The fields of a task that may or may not fit."""
    shared = draw(st.booleans())
    names = ["infer-nv", "infer-mlu"] if shared else list(POOLS)
    pools = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    nodes = 1 if shared else draw(st.sampled_from([1, 1, 1, 2]))
    slot = Slot(
        devices=1 if shared else draw(st.integers(1, 8)),
        cpus=draw(st.sampled_from([1, 8, 48])),
        memory_mib=draw(st.sampled_from([0, 1024, 200_000])),
    )
    return {
        "pools": tuple(pools),
        "types": frozenset(POOLS[p] for p in pools),
        "takes_share": shared,
        "memory_gib": draw(st.integers(1, 48)) if shared else draw(st.sampled_from([0, 64, 100])),
        "slots": (slot,) * nodes,
        "exclusive": draw(st.sampled_from([False, False, False, True])),
        "all_memory": draw(st.sampled_from([False, False, False, True])),
        "exc_nodes": frozenset(draw(st.sampled_from([[], [], ["nv1"], ["l40s1", "mlu1"]]))),
        "scenario": draw(st.sampled_from(["training", "inference"])),
    }


@st.composite
def any_cluster(draw: st.DrawFn) -> Inventory:
    """The sandbox with some jobs on it."""
    jobs: list[Job] = []
    for number, name in enumerate(["nv1", "amd1", "asc2"]):
        count = draw(st.integers(0, 8))
        if count:
            jobs.append(running(900 + number, name, f"gpu:{count}(IDX:0-{count - 1})"))
    for number, index in enumerate(draw(st.lists(st.integers(0, 3), max_size=4))):
        detail = f"shard:{draw(st.integers(1, 12))}(IDX:{index})"
        jobs.append(running(950 + number, "l40s1", detail))
    return inventory(*jobs)


@settings(max_examples=60, deadline=None)
@given(any_cluster(), st.lists(any_task(), max_size=14))
def test_the_greedy_plan_is_never_over_capacity(on: Inventory, some: list[dict[str, Any]]) -> None:
    tasks = tuple(task(str(i), **fields) for i, fields in enumerate(some))
    found = planned(*tasks, on=on)
    assert found.status == "greedy"
    check(found, tasks, on)


@settings(max_examples=20, deadline=None)
@given(any_cluster(), st.lists(any_task(), max_size=6))
def test_the_optimal_plan_is_never_over_capacity(on: Inventory, some: list[dict[str, Any]]) -> None:
    tasks = tuple(task(str(i), **fields) for i, fields in enumerate(some))
    found = planned(*tasks, on=on, solve=milp)
    check(found, tasks, on)


@pytest.mark.parametrize("solve", SOLVERS)
def test_whole_devices_are_those_slurm_will_take(solve: Solve) -> None:
    on = inventory(
        running(1, "nv1", "gpu:a100:2(IDX:0,3)"), running(2, "nv2", "gpu:a100:8(IDX:0-7)")
    )
    tasks = (task("a", slots=(Slot(2, 1, 0),)), task("b", slots=(Slot(3, 1, 0),)))
    found = planned(*tasks, on=on, solve=solve)
    assert {p.key: p.devices for p in found.placements} == {"a": ((1, 2),), "b": ((4, 5, 6),)}


@pytest.mark.parametrize("solve", SOLVERS)
def test_shares_are_on_the_first_device_with_room(solve: Solve) -> None:
    on = inventory(
        running(1, "l40s1", "shard:30(IDX:0)"), running(2, "l40s2", "gpu:l40s:4(IDX:0-3)")
    )
    some = {"pools": ("infer-nv",), "types": frozenset({"l40s"}), "takes_share": True}
    tasks = (task("a", memory_gib=24, **some), task("b", memory_gib=18, **some))
    found = planned(*tasks, on=on, solve=solve)
    assert {p.key: (p.nodes, p.devices) for p in found.placements} == {
        "a": (("l40s1",), ((1,),)),
        "b": (("l40s1",), ((0,),)),
    }
    check(found, tasks, on)


def test_priority_comes_before_packing() -> None:
    on = inventory(running(1, "nv2", "gpu:a100:8(IDX:0-7)"))
    first, second = task("first", slots=(Slot(8, 1, 0),)), task("second")
    found = planned(first, second, on=on, solve=milp)
    assert [p.key for p in found.placements] == ["first"]
    goes = "needs 1 free on one node; what is free goes to first, of higher priority"
    assert str(found.waiting["second"]) == goes


def test_a_plan_in_a_hurry_leaves_out_the_last_tasks() -> None:
    """From the first that is unlike those before it: that is what takes time."""
    like = [task(f"like{n}") for n in range(3)]
    tasks = (*like, task("other", slots=(Slot(2, 1, 0),)), task("like3"))
    found = plan(inventory(), tasks, policy(), greedy, hurry=lambda: True)
    assert [p.key for p in found.placements] == [t.key for t in like]
    assert found.waiting == dict.fromkeys(("other", "like3"), OutOfTime())
    assert found.left_out == 2
    rushed = iter([False, True])
    tasks = (*tasks, task("third", slots=(Slot(4, 1, 0),)))
    found = plan(inventory(), tasks, policy(), greedy, hurry=lambda: next(rushed))
    assert set(found.waiting) == {"third"}


@pytest.mark.parametrize("solve", SOLVERS)
def test_small_tasks_fill_the_broken_node(solve: Solve) -> None:
    on = inventory(running(1, "nv2", "gpu:a100:6(IDX:0-5)"))
    found = planned(task("small"), on=on, solve=solve)
    assert found.placements[0].nodes == ("nv2",)
    assert found.placements[0].devices == ((6,),)
    assert found.placements[0].terms["fragmentation"] < 0


@pytest.mark.parametrize("solve", SOLVERS)
def test_two_nodes_are_of_one_pool_and_type(solve: Solve) -> None:
    on = inventory(
        running(1, "nv1", "gpu:a100:1(IDX:0)"), running(2, "amd1", "gpu:mi300x:1(IDX:0)")
    )
    both = {"pools": ("train-nv", "train-amd"), "types": frozenset({"a100", "mi300x"})}
    tasks = (task("pair", slots=(Slot(8, 1, 0),) * 2, **both),)
    found = planned(*tasks, on=on, solve=solve)
    assert "cannot be combined" in str(found.waiting["pair"])
    found = planned(*tasks, on=inventory(), solve=solve)
    assert set(found.placements[0].nodes) in ({"nv1", "nv2"}, {"amd1", "amd2"})


BUSY = (
    running(1, "amd1", "gpu:mi300x:8(IDX:0-7)"),
    running(2, "amd2", "gpu:mi300x:2(IDX:0-1)"),
    running(3, "l40s1", "shard:40(IDX:0),shard:30(IDX:1)"),
    running(4, "l40s2", "gpu:l40s:4(IDX:0-3)"),
)
AMD = {"pools": ("train-amd",), "types": frozenset({"mi300x"})}
SHARE = {"pools": ("infer-nv",), "types": frozenset({"l40s"}), "takes_share": True}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({**AMD, "slots": (Slot(8, 1, 0),)},
         "needs 8 free on one node; best is amd2 with 6 (2 is there)"),
        ({**AMD, "slots": (Slot(7, 1, 0),), "memory_gib": 100},
         "needs 7 of ≥100 GiB free on one node; best is amd2 with 6 (2 is there)"),
        ({**AMD, "slots": (Slot(9, 1, 0),)},
         "needs 9 free on one node; the largest node, amd1, has 8"),
        ({**AMD, "slots": (Slot(4, 1, 0),) * 2},
         "needs 4 free on each of 2 nodes; only 1 such: amd2; next is amd1 (1 is there)"),
        ({**AMD, "slots": (Slot(7, 1, 0), Slot(4, 1, 0))},
         "needs 7 free on one node; best is amd2 with 6 (2 is there)"),
        ({**AMD, "slots": (Slot(6, 1, 0), Slot(4, 1, 0))},
         "needs 4 free on each of 2 nodes; only 1 such: amd2; next is amd1 (1 is there)"),
        ({**AMD, "slots": (Slot(9, 1, 0), Slot(4, 1, 0))},
         "needs 9 free on one node; the largest node, amd1, has 8"),
        ({**AMD, "memory_gib": 200},
         "needs 1 of ≥200 GiB free on one node; amd1, amd2 have no fitting device"),
        ({**AMD, "features": "h100"},
         "needs 1 free on one node; amd1, amd2 lack the features h100"),
        ({**AMD, "exc_nodes": frozenset({"amd2"})},
         "needs 1 free on one node; best is amd1 with 0 (1 is there)"),
        ({"pools": ("gone",)}, "needs 1 free on one node; its pools (gone) have no node"),
        ({**SHARE, "memory_gib": 48, "exc_nodes": frozenset()}, None),
        ({**SHARE, "memory_gib": 49},
         "needs 49 GiB free on one device; l40s1, l40s2 have no fitting device"),
        ({**AMD, "slots": (Slot(1, 97, 0),)},
         "devices are free, but it needs 97 CPUs and 0 GiB of host memory beside them; "
         "best is amd2 with 96 CPUs and 1024 GiB"),
        ({**AMD, "exclusive": True},
         "needs a node for itself; amd2 has free devices but runs other jobs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("solve", SOLVERS)
def test_why_a_task_waits(fields: dict[str, Any], expected: str | None, solve: Solve) -> None:
    found = planned(task("t", **fields), on=inventory(*BUSY), solve=solve)
    why = found.waiting.get("t")
    assert (str(why) if why else None) == expected


@pytest.mark.parametrize("full", ["nv1", "nv2"])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"slots": (Slot(1, 8, 0),) * 2},
         "devices are free, but it needs 8 CPUs and 0 GiB of host memory beside them; "
         "best is {full} with 4 CPUs and 512 GiB"),
        ({"slots": (Slot(1, 1, 0),) * 2, "exclusive": True},
         "needs a node for itself; {full} has free devices but runs other jobs"),
    ],
)  # fmt: skip
def test_a_task_of_several_nodes_waits_for_those_that_have_no_room(
    fields: dict[str, Any], expected: str, full: str
) -> None:
    shot = snapshot(running(1, full, "gpu:a100:1(IDX:0)"))
    nodes = (
        replace(n, state="MIXED", cpus_alloc=n.cpus - 4) if n.name == full else n
        for n in shot.nodes
    )
    on = take_inventory(replace(shot, nodes=tuple(nodes)), policy())
    (other,) = {"nv1", "nv2"} - {full}
    only = f"of the 2 nodes that it needs only {other} has room"
    why = planned(task("t", **fields), on=on).waiting["t"]
    assert str(why) == f"{expected.format(full=full)}; {only}"


def test_of_nodes_that_are_alike_one_is_named_that_the_task_does_not_exclude() -> None:
    one = task("t", slots=(Slot(1, 999, 0),), exc_nodes=frozenset({"nv1"}))
    assert "best is nv2 with" in str(planned(one, on=inventory()).waiting["t"])


def test_a_full_device_names_the_best_one() -> None:
    on = inventory(
        *BUSY[:2],
        running(3, "l40s1", "shard:40(IDX:0),shard:30(IDX:1),shard:30(IDX:2),shard:44(IDX:3)"),
        BUSY[3],
    )
    found = planned(task("t", memory_gib=20, **SHARE), on=on)
    best = "best is l40s1:1 with 18 GiB (3 is there)"
    assert str(found.waiting["t"]) == f"needs 20 GiB free on one device; {best}"


@pytest.mark.parametrize(
    ("devices", "ends", "best"),
    [
        (1, (20, 10, 30), "nv1 with 0 (2 is there until 10 at the latest)"),
        (1, (20, 10, 5), "nv2 with 0 (4 is there until 5 at the latest)"),
        (8, (20, 10, 5), "nv1 with 0 (2, 1 are there until 20 at the latest)"),
        (8, (-10, 20, 5), "nv1 with 0 (1, 2 are there until 20 at the latest)"),
        (8, (-10, -20, 5), "nv1 with 0 (1, 2 are there)"),
        (1, (0, 0, 0), "nv1 with 0 (1 is there)"),
    ],
)
def test_of_full_nodes_the_first_to_have_room_is_named_and_who_is_there_until_when(
    devices: int, ends: tuple[int, int, int], best: str
) -> None:
    """0: without a limit; below it: past its end, which tells no time."""
    on = inventory(
        running(1, "nv1", "gpu:a100:4(IDX:0-3)", end_time=ends[0]),
        running(2, "nv1", "gpu:a100:4(IDX:4-7)", end_time=ends[1]),
        running(3, "nv2", "gpu:a100:7(IDX:0-6)"),
        running(4, "nv2", "gpu:a100:1(IDX:7)", end_time=ends[2]),
    )
    why = planned(task("t", slots=(Slot(devices, 1, 0),)), on=on).waiting["t"]
    assert why.told(lambda at: f"{at:.0f}") == f"needs {devices} free on one node; best is {best}"


def test_who_needs_more_nodes_is_told_which_come_next() -> None:
    on = inventory(
        running(1, "amd1", "gpu:mi300x:6(IDX:0-5)", end_time=30),
        running(2, "amd1", "gpu:mi300x:2(IDX:6-7)", end_time=10),
    )
    why = planned(task("t", slots=(Slot(2, 1, 0),) * 2, **AMD), on=on).waiting["t"]
    then = "next is amd1 (2 is there until 10 at the latest)"
    assert why.told(lambda at: f"{at:.0f}").endswith(f"only 1 such: amd2; {then}")


def test_a_drained_node_is_no_candidate_and_is_named() -> None:
    on = inventory()
    nodes = {
        name: replace(n, usable=False, state="IDLE+DRAIN") if name.startswith("nv") else n
        for name, n in on.nodes.items()
    }
    found = planned(task("t"), on=replace(on, nodes=nodes))
    assert str(found.waiting["t"]) == "needs 1 free on one node; nv1, nv2 are IDLE+DRAIN"


@pytest.mark.parametrize(
    "starts",
    [
        {t: (SlotChoice(0, (0,)),) for t in range(2)},
        {7: (SlotChoice(0, (0,)),)},
        {0: (SlotChoice(99, (0,)),)},
        {0: (SlotChoice(0, (-1,)),)},
        {0: ()},
    ],
)
def test_in_place_of_a_broken_solution_first_fit_places(
    starts: dict[int, tuple[SlotChoice, ...]],
) -> None:
    def wrong(_problem: Problem) -> Solution:
        return Solution(starts=starts, status="optimal")

    first = next(iter(inventory().nodes))
    pool = inventory().nodes[first].partitions[-1]
    fields = {"pools": (pool,), "types": frozenset(inventory().types)}
    found = planned(task("a", **fields), task("b", **fields), solve=wrong)
    assert found.refused
    assert found.status == "greedy"
    assert [p.key for p in found.placements] == ["a", "b"]


@pytest.mark.parametrize("solve", SOLVERS)
def test_gated_jobs_from_queue_to_plan(solve: Solve) -> None:
    jobs = (
        gated(1, tres_per_node="gpu:8", priority=9),
        gated(2, tres_per_node="shard:24", priority=8),
        gated(3, tres_per_node="gpu:mi300x:2", priority=7),
        gated(4, array_job_id=4, array_tasks="0-2", priority=6),
        gated(5, tres_per_job="gpu:16", priority=5, features="hygon"),
    )
    pools = fill_task_pools(snapshot(*jobs), inventory(), policy())
    found = plan(inventory(), pools.tasks, policy(), solve)
    where = {p.key: p.partition for p in found.placements}
    assert where == {
        "1": "train-nv", "2": "infer-nv", "3": "train-amd", "4_0": "train-nv", "4_1": "train-nv",
        "4_2": "train-nv", "5": "train-dcu",
    }  # fmt: skip
    check(found, pools.tasks, inventory())


def test_what_a_slot_takes_of_a_node() -> None:
    """Whole cores, and memory per CPU for all their CPUs; an EXCLUSIVE partition the whole node."""
    node = replace(inventory().nodes["nv1"], threads_per_core=2)
    assert need(task("1"), Slot(1, 3, 3000, 1000), node) == (4, 4000)
    assert need(task("1"), Slot(1, 3, 3000), node) == (4, 3000)
    whole = replace(node, exclusive_in=frozenset({"train-nv"}))
    assert need(task("1"), Slot(1, 3, 3000), whole) == (node.cpus, 3000)
    assert need(task("1", pools=("infer-nv",)), Slot(1, 3, 3000), whole) == (4, 3000)
    assert need(task("1", threads_per_core=1), Slot(1, 3, 3000), node) == (6, 3000)
    assert need(task("1", threads_per_core=2), Slot(1, 3, 3000), node) == (4, 3000)
    busy = replace(whole, idle=False)
    assert need(task("1"), Slot(1, 3, 3000), busy) is None
    assert need(task("1", pools=("infer-nv",)), Slot(1, 3, 3000), busy) == (4, 3000)


def test_a_pool_in_which_every_job_gets_whole_nodes() -> None:
    shot = snapshot(*(gated(n) for n in (1, 2, 3)))
    partitions = tuple(replace(p, exclusive=p.name == "train-nv") for p in shot.partitions)
    free = take_inventory(replace(shot, partitions=partitions), policy())
    made = plan(free, fill_task_pools(shot, free, policy()).tasks, policy(), greedy)
    assert sorted(p.nodes for p in made.placements) == [("nv1",), ("nv2",)]


def test_a_job_that_would_get_a_whole_node_waits_for_one_that_is_idle() -> None:
    """Devices are free, but in an EXCLUSIVE partition no CPU is beside another job."""
    shot = snapshot(*(running(n, f"nv{n}", "gpu:a100:1(IDX:0)") for n in (1, 2)))
    partitions = tuple(replace(p, exclusive=p.name == "train-nv") for p in shot.partitions)
    on = take_inventory(replace(shot, partitions=partitions), policy())
    assert planned(task("3"), on=on).waiting["3"] == NeedsWholeNode("nv1")


# --- 22.05 forgets a card's sharers once one of them has ended ---

L40S: dict[str, Any] = {
    "types": frozenset({"l40s"}), "pools": ("infer-nv",), "exc_nodes": frozenset({"l40s2"}),
}  # fmt: skip


def test_whole_devices_are_kept_apart_from_sharers_where_slurm_forgets_them() -> None:
    sharer = running(1, "l40s1", "shard:12(IDX:0)")
    whole, share = task("2", **L40S), task("3", takes_share=True, memory_gib=8, **L40S)
    assert set(planned(whole, on=inventory(sharer)).waiting) == set(), "24.11 has card 1 for it"
    found = planned(whole, share, on=forgetful(sharer))
    assert [p.key for p in found.placements] == ["3"]
    assert "sharing" in str(found.waiting["2"]) or "share" in str(found.waiting["2"])


@pytest.mark.parametrize("solve", SOLVERS)
def test_one_plan_does_not_mix_whole_devices_and_shares_on_a_node(solve: Solve) -> None:
    whole, share = task("2", **L40S), task("3", takes_share=True, memory_gib=8, **L40S)
    assert [p.key for p in planned(whole, share, on=forgetful(), solve=solve).placements] == ["2"]
    assert [p.key for p in planned(share, whole, on=forgetful(), solve=solve).placements] == ["3"]
    assert len(planned(whole, share, solve=solve).placements) == 2


def test_shares_wait_for_a_whole_device_that_is_about_to_be_taken() -> None:
    whole, share = task("2", **L40S), task("3", takes_share=True, memory_gib=8, **L40S)
    placement = planned(whole, on=forgetful()).placements[0]
    for start in (0.0, 5000.0):
        room = room_beside(forgetful(), [Pin(whole, placement, 0.0, start)])
        assert not planned(share, on=room).placements
    assert planned(share, on=room_beside(inventory(), [Pin(whole, placement, 0.0)])).placements


@pytest.mark.parametrize("solve", SOLVERS)
def test_an_exclusive_job_needs_as_many_cpus_as_it_asks(solve: Solve) -> None:
    """The whole node is no more than the node has."""
    cpus = inventory().nodes["nv1"].cpus
    for asked, starts in ((cpus, True), (cpus + 1, False)):
        made = planned(task("1", slots=(Slot(8, asked, 1024),), exclusive=True), solve=solve)
        assert bool(made.placements) is starts


def test_a_thousand_jobs_for_one_free_device_leave_the_window_to_jobs_for_other_pools() -> None:
    busy = inventory(
        running(1, "nv1", "gpu:a100:8(IDX:0-7)"), running(2, "nv2", "gpu:a100:7(IDX:0-6)")
    )
    flood = [task(str(n), features=f"a100&x{n}" if n % 2 else "") for n in range(1000)]
    other = task("other", types=frozenset({"l40s"}), pools=("infer-nv",))
    window = select(busy, in_turn((*flood, other), busy), 64)
    assert window[-1] is other
    assert 2 <= len(window) < 20
    empty = inventory()
    assert len(select(empty, in_turn(flood[::2], empty), 32)) == 32


def test_nodes_of_different_types_are_no_room_for_one_job() -> None:
    """A job of two nodes wants both of one type: it does not fill the window, and one is reserved
    for it."""
    busy = inventory(
        running(1, "nv1", "gpu:a100:8(IDX:0-7)", end_time=100),
        running(2, "amd1", "gpu:mi300x:8(IDX:0-7)", end_time=100),
    )
    two = task(
        "3", slots=(Slot(8, 1, 1024),) * 2, types=frozenset({"a100", "mi300x"}),
        pools=("train-nv", "train-amd"),
    )  # fmt: skip
    assert not could_start(two, busy)
    assert could_start(two, inventory())
    assert [t.key for t in select(busy, (two, task("4")), 1)] == ["4"]


def test_what_fits_where_is_worked_out_once_for_nodes_that_are_alike() -> None:
    """Hundreds of constraints on hundreds of nodes, each in a state of its own."""
    grid = inventory(running(1, "nv1", "gpu:a100:1(IDX:0)")).grid
    assert len(set(grid.natures)) < len(grid.states)
    for s, nature in enumerate(grid.natures):
        first = grid.states[grid.natures.index(nature)].node
        for asked in (task("1"), task("1", features="a100&nvidia"), task("1", memory_gib=100)):
            assert bool(misfit(asked, grid.states[s].node)) is bool(misfit(asked, first))


def test_what_slurm_will_deal_out_otherwise_waits() -> None:
    """The first task gets 5 + 1 of 6, so that the second has no 5 on the same node."""
    held = [
        running(n, node, f"gpu:a100:{count}(IDX:0-{count - 1})")
        for n, (node, count) in enumerate({"nv1": 3, "nv2": 3}.items())
    ]
    first = task("1", slots=(Slot(3, 1, 1024),) * 2, lot=1)
    second = task("2", slots=(Slot(2, 1, 1024),) * 2, lot=1)
    made = planned(first, second, on=inventory(*held))
    (only,) = made.placements
    assert (only.key, sorted(map(len, only.devices))) == ("1", [1, 5])
    assert str(made.waiting["2"]) == "Slurm's order of devices leaves it no room in this cycle"


def test_unequal_slots_need_as_many_nodes() -> None:
    on = inventory(running(1, "nv2", "gpu:a100:8(IDX:0-7)"))
    uneven = task("1", slots=(Slot(5, 1, 1024), Slot(4, 1, 1024)))
    assert not could_start(uneven, on), "the same node has room for either"
    assert could_start(uneven, inventory())


@pytest.mark.parametrize("solve", SOLVERS)
def test_a_node_that_is_up_is_preferred_to_one_that_is_powered_down(solve: Solve) -> None:
    shot = snapshot()
    for asleep in ("nv1", "nv2"):
        nodes = tuple(
            replace(n, state="IDLE+POWERED_DOWN") if n.name == asleep else n for n in shot.nodes
        )
        on = take_inventory(replace(shot, nodes=nodes), policy())
        both = planned(task("1"), task("2", slots=(Slot(8, 1, 1024),)), on=on, solve=solve)
        where = {p.key: p.nodes for p in both.placements}
        assert where["1"] != where["2"]
        (alone,) = planned(task("1"), on=on, solve=solve).placements
        assert alone.nodes != (asleep,)


@pytest.mark.parametrize(
    ("lot", "slots", "held", "dealt"),
    [
        (0, (5, 4), 0, {"nv1": 5, "nv2": 4}),
        (1, (5, 4), 0, {"nv1": 8, "nv2": 1}),
        (1, (5, 4), 2, {"nv1": 6, "nv2": 3}),
        (2, (6, 4), 0, {"nv1": 8, "nv2": 2}),
        (2, (6, 4), 1, {"nv1": 6, "nv2": 4}),
    ],
)
def test_what_slurm_deals_out_itself(
    lot: int, slots: tuple[int, ...], held: int, dealt: dict[str, int]
) -> None:
    """The first node of slurm.conf gives all that it has, the others one lot at least."""
    on = inventory(*(running(9, "nv1", f"gpu:a100:{held}(IDX:0-{held - 1})") for _ in [0] if held))
    asked = task("1", slots=tuple(Slot(n, 1, 1024) for n in slots), lot=lot)
    (made,) = planned(asked, on=on).placements
    counts = {node: len(ids) for node, ids in zip(made.nodes, made.devices, strict=True)}
    assert counts == (dealt if lot else dict(zip(made.nodes, slots, strict=True)))


def test_what_slurm_deals_out_goes_by_the_cpus_that_are_left() -> None:
    """The first task leaves nv1 CPUs for three devices of the second: it gets two on nv2."""
    cpus = inventory().nodes["nv1"].cpus
    first = task("1", slots=(Slot(1, cpus - 12, 1024),), exc_nodes=frozenset({"nv2"}))
    asked = task("2", slots=(Slot(3, 12, 1024), Slot(2, 8, 1024)), lot=1)
    made = planned(first, asked)
    dealt = {p.key: dict(zip(p.nodes, map(len, p.devices), strict=True)) for p in made.placements}
    assert dealt == {"1": {"nv1": 1}, "2": {"nv1": 3, "nv2": 2}}
    alone = planned(asked).placements[0]
    assert dict(zip(alone.nodes, map(len, alone.devices), strict=True)) == {"nv1": 4, "nv2": 1}


def test_what_slurm_deals_out_goes_by_the_cores_of_a_task_that_uses_one_thread_of_each() -> None:
    """Four CPUs with one thread of each core are eight CPUs of the node, for each device."""
    on = inventory()
    nodes = {
        name: replace(node, threads_per_core=2, cpus=32, cpus_free=32)
        for name, node in on.nodes.items()
    }
    asked = task("1", slots=(Slot(2, 8, 1024), Slot(2, 8, 1024)), lot=1, threads_per_core=1)
    (made,) = planned(asked, on=replace(on, nodes=nodes)).placements
    assert dict(zip(made.nodes, map(len, made.devices), strict=True)) == {"nv1": 3, "nv2": 1}
    cramped = {name: replace(node, cpus=16, cpus_free=16) for name, node in nodes.items()}
    (made,) = planned(asked, on=replace(on, nodes=cramped)).placements
    assert dict(zip(made.nodes, map(len, made.devices), strict=True)) == {"nv1": 2, "nv2": 2}


def under_switches(*switches: str) -> Inventory:
    """The default cluster's A100 node as often, each under one of these switches; '' is none."""
    node = inventory().nodes["nv1"]

    def like(name: str, switch: str) -> Node:
        devices = tuple(replace(d, node=name) for d in node.devices)
        parts = (Part(switch), Part("top", ANY_NUMBER)) if switch else ()
        return replace(node, name=name, parts=parts, devices=devices)

    return Inventory({f"n{i}": like(f"n{i}", switch) for i, switch in enumerate(switches)})


@pytest.mark.parametrize("solve", [greedy, milp])
def test_the_nodes_of_a_job_are_under_one_switch_if_that_is_to_be_had(solve: Solve) -> None:
    two = task("two", slots=(Slot(8, 8, 1024),) * 2)
    made = plan(under_switches("a", "b", "c", "b"), (two,), policy(), solve)
    assert set(made.placements[0].nodes) == {"n1", "n3"}
    assert made.placements[0].terms["locality"] == policy().weights.locality
    far = plan(under_switches("a", "b", "c", "d"), (two,), policy(), solve)
    assert len(far.placements[0].nodes) == 2, "it starts all the same"
    assert "locality" in far.placements[0].terms
    assert far.placements[0].terms["locality"] == 0
    unknown = plan(under_switches("", "", ""), (two,), policy(), solve)
    assert "locality" not in unknown.placements[0].terms
