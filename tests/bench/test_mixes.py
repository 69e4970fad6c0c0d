"""Generated mixes in simulated time: the model of plain Slurm, and that a bad planner is caught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.compare import scenario
from bench.mixes import __main__ as command
from bench.mixes import report
from bench.mixes.generate import LATER, generate, rendition
from bench.mixes.report import Row, Waits, waits_of
from bench.mixes.world import SANDBOX, eager, read_world
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.errors import HetError
from slurm_het.replay.sides import FirstFitSolver
from slurm_het.simulation import run
from slurm_het.simulation.choice import choose
from slurm_het.simulation.slurm import Settings
from slurm_het.solve.worker import WorkerSolver

HOUR = 3600.0


class Idler(FirstFitSolver):
    """A planner that starts nothing."""

    def solve(self, _problem: Problem, _seconds: float) -> Solution:
        return Solution({})


def mix(*submissions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Two nodes of four A100s for an hour."""
    node = {
        "name": "a[1-2]", "type": "a100", "vendor": "nvidia", "devices": 4, "cpus": 32,
        "memory_gib_per_device": 80, "memory_gib": 256, "pool": "train", "scenario": "training",
    }  # fmt: skip
    section = {
        "slurm_conf": {"PriorityWeightQOS": 1000},
        "qos": {"first": {"Priority": 10, "MaxTRESPU": {"gres/gpu": 4}}, "high": {"Priority": 20}},
        "accounts": {"one": {"QOS": ["normal", "first", "high"]}},
        "users": {"mail": {"Account": "one"}, "games": {"Account": "one"}},
    }
    named = [{"name": f"s{n}", "user": "mail"} | one for n, one in enumerate(submissions)]
    return {
        "what": "a mix", "cluster": {"nodes": [node], "accounting": section}, "seconds": HOUR,
        "sbatch": ["-p", "train", "--mem", "1000"], "submissions": named, "bounds": {"busy": 0.98},
        **fields,
    }  # fmt: skip


def wants(gpus: int, minutes: int, *more: str) -> list[str]:
    return [f"--gres=gpu:{gpus}", "-t", str(minutes), *more]


def starts(raw: dict[str, Any], settings: Settings = SANDBOX) -> list[float | None]:
    """When the jobs start under plain Slurm, in the order of their submission."""
    return list(run.plain(read_world(raw), settings).starts.values())


def test_a_mix_is_its_seeds_and_a_scenario(tmp_path: Path) -> None:
    assert generate(7) == generate(7) != generate(8)
    path = tmp_path / "mix.yaml"
    for seed in range(5):
        path.write_text(yaml.safe_dump(generate(seed)))
        scenario.load(path)


def test_who_is_blocked_is_not_delayed_by_what_is_backfilled() -> None:
    first = {"sbatch": wants(4, 20), "count": 1, "sleep": 1200.0}
    big = {"sbatch": wants(4, 20, "-N", "2", "--qos=high"), "at": 10.0, "sleep": 600.0}
    short = {"sbatch": wants(2, 10), "at": 20.0, "sleep": 600.0}
    long = {"sbatch": wants(2, 40), "at": 20.0, "sleep": 600.0}
    assert starts(mix(first, big, short, long)) == [0.5, 1201, 21, 1801.5]


def test_who_comes_is_not_started_by_coming_before_one_of_equal_priority_that_waits() -> None:
    """Slurm starts no batch job as it is submitted: this one waits, as on 22.05."""
    first = {"sbatch": wants(4, 20), "sleep": 1200.0}
    big = {"sbatch": wants(4, 20, "-N", "2"), "at": 10.0, "sleep": 60.0}
    long = {"sbatch": wants(2, 40), "at": 20.0, "sleep": 600.0}
    assert starts(mix(first, big, long)) == [0.5, 1201, 1261.5]


def test_who_is_at_a_limit_keeps_nobody_from_starting() -> None:
    head = {"sbatch": wants(4, 30, "--qos=first"), "count": 2, "sleep": 600.0}
    other = {"sbatch": wants(4, 30), "user": "games", "sleep": 600.0}
    assert starts(mix(head, other)) == [0.5, 600.5, 0.5]


def test_no_job_runs_into_a_reservation_of_others() -> None:
    made = ["scontrol", "create", "reservation", "ReservationName=r", "StartTime=now+20minutes",
            "Duration=10", "Nodes=a[1-2]", "Users=root", "Flags=MAINT"]  # fmt: skip
    long, short = {"sbatch": wants(4, 30), "sleep": 60.0}, {"sbatch": wants(4, 10), "sleep": 60.0}
    assert starts(mix(long, short, events=[{"run": made}])) == [1800.5, 0.5]


@pytest.mark.parametrize(
    ("fitting", "nodes", "taken"),
    [
        ([(0, "a", 8), (1, "b", 4), (2, "c", 6)], 1, ["b"]),
        ([(0, "a", 4), (2, "c", 4), (3, "d", 4)], 1, ["a"]),
        ([(0, "a", 4), (2, "c", 4), (3, "d", 4)], 2, ["c", "d"]),
        ([(0, "a", 4), (2, "c", 5)], 2, ["c", "a"]),
        ([(0, "a", 4)], 2, None),
    ],
    ids=["the fewest free CPUs", "the tightest run", "a run that is enough", "the largest", "few"],
)
def test_which_nodes_slurm_takes(
    fitting: Sequence[tuple[int, str, int]], nodes: int, taken: list[str] | None
) -> None:
    assert choose(fitting, nodes, 4 * nodes) == taken


