"""The planner on a large cluster: snapshot → verified plan, against greedy and the naive model.

Usage: ./dev bench scale [--nodes 1250] [--tasks 500] [--seeds 1-10] [--seconds 1.0] [--naive]

Each instance is a whole snapshot of Slurm's records (jobs, nodes, partitions): a cluster of seven
types with 8 devices a node in two pools, running jobs up to a given load, and a queue of gated
jobs. Timed is everything that a cycle does between reading Slurm and releasing jobs: inventory,
task pools, reservations, selection, problem, solver (in its worker process), prediction of
Slurm's picks, verification and the reasons of all that wait. `first` is the first cycle of a hetd
that has just started; `het` a later one on the same snapshot, when what repeats from cycle to
cycle (parsed requests, nodes, prices) is known. One task alone is placed by first-fit, as a solver
has nothing to add; `never seen` are tasks whose prices are yet unknown. The naive model, one
variable per requested device and device, is given the same time.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from slurm_het.config import parse_config
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import Problem, Solution, violations
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import (
    Classification,
    Job,
    NodeRecord,
    Partition,
    Plan,
    Scenario,
    Snapshot,
    Task,
)
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.plan import plan, select
from slurm_het.core.planner.proposal import Memory, decide, observe, prepare
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.worth.forecast import Forecast, appraised, forecast
from slurm_het.core.worth.profiles import profile_of
from slurm_het.daemon.tidying import THRESHOLD
from slurm_het.solve.detailed.model import Detailed
from slurm_het.solve.fluid import solve_fluid
from slurm_het.solve.search import Search
from slurm_het.solve.worker import WorkerSolver

ROOT = Path(__file__).parents[1]
LIMITS = Limits(window_tasks=10_000, reserve_after_seconds=0.0)
TYPES = (
    ("a100", 80, "nv"), ("h100", 80, "nv"), ("l40s", 48, "nv"), ("t4", 16, "nv"),
    ("mi300x", 192, "amd"), ("910b", 64, "hw"), ("mlu370", 24, "cn"),
)  # fmt: skip
CPUS, MEMORY = 128, 1_024_000  # of a node


@dataclass(frozen=True)
class Case:
    """A kind of instance: the share of devices in use, and how alike nodes and tasks are.

    `states`: distinct amounts of CPUs that running jobs hold; `requests`: distinct sizes of jobs.
    """

    name: str
    load: float
    states: int
    requests: int


CASES = (
    Case("loaded", 0.85, 4, 24),
    Case("nearly empty", 0.03, 4, 24),
    Case("hundreds of free states", 0.5, 100, 24),
    Case("loaded, every task another", 0.85, 4, 500),
    Case("hundreds of states, every task another", 0.5, 100, 500),
)


def snapshot(case: Case, nodes: int, tasks: int, seed: int) -> Snapshot:
    """The records of such a cluster."""
    rng = random.Random(seed)
    records: list[NodeRecord] = []
    jobs: list[Job] = []
    for n in range(nodes):
        kind, gib, _ = TYPES[n % len(TYPES)]
        shared = n % 2
        pool = "infer" if shared else "train"
        name = f"n{n}"
        held = _fill(rng, case, name, gib if shared else 0, kind, len(jobs))
        jobs += held
        gres = f"gpu:{kind}:8" + (f",shard:{kind}:{gib * 8}" if shared else "")
        records.append(
            NodeRecord(
                name, "MIXED" if held else "IDLE", gres, CPUS, sum(j.cpus for j in held), MEMORY,
                sum(j.memory_per_node_mib or 0 for j in held), 1, frozenset({kind}),
                ("accel", pool),
            )
        )  # fmt: skip
    sizes = [_size(rng) for _ in range(case.requests)]
    jobs += [_gated(rng, 1_000_000 + t, sizes[t % case.requests]) for t in range(tasks)]
    names = ",".join(r.name for r in records)
    pools = {p: ",".join(r.name for r in records if p in r.partitions) for p in ("train", "infer")}
    partitions = (
        Partition("accel", "DOWN", names),
        *(Partition(pool, "UP", members) for pool, members in pools.items()),
    )
    return Snapshot(1e9, tuple(jobs), tuple(records), partitions)


def _fill(
    rng: random.Random, case: Case, node: str, shared: int, kind: str, first: int
) -> list[Job]:
    jobs: list[Job] = []
    index = 0
    while index < 8:
        count = min(rng.choice((1, 1, 2, 4, 8)), 8 - index)
        if rng.random() < case.load:
            indexes = f"{index}-{index + count - 1}" if count > 1 else f"{index}"
            detail = f"gpu:{kind}:{count}(IDX:{indexes})"
            if shared and rng.random() < 0.5:
                count = 1
                detail = f"shard:{kind}:{rng.choice((shared // 4, shared // 2))}(IDX:{index})"
            jobs.append(
                Job(
                    1 + first + len(jobs), "u", partition="run", state="RUNNING", nodes=node,
                    cpus=4 * count + rng.randrange(case.states), memory_per_node_mib=32_000 * count,
                    gres_detail=(detail,), start_time=1, end_time=int(1e9) + rng.randrange(86_400),
                    time_limit_minutes=1440,
                )
            )  # fmt: skip
        index += count
    return jobs


@dataclass(frozen=True)
class Size:
    """What a queued job asks: devices per node, nodes, GiB of a share, CPUs, minutes."""

    devices: int
    nodes: int
    share: int
    cpus: int
    minutes: int


def _size(rng: random.Random) -> Size:
    minutes = rng.choice((30, 60, 240, 1440))
    if rng.random() < 0.3:
        return Size(0, 1, rng.choice((4, 8, 10, 20)), rng.randint(1, 8), minutes)
    count = rng.choice((1, 1, 1, 2, 2, 4, 8))
    nodes = rng.choice((1, 1, 1, 1, 2)) if count >= 4 else 1
    return Size(count, nodes, 0, count * rng.randint(1, 12), minutes)


def _gated(rng: random.Random, number: int, size: Size) -> Job:
    scenario: Scenario = "inference" if size.share or rng.random() < 0.4 else "training"
    gres = f"shard:{size.share}" if size.share else f"gpu:{size.devices}"
    return Job(
        number, f"u{number % 40}", partition="accel", priority=5_000_000 - number,
        reason="PartitionDown", tres_per_node=gres,
        nodes_min=size.nodes, nodes_max=size.nodes, tasks=size.nodes,
        cpus=size.cpus * size.nodes, min_cpus_per_node=size.cpus, cpus_per_task=size.cpus,
        memory_per_node_mib=8_000 * max(1, size.devices), time_limit_minutes=size.minutes,
        admin_comment=encode_comment(Classification(scenario), {}),
    )  # fmt: skip


def policy() -> Policy:
    """The site: two pools that any vendor's devices may serve."""
    vendors = sorted({vendor for _, _, vendor in TYPES})
    types = "\n".join(
        f"  {kind}: {{vendor: {vendor}, memory_gib: {gib}}}" for kind, gib, vendor in TYPES
    )
    return parse_config(
        "intake_partition: accel\n"
        f"pools:\n  train: {{scenario: training, vendors: {vendors}}}\n"
        f"  infer: {{scenario: inference, vendors: {vendors}}}\n"
        f"types:\n{types}\ngres: {{gpu: {{}}, shard: {{shared: true}}}}\n"
    ).policy


