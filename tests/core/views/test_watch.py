"""The bounds on the first cycles of a pool in plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, observe, prepare
from slurm_het.core.policy import Limits
from slurm_het.core.views.watch import Look, broken, startable
from tests.support.world import marked, policy, running, snapshot

BEFORE = Look(0.0, troubles=("a driver is old",), used=14, devices=16)
WELL = Look(10.0, used=14, devices=16, startable=3, released=5)


def put_off(*keys: set[str]) -> list[Look]:
    """Looks ten seconds apart at which a cycle would start these."""
    return [
        replace(WELL, seconds=10.0 * n, put_off=frozenset(found)) for n, found in enumerate(keys)
    ]


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ([WELL] * 6, ""),
        ([replace(WELL, silence="hetd is not answering")] * 2, ""),
        ([replace(WELL, silence="hetd is not answering")] * 3, "not answering"),
        ([replace(WELL, gate="closing")], ""),
        ([replace(WELL, gate="closing", seconds=31.0)], "the gate is closing 31 s after"),
        ([replace(WELL, troubles=("the journal is off",))] * 2, "the journal is off"),
        ([replace(WELL, troubles=("a driver is old",))] * 2, ""),
        ([replace(WELL, troubles=("the journal is off",)), replace(WELL, troubles=("late",))], ""),
        ([replace(WELL, failed=2, released=0)], ""),
        ([replace(WELL, failed=3, released=9)], "3 of 12 releases failed"),
        ([replace(WELL, failed=3, released=90)], ""),
        ([replace(WELL, used=12)] * 5, "12 of 16 devices are in use, 14 were before, and 3 tasks"),
        ([replace(WELL, used=12)] * 4, ""),
        ([replace(WELL, used=2, startable=0)] * 6, ""),
        (put_off({"7", "9"}, {"7"}, {"7"}), "job 7 could start at once for 20 s, and is not"),
        (put_off({"7", "9"}, {"7", "9"}, {"7", "9"}), "job 7 and 1 more could start"),
        (put_off({"7"}, set(), {"7"}), ""),
        (put_off({"7"}, {"9"}, {"8"}), ""),
        (put_off({"7"}, {"7"}), ""),
    ],
)  # fmt: skip
def test_each_bound_is_told_from_the_others(looks: Sequence[Look], words: str) -> None:
    found = broken(BEFORE, looks)
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize(
    ("asked", "pool", "count"),
    [("gpu:a100:8", "train-nv", 0), ("gpu:a100:1", "train-nv", 1), ("gpu:a100:1", "train-amd", 0)],
)
def test_who_waits_for_more_than_is_free_does_not_wait_beside_idle_devices(
    asked: str, pool: str, count: int
) -> None:
    full = [running(n, f"nv{n}", "gpu:a100:7(IDX:0-6)", partition="train-nv") for n in (1, 2)]
    here = snapshot(*full, marked(3, tres_per_node=asked))
    memory = Memory(Pins(10.0, 60.0))
    prepared = prepare(observe(here, policy(), memory, 0.0), Limits(), memory, 0.0)
    assert startable(prepared, frozenset({pool})) == count
