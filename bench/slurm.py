"""Waiting times of a trace of short jobs, with slurm-het and on plain Slurm, in one run.

    ./dev bench slurm [--jobs 320] [--load 1.1] [--seeds 1-3] [--no-record]

Each run boots a sandbox (real slurmctld, a slurmd per emulated node), submits the trace's scripts
with `sbatch` at their times, and reads Slurm's own records afterwards. The scripts and options are
the same; what differs is who chooses the partition:

  plain Slurm, one   its user, who names one partition that the program can run in, drawn evenly
  plain Slurm, all   its user, an expert who names all of them (`-p train-nv,train-amd,…`), so
                     that Slurm takes the one that has room first
  slurm-het          nobody: `sbatch script`

What is assumed of users (bench/slurm_trace.py): nobody names a type but for an `A|B` constraint.
Time limits are one to three minutes for jobs of 8 to 24 s. What is assumed of the admin: a
partition for each scenario and vendor, backfill every second, the main scheduler through the whole
queue at each end of a job.

Waiting time: start - submission, in Slurm's whole seconds. Allocated: devices that running jobs
asked for, in % of the cluster's, while jobs arrive. Double-booked: device-seconds for which a
card held whole by one job was given to another as well, in % of the cluster's (22.05 forgets
the sharers of a card, which plain Slurm gains by; 24.11 does not: run it in another tree as below).

    R=$(./dev root 24.11); sh templates/enter_root.sh $R python -m bench.slurm
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bench.in_sandbox import AS_DELIVERED, fresh
from bench.results import head, numbers, publish, recorded, table
from bench.slurm_stats import Run, figures, size_class, vendor_class
from bench.slurm_trace import Entry, make_trace
from slurm_het.config import load_config
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.policy import Policy
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.versions import parse_version

SUBMITTERS = 4
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
Choose = Callable[[Entry], Sequence[str]]
"""The partitions that a job's user names."""

NAMES = ("plain Slurm, one", "plain Slurm, all", "slurm-het")


def one_of(seed: int) -> Choose:
    """A partition drawn evenly from those that the job can run in."""
    return lambda entry: (random.Random(f"{seed} {entry.number}").choice(entry.partitions),)


def replay(trace: Sequence[Entry], choose: Choose, *, het: bool, patience: float = 600.0) -> Run:
    """Submit the trace to a fresh sandbox and wait until all of it has run.

    Raises HetError if a job is refused, does not complete, or after `patience` seconds.
    """
    with fresh(het=het, overrides=AS_DELIVERED) as box, ThreadPoolExecutor(SUBMITTERS) as pool:
        began = time.time()
        ids = pool.map(lambda entry: _submit(box, entry, choose(entry), began), trace)
        watched = asyncio.run(_watch(box, began + trace[-1].arrival, began + patience))
        jobs = {job.id: job for job in _records(box)}
        return Run.of(trace, [jobs[i] for i in ids], watched)


def _submit(box: Sandbox, entry: Entry, partitions: Sequence[str], began: float) -> int:
    time.sleep(max(0.0, began + entry.arrival - time.time()))
    where = [f"--partition={','.join(partitions)}"] if partitions else []
    argv = ["sbatch", "--parsable", "--output=/dev/null", *where, *entry.options]
    done = box.run(argv, user="nobody", input=entry.script)
    if done.returncode:
        raise HetError(f"sbatch refused {entry.kind}: {done.stderr.strip()}")
    return int(done.stdout.split(";")[0])


async def _watch(box: Sandbox, last: float, latest: float) -> float:
    """Wait until the queue is empty after `last`; the mean % of cards double-booked till then.

    Raises HetError at `latest` (both are seconds since the epoch).
    """
    config = load_config(box.config_path)
    slurm = CliSlurm(replace(config.slurm, conf=box.layout.slurm_conf))
    seen: list[float] = []
    while True:
        snapshot = await slurm.snapshot()
        seen.append(double_booked(snapshot, config.policy))
        if snapshot.time > last + 1 and not any(job.state not in ENDED for job in snapshot.jobs):
            return statistics.fmean(seen)
        if snapshot.time > latest:
            raise HetError("the trace is not through after ten minutes", "a smaller --load?")
        await asyncio.sleep(1.0)


