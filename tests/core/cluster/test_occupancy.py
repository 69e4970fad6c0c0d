"""Who holds what of a node: the same whether Slurm's records say so or a task is to start there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.fit import has_room, need
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.cluster.occupancy import give_back, shared_by, take, taken_whole, without
from slurm_het.core.model import Device, Slot, Task
from tests.support.world import forgetful, inventory, policy, running, snapshot, task

ON_L40S: dict[str, Any] = {"types": frozenset({"l40s"}), "pools": ("infer-nv",)}


def share(key: str, gib: int) -> Task:
    """A task for so many GiB of an L40S."""
    return task(key, takes_share=True, memory_gib=gib, **ON_L40S)


@pytest.mark.parametrize(
    ("node", "detail", "tasks"),
    [
        ("nv1", "gpu:a100:2(IDX:0-1)", [(task("1", slots=(Slot(2, 1, 1024),)), (0, 1))]),
        ("l40s1", "shard:12(IDX:0)", [(share("1", 12), (0,))]),
        ("l40s1", "gpu:l40s:1(IDX:3)", [(task("1", **ON_L40S), (3,))]),
    ],
)
def test_a_task_takes_of_a_node_what_its_job_is_then_seen_to_hold(
    node: str, detail: str, tasks: list[tuple[Task, tuple[int, ...]]]
) -> None:
    taken = inventory().nodes[node]
    for asked, indexes in tasks:
        taken = take(taken, asked, indexes, need(asked, asked.slots[0], taken))
    shot = snapshot(running(1, node, detail))
    nodes = tuple(
        replace(n, cpus_alloc=1, memory_alloc_mib=1024) if n.name == node else n for n in shot.nodes
    )
    seen = take_inventory(replace(shot, nodes=nodes), policy()).nodes[node]
    assert replace(taken, promised_whole=False) == seen


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_job_that_ends_leaves_the_node_as_it_was_before(exclusive: bool) -> None:
    before = inventory().nodes["nv1"]
    asked = task("7", slots=(Slot(3, 4, 4096),), exclusive=exclusive)
    held = take(before, asked, (0, 1, 2), need(asked, asked.slots[0], before))
    assert not has_room(task("8", slots=(Slot(6, 1, 1),)), Slot(6, 1, 1), held)
    cpus = before.cpus if exclusive else 4
    left = give_back(held, "7", cpus, 4096)
    assert replace(left, promised_whole=False) == before


def test_what_sharers_leave_when_one_of_them_ends() -> None:
    """What each holds is not kept apart: they are taken to hold as much each."""
    empty = inventory().nodes["l40s1"].devices[0]
    device = shared_by(shared_by(empty, "1", 10), "2", 20)
    assert (device.occupied_gib, device.holders, device.in_shares) == (30, ("1", "2"), True)
    one = without(device, "1")
    assert (one.occupied_gib, one.holders, one.in_shares) == (15, ("2",), True)
    assert without(one, "2") == empty
    assert without(one, "9") == one


def test_a_device_that_is_held_whole_stays_so_beside_a_share() -> None:
    """22.05 starts a share beside a whole job, where it forgot another sharer."""
    empty = inventory().nodes["l40s1"].devices[0]
    share_last = shared_by(taken_whole(empty, "1"), "2", 8)
    share_first = taken_whole(shared_by(empty, "2", 8), "1")
    for both in (share_last, share_first):
        assert (both.occupied_gib, both.in_shares) == (48, False)


def test_shares_that_slurm_does_not_number_keep_whole_devices_off_too() -> None:
    """Without an index they are counted on the first free device, and are shares all the same."""

    def shared(on: tuple[Device, ...]) -> list[bool]:
        return [device.in_shares for device in on]

    node = forgetful(running(1, "l40s1", "shard:12")).nodes["l40s1"]
    assert shared(node.devices) == [True, False, False, False]
    assert [device.free_gib for device in node.devices] == [36, 48, 48, 48]
    assert node.closed_to(shares=False)
    whole = forgetful(running(1, "l40s1", "gpu:1")).nodes["l40s1"]
    assert shared(whole.devices) == [False] * 4
    assert not whole.closed_to(shares=False)
