"""The cycles that cost most: 10,000 waiting jobs on 1,250 nodes, each case made to be slow.

    ./dev bench worst [--jobs 10000] [--nodes 1250] [--case NAME]... [--profile]

Each case is a whole snapshot of Slurm's records. Told are the CPU seconds of the parts of a cycle,
of hetd's first one and of the next on the same records, and those of `het-squeue --start`; they
are the same on a machine that has other things to do. The plan is made by first-fit.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bench.results import table
from bench.scale import CPUS, MEMORY, TYPES, policy
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.model import Classification, Job, NodeRecord, Partition, Snapshot
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Prepared, decide, observe, prepare
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.preemption import Preemption
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.views.starts import starts_of
from slurm_het.core.worth.forecast import Forecast
from slurm_het.daemon.tidying import THRESHOLD

NOW = 1e9
HOUR, MINUTE = 3600, 60
LIMITS = Limits()
COMMENT = encode_comment(Classification("training"), {})
POOLS = ("train", "infer")


@dataclass(frozen=True)
class Size:
    """How large a case is made."""

    nodes: int
    jobs: int


Ends = Callable[[int, int], float | None]
"""When the job on a node's device ends, by their numbers; None: it is free."""


def cluster(size: Size, ends: Ends, partition: str = "other", qos: str = "") -> Snapshot:
    """The nodes, each device held by a job of its own that ends then."""
    jobs: list[Job] = []
    nodes: list[NodeRecord] = []
    for n in range(size.nodes):
        kind, name, pool = TYPES[n % len(TYPES)][0], f"n{n}", POOLS[n % 2]
        held = [(d, end) for d in range(8) if (end := ends(n, d)) is not None]
        jobs += [
            Job(
                1 + n * 8 + d, "u", partition=partition, qos=qos, state="RUNNING", nodes=name,
                cpus=4, memory_per_node_mib=1000, gres_detail=(f"gpu:{kind}:1(IDX:{d})",),
                start_time=int(NOW) - HOUR, end_time=int(end), time_limit_minutes=1440,
            )
            for d, end in held
        ]  # fmt: skip
        nodes.append(
            NodeRecord(
                name, "MIXED" if held else "IDLE", f"gpu:{kind}:8", CPUS, 4 * len(held), MEMORY,
                1000 * len(held), 1, frozenset({kind}), ("accel", pool),
            )
        )  # fmt: skip
    members = {p: ",".join(n.name for n in nodes if p in n.partitions) for p in ("accel", *POOLS)}
    partitions = (
        Partition("accel", "DOWN", members["accel"], tier=2, preempt_modes=frozenset({"OFF"})),
        *(Partition(p, "UP", members[p], tier=2, preempt_modes=frozenset({"OFF"})) for p in POOLS),
        Partition("other", "UP", members["accel"], preempt_modes=frozenset({"REQUEUE"})),
    )
    return Snapshot(NOW, tuple(jobs), tuple(nodes), partitions)


def waiting(place: int, devices: int = 1, nodes: int = 1, minutes: int | None = 60) -> Job:
    """A job in the gate, that many before it."""
    return Job(
        1_000_000 + place, f"u{place % 40}", partition="accel", priority=5_000_000 - place,
        reason="PartitionDown", tres_per_node=f"gpu:{devices}", nodes_min=nodes, nodes_max=nodes,
        tasks=nodes, cpus=nodes, memory_per_node_mib=1000, time_limit_minutes=minutes,
        admin_comment=COMMENT,
    )  # fmt: skip


def queued(given: Snapshot, jobs: list[Job]) -> Snapshot:
    """The snapshot with these jobs too."""
    return replace(given, jobs=(*given.jobs, *jobs))


# --- the cases -------------------------------------------------------------------------------


def identical(size: Size) -> Snapshot:
    """Short jobs that are all alike; the only free devices are those that blocked ones wait for."""
    big = 1 + LIMITS.protected
    some = range(len(POOLS), big * len(POOLS))
    given = cluster(size, lambda n, d: None if n in some and not d else NOW + HOUR + n * MINUTE)
    return queued(given, [waiting(i, 8, 1, 600) if i < big else waiting(i, 1, 1, 10)
                          for i in range(size.jobs)])  # fmt: skip


