"""openb: how much of a production cluster's devices each policy allocates, side by side.

    ./dev bench openb --traces DIR [--trace default] [--seeds 42-51] [--windows 64] [--load 1.1]

One pod at a time nobody may turn down a pod that fits. In polling windows the planner sees so
many pods at once, orders them, and may turn some down for good (`--load`: the demand it expects,
in devices of the cluster). Every placement of every policy is checked by an independent referee.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from bench.fgd import Chooser, Move, OneByOne, best_fit, fgd
from bench.openb_policy import Plan, Planned
from bench.traces import Curve, Trace, arrivals, curve, names, read_openb
from slurm_het.core.frag import WHOLE, Free, Shape

AT = (80, 95, 100, 130)
RESULTS = Path(__file__).with_name("RESULTS.md")


class Policy(Protocol):
    """What is put to the test."""

    def window(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        """Indexes of the pods it places and their moves, in order; the others are dropped."""


class Referee:
    """Keeps its own books of the nodes; `infeasible` counts the placements that break them."""

    def __init__(self, trace: Trace) -> None:
        self.nodes = Counter({kind.empty(): count for kind, count in trace.nodes.items()})
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
        min(after.cpus, after.memory, *after.gaps) >= 0
        and (not pod.models or before.model in pod.models)
        and (after.cpus, after.memory) == (before.cpus - pod.cpus, before.memory - pod.memory)
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
    plan = Plan(trace.nodes, mix)

    def theirs(name: str) -> Callable[[int], Policy]:
        return lambda seed: OneByOne(trace.nodes, costs[name], seed)

    found: list[Entry] = [(name, 1, theirs(name)) for name in costs]
    found.append(("slurm-het", 1, lambda _: Planned(plan)))
    if windows:
        ahead = Plan(trace.nodes, mix, load)
        title = f"slurm-het, windows of {windows}"
        found.append((title, windows, lambda _: Planned(plan)))
        title += f", load {load:g}"
        found.append((title, windows, lambda _: Planned(ahead, choosy=True)))
    return found


def measure(trace: Trace, seeds: Iterable[int], lines: list[Entry]) -> list[str]:
    """The rows of the table, printing what each run gave."""
    rows = []
    for name, size, make in lines:
        curves: list[Curve] = []
        seconds: list[float] = []
        infeasible = 0
        for seed in seeds:
            began = time.perf_counter()
            found, broken = replay(trace, arrivals(trace, seed), make(seed), size)
            seconds.append(time.perf_counter() - began)
            curves.append(found)
            infeasible += broken
            points = " ".join(f"{found.at(p):.2f}" for p in AT)
            print(f"{trace.name} {name} seed {seed}: {points}", flush=True)
        means = [[c.at(p) for c in curves] for p in AT]
        cells = [f"{statistics.mean(m):.2f} ({min(m):.2f}–{max(m):.2f})" for m in means]
        took = f"{statistics.median(seconds):.1f}"
        rows.append(f"| {trace.name} | {name} | {' | '.join(cells)} | {infeasible} | {took} |")
    return rows


def header(command: str, seeds: list[int]) -> list[str]:
    """The section's head: what was run, on what, and how to read the table."""
    git = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    points = " | ".join(f"@{p}" for p in AT)
    return [
        f"\n## openb, {datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}\n",
        f"`{command}`  ",
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}\n",
        f"Allocated % of the devices when requests for so many % have arrived: mean of "
        f"{len(seeds)} seeds (lowest–highest).\n",
        f"| trace | policy | {points} | infeasible | s/run |",
        f"|---|---|{'---|' * len(AT)}---|---|",
    ]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--traces", type=Path, required=True, help="directory of the openb files")
    parser.add_argument("--trace", action="append", help="a trace's name, or `all`")
    parser.add_argument("--seeds", default="42-51", help="first-last")
    parser.add_argument("--windows", type=int, default=64, help="pods per window; 0: leave it out")
    parser.add_argument("--load", type=float, default=1.1, help="expected demand in windows")
    parser.add_argument("--no-record", action="store_true", help="print only")
    return parser.parse_args(arguments)


def main() -> None:
    """Print the table, and append it to RESULTS.md."""
    options = parse()
    chosen = options.trace or ["default", "gpuspec33"]
    first, _, last = options.seeds.partition("-")
    seeds = list(range(int(first), int(last or first) + 1))
    flags = f"--seeds {options.seeds} --windows {options.windows} --load {options.load:g}"
    flags += "".join(f" --trace {name}" for name in options.trace or ())
    lines = header(f"./dev bench openb --traces DIR {flags}", seeds)
    for name in names(options.traces) if chosen == ["all"] else chosen:
        trace = read_openb(options.traces, name)
        lines += measure(trace, seeds, entries(trace, options.windows, options.load))
    text = "\n".join(lines) + "\n"
    print(text)
    if not options.no_record:
        with RESULTS.open("a") as results:
            results.write(text)


if __name__ == "__main__":
    main()
