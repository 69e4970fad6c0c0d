"""Makespan of a hundred training jobs on three types of devices, without their speeds, with them,
and with what was learned of them.

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
  given          the planner with the speeds as the site's `throughput:`, a class per kind of job
  learned, N     the planner without that table. It has learned from N jobs that ran before, each
                 of one of these kinds with more or less to do, and placed as type-blind does
  patience P     the same, learned from the most, with planner.speed_patience
  bound          no schedule is shorter, even one that moves jobs at will (an LP)
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from bench.linear import solve_program
from bench.linear_program import LinearProgram
from bench.results import head, numbers, record, table
from bench.simulate import Arrival, Outcome, Simulation
from bench.traces import MissingTrace
from slurm_het.config import parse_config
from slurm_het.core.assignment.problem import Problem, SlotChoice, Solution
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.paces import Paces, speeds_of
from slurm_het.core.model import (
    Classification,
    Job,
    NodeRecord,
    Partition,
    Placement,
    Snapshot,
    Task,
)
from slurm_het.core.planner.plan import Solve
from slurm_het.core.policy import Policy
from slurm_het.core.worth.forecast import Forecast
from slurm_het.settings import PlannerSettings
from slurm_het.solve.solve import solve as solve_milp

SOURCE = "https://github.com/stanford-futuredata/gavel (scheduler/)"
TYPES = {"v100": 16, "p100": 16, "k80": 12}
_UNKNOWN = {"training": 1.0, "inference": 1.0, "tflops": 100.0}
"""GiB of a device, by type."""
NODES, DEVICES = 9, 4
HOUR = 3600.0
LP_SECONDS = 120.0
OFF = {"weights": {"throughput": 0}}
LEARNED_SEEDS = 3
PATIENCES = (0.25, 0.5, 1.0)
HISTORIES = (300, 1000, 3000)
APART_SECONDS = 1_000_000  # longer than any job: they end in their order
USER = "u"
NOTHING_KNOWN = Paces()
WORK_SPREAD = 0.47
"""How much jobs of one kind differ in what there is to do, as in the trace: a standard deviation
of the logarithm."""
SPARE, SPARE_SPREAD = 1.0, 0.5
"""What users add to the time that a job takes on the slowest type, for its limit: the median part
of that time, and a standard deviation of the part's logarithm."""


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


def site(overrides: Mapping[str, object]) -> Policy:
    """The site's configuration."""
    text = yaml.safe_dump({
        "intake_partition": "accel",
        "pools": {"train": {"scenario": "training", "vendors": ["nvidia"]}},
        # The older two count as types that nobody describes: what decides is the measured speed.
        "types": {
            t: {"vendor": "nvidia", "memory_gib": gib} | ({} if t == "v100" else _UNKNOWN)
            for t, gib in TYPES.items()
        },
        **overrides,
    })  # fmt: skip
    return parse_config(text).policy


def rows(works: Sequence[Work]) -> dict[str, dict[str, float]]:
    """The speeds of each class, relative to its best type, as the configuration has them."""
    return {
        work.job_class: {
            t: round(min(work.seconds.values()) / work.seconds[t], 4) if t in work.seconds else 0
            for t in TYPES
        }
        for work in works
    }


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


def arrival(work: Work, *, given: bool) -> Arrival:
    """The job as it waits in the intake: of a class if its speeds are given, else a program."""
    job = Job(
        work.number + 1, USER, name=work.job_class, partition="accel", reason="PartitionDown",
        priority=1000 - work.number, tres_per_node=f"gpu:{work.devices}", memory_per_cpu_mib=1024,
        admin_comment=encode_comment(_what(work, given=given), {}),
        time_limit_minutes=limit_minutes(work.seconds, random.Random(work.number)),
    )  # fmt: skip

    def seconds(placement: Placement) -> float:
        return work.seconds[placement.types[0]]

    return Arrival(0.0, job, seconds)


def limit_minutes(seconds: Mapping[str, float], rng: random.Random) -> int:
    """The limit that its user gives a job which takes so many seconds, by type."""
    spare = 1 + SPARE * rng.lognormvariate(0.0, SPARE_SPREAD)
    return math.ceil(max(seconds.values()) * spare / 60)


def _what(work: Work, *, given: bool) -> Classification:
    what = Classification("training", ("nvidia",), tuple(work.seconds))
    name = work.job_class
    return replace(what, job_class=name) if given else replace(what, program=name)


def run(
    works: Sequence[Work],
    policy: Policy,
    solve: Solve,
    paces: Paces = NOTHING_KNOWN,
    patience: float = 0.0,
) -> list[Outcome]:
    """All jobs to their ends, by the policy's table of speeds if it has one, and by `paces`.
    `patience` is planner.speed_patience."""
    nodes, partitions = cluster()

    def expect(tasks: Iterable[Task], _inventory: Inventory) -> Forecast:
        return Forecast(speeds=speeds_of(tasks, paces))

    simulation = Simulation(
        nodes, partitions, policy, solve, expect=expect, paces=paces,
        limits=replace(PlannerSettings().limits, speed_patience=patience),
    )  # fmt: skip
    return simulation.run(arrival(work, given=bool(policy.throughput)) for work in works)


def learned(works: Sequence[Work], policy: Policy, jobs: int, seed: int) -> Paces:
    """What is learned from so many jobs that ran before."""
    nodes, partitions = cluster()
    inventory = take_inventory(Snapshot(0.0, (), nodes, partitions), policy)
    rng, paces = random.Random(seed), Paces()
    for number in range(jobs):
        if pace := paces.after(_ended(number, rng.choice(works), rng), inventory, policy):
            paces.put(pace)
    return paces


def _ended(number: int, work: Work, rng: random.Random) -> Job:
    """A job of that kind with more or less to do, which ran on some type."""
    to_do = rng.lognormvariate(0.0, WORK_SPREAD)
    seconds = {t: to_do * took for t, took in work.seconds.items()}
    type_, began = rng.choice(list(seconds)), 1 + number * APART_SECONDS
    return replace(
        arrival(work, given=False).job, id=number, state="COMPLETED", nodes=f"{type_}-0",
        start_time=began, end_time=began + math.ceil(seconds[type_]),
        time_limit_minutes=limit_minutes(seconds, rng),
    )  # fmt: skip


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
    works, plain = read_gavel(options.traces), site({})
    blinds = [makespan(run(works, plain, blind(random.Random(s)))) for s in options.seeds]
    mean = statistics.fmean(blinds)
    spans = {f"type-blind, {len(blinds)} seeds": blinds}
    spans["speeds off"] = [makespan(run(works, site(OFF), solve))]
    spans["given"] = [makespan(run(works, site({"throughput": rows(works)}), solve))]
    known: list[Paces] = []
    for jobs in HISTORIES:
        known = [learned(works, plain, jobs, seed) for seed in options.seeds[:LEARNED_SEEDS]]
        spans[f"learned, {jobs}"] = [makespan(run(works, plain, solve, p)) for p in known]
    for patience in PATIENCES:
        spans[f"patience {patience:g}"] = [
            makespan(run(works, plain, solve, paces, patience)) for paces in known
        ]
    spans["bound"] = [shortest(works)]
    lines = [line(name, those, mean) for name, those in spans.items()]
    command = f"./dev bench gavel --traces DIR --seeds {options.seeds[0]}-{options.seeds[-1]}"
    text = [*head("gavel", command), *table(("policy", "makespan, h", "type-blind ÷ it"), lines)]
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