def every_time_limit(size: Size) -> Snapshot:
    """Blocked jobs want all nodes in an hour; behind them come a thousand time limits."""
    given = cluster(size, lambda n, d: None if d else NOW + HOUR + n * MINUTE)
    big = [waiting(i, 8, size.nodes // 14, 600) for i in range(9)]
    rest = [waiting(i, 1 + i % 4, 1, 30 + i % 997) for i in range(9, size.jobs)]
    return queued(given, [*big, *rest])


def every_request(size: Size) -> Snapshot:
    """The same, and no job asks for as much host memory as another one."""
    given = cluster(size, lambda n, d: None if d > 5 else NOW + HOUR + n * MINUTE + d)
    big = [waiting(i, 8, size.nodes // 14, 600) for i in range(9)]
    rest = [
        replace(waiting(i, 1 + i % 4, 1, 30 + i % 997), memory_per_node_mib=1000 + i)
        for i in range(9, size.jobs)
    ]
    return queued(given, [*big, *rest])


def all_full(size: Size) -> Snapshot:
    """Nothing is free, and no job asks as another one."""
    given = cluster(size, lambda n, d: NOW + HOUR + n * MINUTE + d)
    return queued(given, [
        replace(waiting(i, 1 + i % 8, 1 + i % 3, 30 + i % 997), memory_per_node_mib=1000 + i)
        for i in range(size.jobs)
    ])  # fmt: skip


def maintenance(size: Size) -> Snapshot:
    """Jobs of several nodes, many kinds of them, before a maintenance of all nodes."""
    given = cluster(size, lambda n, d: None if d else NOW + 10 * MINUTE + n)
    record = ReservationRecord(
        "maint", NOW + 30 * MINUTE, NOW + 300 * HOUR, tuple(n.name for n in given.nodes),
        flags=frozenset({"MAINT"}),
    )  # fmt: skip
    jobs = [waiting(i, 8 - i % 4, 2 + i % 40, 60 + i % 97) for i in range(size.jobs)]
    return replace(queued(given, jobs), reservations=(record,))


def reservations(size: Size) -> Snapshot:
    """Many reservations, of which most come again each day, and jobs of many time limits."""
    given = cluster(size, lambda n, d: NOW + (n % 97) * 10 * MINUTE + d * MINUTE if d else None)
    names = [node.name for node in given.nodes]
    rng = random.Random(1)

    def record(i: int) -> ReservationRecord:
        start, flags = NOW + rng.randrange(24 * HOUR), {"DAILY"} if i % 3 else {"MAINT"}
        nodes = tuple(rng.sample(names, max(1, len(names) // 20)))
        return ReservationRecord(f"r{i}", start, start + HOUR, nodes, flags=frozenset(flags))

    jobs = [waiting(i, 1 + i % 8, 1 + i % 2, 60 + i % 997) for i in range(size.jobs)]
    return replace(queued(given, jobs), reservations=tuple(map(record, range(100))))


def preempters(size: Size) -> Snapshot:
    """Each waiting job may preempt each running one, and the cluster is full."""
    given = cluster(size, lambda n, d: NOW + HOUR + n * MINUTE + d)
    jobs = [waiting(i, 1 + i % 8, 1 + i % 16, 60 + i % 97) for i in range(size.jobs)]
    return _preempting(queued(given, jobs))


def preempters_in_vain(size: Size) -> Snapshot:
    """The same where they need more than even that would free, and each asks for another amount."""
    given = cluster(size, lambda _, d: NOW + HOUR if d else None, partition="train")
    lesser = cluster(size, lambda _, d: None if d else NOW + HOUR).jobs
    jobs = [
        replace(waiting(i, 8 - i % 4, 1 + i % 16, 60 + i % 97), memory_per_node_mib=1000 + i)
        for i in range(size.jobs)
    ]
    return _preempting(queued(replace(given, jobs=(*given.jobs, *lesser)), jobs))


def startable_preempters(size: Size) -> Snapshot:
    """Those that may preempt come behind many that can start, whose room is found for each."""
    given = cluster(size, lambda n, d: NOW + HOUR + n * MINUTE + d if d else None)
    jobs = [waiting(i, 8 if i % 10 == 9 else 1, 1 + i % 4, 60 + i % 97) for i in range(size.jobs)]
    return _preempting(queued(given, jobs))


def _preempting(given: Snapshot) -> Snapshot:
    return replace(given, preemption=Preemption("partition", frozenset({"REQUEUE"})))


CASES: dict[str, Callable[[Size], Snapshot]] = {
    made.__name__.replace("_", "-"): made
    for made in (
        identical, every_time_limit, every_request, all_full, maintenance, reservations,
        preempters, preempters_in_vain, startable_preempters,
    )
}  # fmt: skip

# --- what they cost --------------------------------------------------------------------------


def parts(
    given: Snapshot, rules: Policy, memory: Memory
) -> Iterator[tuple[str, float, Prepared | None]]:
    """The parts of a cycle, their CPU seconds, and what was prepared."""
    began = time.process_time()
    observed = observe(given, rules, memory, 0.0)
    yield "observe", time.process_time() - began, None
    began = time.process_time()
    prepared = prepare(observed, LIMITS, memory, 0.0)
    yield "prepare", time.process_time() - began, prepared
    began = time.process_time()
    decide(prepared, Forecast({}), greedy)
    yield "decide", time.process_time() - began, prepared


def cost(given: Snapshot) -> dict[str, float]:
    """CPU seconds by part: of the first cycle, of the next one, and of `het-squeue --start`."""
    rules, memory, spent = policy(), Memory(Pins(0.0, 0.0)), {"first": 0.0}
    gc.collect()
    spent["first"] = sum(seconds for _, seconds, _ in parts(given, rules, memory))
    made: list[Prepared] = []
    for name, seconds, prepared in parts(given, rules, memory):
        spent[name] = seconds
        made += [prepared] if prepared else []
    began = time.process_time()
    starts_of(made[-1])
    return spent | {"--start": time.process_time() - began}


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1250)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--profile", action="store_true", help="print a profile of each case too")
    args = parser.parse_args()
    gc.set_threshold(*THRESHOLD)
    rows = []
    for name in args.case or CASES:
        given = CASES[name](Size(args.nodes, args.jobs))
        profile = cProfile.Profile()
        if args.profile:
            profile.enable()
        spent = cost(given)
        profile.disable()
        rows.append([name, *(f"{seconds:.2f}" for seconds in spent.values())])
        print(*rows[-1], flush=True)
        if args.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(40)
    columns = ("CPU seconds", "first cycle", "observe", "prepare", "decide", "--start")
    print("\n".join(table(columns, rows)))


if __name__ == "__main__":
    main()