def double_booked(snapshot: Snapshot, policy: Policy) -> float:
    """% of the devices that Slurm has given to one job whole, and to another too."""
    devices = [d for n in take_inventory(snapshot, policy).nodes.values() for d in n.devices]
    return 100 * sum(len(d.holders) > 1 and not d.in_shares for d in devices) / len(devices)


def _records(box: Sandbox) -> tuple[Job, ...]:
    """Every job of the run, ended ones included: Slurm keeps them for MinJobAge."""
    version = parse_version(box.run(["scontrol", "--version"]).stdout)
    done = box.run(["squeue", "--all", "--states=all", version.squeue_json])
    return parse_jobs(done.stdout.encode(), memory_tracked=True)


COLUMNS = (
    "seed", "", "mean wait", "median", "p95", "longest", "makespan, s", "allocated %",
    "double-booked %",
)  # fmt: skip


def row(seed: str, name: str, runs: Sequence[Run]) -> list[str]:
    """A row of the table: means over runs."""
    means = [statistics.fmean(values) for values in zip(*map(figures, runs), strict=True)]
    digits = (2, 1, 1, 0, 0, 1, 2)
    return [seed, name, *(f"{m:.{d}f}" for m, d in zip(means, digits, strict=True))]


def by_class(sets: Sequence[Sequence[Run]], kind: Callable[[Entry], str]) -> list[list[str]]:
    """Mean waits by kind of job: jobs, then one of each of NAMES."""
    lines = [found for runs in sets for found in zip(*(run.lines for run in runs), strict=True)]
    rows = []
    for name in sorted({kind(found[0].entry) for found in lines}):
        waits = [[x.wait for x in found] for found in lines if kind(found[0].entry) == name]
        means = [f"{statistics.fmean(w):.1f}" for w in zip(*waits, strict=True)]
        rows.append([name.replace("|", "\\|"), str(len(waits)), *means])
    return rows


def main() -> None:
    """Print the tables, and put them into RESULTS.md."""
    options = parse()
    rows, sets = [], []
    for seed in options.seeds:
        trace = make_trace(options.jobs, options.load, seed)
        runs = (
            replay(trace, one_of(seed), het=False),
            replay(trace, lambda entry: entry.partitions, het=False),
            replay(trace, lambda _: (), het=True),
        )
        sets.append(runs)
        rows += [row(str(seed), name, [run]) for name, run in zip(NAMES, runs, strict=True)]
        print("\n".join(" ".join(r) for r in rows[-len(NAMES) :]), flush=True)
    by_name = list(zip(*sets, strict=True))
    means = [statistics.fmean(figures(run)[0] for run in runs) for runs in by_name]
    rows += [row("all", name, runs) for name, runs in zip(NAMES, by_name, strict=True)]
    seeds = f"{options.seeds[0]}-{options.seeds[-1]}"
    command = f"./dev bench slurm --jobs {options.jobs} --load {options.load:g} --seeds {seeds}"
    text = [
        *head("slurm", command, f"Slurm {slurm_version().text}"),
        f"Waits in seconds. slurm-het's mean is {means[2] / means[0]:.2f} of plain Slurm's where a"
        f" user names one partition, {means[2] / means[1]:.2f} where all name all.", "",
        *table(COLUMNS, rows), "",
        *table(("mean wait by size", "jobs", *NAMES), by_class(sets, size_class)), "",
        *table(("mean wait by vendor", "jobs", *NAMES), by_class(sets, vendor_class)),
    ]  # fmt: skip
    publish(text, options)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--jobs", type=int, default=320, help="jobs of a trace (320)")
    parser.add_argument("--load", type=float, default=1.1, help="work per second ÷ devices (1.1)")
    parser.add_argument("--seeds", type=numbers, default=numbers("1-3"), help="traces (1-3)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
