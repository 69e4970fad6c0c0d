"""openb: how much of a production cluster's devices each policy allocates, side by side.

    ./dev bench openb --traces DIR [--trace default] [--seeds 42-51] [--windows 64] [--load 1.1]

`slurm-het` is the policy of bench/openb_policy.py, pod by pod; `plan()` is hetd's own planner.

One pod at a time nobody may turn down a pod that fits. In polling windows the policy sees so many
pods at once and may turn some down for good, as late as it can, for those that are still to come
(`--load`: the demand it expects, in devices of the cluster). Every placement of every policy is
checked by an independent referee. `LP bound`: what no policy can exceed, even one that knows all
pods beforehand and moves them at will (CPUs and memory summed over the nodes of a model); of the
first `--bounds` seeds.
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
from bench.openb_plan import Outlook, Planner
from bench.openb_policy import FullPlan, Planned, as_it_is, solved
from bench.plots import Series, draw
from bench.results import head, numbers, record, table
from bench.traces import Curve, Trace, arrivals, curve, names, read_openb
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.gaps import WHOLE, Free, Shape
from slurm_het.core.worth.relaxation import relaxation, total_free

AT = (80, 95, 100, 130)
COLUMNS = ("trace, policy", *(f"@{p}" for p in AT), "infeasible", "s/run")
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


def entries(trace: Trace, windows: int, load: float) -> list[Entry]:
    """The policies to compare on a trace, those that share a plan or prices sharing them."""
    mix = trace.mix()
    costs = {"FGD": Chooser(fgd(mix)), "BestFit": Chooser(best_fit(mix))}
    plan = FullPlan(trace.nodes, mix)

    def theirs(name: str) -> Callable[[int], Policy]:
        return lambda seed: OneByOne(trace.nodes, costs[name], seed)

    found: list[Entry] = [(name, 1, theirs(name)) for name in costs]
    found.append(("slurm-het", 1, lambda _: Planned(plan)))
    if windows:
        outlook = Outlook(trace.nodes, mix)
        found.append((f"plan(), windows of {windows}", windows, lambda _: Planner(outlook, greedy)))
        ahead = FullPlan(trace.nodes, mix, load)
        title = f"slurm-het, windows of {windows}, load {load:g}"
        found.append((title, windows, lambda _: Planned(ahead, choosy=True)))
    return found


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
    lp = relaxation(free, expected, as_it_is, devices_only=True).program
    values = solved(lp)
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="directory of the openb files")
    parser.add_argument("--trace", action="append", help="a trace's name, or `all`")
    parser.add_argument("--seeds", type=numbers, default=numbers("42-51"), help="first-last")
    parser.add_argument("--windows", type=int, default=64, help="pods per window; 0: leave it out")
    parser.add_argument("--load", type=float, default=1.1, help="expected demand in windows")
    parser.add_argument("--policy", action="append", help="only those with this in their names")
    parser.add_argument("--bounds", type=int, default=3, help="seeds of which to find the bound")
    parser.add_argument("--no-record", action="store_true", help="print only")
    return parser.parse_args(arguments)


def main() -> None:
    """Print the tables, and put them into RESULTS.md."""
    options = parse()
    chosen = options.trace or ["default", "gpuspec33"]
    seeds = options.seeds
    flags = f"--seeds {seeds[0]}-{seeds[-1]} --windows {options.windows} --load {options.load:g}"
    flags += "".join(f" --trace {name}" for name in options.trace or ())
    flags += "".join(f" --policy '{name}'" for name in options.policy or ())
    lines = [
        *head("openb", f"./dev bench openb --traces DIR {flags}"),
        "Allocated % of the devices when requests for so many % have arrived: mean of "
        f"{len(seeds)} seeds (lowest–highest).",
    ]
    for name in names(options.traces) if chosen == ["all"] else chosen:
        trace = read_openb(options.traces, name)
        every = entries(trace, options.windows, options.load)
        wanted = [e for e in every if any(p in e[0] for p in options.policy or [""])]
        rows, curves = measure(trace, seeds, wanted)
        if options.bounds:
            rows.append(bounds(trace, seeds[: options.bounds]))
        lines += ["", *table(COLUMNS, rows)]
        if not options.no_record:
            lines += ["", f"![{name}]({plot(trace, curves).name})"]
    print("\n".join(lines))
    if not options.no_record:
        record(lines)


if __name__ == "__main__":
    main()
