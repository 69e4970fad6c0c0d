"""The plan for a full cluster: which profile belongs on which class of devices."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.linear_program import LinearProgram
from slurm_het.core.assignment.prices import Prices
from slurm_het.core.cluster.device_class import device_class_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Slot, Task
from slurm_het.core.planner.build_problem import build
from slurm_het.core.planner.plan import plan
from slurm_het.core.policy import Weights
from slurm_het.core.worth.forecast import Forecast, forecast
from slurm_het.core.worth.full_cluster import held_on, parts_program, with_parts
from slurm_het.core.worth.profiles import TaskProfile, profile_beside, profile_of
from slurm_het.core.worth.weights import weight
from slurm_het.daemon.clocks import Clocks
from slurm_het.daemon.expectation import Expectation
from slurm_het.journal import Journal
from slurm_het.settings import Config, Paths
from slurm_het.solve.fluid import solve_fluid
from slurm_het.solve.linear import solve_program
from tests.core.worth.test_forecast import A100, BOTH, EITHER, device_of, either
from tests.support.world import inventory, policy, running, task


def relax(program: LinearProgram) -> tuple[float, ...] | None:
    return solve_program(program, 10)


def price(fluid: Fluid) -> Prices | None:
    return solve_fluid(fluid, 10)


def planned(weights: dict[TaskProfile, float]) -> Forecast:
    return with_parts(forecast(weights, inventory()), relax)


def test_flexible_tasks_are_planned_where_the_others_cannot_go() -> None:
    """The typed ones fill the A100s: nothing of them is left for tasks that have an alternative."""
    typed, flexible = A100._replace(devices=8), EITHER._replace(cpus=2)
    expected = planned({typed: 1.0, flexible: 1.0})
    a100, l40s = device_class_of(*device_of("nv1")), device_class_of(*device_of("l40s1"))
    assert set(expected.parts[typed]) == {a100}
    assert expected.parts[flexible][l40s] > expected.parts[flexible].get(a100, 0.0)
    assert expected.astray(either(), l40s) < expected.astray(either(), a100)


def test_who_is_ahead_of_the_plan_goes_elsewhere() -> None:
    a100, l40s = device_class_of(*device_of("nv1")), device_class_of(*device_of("l40s1"))
    base = Forecast({EITHER: 1.0}, {a100: 16, l40s: 8}, {EITHER.coarse: {a100: 0.5, l40s: 0.5}})
    even = base.now({EITHER.coarse: {a100: 3, l40s: 3}})
    ahead = base.now({EITHER.coarse: {a100: 6, l40s: 0}})
    assert even.astray(either(), a100) == even.astray(either(), l40s)
    assert ahead.astray(either(), a100) > 0.5 > ahead.astray(either(), l40s)
    assert base.astray(either(), a100) < 0.5, "nobody is there yet: both are behind"


def test_without_a_solver_simple_claims_hold() -> None:
    expected = with_parts(forecast({A100: 1.0}, inventory()), lambda _: None)
    assert not expected.parts
    a100 = device_class_of(*device_of("nv1"))
    assert expected.astray(either(), a100) == expected.claim(either(), a100) == 1.0


def test_shares_and_many_nodes_are_in_the_plan() -> None:
    share = TaskProfile(("l40s",), ("infer-nv",), memory_gib=20, takes_share=True)
    pair = A100._replace(devices=8, nodes=2)
    expected = planned({share: 3.0, pair: 1.0})
    assert set(expected.parts) == {share, share.coarse, pair, pair.coarse}
    for mine in expected.parts.values():
        assert sum(mine.values()) == pytest.approx(1)


def test_a_profile_of_what_is_not_there_is_in_no_plan() -> None:
    assert planned({TaskProfile(("h100",), BOTH): 1.0}).parts == {}
    assert parts_program(forecast({}, inventory())).uses == {}


def test_jobs_without_devices_take_cpus_in_the_plan() -> None:
    """What asks for both is kept off the nodes whose CPUs others need, though they need no card."""
    everywhere = EITHER._replace(cpus=6)
    alone = planned({everywhere: 1.0}).parts[everywhere]
    hungry = A100._replace(devices=0, cpus=8)
    beside = planned({everywhere: 1.0, hungry: 4.0}).parts
    assert sum(beside[hungry].values()) == pytest.approx(1)
    a100 = device_class_of(*device_of("nv1"))
    assert beside[everywhere].get(a100, 0.0) < alone[a100]


def test_what_runs_is_counted_by_node() -> None:
    here = inventory(
        running(1, "nv1", "gpu:a100:2(IDX:0-1)"), running(2, "l40s1", "shard:l40s:20(IDX:0)"),
    )  # fmt: skip
    asked = profile_of(task("1"))
    found = held_on(here, {"1": asked})
    assert found == {key: {device_class_of(*device_of("nv1")): 1} for key in {asked, asked.coarse}}


def test_the_plan_decides_between_equal_nodes() -> None:
    """A card of either type, all else equal: it goes where it is planned."""
    expected = planned({A100._replace(devices=8): 5.0, EITHER: 1.0})
    only = Weights(scenario_fit=0, throughput=0, fragmentation=0, scarcity=0, preference=0)
    made = plan(inventory(), (either(),), replace(policy(), weights=only), greedy, expected)
    assert made.placements[0].nodes[0].startswith("l40s")


def test_the_problem_has_the_weights_that_why_shows() -> None:
    """Tasks that are told apart by their CPUs share the rest of their weights."""
    few, many = either("1"), either("2", slots=(Slot(1, 6, 10),))
    expected = planned({profile_of(few): 1.0, profile_of(many): 2.0, A100: 1.0})
    assert profile_of(many) in expected.parts
    built = build(inventory(), (few, many), policy(), expected)
    for t, what in enumerate(built.tasks):
        for j, device in enumerate(built.problem.devices):
            if device.state in built.problem.weights[built.problem.request(t).weights]:
                node = built.nodes[device.node]
                w = weight(what, built.device(j), node, built.site)
                assert built.problem.weight(t, j) == pytest.approx(w)


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
    assert journal.demands(0.0) == {expected: 30.0 + 60.0}
    made = planned({expected: 1.0, A100: 1.0})
    assert {device_class.type for device_class in made.parts[expected]} == {"a100"}
    assert planned({expected: 1.0}), "nothing else is known: no reason to fail"
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
    assert journal.demands(0.0) == {}
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
    assert list(journal.demands(0.0).values()) == [60.0]
    journal.close()
