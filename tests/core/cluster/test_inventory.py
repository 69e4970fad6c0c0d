"""What Slurm's node records say of the inventory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.cluster.inventory import take_inventory
from tests.support.world import policy, running, snapshot

# As `scontrol show node` of 22.05, 24.11 and 26.05 prints them, and whether a job that was sent
# there was started or configured (tried on each of the three).
STATES = {
    "IDLE": True,
    "MIXED": True,
    "ALLOCATED": True,
    "IDLE+PLANNED": True,
    "IDLE+POWERED_DOWN": True,
    "MIXED+POWER_DOWN": True,  # scontrol update state=POWER_DOWN, while a job runs there
    "MIXED+REBOOT_REQUESTED": True,  # scontrol reboot, while a job runs there
    "MIXED+NOT_RESPONDING+POWERING_UP": True,  # for the job that is there already
    "MIXED+DRAIN+POWER_DOWN": False,  # state=POWER_DOWN_ASAP
    "MIXED+DRAIN+REBOOT_REQUESTED": False,  # scontrol reboot ASAP
    "MIXED+POWER_DOWN+NOT_RESPONDING": False,
    "DOWN+REBOOT_ISSUED": False,
    "IDLE+POWERING_DOWN": False,
    "DOWN+POWERED_DOWN+NOT_RESPONDING": False,  # it did not come up in time
    "DOWN": False,
    "IDLE+DRAIN": False,
    "IDLE+FAIL": False,
    "IDLE+NOT_RESPONDING": False,
    "UNKNOWN": False,
    "IDLE+MAINT": False,
    "DOWN*": False,
}


@pytest.mark.parametrize(("state", "usable"), STATES.items())
def test_what_slurm_starts_jobs_on_is_usable(state: str, usable: bool) -> None:
    shot = snapshot()
    nodes = tuple(replace(n, state=state) if n.name == "nv1" else n for n in shot.nodes)
    assert take_inventory(replace(shot, nodes=nodes), policy()).nodes["nv1"].usable is usable


@pytest.mark.parametrize(
    ("configured", "sizes"),
    [
        ("gpu:a100:1,gpu:l40s:1,shard:a100:80,shard:l40s:48", [80, 48]),
        ("gpu:a100:2,gpu:l40s:1,shard:a100:160", [80, 80, 48]),  # the other has none: as it is
        ("gpu:a100:2,shard:160", [80, 80]),
        ("gpu:a100:1,gpu:l40s:1,shard:128", [64, 64]),
    ],
)
def test_shards_of_a_type_are_those_devices(configured: str, sizes: list[int]) -> None:
    shot = snapshot()
    node = replace(shot.nodes[0], gres=configured)
    taken = take_inventory(replace(shot, nodes=(node,)), policy())
    assert [device.memory_gib for device in taken.nodes[node.name].devices] == sizes


@pytest.mark.parametrize(
    ("held", "on"),
    [
        ("gpu:a100:1", [2]),
        ("gpu:l40s:2", [0, 1]),
        ("gpu:a100:3", [0, 2, 3]),  # more than there are: none is counted as free that is not
        ("gpu:2", [0, 1]),
        ("shard:a100:8", [2]),
    ],
)
def test_what_slurm_does_not_number_is_of_its_type(held: str, on: list[int]) -> None:
    shot = snapshot(running(1, "nv1", held))
    there = "gpu:l40s:2,gpu:a100:2,shard:l40s:96,shard:a100:160"
    nodes = tuple(replace(n, gres=there) if n.name == "nv1" else n for n in shot.nodes)
    taken = take_inventory(replace(shot, nodes=nodes), policy()).nodes["nv1"]
    assert [device.index for device in taken.devices if device.holders] == on
