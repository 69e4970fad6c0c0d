"""Why a job waits: one sentence for its owner, a stranger, root, `why`, the page and the log, the
same while hetd is dead; and it is true: without the obstacle that it names the job starts, without
another it waits.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from slurm_het.sandbox.daemons import SUPERVISOR
from slurm_het.times import without_times
from tests.support.causes import CAUSES, OTHER, OWNER, POLL_SECONDS, SITE, STRANGER, Cause, Ids
from tests.support.cluster import AMPLE, PATIENCE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

SLEEP = "sleep 900"
CYCLE = POLL_SECONDS + 5.0
WITHIN = 20.0
"""Seconds for what takes a cycle and five: the machines that test are slow at times."""
Told = Mapping[str, tuple[str, str]]


class Stage:
    """Each cause on one cluster: the ids of its jobs, by its name."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        cluster.open_side_door()  # so that the first of each pool is pinned ahead
        self.ids = {cause.name: Ids(self._there(cause)) for cause in CAUSES}
        for key in (key for ids in self.ids.values() for key in ids.there):
            cluster.wait_started(key)
        for cause in CAUSES:
            for command in cause.does:
                cluster.ok(*command)
        first = [cause for cause in CAUSES if cause.first]
        for cause in first:
            key = cluster.sbatch("-t", "90", *cause.first, script=SLEEP, user=OTHER)
            self.ids[cause.name] = replace(self.ids[cause.name], first=key)
        keys = [self.ids[cause.name].first for cause in first]
        cluster.wait("nodes are kept for them", lambda: all(map(self.pinned, keys)))
        for cause in CAUSES:
            ids, script = self.ids[cause.name], f"{cause.script}\n{SLEEP}"
            options = ("-t", "90", *ids.command(cause.job))
            key = cluster.sbatch(*options, script=script, user=OWNER)
            self.ids[cause.name] = replace(ids, job=key)

    def _there(self, cause: Cause) -> tuple[str, ...]:
        user, script = OWNER if cause.owners else OTHER, f"{cause.heads}\n{SLEEP}"
        sbatch = self.cluster.sbatch
        return tuple(sbatch(*options, script=script, user=user) for options in cause.there)

    def pinned(self, key: str) -> bool:
        """Whether a job has its nodes, which are not free yet."""
        return self.cluster.job(key).get("Partition", "accel") != "accel"

    def said(self, user: str | None = None) -> Told:
        """By cause, code and sentence as het-squeue tells a user, without times of day."""
        argv = [sys.executable, "-m", "slurm_het.cli.squeue", "--json", "-t", "PD"]
        jobs = json.loads(self.cluster.ok(*argv, user=user))["jobs"]
        told = {
            str(job["job_id"]): (job["reason_code"], without_times(job["reason"])) for job in jobs
        }
        return {name: told[ids.job] for name, ids in self.ids.items() if ids.job in told}

    def told(self) -> Told:
        """What root reads, once each is told as it is meant to be."""
        self.cluster.wait("each waits for its cause", lambda: not self.amiss())
        return self.said()

    def all_read(self, told: Told) -> None:
        """All users read that, and no other sentence for long: slurmdbd may once be too slow to
        tell one of them whom a QOS preempts."""
        for user in ("root", OWNER, STRANGER):
            self.cluster.wait(f"{user} reads the same", partial(self._reads, user, told))

    def _reads(self, user: str, told: Told) -> bool:
        return self.said(user) == told

    def amiss(self) -> dict[str, tuple[str, str]]:
        """The causes that are not told as they are meant to be, and how they are."""
        all_told, off = self.said(), {}
        for cause in CAUSES:
            code, text = told = all_told.get(cause.name, ("", "it is not there"))
            if code != cause.code or self.ids[cause.name].filled(cause.says) not in text:
                off[cause.name] = told
        return off

    def waits(self, cause: Cause) -> bool:
        """Whether its job does."""
        return self.cluster.job(self.key(cause)).get("JobState") == "PENDING"

    def key(self, cause: Cause) -> str:
        """Its job's key; of an array, of the task that waits."""
        job = self.ids[cause.name].job
        return f"{job}_1" if any("--array" in word for word in cause.job) else job


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    often = {"planner": {"poll_seconds": POLL_SECONDS}}
    with own_sandbox(SITE, accounting=True, overrides=AMPLE | often) as box:
        yield Cluster(box)


