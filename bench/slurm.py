"""Waiting times of a trace of short jobs, with slurm-het and on plain Slurm, in one run.

    ./dev bench slurm [--jobs 320] [--load 1.1] [--seeds 1,2] [--rounds 1]

Each run boots a sandbox (real slurmctld, a slurmd per emulated node), submits the trace's scripts
with plain `sbatch` at their times, and reads Slurm's own records afterwards. Runs alternate:
native, slurm-het, native, … on the same seeds.

Native is what a competent admin and careful users have: the same nodes, partitions, backfill
every second and the same scripts and limits, without hook and hetd. A user names the partition that
the script's vendor and scenario ask for (`-p train-amd`), and whoever can run on several names
them all (`-p train-nv,train-amd,…`): Slurm then takes the one that starts first. With slurm-het
nobody names a partition.

Waiting time: start − submission, in Slurm's whole seconds. Allocated: devices that the running
jobs asked for, in % of the cluster's, while jobs arrive.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.slurm_stats import Run
from bench.slurm_trace import Entry
from slurm_het.core.model import Job
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.versions import parse_version

SUBMITTERS = 4
NATIVE, HET = "native", "slurm-het"
DONE = {"COMPLETED"}


@contextmanager
def sandbox(het: bool) -> Iterator[Sandbox]:
    """A fresh cluster, with hook and hetd or plain."""
    base = Path(tempfile.mkdtemp(prefix="het-bench-"))
    base.chmod(0o755)  # munged wants its socket reachable for all
    try:
        with Sandbox.up(base / "box", hetd=het, hook=het) as box:
            yield box
    finally:
        shutil.rmtree(base, ignore_errors=True)


def replay(trace: Sequence[Entry], het: bool, patience: float = 600.0) -> Run:
    """Submit the trace to a fresh sandbox and wait until all of it has run.

    Raises HetError if a job is refused, does not complete, or after `patience` seconds.
    """
    with sandbox(het) as box:
        began = time.time()
        with ThreadPoolExecutor(SUBMITTERS) as pool:
            ids = list(pool.map(lambda entry: _submit(box, entry, began, het), trace))
        deadline = time.monotonic() + patience
        while box.run(["squeue", "--all", "--noheader"]).stdout.strip():
            if time.monotonic() > deadline:
                raise HetError(f"the trace is not through after {patience:.0f} s", "a larger load?")
            time.sleep(1.0)
        jobs = {job.id: job for job in _records(box)}
    return Run.of(trace, [jobs[i] for i in ids])


def _submit(box: Sandbox, entry: Entry, began: float, het: bool) -> int:
    time.sleep(max(0.0, began + entry.arrival - time.time()))
    where = () if het else ("--partition=" + ",".join(entry.partitions),)
    argv = ["sbatch", "--parsable", "--output=/dev/null", *entry.options, *where]
    done = box.run(argv, user="nobody", input=entry.script)
    if done.returncode:
        raise HetError(f"sbatch refused {entry.kind}: {done.stderr.strip()}")
    return int(done.stdout.split(";")[0])


def _records(box: Sandbox) -> tuple[Job, ...]:
    """Every job of the run, ended ones included: Slurm keeps them for MinJobAge."""
    version = parse_version(box.run(["scontrol", "--version"]).stdout)
    done = box.run(["squeue", "--all", "--states=all", version.squeue_json])
    return parse_jobs(done.stdout.encode(), lambda _user: (), memory_tracked=True)
