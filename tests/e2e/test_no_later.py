"""A large job starts no later than plain Slurm would start it, whatever is before and after it."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest

from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
NODES = """
- {name: "nv[1-3]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 128, pool: train-nv, scenario: training}
"""
CYCLE = 5.0  # the sandbox's planner.poll_seconds


def test_a_large_job_behind_one_that_never_starts() -> None:
    """A node is drained, so the job of three nodes at the head waits for ever."""
    with own_sandbox(NODES, hetd=False, hook=False) as box:
        plain = waited(Cluster(box), "-p", "train-nv")
    with own_sandbox(NODES) as box:
        ours = waited(Cluster(box))
    assert ours <= plain + CYCLE, f"plain Slurm: {plain:.0f} s"


def waited(cluster: Cluster, *options: str) -> float:
    """Seconds from submission to start of a whole-node job, amid small ones of 6 s."""
    cluster.ok("scontrol", "update", "NodeName=nv3", "State=DRAIN", "Reason=test")
    stop = threading.Event()
    small: list[str] = []

    def submit(gres: str, *more: str, seconds: int = 6) -> str:
        script = f"module load cuda; torchrun; sleep {seconds}"
        return cluster.sbatch(f"--gres={gres}", "-t", "1", *more, *options, script=script)

    def stream() -> None:
        while not stop.is_set() and len(small) < 60:
            small.append(submit("gpu:2"))
            stop.wait(1.0)

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        cluster.wait(
            "the nodes are full", lambda: sum(j.state == "RUNNING" for j in cluster.jobs()) == 4
        )
        never = submit("gpu:4", "-N3")
        large = submit("gpu:4", seconds=1)
        record = cluster.wait_started(large)
        assert cluster.job(never)["JobState"] == "PENDING"
    finally:
        stop.set()
        thread.join()
    start, came = (datetime.fromisoformat(record[k]) for k in ("StartTime", "SubmitTime"))
    return (start - came).total_seconds()
