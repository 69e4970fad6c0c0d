"""hetd's memory: what a cycle replaces is freed, soon or later."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_het.core.model import Node
from slurm_het.daemon.tidying import ALL_SECONDS, SECONDS, Tidying
from tests.daemon.test_cycle import Bench
from tests.support.world import marked, running


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Python's own collections stay out of it."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.enable()


def nodes_in_memory() -> int:
    return sum(isinstance(one, Node) for one in gc.get_objects())


def test_a_node_that_has_changed_is_freed_without_a_collection(tmp_path: Path) -> None:
    bench, seen = Bench(tmp_path), []
    for n in range(12):
        bench.slurm.jobs = (
            running(1000 + n, "nv1", f"gpu:a100:1(IDX:{n % 8})", end_time=int(bench.now) + 3000),
            marked(2000 + n, tres_per_node="gpu:8", submit_time=int(bench.now)),
            marked(3000 + n, tres_per_node="gpu:8", submit_time=int(bench.now)),
            marked(4000 + n, tres_per_node="gpu:8", submit_time=int(bench.now)),
        )
        bench.slurm.updates.clear()
        bench.slurm.time = bench.now
        asyncio.run(bench.cycle.run())
        bench.wait(60.0)
        gc.disable()
        seen.append(nodes_in_memory())
    assert max(seen[6:]) <= max(seen[:6])


class Loop:
    """Garbage that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


def old_garbage() -> weakref.ref[Loop]:
    """It was there at a collection, as what a cycle keeps for the next one is."""
    loop = Loop()
    gc.collect()
    return weakref.ref(loop)


def test_what_lived_long_is_freed_in_the_end() -> None:
    tidying = Tidying()
    tidying.look(0.0)
    left, n = old_garbage(), 0
    while left() and n < 1440:
        n += 1
        tidying.look(n * SECONDS)
    assert n * SECONDS == ALL_SECONDS  # so seldom, for it takes long


def test_what_a_reload_replaced_is_freed_at_the_next_look() -> None:
    tidying = Tidying()
    tidying.look(0.0)
    left = old_garbage()
    tidying.all_soon()
    tidying.look(1.0)
    assert not left()