def planned(
    given: Snapshot,
    rules: Policy,
    solve: Callable[[Problem], Solution],
    outlook: Forecast | None = None,
    memory: Memory | None = None,
) -> Plan:
    """What a cycle does between reading Slurm and releasing jobs.

    Without an `outlook` a forecast is made too, which hetd does every few minutes; without a
    `memory` it is the first cycle.
    """
    memory = memory or Memory(Pins(0.0, 0.0))
    observed = observe(given, rules, memory, 0.0)
    prepared = prepare(observed, LIMITS, memory, 0.0)
    outlook = outlook or expected(prepared.room, prepared.queue.tasks)
    return decide(prepared, outlook, solve)


def expected(inventory: Inventory, tasks: Iterable[Task]) -> Forecast:
    """Jobs as these, with their prices: hetd finds them beside its cycles, in the worker."""
    expected_jobs = forecast(Counter(map(profile_of, tasks)))
    return appraised(expected_jobs, inventory.grid, partial(solve_fluid, seconds=30.0))


def naive(problem: Problem, seconds: float) -> Solution:
    """One variable per requested device and device, as the formula stands."""
    return Search(problem, seconds, Detailed(problem, "highs"), 0.005).run()


Solvers = dict[str, Callable[[Problem], Solution]]


@dataclass
class PlannerRow:
    """What one planner did on all instances of a case."""

    name: str
    seconds: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)

    def add(self, seconds: float, made: Plan, solution: Solution) -> None:
        """One more instance."""
        self.seconds.append(seconds)
        self.starts.append(len(made.placements))
        self.values.append(solution.objective)
        self.statuses.append(made.status)
        if made.status in ("optimal", "incumbent"):
            self.gaps.append(solution.gap)

    def text(self) -> str:
        """A line of the table."""
        ordered = sorted(self.seconds)
        p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        gap = f"{max(self.gaps):7.2%}" if self.gaps else "      –"
        kinds = ",".join(sorted(set(self.statuses)))
        times = f"{statistics.median(ordered):7.3f} {p95:7.3f} {ordered[-1]:7.3f}"
        quality = f"{statistics.mean(self.starts):7.1f} {statistics.mean(self.values):9.2f} {gap}"
        return f"  {self.name:8} {times} {quality}  {kinds}"


