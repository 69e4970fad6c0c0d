"""The jobs that are read cheaply are those of `squeue --json`, whatever happens to them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from slurm_het.core.model import Job
from slurm_het.core.syntax.arrays import array_indexes
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.job_reader import RecordParser
from slurm_het.slurm.shared_records import packed, unpacked
from tests.support.cluster import Cluster, own_sandbox

pytestmark = pytest.mark.slurm

ROUNDS = 5
NAMES = (
    "plain", "x UserId=root(0) Account=b QOS=c JobState=RUNNING", "two\nlines JobId=1 JobName=y",
    'sem;"quotes" 100% |a|b', "é\udcff", "7\n8", "None", "N/A",
)  # fmt: skip
SUBMISSIONS: tuple[tuple[str, ...], ...] = (
    ("-p", "accel", "--gres=gpu:2", "--begin=now+1hour"),
    ("-p", "accel", "--gpus=3", "--cpus-per-gpu=2", "--mem-per-gpu=100"),
    ("-p", "accel", "--gpus-per-task=1", "-n3", "--ntasks-per-node=1", "-x", "nv1,amd1"),
    (
        "-p",
        "accel",
        "-N2-4",
        "--gres=gpu:1",
        "--mem=0",
        "-t",
        "UNLIMITED",
        "--dependency=singleton",
    ),
    ("-p", "accel", "--gres=gpu:1", "--array=0-7:2%2", "--exclusive"),
    ("-p", "train-nv", "--gres=gpu:2", "--mem-per-cpu=100"),
    ("-p", "train-amd", "-N2", "--gres=gpu:1", "-c3", "--threads-per-core=1"),
    ("-p", "train-ascend", "--gres=gpu:1", "--array=1-5%1"),
    ("-p", "infer-nv", "--gres=shard:3", "-C", "l40s"),
    ("-p", "train-nv", "--gres=gpu:1", "--prefer=a100"),
    ("-p", "cpu", "--nice=5"),
    ("-p", "cpu", "-t", "10", "--deadline=now+3hours"),
    ("-p", "cpu", "-t", "UNLIMITED"),
    ("-p", "accel", "-H", "--gres=gpu:1", ":", "-p", "accel", "--gres=gpu:2"),
)
UPDATES = (
    "Comment=x=1 JobId=3", "AdminComment=by hand", "Priority=17", "TimeLimit=77", "Nice=9",
    "ExcNodeList=nv2", "ReqNodeList=nv1", "Features=a100", "Prefer=a100", "MinMemoryNode=123",
    "JobName=new name", "Partition=train-nv", "Dependency=singleton", "NumNodes=1", "Requeue=0",
    "StartTime=now+2hour", "Deadline=now+5hour",
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_sandbox(hetd=False, hook=False) as box:
        cluster = Cluster(box)
        cluster.ok("scontrol", "update", "partitionname=accel", "state=DOWN")
        yield cluster


def told(job: Job) -> Job:
    """The job as far as it matters, the tasks of its array in one form.

    The most nodes matter to a pending job. That they became just the least shows later. 22.05's
    JSON does not tell the CPUs of one that was cancelled before it ran.
    """
    if job.finished:
        job = replace(job, cpus=1, cpus_per_task=1, tasks=1)
    left = ",".join(map(str, array_indexes(job.array_tasks, 1000)))
    most = max(job.nodes_min, job.nodes_max) if job.state == "PENDING" else 0
    return replace(job, array_tasks=left, nodes_max=most)


Read = dict[int, Job]


async def three(slurm: CliSlurm, reading: RecordParser) -> tuple[Read, Read, Read]:
    """The jobs the cheap way, by what hetd would share now and what is new since, and as JSON."""
    known = packed(slurm.jobs.share()())
    cheap = await slurm.jobs.read(reading)
    other = CliSlurm(slurm.settings)
    other.jobs.elsewhere = partial(unpacked, known)
    looked = await other.jobs.read(reading)
    whole = await slurm.jobs.read_all(reading)
    one, two, three = ({job.id: told(job) for job in jobs} for jobs in (cheap, looked, whole))
    return one, two, three


def check(slurm: CliSlurm, reading: RecordParser) -> None:
    """All are the same, at the latest when Slurm has come to rest: they are not read at once."""
    deadline = time.monotonic() + 15
    while True:
        cheap, looked, whole = asyncio.run(three(slurm, reading))
        if cheap == looked == whole or time.monotonic() > deadline:
            break
    for read in (cheap, looked):
        assert read.keys() == whole.keys()
        for number, job in whole.items():
            differing = asdict(read[number]).items() ^ asdict(job).items()
            assert not differing, (sorted(map(str, differing)), job)


def disturb(cluster: Cluster, rng: random.Random) -> None:
    """Submit, update, requeue, hold, cancel; much of it is refused, and that is all right."""
    for _ in range(5):
        options = rng.choice(SUBMISSIONS)
        name = ("-J", rng.choice(NAMES), f"--comment={rng.choice(NAMES)}", "-o", "/dev/null")
        script = f"#!/bin/bash\nsleep {rng.choice((0, 2, 60))}\n"
        cluster.box.run(["sbatch", "-Q", *name, *options], input=script)
    listed = cluster.box.run(["squeue", "-h", "-a", "-r", "-o", "%i"]).stdout.split()
    for _ in range(8):
        update = ["scontrol", "update", f"JobId={rng.choice(listed)}", rng.choice(UPDATES)]
        cluster.box.run(update)
    cluster.box.run(["scontrol", "requeue", rng.choice(listed)])
    cluster.box.run(["scontrol", rng.choice(("hold", "release")), rng.choice(listed)])
    cluster.box.run(["scancel", rng.choice(listed)])


@pytest.mark.parametrize("seed", range(6))
def test_the_cheap_reading_is_that_of_the_json(cluster: Cluster, seed: int) -> None:
    rng = random.Random(seed)
    conf = Path(cluster.box.env["SLURM_CONF"])
    slurm = CliSlurm(SlurmSettings(conf=conf))
    version = asyncio.run(slurm.version())
    reading = RecordParser(version, memory_tracked=True)
    for _ in range(ROUNDS):
        disturb(cluster, rng)
        check(slurm, reading)
    assert not slurm.jobs.fell_back
    cluster.box.run(["scancel", "-u", "root"])


def states(cluster: Cluster, slurm: CliSlurm, reading: RecordParser) -> tuple[str, str]:
    """Each job's state: as a list of squeue's has it, and as it was read."""
    listed = cluster.ok("squeue", "-ha", "--sort=i", "-O", "JobID:12,State:20").split()
    jobs = sorted(asyncio.run(slurm.jobs.read_all(reading)), key=lambda job: job.id)
    return " ".join(listed), " ".join(f"{j.id} {j.state}" for j in jobs if not j.finished)


def test_a_state_is_the_word_that_squeue_lists(cluster: Cluster) -> None:
    """Else the record seems to have changed since the line, and all is read three times."""
    cluster.clear()
    special, stopped, suspended = (
        cluster.sbatch("-p", "cpu", "--mem=1", script="sleep 300") for _ in range(3)
    )
    for key in (special, stopped, suspended):
        cluster.wait_state(key, "RUNNING")
    cluster.ok("scontrol", "requeuehold", "State=SpecialExit", special)
    cluster.ok("scancel", "-s", "STOP", stopped)
    cluster.ok("scontrol", "suspend", suspended)
    slurm = CliSlurm(SlurmSettings(conf=Path(cluster.box.env["SLURM_CONF"])))
    reading = RecordParser(asyncio.run(slurm.version()), memory_tracked=True)
    line = f"{special} SPECIAL_EXIT {stopped} STOPPED {suspended} SUSPENDED"
    cluster.wait(line, lambda: states(cluster, slurm, reading)[0] == line)
    assert states(cluster, slurm, reading) == (line, line)
    check(slurm, reading)
