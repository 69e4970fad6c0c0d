"""Makespan of a hundred training jobs on three types of devices, with and without their speeds.

    ./dev bench gavel --traces DIR [--seeds 1-10] [--no-record]

The trace is Gavel's for makespan (OSDI '20): 100 jobs of 1, 2 or 4 devices, all there at the start,
on 36 V100, 36 P100 and 36 K80, with the measured steps per second of each job on each type.
`simulation_throughputs.json` and `minimize_makespan.trace` are published in
https://github.com/stanford-futuredata/gavel (scheduler/).

Each type is nine nodes of four devices here; a job is on one node, starts once and is never moved.
Time is simulated; each planning goes through the whole cycle's pure part: Slurm's records,
task pools, selection, plan. Policies:

  type-blind     Slurm's order, each job on a random node with room, whatever its type
  speeds off     the planner without the term `throughput`
  slurm-het      the planner with the speeds as the site's `throughput:`, a class per kind of job
  bound          no schedule is shorter, even one that moves jobs at will (an LP)
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.linear import solve_program
from bench.linear_program import LinearProgram
from bench.results import head, numbers, record, table
from bench.simulate import Arrival, Outcome, Simulation
from bench.traces import MissingTrace
from slurm_het.config import parse_config
from slurm_het.core.assignment.problem import Problem, SlotChoice, Solution
from slurm_het.core.model import Job, NodeRecord, Partition, Placement
from slurm_het.core.planner.plan import Solve
from slurm_het.core.policy import Policy
from slurm_het.solve.solve import solve as solve_milp

SOURCE = "https://github.com/stanford-futuredata/gavel (scheduler/)"
TYPES = {"v100": 16, "p100": 16, "k80": 12}
_UNKNOWN = {"training": 1.0, "inference": 1.0, "tflops": 100.0}
"""GiB of a device, by type."""
NODES, DEVICES = 9, 4
HOUR = 3600.0
LP_SECONDS = 120.0


@dataclass(frozen=True)
class Work:
    """A job of the trace: its class, its devices, and its run time (seconds) by type."""

    number: int
    job_class: str
    devices: int
    seconds: dict[str, float]


def read_gavel(directory: Path) -> list[Work]:
    """The trace's jobs. Raises MissingTrace."""
    speeds = json.loads(_text(directory / "simulation_throughputs.json"))
    return [
        _work(number, line.split("\t"), speeds)
        for number, line in enumerate(_text(directory / "minimize_makespan.trace").splitlines())
    ]


def _text(path: Path) -> str:
    if not path.exists():
        raise MissingTrace(f"{path} is missing; it is published in {SOURCE}")
    return path.read_text(encoding="utf-8")


def _work(number: int, row: Sequence[str], speeds: Mapping[str, Mapping[str, object]]) -> Work:
    """A row: kind of job, command, directory, flag, needs data, steps, devices, …"""
    kind, steps, devices = row[0], float(row[5]), int(row[6])
    rates = {t: _rate(speeds[t].get(f"('{kind}', {devices})")) for t in TYPES}
    seconds = {t: steps / rate for t, rate in rates.items() if rate}
    return Work(number, class_name(kind, devices), devices, seconds)


def _rate(entry: object) -> float:
    """Steps per second alone; 0 where it does not run."""
    return float(entry.get("null", 0.0)) if isinstance(entry, dict) else 0.0


def class_name(kind: str, devices: int) -> str:
    """`ResNet-18 (batch size 64)` on 4 devices is the class `resnet-18-64x4`."""
    words = kind.lower().replace("(batch size ", "").replace(")", "").split()
    return f"{'-'.join(words)}x{devices}"


def site(works: Sequence[Work], overrides: Mapping[str, object]) -> Policy:
    """The site's configuration: a row of speeds for each class, relative to its best type."""
    rows = {
        work.job_class: {
            t: round(min(work.seconds.values()) / work.seconds[t], 4) if t in work.seconds else 0
            for t in TYPES
        }
        for work in works
    }
    text = yaml.safe_dump({
        "intake_partition": "accel",
        "pools": {"train": {"scenario": "training", "vendors": ["nvidia"]}},
        # The older two count as types that nobody describes: what decides is the measured speed.
        "types": {
            t: {"vendor": "nvidia", "memory_gib": gib} | ({} if t == "v100" else _UNKNOWN)
            for t, gib in TYPES.items()
        },
        "throughput": rows,
        **overrides,
    })  # fmt: skip
    return parse_config(text).policy


