"""End to end on real Slurm: what users and operators do to jobs while they are planned."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import ENDED, Cluster, own_sandbox

pytestmark = pytest.mark.slurm
CUDA = "module load cuda\n"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox of its own, whose pins are taken back soon."""
    hasty = {"planner": {"grace_seconds": 3.0, "retry_seconds": 3.0}}
    with own_sandbox(overrides=hasty) as sandbox:
        yield sandbox


@pytest.fixture
def cluster(box: Sandbox) -> Iterator[Cluster]:
    it = Cluster(box)
    pid = box.hetd_pid()
    yield it
    it.clear()
    if pid:
        it.wait("hetd lives", box.hetd_pid)


def test_what_is_not_ours_leaves_the_gate(cluster: Cluster) -> None:
    """Nodes named by the user, CPU jobs and het components would wait in the intake for ever."""
    named = {n: cluster.sbatch("-p", "accel", "-w", n, "--gres=gpu:1") for n in ("nv2", "amd1")}
    cpu = cluster.sbatch("-p", "accel")
    options = ["-p", "accel", "--gres=gpu:1", ":", "-p", "accel", "--gres=gpu:1"]
    both = cluster.sbatch(*options)
    for node, key in named.items():
        assert cluster.wait_started(key)["NodeList"] == node
        assert "names its nodes" in cluster.job(key)["AdminComment"]
    cluster.wait_started(cpu)
    cluster.wait_started(both)
    cluster.wait("it is in the journal", lambda: cluster.outcomes(cpu) == ["handed over"])


def test_a_requeued_job_whose_node_is_gone_is_planned_anew(cluster: Cluster) -> None:
    key = cluster.sbatch("--gres=gpu:1", "--requeue", script=CUDA + "sleep 300")
    node = cluster.wait_state(key, "RUNNING")["NodeList"]
    cluster.wait("its script runs", lambda: cluster.outcomes(key)[-1:] == ["started"])
    cluster.ok("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    try:
        cluster.ok("scontrol", "requeue", key)
        cluster.wait("it is requeued", lambda: cluster.job(key).get("Reason") == "BeginTime")
        # Refused if it runs already.
        cluster.box.run(["scontrol", "update", f"JobId={key}", "StartTime=now"])
        assert cluster.wait_state(key, "RUNNING")["NodeList"] != node
        assert "returned" in cluster.outcomes(key)
    finally:
        cluster.ok("scontrol", "update", f"NodeName={node}", "State=RESUME")


def test_cancelled_held_and_changed_while_they_are_released(cluster: Cluster) -> None:
    rng = random.Random(7)
    verbs = {0: ["scancel"], 1: ["scontrol", "hold"], 2: ["scontrol", "requeuehold"]}

    def submit(number: int) -> str:
        key = cluster.sbatch("--gres=gpu:1", script=CUDA)
        time.sleep(rng.random() * 0.6)
        if number % 4 in verbs:
            cluster.box.run([*verbs[number % 4], key])
        return key

    with ThreadPoolExecutor(6) as pool:
        keys = set(pool.map(submit, range(40)))

    def all_ended() -> bool:
        """Whether they have; those that are held, or were requeued, are let go."""
        left = [j for j in cluster.jobs() if j.key in keys and j.state not in ENDED]
        for job in left:
            if job.state == "PENDING" and time.monotonic() > let_go:
                cluster.box.run(["scontrol", "release", job.key])
                cluster.box.run(["scontrol", "update", f"JobId={job.key}", "StartTime=now"])
        return not left

    let_go = time.monotonic() + 4
    cluster.wait("all have ended", all_ended, 120)
    states = [j.state for j in cluster.jobs() if j.key in keys]
    assert len(states) == 40
    assert set(states) <= {"COMPLETED", "CANCELLED"}
    assert states.count("COMPLETED") >= 30


def test_a_large_array_partly_cancelled_and_throttled(cluster: Cluster) -> None:
    key = cluster.sbatch("--array=0-999", "--gres=gpu:1", script=CUDA + "sleep 100")

    def on() -> int:
        return sum(j.state == "RUNNING" for j in cluster.jobs() if j.array_job_id == int(key))

    cluster.wait("both nodes are full", lambda: on() == 16)
    cluster.ok("scancel", f"{key}_[20-990]")
    cluster.ok("scontrol", "update", f"JobId={key}", "ArrayTaskThrottle=3")
    cluster.ok("scancel", "--state=RUNNING", key)
    cluster.wait("three of what is left run", lambda: on() == 3)
    time.sleep(1.5)
    assert on() == 3


def test_hostile_text_is_only_text(cluster: Cluster) -> None:
    pid = cluster.box.hetd_pid()
    names = ["x\nUserId=root(0) JobId=1", "\x7f\x1b[2J$(reboot)", "'\"; -- %s%n", "\u202e" * 50]
    keys = [
        cluster.sbatch("--gres=gpu:1", f"--job-name={n}", f"--comment=het:types={n}", script=CUDA)
        for n in names
    ]
    lines = "".join(f"#HET types=a{i},b vendors=x{i}\n" for i in range(30_000))
    keys.append(cluster.sbatch("--gres=gpu:1", script=CUDA + lines))
    keys.append(cluster.sbatch("--gres=gpu:1", script=CUDA + "exit\n" + "a b.c/d;" * 120_000))
    done = subprocess.run(
        [b"sbatch", b"--parsable", b"-o", b"/dev/null", b"--gres=gpu:1",
         b"--job-name=\xff\xfe\x80", b"--comment=het:\xc3\x28"],
        input=b"#!/bin/bash\n#HET scenario=\xff\nmodule load cuda\n",
        env=cluster.box.env, capture_output=True, check=True, cwd=cluster.box.layout.work,
    )  # fmt: skip
    keys.append(done.stdout.decode().strip())
    for key in keys:
        cluster.wait_started(key)
    assert cluster.box.hetd_pid() == pid
    assert cluster.tool("squeue")


def test_the_supervisor_is_killed(cluster: Cluster) -> None:
    """hetd stops with it, and opens the gate on its way out."""
    (supervisor,) = (p for p in cluster.box.daemons() if p.name == "supervisor")
    blocker = cluster.sbatch("--gres=gpu:8", "-N2", script=CUDA + "sleep 300")
    cluster.wait_state(blocker, "RUNNING")
    gated = cluster.sbatch("--gres=gpu:8", script=CUDA)
    hetd = cluster.box.hetd_pid()
    os.kill(supervisor.pid, signal.SIGKILL)
    cluster.wait("hetd has stopped", lambda: not Path(f"/proc/{hetd}/exe").exists(), 30)
    assert cluster.gate() == "UP"
    cluster.ok("scancel", blocker)
    cluster.wait_started(gated)
    cluster.box.stop_hetd()
    cluster.box.start_hetd()
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")


def test_hetd_hangs(cluster: Cluster) -> None:
    """Its watchdog ends it and the gate opens; meanwhile no sbatch waits longer than it should."""
    with cluster.gate_opens():
        cluster.box.kill_hetd(signal.SIGSTOP)
        began = time.monotonic()
        key = cluster.sbatch("--gres=gpu:1", script=CUDA)
        assert time.monotonic() - began < 8, "it does not wait for the watchdog"
    cluster.wait_started(key)
    cluster.wait("hetd closed it again", lambda: cluster.gate() == "DOWN")