@pytest.fixture(scope="module")
def stage(cluster: Cluster) -> Stage:
    made = Stage(cluster)
    deadline = time.monotonic() + PATIENCE
    while off := made.amiss():
        assert time.monotonic() < deadline, "\n".join(map(str, off.items()))
        time.sleep(0.5)
    return made


@contextmanager
def silent_hetd(cluster: Cluster) -> Iterator[None]:
    """hetd answers nobody, for less time than its supervisor waits before it opens the gate."""
    hetd = cluster.box.hetd_pid()
    assert hetd
    os.kill(hetd, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(hetd, signal.SIGCONT)


def not_logged(stage: Stage, told: Told) -> list[str]:
    """The causes that hetd's log should name, and does not."""
    log = without_times(stage.cluster.box.layout.output_of(SUPERVISOR).read_text())
    missing = []
    for cause in CAUSES:
        code, sentence = told[cause.name]
        line = f"job {stage.key(cause)} waits ({code}): {sentence}"
        if line not in log:
            missing.append(line)
    return missing


def test_all_read_the_same_sentence(cluster: Cluster, stage: Stage, tmp_path: object) -> None:
    told = stage.told()
    stage.all_read(told)
    for cause in CAUSES[::5]:  # each takes as long as het-squeue of all
        why = cluster.tool("admin", "why", stage.ids[cause.name].job)
        assert f"waits: {told[cause.name][1]}" in without_times(why)
    cluster.tool("admin", "page", "--out", str(tmp_path))
    with open(f"{tmp_path}/staff/page.json") as page:
        jobs = {job["id"]: without_times(job["reason"]) for job in json.load(page)["jobs"]}
    assert {stage.key(cause): told[cause.name][1] for cause in CAUSES}.items() <= jobs.items()
    deadline = time.monotonic() + PATIENCE
    while missing := not_logged(stage, told):
        assert time.monotonic() < deadline, "\n".join(["not in the log:", *missing])
        time.sleep(0.5)
    with silent_hetd(cluster):
        said = stage.said()
    assert said == told


@contextmanager
def private_jobs(cluster: Cluster) -> Iterator[None]:
    """PrivateData=jobs here. slurm.conf keeps what is staged, the closed gate too: reading it again
    sets partitions back to what it says."""
    conf = cluster.box.layout.slurm_conf
    text = conf.read_text()
    for name, setting in (("accel", "State=DOWN"), ("shut", "State=DOWN"), ("brief", "MaxTime=60")):
        key = setting.partition("=")[0]
        line = re.search(rf"^PartitionName={name} .*$", text, re.MULTILINE)
        assert line
        text = text.replace(line[0], f"{re.sub(rf' {key}=[^ ]*', '', line[0])} {setting}")
    try:
        conf.write_text(f"{text}\nPrivateData=jobs\n")
        cluster.ok("scontrol", "reconfigure")
        yield
    finally:
        conf.write_text(text)
        cluster.ok("scontrol", "reconfigure")


def test_from_whom_jobs_are_hidden_reads_of_his_own(cluster: Cluster, stage: Stage) -> None:
    with private_jobs(cluster):
        cluster.wait("a stranger sees none", lambda: not stage.said(STRANGER))
        assert cluster.gate() == "DOWN"
        cluster.wait("its owner reads what root reads", lambda: stage.said(OWNER) == stage.said())
        assert not stage.amiss()
    cluster.wait("a stranger sees all again", lambda: stage.said(STRANGER) == stage.said())


def test_without_another_obstacle_each_waits(cluster: Cluster, stage: Stage) -> None:
    for cause in CAUSES:
        cluster.ok(*stage.ids[cause.name].command(cause.other))
    time.sleep(CYCLE)
    assert [cause.name for cause in CAUSES if not stage.waits(cause)] == []
    codes = {cause.name: cause.code for cause in CAUSES}
    cluster.wait(
        "each waits for the same cause",
        lambda: {name: code for name, (code, _) in stage.said().items()} == codes,
    )


def test_without_the_obstacle_it_starts(cluster: Cluster, stage: Stage) -> None:
    left = list(CAUSES)
    took = {}
    for cause in CAUSES:
        left.remove(cause)
        began = time.monotonic()
        cluster.ok(*stage.ids[cause.name].command(cause.remove))
        cluster.wait_started(stage.key(cause), WITHIN)
        took[cause.name] = time.monotonic() - began
        started = [other.name for other in left if not stage.waits(other)]
        assert not started, f"without the obstacle of {cause.name!r}"
    print("\n".join(f"{seconds:5.1f} s  {name}" for name, seconds in took.items()))