def cluster() -> tuple[tuple[NodeRecord, ...], tuple[Partition, ...]]:
    """Nodes of one type each, idle."""
    nodes = tuple(
        NodeRecord(
            f"{t}-{n}", "IDLE", f"gpu:{t}:{DEVICES}", 64, 0, 512_000, 0, 1, frozenset({t}),
            ("accel", "train"),
        )
        for t in TYPES
        for n in range(NODES)
    )  # fmt: skip
    names = ",".join(node.name for node in nodes)
    return nodes, (Partition("accel", "DOWN", names), Partition("train", "UP", names))


def arrival(work: Work) -> Arrival:
    """The job as it waits in the intake."""
    job = Job(
        work.number + 1, "u", name=work.job_class, partition="accel", reason="PartitionDown",
        priority=1000 - work.number, tres_per_node=f"gpu:{work.devices}", memory_per_cpu_mib=1024,
        comment=f"het: scenario=training vendors=any class={work.job_class}",
    )  # fmt: skip

    def seconds(placement: Placement) -> float:
        return work.seconds[placement.types[0]]

    return Arrival(0.0, job, seconds)


def run(works: Sequence[Work], policy: Policy, solve: Solve) -> list[Outcome]:
    """All jobs to their ends."""
    nodes, partitions = cluster()
    simulation = Simulation(nodes, partitions, policy, solve, reservations=0)
    return simulation.run(map(arrival, works))


def makespan(outcomes: Sequence[Outcome]) -> float:
    """Seconds until the last job has ended."""
    return max(outcome.ended for outcome in outcomes)


def blind(rng: random.Random) -> Solve:
    """First come, first served, on a random node with enough free devices."""

    def solve(problem: Problem) -> Solution:
        free = {
            n: [j for j in node.devices if problem.devices[j].whole]
            for n, node in enumerate(problem.nodes)
        }
        starts: dict[int, tuple[SlotChoice, ...]] = {}
        for t in range(len(problem.tasks)):
            (slot,) = problem.request(t).slots
            able = [
                n
                for n, node in enumerate(problem.nodes)
                if node.state in slot.need and len(free[n]) >= slot.devices
            ]
            if able:
                n = rng.choice(able)
                taken, free[n] = free[n][: slot.devices], free[n][slot.devices :]
                starts[t] = (SlotChoice(n, tuple(taken)),)
        return Solution(starts)

    return solve


def shortest(works: Sequence[Work]) -> float:
    """Seconds below which no schedule is, even one that may stop and move jobs at any time."""
    program = LinearProgram()
    held = {t: program.row(0) for t in TYPES}  # device seconds, of those until the end
    until_the_end = {row: -float(NODES * DEVICES) for row in held.values()}
    for work in works:
        done, busy = program.row(-1), program.row(0)
        until_the_end[busy] = -1.0
        for t, seconds in work.seconds.items():
            program.column(0, {done: -1 / seconds, busy: 1, held[t]: work.devices})
    end = program.column(-1, until_the_end)
    values = solve_program(program, LP_SECONDS)
    if values is None:
        raise SystemExit(f"the linear program was not solved in {LP_SECONDS:.0f} s")
    return values[end]


def main() -> None:
    """Print the table, and put it into RESULTS.md."""
    options = parse()
    works = read_gavel(options.traces)
    blinds = [makespan(run(works, site(works, {}), blind(random.Random(s)))) for s in options.seeds]
    off = makespan(run(works, site(works, {"weights": {"throughput": 0}}), solve))
    het = makespan(run(works, site(works, {}), solve))
    bound = shortest(works)
    rows = [
        line(f"type-blind, {len(blinds)} seeds", blinds, statistics.fmean(blinds)),
        *(line(name, [hours], statistics.fmean(blinds)) for name, hours in
          (("speeds off", off), ("slurm-het", het), ("bound", bound))),
    ]  # fmt: skip
    command = f"./dev bench gavel --traces DIR --seeds {options.seeds[0]}-{options.seeds[-1]}"
    text = [*head("gavel", command), *table(("policy", "makespan, h", "type-blind ÷ it"), rows)]
    print("\n".join(text))
    if not options.no_record:
        record(text)


def solve(problem: Problem) -> Solution:
    """As hetd does, but with time enough."""
    return solve_milp(problem, 10.0)


def line(name: str, seconds: Sequence[float], against: float) -> list[str]:
    """A row: mean hours (lowest–highest), and how many times longer `against` is."""
    mean = statistics.fmean(seconds)
    spread = f" ({min(seconds) / HOUR:.1f}–{max(seconds) / HOUR:.1f})" if len(seconds) > 1 else ""
    return [name, f"{mean / HOUR:.1f}{spread}", f"{against / mean:.2f}"]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="directory of Gavel's files")
    parser.add_argument("--seeds", type=numbers, default=range(1, 11), help="of type-blind (1-10)")
    parser.add_argument("--no-record", action="store_true", help="print only")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