def test_what_the_simulation_does_not_know_is_refused() -> None:
    for words in (
        ["--gres=gpu:1", "--exclusive"],
        ["--gres=gpu:1", "-L", "a:1"],
        ["--gres=npu:1"],
        ["-t", "x"],
    ):
        with pytest.raises(HetError):
            read_world(mix({"sbatch": words}))


def row(ours: run.SideOutcome, plain: run.SideOutcome) -> Row:
    return Row(1, "", plain.busy, ours.busy, 8 * HOUR, (0, 0), 0, 0, 0.0, plain.busy, plain.busy)


def test_a_planner_that_idles_breaks_the_bound_and_ours_does_not() -> None:
    many = [
        {"sbatch": wants(gpus, 20, "-c", str(gpus)), "count": 6, "user": user, "sleep": 700.0}
        for gpus in (1, 2)
        for user in ("mail", "games")
    ]
    world = read_world(mix(*many))
    plain = run.plain(world, SANDBOX)
    ours, idle = (run.ours(world, SANDBOX, solver) for solver in (FirstFitSolver(), Idler()))
    assert ours.started >= plain.started
    assert row(ours, plain).ratio >= report.EACH
    assert report.broken([row(idle, plain)])[0].startswith("each: 1 below")


def test_a_mix_below_the_bound_is_judged_by_its_other_renditions() -> None:
    made = mix({"sbatch": wants(1, 20), "count": 3, "user": "mail", "sleep": 700.0})
    one, same, other = (rendition(made, number) for number in (1, 1, 2))
    assert one == same
    assert one["submissions"] != other["submissions"]
    assert 0 < one["submissions"][0]["at"] <= LATER
    chance = Row(1, "", 100.0, 90.0, 200.0, (0, 0), 0, 0, 0.0, 100.0, 100.0, ((100.0, 99.0),))
    assert (chance.once, chance.ratio) == (0.9, 0.99)
    assert not any("below" in wrong for wrong in report.broken([chance]))


def test_the_mean_is_of_one_rendition_of_each_mix() -> None:
    """A mix that came out low by chance is looked at again; one that came out high is not. So the
    mean of what was looked at again would be too high."""
    low = Row(1, "", 100.0, 97.0, 200.0, (0, 0), 0, 0, 0.0, 100.0, 100.0, ((100.0, 103.0),))
    high = replace(low, seed=2, ours=103.0, again=())
    assert report.broken([low, high]) == [f"mean: 1.0000; at least {report.MEAN}"]


def test_plans_that_came_too_late_are_told() -> None:
    """On a busy machine first-fit would pass for the solver."""
    fine = Row(1, "", 100.0, 104.0, 200.0, (0, 0), 0, 0, 0.0, 100.0, 100.0, asked=30)
    late = replace(fine, seed=2, unanswered=7)
    assert "late" not in fine.text()
    assert late.text().endswith("7 of 30 plans late")
    assert not any("in time" in line for line in report.text([fine]))
    assert any(line.startswith("7 of 60 times the solver") for line in report.text([fine, late]))


class Late(WorkerSolver):
    """A solver that never answers in time."""

    def solve(self, problem: Problem, _seconds: float) -> Solution:
        self.asked += 1
        self.unanswered += 1
        return greedy(problem)

    def price(self, _fluid: Fluid, _seconds: float) -> None:
        return None


def test_a_row_has_its_own_late_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    solver = Late()
    monkeypatch.setattr("bench.mixes.__main__._hush", lambda: None)  # logs are of all tests
    monkeypatch.setattr("bench.mixes.__main__._solvers", {"highs": solver})
    rows = [command.row_of(seed, seconds=300.0, nodes=4, solver="highs") for seed in (1, 2)]
    assert all(row.asked == row.unanswered > 0 for row in rows)
    assert sum(row.asked for row in rows) == solver.asked


def test_how_long_each_size_waited_is_told() -> None:
    """Who never started has waited to the end."""
    small, large = {"sbatch": wants(1, 5)}, {"sbatch": wants(4, 5, "-N", "2"), "at": 60.0}
    world = read_world(mix(small, large))
    one, two = sorted(job.id for job in world.jobs)
    waits = waits_of(world.jobs, {one: 10.0, two: 160.0}, {one: 30.0, two: None}, HOUR)
    assert waits == {
        "1 device": Waits(1, 10.0, 30.0),
        "several nodes": Waits(1, 100.0, HOUR - 60),
    }
    rows = [Row(1, "", 1.0, 1.1, 2.0, (0, 0), 2, 0, 0.0, 1.0, 1.0, waits=waits)] * 2
    lines = "\n".join(report.text(rows))
    assert "1 device           0.2 plain,    0.5 ours, 3.00 of it; 2 jobs" in lines
    assert "a share" not in lines


def test_an_eager_slurm_lets_a_small_job_go_before_a_large_one_that_waits() -> None:
    jobs = [
        {"sbatch": wants(4, 20), "count": 1, "user": "mail", "sleep": 900.0},
        {"sbatch": wants(4, 20, "-N", "2", "--qos=high"), "count": 1, "sleep": 900.0, "at": 60.0},
        {"sbatch": wants(4, 300), "count": 1, "user": "games", "sleep": 9000.0, "at": 120.0},
    ]
    world = read_world(mix(*jobs))
    last = max(job.id for job in world.jobs)
    plain, greedy_one = run.plain(world, SANDBOX), eager(world, SANDBOX)
    assert (greedy_one.starts[last] or 0.0) < 200.0 < (plain.starts[last] or 10_000.0)
