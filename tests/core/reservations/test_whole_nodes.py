"""A node is kept free of shares where whole devices are waited for, if Slurm forgets sharers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Slot, Task
from slurm_het.core.reservations.reservation import ComingFree
from slurm_het.core.reservations.whole_nodes import LOOKED_AT_MOST, keep_whole
from tests.support.world import forgetful, inventory, running, task

SHARERS = (
    running(1, "l40s1", "shard:12(IDX:0)"),
    running(2, "l40s1", "shard:12(IDX:1)"),
    running(3, "l40s2", "shard:12(IDX:0)"),
)


def wants(key: str, **fields: Any) -> Task:
    """A task of the L40S nodes: a whole card, unless the fields say otherwise."""
    return task(key, types=frozenset({"l40s"}), pools=("infer-nv",), **fields)


def share(key: str) -> Task:
    return wants(key, takes_share=True, memory_gib=8)


def cards() -> int:
    return len(inventory().nodes["l40s1"].devices)


def kept_off(tasks: tuple[Task, ...], room: Inventory) -> dict[str, set[str]]:
    return {t.key: set(t.exc_nodes) for t in keep_whole(tasks, room, {})[0] if t.exc_nodes}


def test_lower_shares_keep_off_the_node_with_the_fewest_sharers() -> None:
    tasks = (share("7"), wants("8"), share("9"), wants("10"))
    room = forgetful(*SHARERS)
    assert kept_off(tasks, room) == {"9": {"l40s2"}}
    assert keep_whole(tasks, room, {})[1] == {"l40s2": "8"}


def test_nothing_is_kept_where_nobody_waits() -> None:
    tasks = (wants("8"), share("9"))
    assert kept_off(tasks, forgetful(*SHARERS[:2])) == {}, "l40s2 has no sharers"
    assert kept_off((share("9"),), forgetful(*SHARERS)) == {}
    assert kept_off(tasks, inventory(*SHARERS)) == {}, "24.11 gives whole cards beside sharers"


def test_what_never_fits_keeps_no_node() -> None:
    room = forgetful(*SHARERS)
    nodes = sum("infer-nv" in node.partitions for node in room.nodes.values())
    more_nodes = (Slot(1, 1, 1024),) * (nodes + 1)
    for slots in (
        (Slot(cards() + 1, 1, 1024),), (Slot(1, 10_000, 1024),), (Slot(1, 1, 1 << 40),), more_nodes,
    ):  # fmt: skip
        assert kept_off((wants("8", slots=slots), share("9")), room) == {}


def test_a_job_of_several_nodes_keeps_one() -> None:
    tasks = (wants("8", slots=(Slot(1, 1, 1024),) * 2), share("9"))
    assert kept_off(tasks, forgetful(*SHARERS)) == {"9": {"l40s2"}}


def test_a_node_is_kept_whose_jobs_will_end() -> None:
    """Not that of the one sharer without a time limit, nor one that whole jobs hold for ever."""
    tasks = (wants("8", slots=(Slot(cards(), 1, 1024),)), share("9"))
    whole = running(3, "l40s2", f"gpu:l40s:{cards()}(IDX:0-{cards() - 1})")
    ends = {
        "l40s1": tuple(ComingFree(end, key, 1, 1024) for end, key in ((60.0, "1"), (90.0, "2"))),
        "l40s2": (ComingFree(1000.0, "3", 1, 1024),),
    }
    for third in (SHARERS[2], whole):
        room = forgetful(*SHARERS[:2], third)
        assert keep_whole(tasks, room, ends)[1] == {"l40s2": "8"}
        assert keep_whole(tasks, room, {"l40s1": ends["l40s1"]})[1] == {"l40s1": "8"}
        assert keep_whole(tasks, room, {})[1] == {"l40s2": "8"}, "all alike: the fewest sharers"


def test_each_pool_has_its_own_node() -> None:
    """Tasks that wait for one pool keep none of another."""
    tasks = (wants("8"), share("9"), replace(share("10"), pools=("infer-ascend", "infer-nv")))
    assert kept_off(tasks, forgetful(*SHARERS)) == {"9": {"l40s2"}, "10": {"l40s2"}}


def test_many_that_never_fit_cost_no_more_than_some() -> None:
    """After so many no node is sought: reservations keep one free all the same."""
    never = tuple(wants(str(n), slots=(Slot(1, 10_000 + n, 1),)) for n in range(LOOKED_AT_MOST))
    last = (wants("8"), share("9"))
    assert kept_off(never[1:] + last, forgetful(*SHARERS)) == {"9": {"l40s2"}}
    assert kept_off(never + last, forgetful(*SHARERS)) == {}
