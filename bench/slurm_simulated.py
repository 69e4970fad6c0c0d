"""The trace of `bench slurm` in simulated time: mean waits by size, plain Slurm and slurm-het.

    ./dev bench slurm_simulated [--jobs 320] [--load 1.1] [--seeds 1-4] [--protected 8]

Nothing is booted: Slurm is the model of `bench mixes`, with hetd's own cycle on it, as in the
sandbox first come, first served. Plain Slurm's users name all partitions in which their programs
run. A seed takes five CPU seconds. `--protected` is planner.protected: how many blocked jobs are
not to be delayed.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from bench.mixes.world import SANDBOX, Mix, read_world
from bench.results import numbers, table
from bench.slurm_stats import Line, Run, size_class
from bench.slurm_trace import Entry, make_trace
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY
from slurm_het.settings import PlannerSettings
from slurm_het.simulation import run
from slurm_het.solve import Solver
from slurm_het.solve.worker import WorkerSolver

SECONDS = 1200.0
"""By then all have run."""
WORDS = {"--nodes": "-N", "--cpus-per-task": "-c", "--time": "-t"}
"""The options of the trace that the simulation knows by another name."""
MIB_OF_CPU = 1024


def main() -> None:
    """Print the tables."""
    options = _options()
    logging.disable(logging.WARNING)
    solver = WorkerSolver()
    try:
        solver.warm()
        sets = [
            both(make_trace(options.jobs, options.load, seed), _planner(options), solver)
            for seed in options.seeds
        ]
    finally:
        solver.close()
    print(*text(sets), sep="\n")
    if solver.unanswered:
        print(f"{solver.unanswered} of {solver.asked} plans are first-fit's: the solver was late")
    print(f"{time.process_time():.0f} s; load {os.getloadavg()[0]:.1f}")


def both(trace: Sequence[Entry], planner: Mapping[str, Any], solver: Solver) -> tuple[Run, Run]:
    """The trace under plain Slurm, and with slurm-het and these settings of its planner."""
    het = {"planner": planner}
    plain, ours = (world(trace, het, named=named) for named in (True, False))
    return (
        _run(trace, plain, run.plain(plain, SANDBOX)),
        _run(trace, ours, run.ours(ours, SANDBOX, solver)),
    )


def world(trace: Sequence[Entry], het: Mapping[str, Any], *, named: bool) -> Mix:
    """The sandbox with the trace. `named`: users name the partitions."""
    submissions = [
        {
            "name": str(entry.number), "user": "mail", "at": round(entry.arrival, 2),
            "sbatch": _words(entry, named=named), "script": entry.script, "sleep": entry.seconds,
        }
        for entry in trace
    ]  # fmt: skip
    nodes = yaml.safe_load(DEFAULT_TOPOLOGY.read_text(encoding="utf-8"))
    mix = {
        "what": "the trace", "cluster": {"nodes": nodes}, "seconds": SECONDS, "bounds": {},
        "het": het, "submissions": submissions,
    }  # fmt: skip
    return read_world(mix)


def _words(entry: Entry, *, named: bool) -> list[str]:
    words: list[str] = []
    for option in entry.options:
        name, _, value = option.partition("=")
        if name == "--gres":
            words.append(option)
        elif name in WORDS:
            words += [WORDS[name], value]
    words += ["--mem", str(MIB_OF_CPU * int(words[words.index("-c") + 1]))]
    if "--constraint=" in entry.script:
        words += ["-C", entry.script.partition("--constraint=")[2].split()[0]]
    return [*words, "-p", ",".join(entry.partitions)] if named else words


def _run(trace: Sequence[Entry], there: Mix, outcome: run.SideOutcome) -> Run:
    """Who has not started by the end counts as if he did then."""
    by_number = {int(job.submission): job for job in there.jobs}
    lines: list[Line] = []
    for entry in trace:
        job = by_number[entry.number]
        start = outcome.starts[job.id]
        began = SECONDS if start is None else start
        lines.append(Line(entry, job.at, began, began + entry.seconds))
    return Run(tuple(lines))


def text(sets: Sequence[tuple[Run, Run]]) -> list[str]:
    """The mean wait of all jobs, and of those of each size."""
    found = [pair for runs in sets for pair in zip(*(one.lines for one in runs), strict=True)]
    sizes = sorted({size_class(plain.entry) for plain, _ in found})
    rows = [_row("all", found)]
    for size in sizes:
        rows.append(_row(size, [pair for pair in found if size_class(pair[0].entry) == size]))
    return table(("mean wait, s", "jobs", "plain Slurm, all", "slurm-het", "of plain's"), rows)


def _row(name: str, pairs: Iterable[tuple[Line, Line]]) -> list[str]:
    waits = [(plain.wait, ours.wait) for plain, ours in pairs]
    plain, ours = (statistics.fmean(column) for column in zip(*waits, strict=True))
    share = f"{ours / plain:.2f}" if plain else "-"
    return [name, str(len(waits)), f"{plain:.1f}", f"{ours:.1f}", share]


def _planner(options: argparse.Namespace) -> dict[str, Any]:
    return {"protected": options.protected}


def _options() -> argparse.Namespace:
    default = PlannerSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=320, help="jobs of a trace (320)")
    parser.add_argument("--load", type=float, default=1.1, help="work per second ÷ devices (1.1)")
    parser.add_argument("--seeds", type=numbers, default=numbers("1-4"), help="traces (1-4)")
    parser.add_argument("--protected", type=int, default=default.protected)
    return parser.parse_args()


if __name__ == "__main__":
    main()
