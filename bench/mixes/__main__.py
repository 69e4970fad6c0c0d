"""The command line: `./dev bench mixes --seeds 101-600`."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from bench.mixes import replay, report
from bench.mixes.generate import HOURS, generate, rendition
from bench.mixes.hindsight import found_by
from bench.mixes.report import EACH, RENDITIONS, Row, waits_of
from bench.mixes.world import SANDBOX, Mix, eager, read_world
from bench.results import numbers
from slurm_het.replay.sides import FirstFitSolver
from slurm_het.simulation import run
from slurm_het.simulation.run import SideOutcome
from slurm_het.simulation.slurm import Settings
from slurm_het.solve import Solver
from slurm_het.solve.worker import WorkerSolver

EXAMPLES = """examples:
  ./dev bench mixes --seeds 1-20
  ./dev bench mixes --seeds 101-600 --out mixes.jsonl   # goes on where it was stopped
  ./dev bench mixes --seeds 7 --write 7.yaml            # the mix as a scenario of ./dev compare
  ./dev bench mixes --seeds 101-112 --hindsight 10      # what there is to win, 10 s a search
  ./dev bench mixes --seeds 101-120 --replay            # 90 s each on a real Slurm (root)

exit status: 1 if a bound is broken; with --replay if the model is far from the real plain Slurm
"""


T = TypeVar("T")


def main() -> int:
    """Run the mixes, print what they came to."""
    options = _options()
    if options.write:
        mix = generate(options.seeds[0], options.seconds, options.nodes)
        options.write.write_text(yaml.safe_dump(mix, sort_keys=False))
        return 0
    if options.replay:
        return _replay(options)
    if options.hindsight:
        return _hindsight(options)
    rows = {row.seed: row for row in _known(options.out)}
    wanted = [seed for seed in options.seeds if seed not in rows]
    began = time.monotonic()
    one = partial(row_of, seconds=options.seconds, nodes=options.nodes, solver=options.solver)
    for row in _each(one, wanted, options.processes):
        rows[row.seed] = row
        if options.out:
            with options.out.open("ab") as file:
                file.write(msgspec.json.encode(row) + b"\n")
        print(row.text(), flush=True)
    shown = [rows[seed] for seed in options.seeds]
    print(*report.text(shown), sep="\n")
    print(f"{time.monotonic() - began:.0f} s; load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return int(bool(report.broken(shown)))


def _each(one: Callable[[int], T], seeds: Sequence[int], processes: int) -> Iterator[T]:
    """What comes of each mix, as soon as it is there."""
    if processes == 1 or len(seeds) < 2:
        yield from map(one, seeds)
        return
    with multiprocessing.Pool(processes, initializer=os.nice, initargs=(5,)) as pool:
        yield from pool.imap_unordered(one, seeds)


def _settings(seconds: float) -> Settings:
    """Slurm's, for mixes of hours or of minutes."""
    return Settings() if seconds >= HOURS / 4 else SANDBOX


def _hush() -> None:
    """Leave of the logs what the worker could not do; a row says how often it was late."""
    logging.getLogger("hetd").setLevel(logging.ERROR)


def row_of(seed: int, *, seconds: float, nodes: int, solver: str) -> Row:
    """One mix both ways; in more renditions if it is below the bound."""
    _hush()
    began, before = time.process_time(), _late(solver)
    mix = generate(seed, seconds, nodes)
    world = read_world(mix, f"mix {seed}")
    settings = _settings(seconds)
    plain, ours = _both(world, settings, solver)
    row = Row(
        seed, world.scenario.what, plain.busy, ours.busy, world.devices * seconds,
        (plain.started, ours.started), len(world.jobs), ours.cycles, 0.0,
        run.plain(read_world(_reversed(mix)), settings).busy, eager(world, settings).busy,
        waits=waits_of(world.jobs, plain.starts, ours.starts, seconds),
    )  # fmt: skip
    again = range(1, RENDITIONS + 1) if row.once < EACH else ()
    both = [_both(read_world(rendition(mix, n)), settings, solver) for n in again]
    asked, unanswered = (now - then for now, then in zip(_late(solver), before, strict=True))
    return replace(
        row, seconds=round(time.process_time() - began, 2),
        again=tuple((p.busy, o.busy) for p, o in both), asked=asked, unanswered=unanswered,
    )  # fmt: skip


