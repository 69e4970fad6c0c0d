"""openb: how much of a production cluster's devices each policy allocates, side by side.

    ./dev bench openb --traces DIR [--trace default] [--seeds 42-46] [--windows 64] [--policy hetd]

`hetd` is the planner as hetd runs it, with what it expects known, in windows of so many pods and
one at a time: first-fit by prices, and its solver where not all of a window start. `first-fit`:
without the solver. `rearranging`: with planner.rearrange. Nobody may turn down a pod that fits. An
independent referee checks every placement of every policy. `LP bound`: what no policy can exceed,
even one that knows all pods beforehand and moves them at will (CPUs and memory summed over the
nodes of a model); of the first `--bounds` seeds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from bench.fgd import Chooser, Move, OneByOne, best_fit, fgd
from bench.gaps import WHOLE, Free, Shape
from bench.linear import solve_program
from bench.openb_plan import Outlook, Planner
from bench.plots import Series, draw
from bench.relaxation import relaxation, total_free
from bench.results import head, numbers, publish, recorded, table
from bench.traces import Curve, Trace, arrivals, curve, names, read_openb
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.solve import Solver
from slurm_het.solve.columns import rearrange
from slurm_het.solve.worker import WorkerSolver

AT = (80, 95, 100, 130)
COLUMNS = ("trace, policy", *(f"@{p}" for p in AT), "infeasible", "s/run")
SECONDS = 1.0  # the solver's time for a window
LP_SECONDS = 120.0
BIN_PARTS = 5  # the bound of a whole per cent is that of so many parts of it, each at its end


class Policy(Protocol):
    """What is put to the test."""

    def window(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        """Indexes of the pods it places and their moves, in order; the others are dropped."""


class Referee:
    """Keeps its own books of the nodes; `infeasible` counts the placements that break them."""

    def __init__(self, trace: Trace) -> None:
        self.nodes = Counter({model.empty(): count for model, count in trace.nodes.items()})
        self.infeasible = 0

    def check(self, pod: Shape, move: Move) -> None:
        """One placement."""
        before, after = move
        self.infeasible += not (self.nodes[before] > 0 and allowed(pod, before, after))
        self.nodes[before] -= 1
        self.nodes[after] += 1


def allowed(pod: Shape, before: Free, after: Free) -> bool:
    """Whether this pod, and nothing else, takes a node from one state to the other."""
    lost = Counter(before.gaps) - Counter(after.gaps)
    won = Counter(after.gaps) - Counter(before.gaps)
    moved = Counter({gap - pod.milli: count for gap, count in lost.items()})
    return (
        min(after.cpus, after.memory_mib, *after.gaps) >= 0
        and (not pod.models or before.model in pod.models)
        and (after.cpus, after.memory_mib)
        == (before.cpus - pod.cpus, before.memory_mib - pod.memory_mib)
        and sum(before.gaps) - sum(after.gaps) == pod.total
        and sum(lost.values()) == pod.devices
        and moved == won
        and after.model == before.model
        and (pod.milli == WHOLE or pod.devices <= 1)
    )


def replay(trace: Trace, pods: list[Shape], policy: Policy, size: int = 1) -> tuple[Curve, int]:
    """The curve of a run in windows of `size`, and the number of infeasible placements."""
    referee = Referee(trace)
    outcome: list[tuple[Shape, bool]] = []
    for first in range(0, len(pods), size):
        window = pods[first : first + size]
        moves = policy.window(window)
        for i, move in moves:
            referee.check(window[i], move)
        placed = {i for i, _ in moves}
        outcome += [(pod, i in placed) for i, pod in enumerate(window)]
    return curve(trace.milli, outcome), referee.infeasible


Entry = tuple[str, int, Callable[[int], Policy]]
"""A line of the table: name, window size, the policy for a seed."""


def entries(trace: Trace, windows: int, worker: Solver) -> list[Entry]:
    """The policies to compare on a trace."""
    mix = trace.mix()
    costs = {"FGD": Chooser(fgd(mix)), "BestFit": Chooser(best_fit(mix))}
    outlook = Outlook(trace.nodes, mix)

    def theirs(name: str) -> Callable[[int], Policy]:
        return lambda seed: OneByOne(trace.nodes, costs[name], seed)

    def as_hetd(problem: Problem) -> Solution:
        return worker.solve(problem, SECONDS)

    def rearranging(problem: Problem) -> Solution:
        return rearrange(problem, greedy(problem), SECONDS)

    return [
        *((name, 1, theirs(name)) for name in costs),
        (f"hetd, windows of {windows}", windows, lambda _: Planner(outlook, as_hetd)),
        (f"rearranging, windows of {windows}", windows, lambda _: Planner(outlook, rearranging)),
        (f"first-fit, windows of {windows}", windows, lambda _: Planner(outlook, greedy)),
        ("hetd, one at a time", 1, lambda _: Planner(outlook, as_hetd)),
    ]


def measure(
    trace: Trace, seeds: Sequence[int], lines: Sequence[Entry]
) -> tuple[list[list[str]], dict[str, list[Curve]]]:
    """The rows of the table and the curves by policy, printing what each run gave."""
    rows = []
    found: dict[str, list[Curve]] = {}
    for name, size, make in lines:
        curves = found[name] = []
        seconds: list[float] = []
        infeasible = 0
        for seed in seeds:
            began = time.perf_counter()
            one, broken = replay(trace, arrivals(trace, seed), make(seed), size)
            seconds.append(time.perf_counter() - began)
            curves.append(one)
            infeasible += broken
            points = " ".join(f"{one.at(p):.2f}" for p in AT)
            print(f"{trace.name} {name} seed {seed}: {points}", flush=True)
        cells = [_spread([c.at(p) for c in curves]) for p in AT]
        took = f"{statistics.median(seconds):.1f}"
        rows.append([f"{trace.name}, {name}", *cells, str(infeasible), took])
    return rows, found


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def bounds(trace: Trace, seeds: Sequence[int]) -> list[str]:
    """A row of the table: what no policy exceeds."""
    cells = [_spread([bound(trace, arrivals(trace, seed), p) for seed in seeds]) for p in AT]
    return [f"{trace.name}, LP bound, {len(seeds)} seeds", *cells, "", ""]


def bound(trace: Trace, pods: Sequence[Shape], percent: int) -> float:
    """No policy has more than this allocated when `percent` % have arrived (see Curve.at)."""
    ends = [percent - 0.5 + (part + 1) / BIN_PARTS for part in range(BIN_PARTS)]
    return statistics.mean(100 * _most(trace, pods, end / 100) / trace.milli for end in ends)


def _most(trace: Trace, pods: Sequence[Shape], share: float) -> float:
    """The LP's optimum for the pods that ask for up to `share` of the cluster's devices."""
    expected: Counter[Shape] = Counter()
    asked = 0
    for pod in pods:
        asked += pod.total
        if asked > share * trace.milli:
            break
        expected[pod] += 1
    free = {model: total_free({model.empty(): count}) for model, count in trace.nodes.items()}
    lp = relaxation(free, expected).program
    values = solve_program(lp, LP_SECONDS)
    if values is None:
        raise SystemExit(f"the linear program was not solved in {LP_SECONDS:.0f} s")
    return WHOLE * sum(c.gain * x for c, x in zip(lp.columns, values, strict=True))


def plot(trace: Trace, found: dict[str, list[Curve]]) -> Path:
    """The curves beside RESULTS.md: means over the seeds."""
    xs = range(60, 131)
    series = [
        Series(name, [(x, statistics.mean(c.at(x) for c in curves)) for x in xs])
        for name, curves in found.items()
    ]
    title = (
        f"openb {trace.name}: allocated devices, mean of {len(next(iter(found.values())))} seeds"
    )
    return draw(f"openb-{trace.name}", title, "arrived requests, % of the devices", "allocated, %",
                series)  # fmt: skip


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--traces", type=Path, required=True, help="directory of the openb files")
    parser.add_argument("--trace", action="append", help="a trace's name, or `all`")
    parser.add_argument("--seeds", type=numbers, default=numbers("42-46"), help="first-last")
    parser.add_argument("--windows", type=int, default=64, help="pods per window")
    parser.add_argument("--policy", action="append", help="only those with this in their names")
    parser.add_argument("--bounds", type=int, default=3, help="seeds of which to find the bound")
    return parser.parse_args(arguments)


def main() -> None:
    """Print the tables, and put them into RESULTS.md."""
    options = parse()
    chosen = options.trace or ["default", "gpuspec33"]
    seeds = options.seeds
    flags = f"--seeds {seeds[0]}-{seeds[-1]} --windows {options.windows}"
    flags += "".join(f" --trace {name}" for name in options.trace or ())
    flags += "".join(f" --policy '{name}'" for name in options.policy or ())
    lines = [
        *head("openb", f"./dev bench openb --traces DIR {flags}"),
        "Allocated % of the devices when requests for so many % have arrived: mean of "
        f"{len(seeds)} seeds (lowest–highest).",
    ]
    worker = WorkerSolver()
    worker.warm()
    for name in names(options.traces) if chosen == ["all"] else chosen:
        trace = read_openb(options.traces, name)
        every = entries(trace, options.windows, worker)
        wanted = [e for e in every if any(p in e[0] for p in options.policy or [""])]
        rows, curves = measure(trace, seeds, wanted)
        if options.bounds:
            rows.append(bounds(trace, seeds[: options.bounds]))
        lines += ["", *table(COLUMNS, rows)]
        if not options.no_record:
            lines += ["", f"![{name}]({plot(trace, curves).name})"]
    worker.close()
    publish(lines, options)


if __name__ == "__main__":
    main()
