"""The openb benchmark on a tiny synthetic trace: its protocol, its referee, its policies."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from bench.fgd import Chooser, OneByOne, best_fit, fgd
from bench.gaps import Free, NodeModel, Shape
from bench.openb import AT, COLUMNS, allowed, bound, entries, measure, replay
from bench.openb_plan import Outlook, Planner
from bench.plots import Series, draw
from bench.traces import Curve, MissingTrace, Trace, arrivals, names, read_openb
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.prices import Prices
from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.solve.fluid import solve_fluid

ANY: frozenset[str] = frozenset()
T4 = frozenset({"T4"})
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn0,8000,8192,2,T4\nn1,16000,16384,2,G2\n"
PODS = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n"
    "p1,1000,1024,1,1000,,LS\n"
    "p0,2000,2048,1,500,T4|G2,LS\n"
    "p2,4000,1024,0,0,,BE\n"
)


class InProcess:
    """A Solver that is first-fit."""

    def solve(self, problem: Problem, _seconds: float) -> Solution:
        """The first-fit plan."""
        return greedy(problem)

    def price(self, fluid: Fluid, seconds: float) -> Prices | None:
        """Found here."""
        return solve_fluid(fluid, seconds)

    def close(self) -> None:
        """Nothing to release."""


def _synthetic(seed: int) -> Trace:
    """A dozen nodes of two models; the scarce one is demanded by a third of the pods."""
    rng = random.Random(seed)
    pods = [
        Shape(1000 * rng.randint(1, 9), 1024 * rng.randint(1, 9), count, milli, models)
        for _ in range(60)
        for count, milli in [rng.choice([(1, 1000), (1, 500), (1, 300), (2, 1000), (0, 0)])]
        for models in [T4 if count and rng.random() < 0.3 else ANY]
    ]
    nodes = {NodeModel("T4", 32000, 32768, 2): 4, NodeModel("G2", 48000, 65536, 4): 8}
    return Trace("synthetic", nodes, tuple(pods))


def test_the_files_are_read_in_order_of_the_pods_names(tmp_path: Path) -> None:
    (tmp_path / "openb_node_list_gpu_node.csv").write_text(NODES)
    (tmp_path / "openb_pod_list_tiny.csv").write_text(PODS)
    trace = read_openb(tmp_path, "tiny")
    assert names(tmp_path) == ["tiny"]
    assert trace.milli == 4000
    assert trace.pods == (
        Shape(2000, 2048, 1, 500, frozenset({"T4", "G2"})),
        Shape(1000, 1024, 1, 1000, ANY),
        Shape(4000, 1024, 0, 0, ANY),
    )
    assert trace.mix()[trace.pods[0]] == pytest.approx(1 / 3)


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingTrace, match=r"github\.com"):
        read_openb(tmp_path, "default")


def test_a_run_is_every_pod_once_and_then_draws_up_to_the_inflation() -> None:
    trace = _synthetic(1)
    run = arrivals(trace, 42)
    asked = sum(pod.total for pod in run)
    assert Counter(run[: len(trace.pods)]) == Counter(trace.pods)
    assert asked * 100 >= trace.milli * 130 > (asked - run[-1].total) * 100
    assert run == arrivals(trace, 42) != arrivals(trace, 43)


def test_the_metric_by_hand() -> None:
    # 10 devices: arrived 10 %, 20 %, 20 % (a CPU job), 30 %; the second is dropped.
    found = Curve(10_000)
    for asked, got in ((1000, 1000), (1000, 0), (0, 0), (1000, 1000)):
        found.add(asked, got)
    assert [found.at(p) for p in (10, 20, 30)] == [10.0, 10.0, 20.0]


def test_the_metric_averages_over_a_bin() -> None:
    found = Curve(100_000)
    for asked in (1000, 400, 400):  # 1.0 %, 1.4 %, 1.8 %
        found.add(asked, asked)
    assert found.at(1) == pytest.approx(1.2)
    assert found.at(2) == pytest.approx(1.8)


@pytest.mark.parametrize(
    ("after", "right"),
    [
        (Free("T4", 4, 4, (1000, 500)), True),
        (Free("T4", 4, 4, (750, 750)), False),
        (Free("T4", 8, 4, (1000, 500)), False),
        (Free("G2", 4, 4, (1000, 500)), False),
    ],
)
def test_the_referee_knows_what_a_half_device_takes(after: Free, right: bool) -> None:
    assert allowed(Shape(4, 4, 1, 500, T4), Free("T4", 8, 8, (1000, 1000)), after) is right


def test_the_referee_refuses_a_model_that_was_not_asked_for() -> None:
    before, after = Free("G2", 8, 8, (1000,)), Free("G2", 4, 4, (0,))
    assert not allowed(Shape(4, 4, 1, 1000, T4), before, after)


@pytest.mark.parametrize("seed", range(4))
def test_no_policy_ever_places_infeasibly(seed: int) -> None:
    trace = _synthetic(seed)
    pods = arrivals(trace, seed)
    for _, size, make in entries(trace, 16, InProcess()):
        found, infeasible = replay(trace, pods, make(seed), size)
        assert infeasible == 0
        assert 0 < found.allocated <= trace.milli


def test_one_at_a_time_a_pod_that_fits_is_never_turned_down() -> None:
    trace = _synthetic(5)
    policies = (
        Planner(Outlook(trace.nodes, trace.mix()), greedy),
        OneByOne(trace.nodes, Chooser(fgd(trace.mix())), 1),
        OneByOne(trace.nodes, Chooser(best_fit(trace.mix())), 1),
    )
    small = Shape(1000, 1024, 1, 300, ANY)
    for policy in policies:
        assert len(policy.window([small])) == 1


def test_typed_pods_find_the_scarce_model_kept_for_them() -> None:
    nodes = {NodeModel("T4", 32000, 32768, 2): 2, NodeModel("G2", 32000, 32768, 2): 2}
    flexible, typed = Shape(1000, 1024, 1, 1000, ANY), Shape(1000, 1024, 1, 1000, T4)
    trace = Trace("typed", nodes, (flexible,) * 4 + (typed,) * 4)
    found, _ = replay(trace, list(trace.pods), Planner(Outlook(nodes, trace.mix()), greedy))
    assert found.at(100) == 100


def test_the_table_has_a_row_per_policy(tmp_path: Path) -> None:
    trace = _synthetic(3)
    rows, curves = measure(trace, [42, 43], entries(trace, 8, InProcess())[:1])
    assert [row[0] for row in rows] == ["synthetic, FGD"]
    assert len(rows[0]) == len(COLUMNS)
    assert len(curves["FGD"]) == 2
    points = [(float(p), curves["FGD"][0].at(p)) for p in AT]
    path = draw("curve", "title", "x", "y", [Series("FGD", points)], tmp_path)
    assert path.read_text().startswith("<?xml")


@pytest.mark.parametrize("seed", range(3))
def test_no_policy_exceeds_the_bound(seed: int) -> None:
    trace = _synthetic(seed)
    pods = arrivals(trace, seed)
    for percent in (80, 130):
        most = bound(trace, pods, percent)
        assert most <= 100 + 1e-6
        for _, size, make in entries(trace, 16, InProcess()):
            found, _ = replay(trace, pods, make(seed), size)
            assert found.at(percent) <= most + 100 * 2000 / trace.milli  # a pod skips bins
