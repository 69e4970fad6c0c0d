"""Jobs of several nodes in the network: as few leaves as can be, and what Slurm keeps together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.core.cluster.fit import could_ever_start, could_start
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import close
from slurm_het.core.model import Node, Slot, Task
from slurm_het.core.network import ANY_NUMBER, Network, Part, Parts, leaf_of, nearest
from slurm_het.core.planner.plan import plan
from slurm_het.solve.pooled.formulation import Pooled
from slurm_het.solve.search import Search
from slurm_het.solve.solve import solve as solve_mip
from tests.support.world import inventory, policy, task

Solve = Callable[[Problem], Solution]
TOP = Part("top", ANY_NUMBER)


def milp(problem: Problem) -> Solution:
    return solve_mip(problem, 20.0)


SOLVERS = [pytest.param(greedy, id="greedy"), pytest.param(milp, id="milp")]


def cluster(network: Network, full: str = "") -> Inventory:
    """The default cluster's A100 node once for each node of the network; those in `full` are."""
    node = inventory().nodes["nv1"]

    def like(name: str) -> Node:
        devices = tuple(replace(d, node=name) for d in node.devices)
        one = replace(node, name=name, parts=network[name], devices=devices)
        return close(one) if name in full.split() else one

    return Inventory({name: like(name) for name in network})


def tree(**leaves: int) -> dict[str, Parts]:
    """So many nodes under each leaf switch; a1 is the first one under a."""
    return {f"{leaf}{n}": (Part(leaf), TOP) for leaf, m in leaves.items() for n in range(1, m + 1)}


def blocks(*sizes: int) -> Network:
    """Eight nodes in blocks of these sizes (BlockSizes): n1 to n8, or fewer if the last is less."""
    return {
        f"n{n + 1}": tuple(Part(f"{size}:{n // size}", size) for size in sizes) for n in range(8)
    }


def wide(nodes: int, **more: int) -> Task:
    return replace(task("wide", slots=(Slot(8, 8, 1024),) * nodes), **more)  # type: ignore[arg-type]


def leaves_of(found: Inventory, asked: Task, solve: Solve) -> list[str]:
    """The leaf of each node that it gets, sorted."""
    made = plan(found, (asked,), policy(), solve).placements
    return sorted(leaf_of(found.nodes[name].parts) for name in made[0].nodes) if made else []


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize(
    ("nodes", "full", "leaves"),
    [
        (2, "", "aa"),
        (3, "a1 b1", "ccc"),
        (4, "a1", "bbbb"),
        (5, "a1 a2 b1 b2 b3", "aaccc"),
        (7, "a1", "bbbbccc"),
        (9, "", "aaaabbbbc"),
    ],
)
def test_a_job_is_in_as_few_leaves_as_can_be(
    solve: Solve, nodes: int, full: str, leaves: str
) -> None:
    found = leaves_of(cluster(tree(a=4, b=4, c=3), full), wide(nodes), solve)
    assert len(found) == nodes
    assert len(set(found)) == len(set(leaves))


@pytest.mark.parametrize("solve", SOLVERS)
def test_no_job_reaches_from_one_tree_into_another(solve: Solve) -> None:
    """Slurm's answer to such a node list is BadConstraints, and priority 0."""
    islands = {
        name: (parts[0], Part(f"island {name[0]}", ANY_NUMBER))
        for name, parts in tree(a=2, b=2).items()
    }
    found = cluster(islands, "a1 b1")
    assert not could_start(wide(2), found)
    assert could_ever_start(wide(2), found)
    assert not could_ever_start(wide(3), found)
    assert leaves_of(cluster(islands, "a1"), wide(2), solve) == ["b", "b"]


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize(
    ("sizes", "nodes", "full", "starts"),
    [
        ((4, 8), 2, "n1 n2 n3 n5 n6 n7", False),  # n4 and n8: a block each
        ((4, 8), 2, "n1 n2 n5 n6 n7", True),
        ((4, 8), 4, "n1", True),
        ((4, 8), 4, "n1 n5", False),
        ((4, 8), 5, "n1 n5", True),  # more than a block of four: in one of eight
        ((2, 4), 3, "n1 n2 n5 n6", False),
        ((2, 4), 3, "n1 n6", True),
        ((2, 4), 6, "n1 n6", True),  # more than any block: wherever blocks are
    ],
)
def test_a_job_is_in_the_smallest_block_that_holds_it(
    solve: Solve, sizes: tuple[int, ...], nodes: int, full: str, starts: bool
) -> None:
    found = cluster(blocks(*sizes), full)
    assert could_start(wide(nodes), found) == starts
    made = plan(found, (wide(nodes),), policy(), solve).placements
    assert len(made) == starts
    if starts and nodes <= sizes[-1]:
        size = next(s for s in sizes if s >= nodes)
        assert len({(int(name[1:]) - 1) // size for name in made[0].nodes}) == 1


def test_a_node_that_nothing_is_connected_to_takes_part_in_no_job_of_several() -> None:
    apart = tree(a=1, b=1) | {"x": (Part("x", ANY_NUMBER),), "y": (Part("y", ANY_NUMBER),)}
    assert could_ever_start(wide(2), cluster(apart))
    assert not could_ever_start(wide(3), cluster(apart))
    assert not could_start(wide(2), cluster(apart, "a1"))
    assert could_start(task("one", slots=(Slot(8, 8, 1024),)), cluster(apart, "a1 b1"))


@pytest.mark.parametrize("solve", SOLVERS)
def test_a_task_that_asks_for_one_leaf_starts_under_no_more(solve: Solve) -> None:
    two = tree(a=2, b=2)
    assert leaves_of(cluster(two, "a1"), wide(2, leaf_patience=60), solve) == ["b", "b"]
    assert not could_start(wide(2, leaf_patience=60), cluster(two, "a1 b1"))
    assert could_start(wide(2), cluster(two, "a1 b1"))
    assert not could_ever_start(wide(3, leaf_patience=60), cluster(two))


def test_large_clusters_are_planned_so_too() -> None:
    """In counts (solve/pooled): eight jobs of four nodes on ten leaves, one of them cut."""
    found = cluster(tree(**dict.fromkeys("abcdefghij", 4)), "a1 b1")
    tasks = tuple(replace(wide(4), key=str(n)) for n in range(8))

    def pooled(problem: Problem) -> Solution:
        return Search(problem, 20.0, Pooled(problem, "highs"), 0.0).run()

    made = plan(found, tasks, policy(), pooled).placements
    assert len(made) == 8
    for one in made:
        assert len({name[0] for name in one.nodes}) == 1


def test_sets_of_near_leaves_begin_with_those_below_the_same_switch() -> None:
    left, right = Part("left"), Part("right")
    leaves = {
        "a": ((Part("a"), left, TOP), 2),
        "b": ((Part("b"), left, TOP), 2),
        "c": ((Part("c"), right, TOP), 3),
    }
    sets = nearest(leaves, 4, most=10)
    assert frozenset("ab") in sets
    assert all(sum(leaves[name][1] for name in names) >= 4 for names in sets)
    assert nearest(leaves, 8, most=10) == []
    assert frozenset("c") in nearest(leaves, 3, most=10)
