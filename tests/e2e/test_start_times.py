"""Told start times on real Slurm, held against the starts; and what a user reads when hetd is
dead, and where Slurm hides the jobs of others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from slurm_het.times import slurms_time
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

ANN, BOB = "nobody", "daemon"
DTK = "module load dtk\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_sandbox(slurm_user="slurm") as box:
        yield Cluster(box)


def shown(cluster: Cluster, *options: str, user: str | None = None) -> dict[str, Any]:
    """het-squeue's document."""
    argv = [sys.executable, "-m", "slurm_het.cli.squeue", "--json", *options]
    found: dict[str, Any] = json.loads(cluster.box.run(argv, user=user).stdout)
    return found


def waiting(cluster: Cluster, *options: str, user: str | None = None) -> dict[str, dict[str, Any]]:
    """What it says of the jobs that wait, by id."""
    return {job["id"]: job for job in shown(cluster, "-t", "PD", *options, user=user)["jobs"]}


def test_told_times_are_kept_where_nobody_comes_later(cluster: Cluster) -> None:
    """Three jobs one after the other on each of two nodes; some end before their limit."""
    keys = [
        cluster.sbatch("--gres=gpu:8", "-t", "1", script=f"{DTK}sleep {10 + 5 * n}")
        for n in range(6)
    ]
    cluster.wait(
        "two run, and hetd has told the others",
        lambda: all(cluster.told(key) for key in keys[2:]),
        30,
    )
    told = {key: job["expected_start"] for key, job in waiting(cluster, "--start").items()}
    assert set(keys[4:]) <= told.keys() <= set(keys[2:]), "the others may have started since"
    assert all(told.values()), "each has a time"
    assert len(set(told.values())) > 1, "they go one after the other"
    for key in keys:
        cluster.wait_state(key, "COMPLETED", seconds=150)
    cluster.wait("hetd has seen the starts", lambda: shown(cluster, "--start")["told"]["told"] == 4)
    good = shown(cluster, "--start")["told"]
    assert good["kept"] == 4, good
    for key in keys[2:]:
        kept = cluster.told(key)
        assert kept
        assert slurms_time(kept.started) == cluster.job(key)["StartTime"]
    why = cluster.tool("admin", "why", keys[-1])
    assert "it starts by" in why
    assert "in the queue" in why
    note = cluster.box.run([sys.executable, "-m", "slurm_het.cli.squeue", "--start"]).stderr
    assert "of the last 4 told times 100 % were kept" in note


def test_a_user_from_whom_jobs_are_hidden_reads_what_root_reads(cluster: Cluster) -> None:
    blockers = [cluster.sbatch("--gres=gpu:8", script=f"{DTK}sleep 600", user=BOB) for _ in "12"]
    for key in blockers:
        cluster.wait_started(key)
    conf = cluster.box.layout.slurm_conf
    before = conf.read_text()
    conf.write_text(f"{before}\nPrivateData=jobs\n")
    try:
        cluster.ok("scontrol", "reconfigure")
        cluster.wait("hetd closed the gate again", lambda: cluster.gate() == "DOWN")
        cluster.open_side_door()
        ahead = cluster.sbatch("--gres=gpu:8", script=f"{DTK}sleep 1", user=BOB)
        cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(ahead), 20)
        hers = cluster.sbatch("--gres=gpu:2", script=f"{DTK}sleep 1", user=ANN)
        cluster.wait("it waits", lambda: "best is" in waiting(cluster)[hers]["reason"], 20)
        root, own = waiting(cluster)[hers], waiting(cluster, user=ANN)[hers]
        assert own["reason"] == root["reason"]
        assert own["reason_code"] == root["reason_code"] == "busy"
        hetd = cluster.box.hetd_pid()
        assert hetd
        os.kill(hetd, signal.SIGSTOP)
        try:
            assert waiting(cluster)[hers]["reason"] == root["reason"]
            assert waiting(cluster, user=ANN)[hers]["reason"].startswith("not known since ")
        finally:
            with contextlib.suppress(ProcessLookupError):  # on a slow machine its watchdog came
                os.kill(hetd, signal.SIGCONT)
    finally:
        cluster.clear()
        conf.write_text(before)
        cluster.ok("scontrol", "reconfigure")
        cluster.wait("hetd closed the gate again", lambda: cluster.gate() == "DOWN")


def test_what_a_hetd_that_hangs_let_wait_is_not_known(cluster: Cluster) -> None:
    """What came after its last plan waits for it; what it had seen may wait for something else."""
    hetd = cluster.box.hetd_pid()
    assert hetd
    os.kill(hetd, signal.SIGSTOP)
    try:
        new = cluster.sbatch("--gres=gpu:1", script=f"{DTK}sleep 1")
        reason = waiting(cluster)[new]["reason"]
        assert reason == "can start now; waits for hetd"
    finally:
        os.kill(hetd, signal.SIGCONT)
    cluster.wait_started(new)
