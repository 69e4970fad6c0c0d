"""Why a job waits: one sentence for its owner, a stranger, root and `why`, the same while hetd is
dead; and it is true: without the obstacle that it names the job starts, without another it waits.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

OWNER, STRANGER = "nobody", "daemon"
SLEEP = "sleep 900"
WITHIN = 20.0
"""Seconds for what takes a cycle and five: the machines that test are slow at times."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_sandbox() as box:
        yield Cluster(box)


def said(cluster: Cluster, user: str | None = None) -> dict[str, tuple[str, str]]:
    """By job, the code and the sentence that het-squeue tells a user, without times of day."""
    argv = [sys.executable, "-m", "slurm_het.cli.squeue", "--json", "-t", "PD"]
    jobs = json.loads(cluster.box.run(argv, user=user).stdout)["jobs"]
    return {job["id"]: (job["reason_code"], timeless(job["reason"])) for job in jobs}


def timeless(text: str) -> str:
    """The text without times of day: Slurm's own expectation moves."""
    return re.sub(r"\d\d:\d\d:\d\d", "T", text)


class Stage:
    """Obstacles, and what takes each out of the way."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        whole = ("-p", "train-nv", "--gres=gpu:8", "-t", "60")
        self.blockers = [cluster.sbatch("-w", n, *whole, script=SLEEP) for n in ("nv1", "nv2")]
        cpus = ("-p", "train-ascend", "-c96", "--mem=1G", "-t", "60")
        self.cpus = [cluster.sbatch("-w", node, *cpus, script=SLEEP) for node in ("asc1", "asc2")]
        for key in (*self.blockers, *self.cpus):
            cluster.wait_started(key)
        for node in ("dcu1", "dcu2"):
            cluster.ok("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=fan")

    def waiting(self, *options: str) -> str:
        """A job of the owner's."""
        return self.cluster.sbatch("-t", "90", *options, script=SLEEP, user=OWNER)


def test_one_true_sentence_for_each_cause(cluster: Cluster) -> None:
    stage, ok = Stage(cluster), cluster.ok
    held = stage.waiting("-H", "--gres=gpu:310p:1")
    later = stage.waiting("--begin=now+2hours", "--gres=gpu:310p:1")
    stage.waiting("--gres=gpu:910b:1")  # the first is pinned ahead
    causes: dict[str, tuple[str, str, tuple[str, ...]]] = {
        "busy": (
            stage.waiting("--gres=gpu:a100:2"), f"({stage.blockers[0]} is there)",
            ("scancel", stage.blockers[0]),
        ),
        "host": (
            stage.waiting("--gres=gpu:910b:1"), "it needs 1 CPUs", ("scancel", *stage.cpus)
        ),
        "no-node": (
            stage.waiting("--gres=gpu:k100ai:1"), "dcu1, dcu2 are IDLE+DRAIN",
            ("scontrol", "update", "NodeName=dcu1", "State=RESUME"),
        ),
        "held": (held, "Held", ("scontrol", "release", held)),
        "begin": (later, "BeginTime", ("scontrol", "update", f"JobId={later}", "StartTime=now")),
    }  # fmt: skip
    codes = {key: code for code, (key, *_) in causes.items()}

    def as_staged() -> bool:
        return all(said(cluster).get(key, ("",))[0] == code for key, code in codes.items())

    cluster.wait("each waits for its cause", as_staged, 30)
    told = said(cluster)
    for key, names, _ in causes.values():
        assert names in told[key][1], told
    assert told == said(cluster, OWNER) == said(cluster, STRANGER)
    why = ok(sys.executable, "-m", "slurm_het.cli.admin", "why", causes["host"][0])
    assert f"waits: {told[causes['host'][0]][1]}" in timeless(why)
    hetd = cluster.box.hetd_pid()
    assert hetd
    os.kill(hetd, signal.SIGSTOP)
    try:
        assert said(cluster) == told
    finally:
        os.kill(hetd, signal.SIGCONT)
    for code, (key, _, remove) in causes.items():
        others = set(codes) - {key}
        before = {k for k in others if cluster.job(k)["JobState"] == "PENDING"}
        ok(*remove)
        cluster.wait_started(key, WITHIN)
        after = {k for k in others if cluster.job(k)["JobState"] == "PENDING"}
        assert before == after, f"without the obstacle of {code} another started"