def measure(
    case: Case, args: argparse.Namespace, seed: int, rows: dict[str, PlannerRow], solvers: Solvers
) -> Snapshot:
    """Plan one instance with each of the planners and check every plan."""
    given, rules = snapshot(case, args.nodes, args.tasks, seed), policy()
    outlook: Forecast | None = None
    memory = Memory(Pins(0.0, 0.0))
    gc.collect()  # of the instance before
    for name, solve in solvers.items():
        seen: list[tuple[Problem, Solution]] = []

        def watched(
            problem: Problem,
            seen: list[tuple[Problem, Solution]] = seen,
            solve: Callable[[Problem], Solution] = solve,
        ) -> Solution:
            seen.append((problem, solve(problem)))
            return seen[-1][1]

        began = time.perf_counter()
        made = planned(given, rules, watched, outlook, memory)
        seconds = time.perf_counter() - began
        problem, solution = seen[0]
        if broken := violations(problem, solution):
            raise SystemExit(f"{name}: {broken[0]}")
        rows.setdefault(name, PlannerRow(name)).add(seconds, made, solution)
        if outlook is None:
            inventory = take_inventory(given, rules)
            queue = fill_task_pools(given, inventory, rules, limit=10_000)
            outlook = expected(inventory, queue.tasks)
            planned(given, rules, greedy, outlook, memory)
    return given


def one_task(given: Snapshot, rules: Policy, outlook: Forecast) -> list[float]:
    """Seconds to place each of 30 tasks of the queue, on an inventory that is there already."""
    inventory = take_inventory(given, rules)
    tasks = select(inventory, fill_task_pools(given, inventory, rules, limit=1000).tasks, 30)
    times = []
    for task in tasks:
        began = time.perf_counter()
        made = plan(inventory, (task,), rules, greedy, outlook)
        times.append(time.perf_counter() - began)
        if len(made.placements) != 1:
            raise SystemExit(f"{task.key} was not placed: {made.waiting}")
    return sorted(times)


def rss_mib(pid: int | str = "self") -> float:
    """Highest resident memory of a process so far."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if "VmHWM" in line) / 1024


def show(number: int, args: argparse.Namespace) -> None:
    """Print the part of the table that is a case's."""
    first, _, last = args.seeds.partition("-")
    worker = WorkerSolver()
    worker.warm()
    solvers: Solvers = {
        "first": lambda p: worker.solve(p, args.seconds),
        "het": lambda p: worker.solve(p, args.seconds),
        "greedy": greedy,
    }
    if args.naive:
        solvers["naive"] = partial(naive, seconds=args.seconds)
    rows: dict[str, PlannerRow] = {}
    given: Snapshot | None = None
    for seed in range(int(first), int(last or first) + 1):
        given = None  # hetd has one cluster
        given = measure(CASES[number], args, seed, rows, solvers)
    if given is None:
        raise SystemExit(f"--seeds {args.seeds}: the first is above the last")
    inventory = take_inventory(given, policy())
    print(f"{CASES[number].name} ({len(inventory.grid.states)} states of nodes)")
    for row in rows.values():
        print(row.text())
    outlook = expected(inventory, fill_task_pools(given, inventory, policy(), limit=10_000).tasks)
    for how in ("never seen", "known"):  # the forecast remembers prices from cycle to cycle
        times = [t * 1e3 for t in one_task(given, policy(), outlook)]
        print(
            f"  one task, {how}: median {statistics.median(times):.1f} ms,"
            f" p95 {times[int(0.95 * len(times))]:.1f}, most {times[-1]:.1f}"
        )
    pid = worker.pid
    print(f"  memory: planner {rss_mib():.0f} MiB, solver's worker {rss_mib(pid or 0):.0f} MiB")
    worker.close()


def main() -> None:
    """Print the table: each case in a process of its own, so that the memory is one cluster's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1250, help="of 8 devices each (1250)")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--seeds", default="1-10", help="first-last (1-10)")
    parser.add_argument("--seconds", type=float, default=0.6, help="the solver's deadline (0.6)")
    parser.add_argument("--naive", action="store_true", help="the naive model too (slow)")
    parser.add_argument("--case", type=int, action="append", help="only this one, from 0")
    args = parser.parse_args()
    gc.set_threshold(*THRESHOLD)
    print(f"{args.tasks} tasks, {args.nodes * 8} devices, deadline {args.seconds} s; seconds:")
    print("           median     p95     max  starts       Σ w max gap", flush=True)
    for number in args.case or range(len(CASES)):
        process = get_context("fork").Process(target=show, args=(number, args))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"case {number} failed, see above")


if __name__ == "__main__":
    main()