def _both(world: Mix, settings: Settings, solver: str) -> tuple[SideOutcome, SideOutcome]:
    return run.plain(world, settings), run.ours(world, settings, _solver(solver))


def _reversed(mix: dict[str, Any]) -> dict[str, Any]:
    """The same with the groups of nodes in the opposite order."""
    cluster = mix["cluster"]
    return mix | {"cluster": cluster | {"nodes": cluster["nodes"][::-1]}}


def _hindsight(options: argparse.Namespace) -> int:
    """What there is to win in the mixes, beside what slurm-het wins."""
    one = partial(_found, options=options)
    rows: list[tuple[float, ...]] = []
    print("seed: slurm-het, order kept, order free, bound; plain Slurm's = 1")
    for seed, row in _each(one, options.seeds, options.processes):
        rows.append(row)
        print(f"{seed:>4}: " + ", ".join(f"{x:.3f}" for x in row), flush=True)
    means = (statistics.fmean(column) for column in zip(*rows, strict=True))
    print("mean: " + ", ".join(f"{x:.4f}" for x in means))
    return 0


def _found(seed: int, options: argparse.Namespace) -> tuple[int, tuple[float, ...]]:
    _hush()
    world = read_world(generate(seed, options.seconds, options.nodes))
    plain, ours = _both(world, _settings(options.seconds), options.solver)
    found = found_by(world, options.hindsight)
    return seed, tuple(busy / plain.busy for busy in (ours.busy, *found))


def _replay(options: argparse.Namespace) -> int:
    """Run the mixes on a real Slurm, one after the other."""
    os.umask(0o022)  # the jobs' users enter what is made here
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the sandboxes go down with us
    _hush()
    off = 0
    for seed in options.seeds:
        mix = generate(seed, replay.SECONDS, replay.NODES)
        if not replay.told_apart(mix):
            continue
        seen = replay.replay(
            mix, _solver(options.solver), lambda line: print(line, file=sys.stderr)
        )
        off += not seen.model_holds
        print(f"{seen.text()}; load {os.getloadavg()[0]:.1f}", flush=True)
    return int(off > 0)


_solvers: dict[str, Solver] = {}


def _solver(name: str) -> Solver:
    if name not in _solvers:
        if name == "first-fit":
            _solvers[name] = FirstFitSolver()
        else:
            worker = WorkerSolver()
            worker.warm()
            _solvers[name] = worker
    return _solvers[name]


def _late(name: str) -> tuple[int, int]:
    """How often the solver was asked as yet, and had no answer in time."""
    solver = _solver(name)
    return (solver.asked, solver.unanswered) if isinstance(solver, WorkerSolver) else (0, 0)


def _known(path: Path | None) -> list[Row]:
    if not path or not path.exists():
        return []
    return [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev bench mixes", description="Generated mixes in simulated time: plain Slurm's"
        " model beside hetd's own cycle on the same model.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seeds", type=numbers, default=numbers("1-20"), help="first-last (1-20)")
    parser.add_argument("--seconds", type=float, default=HOURS, help="of a mix (six hours)")
    parser.add_argument("--nodes", type=int, default=24, help="at most so many (24)")
    parser.add_argument("--solver", choices=("highs", "first-fit"), default="highs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keep a line of JSON for each; go on from there")
    parser.add_argument("--replay", action="store_true", help="on a real Slurm")
    parser.add_argument("--hindsight", type=float, default=0.0, metavar="S",
                        help="seek so long (s) what those win who know all")  # fmt: skip
    parser.add_argument("--write", type=Path, help="write the first mix as a scenario, and end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
