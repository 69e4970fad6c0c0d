"""What hetd learns of the jobs that come, and when it has prices found."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.prices import Prices
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Slot, Task
from slurm_het.core.worth.forecast import Forecast
from slurm_het.core.worth.pricing import question
from slurm_het.core.worth.profiles import TaskProfile, profile_beside, profile_of
from slurm_het.daemon.clocks import Clocks
from slurm_het.daemon.expectation import PRICES_SECONDS, Expectation
from slurm_het.journal import Journal
from slurm_het.settings import Config, Paths
from slurm_het.solve.fluid import solve_fluid
from tests.core.worth.test_forecast import A100, EITHER, either
from tests.support.asked import asked
from tests.support.world import inventory, policy, running


def price(fluid: Fluid) -> Prices | None:
    return solve_fluid(fluid, 10)


def test_the_journal_tells_what_a_task_asked_last(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.record_demands(1.0, [("1", A100, 10.0), ("2_3", EITHER, 10.0)])
    journal.record_demands(2.0, [("1", EITHER, 10.0)])
    assert journal.demands_of({"1", "2_3", "4'; --"}) == {"1": EITHER, "2_3": EITHER}
    journal.close()


def test_a_new_hetd_knows_from_the_journal_what_runs(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    config = Config(policy=policy(), paths=Paths(state_dir=tmp_path))

    def look(tasks: list[Task], here: Inventory) -> Forecast:
        new = Expectation(journal, config, Clocks(lambda: 1e6, lambda: 1.0), price)
        return asyncio.run(new.of(tasks, (), here))

    before = look([either("1")], inventory())
    assert before.appraisal
    after = look([], inventory(running(1, "nv1", "gpu:a100:1(IDX:0)")))
    assert after.weights == before.weights
    assert after.appraisal
    journal.close()


def test_what_runs_without_devices_beside_them_is_learned(tmp_path: Path) -> None:
    """Once a job, however often it is seen; not what runs where there are no devices."""
    journal = Journal(tmp_path / "journal.db")
    config = Config(policy=policy(), paths=Paths(state_dir=tmp_path))
    hetd = Expectation(journal, config, Clocks(lambda: 1e6, lambda: 1.0), price)
    base = {"partition": "train-nv", "memory_per_cpu_mib": 1000}
    first = running(1, "nv[1-2]", "", cpus=10, time_limit_minutes=30, **base)
    jobs = [
        first,
        replace(first, id=2, cpus=16, time_limit_minutes=None),
        running(3, "cpu1", "", cpus=4, **base),
        running(4, "nv1", "gpu:a100:1(IDX:0)", cpus=4, **base),
        replace(first, id=5, state="PENDING", nodes=""),
    ]
    for seen in (jobs[:1], jobs, jobs):
        asyncio.run(hetd.of([], seen, inventory()))
    expected = TaskProfile(
        tuple(sorted(policy().types)), ("train-nv",), 0, 2, cpus=8, memory_mib=8192
    )
    assert asked(journal) == {expected: 30.0 + 60.0}
    assert question({expected: 1.0, A100: 1.0}, inventory().grid)
    assert question({expected: 1.0}, inventory().grid) is None, "nobody asks for devices"
    journal.close()


def test_what_runs_beside_them_is_rounded_to_what_a_node_has() -> None:
    """Rounded up beyond the node it would fit nowhere, and nobody would expect it."""
    room = inventory()
    room.nodes["nv1"] = replace(room.nodes["nv1"], cpus=48, memory_mib=500_000)
    for cpus, memory, expected in ((40, 400_000, (48, 500_000)), (3, 9_000, (4, 16_384))):
        job = running(1, "nv1", "", cpus=cpus, partition="train-nv", memory_per_node_mib=memory)
        found = profile_beside(job, room, policy())
        assert found is not None
        assert (found.cpus, found.memory_mib) == expected


def test_a_completing_job_says_nothing_of_its_devices(tmp_path: Path) -> None:
    """22.05 shows none of them: first seen then, it would pass for one without devices."""
    journal = Journal(tmp_path / "journal.db")
    config = Config(policy=policy(), paths=Paths(state_dir=tmp_path))
    hetd = Expectation(journal, config, Clocks(lambda: 1e6, lambda: 1.0), price)
    ending = replace(running(1, "nv1", "", partition="train-nv", cpus=4), state="COMPLETING")
    asyncio.run(hetd.of([], (ending,), inventory()))
    assert asked(journal) == {}
    journal.close()


def test_a_new_hetd_counts_what_runs_beside_them_once(tmp_path: Path) -> None:
    """What started while there was no hetd is new to it."""
    journal = Journal(tmp_path / "journal.db")
    config = Config(policy=policy(), paths=Paths(state_dir=tmp_path))
    first = running(1, "nv1", "", partition="train-nv", cpus=4, time_limit_minutes=30)
    first = replace(first, start_time=1000)
    later = replace(first, id=2, start_time=1200)
    for now, jobs in ((1100.0, (first,)), (1300.0, (first, later)), (1400.0, (first, later))):
        hetd = Expectation(journal, config, Clocks(partial(float, now), lambda: 1.0), price)
        asyncio.run(hetd.of([], jobs, inventory()))
    assert list(asked(journal).values()) == [60.0]
    journal.close()


def test_prices_are_found_beside_the_cycles(tmp_path: Path) -> None:
    """Anew once much has started; and a cycle waits for none."""
    journal = Journal(tmp_path / "journal.db")
    config = Config(policy=policy(), paths=Paths(state_dir=tmp_path))
    ticks, go, asked = [1.0], threading.Event(), list[Fluid]()

    def slow(fluid: Fluid) -> Prices | None:
        asked.append(fluid)
        go.wait(10)
        return price(fluid)

    async def cycles() -> None:
        hetd = Expectation(journal, config, Clocks(lambda: 1e6, lambda: ticks[0]), slow)
        empty, busy = inventory(), inventory(running(1, "nv1", "gpu:a100:8(IDX:0-7)"))
        assert not (await hetd.of([either("1")], (), empty)).appraisal
        go.set()
        while not (await hetd.of([], (), empty)).appraisal:
            await asyncio.sleep(0.01)
        first = hetd.latest.appraisal
        ticks[0] += PRICES_SECONDS
        assert (await hetd.of([], (), empty)).appraisal is first
        assert len(asked) == 1
        await hetd.of([], (), busy)
        settled = await hetd.settled(await hetd.of([], (), busy))
        assert settled.appraisal
        assert settled.appraisal is not first
        while hetd.latest.appraisal is first:
            await asyncio.sleep(0.01)
            await hetd.of([], (), busy)
        assert len(asked) == 2

    asyncio.run(asyncio.wait_for(cycles(), 20))
    journal.close()


def test_prices_whose_loop_has_ended_are_none(tmp_path: Path) -> None:
    """Those that ask in loops of their own, as tests do, may be done before the prices are."""
    go_on = threading.Event()

    def late(_fluid: Fluid) -> None:
        go_on.wait(20)

    async def ask() -> Forecast:
        found = await hetd.of([either("1")], (), inventory())
        go_on.set()
        return found

    journal = Journal(tmp_path / "journal.db")
    config = Config(policy=policy(), paths=Paths(state_dir=tmp_path))
    hetd = Expectation(journal, config, Clocks(lambda: 1e6, lambda: 1.0), late)
    for _ in range(2):
        assert asyncio.run(ask()).appraisal is None
    journal.close()


@pytest.mark.parametrize(("days", "known"), [(0, True), (10, False)])
def test_a_young_journal_is_asked_again_soon(tmp_path: Path, days: int, *, known: bool) -> None:
    """The first jobs of a cluster are expected within seconds; of an old one in five minutes."""
    journal = Journal(tmp_path / "journal.db")
    config = Config(policy=policy(), paths=Paths(state_dir=tmp_path))
    ticks = [1.0]
    hetd = Expectation(journal, config, Clocks(lambda: 1e6 + ticks[0], lambda: ticks[0]), price)
    journal.record_demands(1e6 - days * 86400.0, [("0", EITHER, 60.0)])
    one, other = either("1"), either("2", slots=(Slot(4, 4, 4096),))
    asyncio.run(hetd.of([one], (), inventory()))
    ticks[0] += 10.0
    asyncio.run(hetd.of([one, other], (), inventory()))
    assert (profile_of(other) in hetd.latest.weights) is known
    journal.close()
