"""The gavel benchmark on a tiny trace: its files, its policies, its bound, its record."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from bench.gavel import (
    TYPES,
    Work,
    blind,
    class_name,
    learned,
    makespan,
    read_gavel,
    rows,
    run,
    shortest,
    site,
    solve,
)
from bench.results import record, table
from bench.traces import MissingTrace
from slurm_het.core.assignment.problem import Problem, Solution, violations

SPEEDS = {
    "v100": {"('A (batch size 8)', 1)": {"null": 10.0}, "('B', 4)": {"null": 4.0}},
    "p100": {"('A (batch size 8)', 1)": {"null": 5.0}, "('B', 4)": {"null": 0.0}},
    "k80": {"('A (batch size 8)', 1)": {"null": 1.0, "('B', 4)": [0.5, 0.5]}},
}
ROWS = (
    "A (batch size 8)\tpython a.py\tdata\t-n\t1\t100\t1\t1\t-1.0\t0\n"
    "B\tpython b.py\tdata\t-n\t1\t40\t4\t1\t-1.0\t0\n"
)


def test_the_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "simulation_throughputs.json").write_text(json.dumps(SPEEDS))
    (tmp_path / "minimize_makespan.trace").write_text(ROWS)
    a, b = read_gavel(tmp_path)
    assert a == Work(0, "a-8x1", 1, {"v100": 10.0, "p100": 20.0, "k80": 100.0})
    assert b == Work(1, "bx4", 4, {"v100": 10.0})
    assert rows((a, b)) == {
        "a-8x1": {"v100": 1.0, "p100": 0.5, "k80": 0.1},
        "bx4": {"v100": 1.0, "p100": 0.0, "k80": 0.0},
    }


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingTrace, match=r"github\.com"):
        read_gavel(tmp_path)


def test_kinds_are_told_apart_in_names_that_a_configuration_may_have() -> None:
    assert class_name("ResNet-18 (batch size 64)", 4) == "resnet-18-64x4"
    assert class_name("A3C", 1) == "a3cx1"


def _works(seed: int) -> list[Work]:
    """More than the cluster takes at once; some cannot run on every type."""
    rng = random.Random(seed)
    works = []
    for number in range(80):
        first = rng.uniform(1, 10)
        slower = {"v100": 1.0, "p100": rng.uniform(0.5, 2), "k80": rng.uniform(0.7, 10)}
        types = [t for t in TYPES if t == "v100" or rng.random() < 0.9]
        seconds = {t: first * slower[t] for t in types}
        works.append(Work(number, f"c{number}x1", rng.choice((1, 1, 2, 4)), seconds))
    return works


def test_blind_keeps_every_constraint_and_slots_no_job_on_a_type_it_cannot_run_on() -> None:
    works = _works(1)
    rng = random.Random(1)

    def checked(problem: Problem) -> Solution:
        made = blind(rng)(problem)
        assert violations(problem, made) == []
        return made

    done = run(works, site({}), checked)
    assert len(done) == len(works)
    assert {t for outcome in done for t in outcome.placement.types} == set(TYPES)
    for outcome in done:
        work = works[outcome.job.id - 1]
        took = outcome.ended - outcome.started
        assert took == pytest.approx(work.seconds[outcome.placement.types[0]])


def test_each_kind_goes_where_it_loses_least_and_no_schedule_beats_the_bound() -> None:
    kinds = {
        "flat": {"v100": 10.0, "p100": 11.0, "k80": 12.0},
        "mild": {"v100": 10.0, "p100": 11.0, "k80": 50.0},
        "steep": {"v100": 10.0, "p100": 50.0, "k80": 100.0},
    }
    per_type = [kind for kind in kinds for _ in range(36)]  # the flat ones may choose first
    works = [Work(n, f"{kind}x1", 1, kinds[kind]) for n, kind in enumerate(per_type)]
    het = makespan(run(works, site({"throughput": rows(works)}), solve))
    assert het == 12.0
    assert shortest(works) <= het
    assert makespan(run(works, site({}), blind(random.Random(1)))) == 100.0


def test_what_was_learned_does_as_well_as_what_was_given_and_little_of_it_does_not() -> None:
    """Who prefers waiting to ending later may do so: of twice as many half must wait."""
    kinds = {
        "flat": {"v100": 1000.0, "p100": 1100.0, "k80": 1200.0},
        "mild": {"v100": 1000.0, "p100": 1100.0, "k80": 5000.0},
        "steep": {"v100": 1000.0, "p100": 5000.0, "k80": 10_000.0},
    }
    per_type = [kind for kind in kinds for _ in range(36)]
    works = [Work(n, f"{kind}x1", 1, kinds[kind]) for n, kind in enumerate(per_type)]
    known = learned(works, site({}), 600, seed=1)
    assert makespan(run(works, site({}), solve, known)) == 1200.0
    few = learned(works, site({}), 12, seed=1)
    assert makespan(run(works, site({}), solve, few)) > 1200.0
    twice = [replace(work, number=n) for n, work in enumerate(works * 2)]
    at_once = makespan(run(twice, site({}), solve, known))
    assert makespan(run(twice, site({}), solve, known, patience=1.0)) < 0.75 * at_once


def test_the_bound_of_one_job_is_its_best_time() -> None:
    assert shortest([Work(0, "ax1", 1, {"v100": 7.0, "k80": 70.0})]) == pytest.approx(7.0)


def test_results_are_recorded_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    file.write_text("# Results\n\nWords.\n\n## old\n\nx\n")
    record(["## new", "", *table(("a", "b"), [("1", "2")])], file)
    assert file.read_text() == (
        "# Results\n\nWords.\n\n## new\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n\n## old\n\nx\n"
    )
