"""A job that waits for another's end, in Slurm's own sight or by a dependency, starts at that end,
whatever runs then; and one that is held when it is let go."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
NODES = """
- {name: nv1, type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 128, pool: train-nv, scenario: training}
"""
SELDOM = "SchedulerParameters=bf_interval=600,sched_interval=600,batch_sched_delay=1"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A node is free two seconds after a job's end, when Slurm has looked; EpilogSlurmctld takes
    one more, so that Slurm does not look then. By itself it looks again after ten minutes, and hetd
    after half of one."""
    with own_sandbox(NODES, overrides={"planner": {"poll_seconds": 30}}) as box:
        here, conf = Cluster(box), box.layout.slurm_conf
        before = conf.read_text()
        (ours,) = re.findall(r"^EpilogSlurmctld=(.*)$", before, re.MULTILINE)
        node = program(box.dir / "node_epilog", "sleep 2")
        slow = program(box.dir / "slow_epilog", f"sleep 3\nexec {ours}")
        text = re.sub(r"^SchedulerParameters=.*$", SELDOM, before, flags=re.MULTILINE)
        text = text.replace(f"EpilogSlurmctld={ours}", f"EpilogSlurmctld={slow}\nEpilog={node}")
        conf.write_text(text)
        here.ok("scontrol", "reconfigure")
        here.wait("hetd closed the gate again", lambda: here.gate() == "DOWN")
        yield here


def program(path: Path, text: str) -> Path:
    """A shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_who_is_pinned_ahead_starts_after_an_end(cluster: Cluster) -> None:
    cluster.open_side_door()
    first = cluster.sbatch("--gres=gpu:4", "-t", "9", script="module load cuda; sleep 300")
    cluster.wait_state(first, "RUNNING")
    then = cluster.sbatch("--gres=gpu:4", "-t", "9", script="module load cuda; sleep 1")
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(then), job=then)
    cluster.ok("scancel", first)
    cluster.wait_started(then, 20)
    assert "returned" not in cluster.outcomes(then)


def test_who_depends_on_another_starts_after_its_end(cluster: Cluster) -> None:
    """Only a look at its queue tells Slurm that the dependency is over."""
    first = cluster.sbatch("--gres=gpu:1", script="module load cuda; sleep 1")
    last = cluster.sbatch("--gres=gpu:1", f"-dafterok:{first}", script="module load cuda; sleep 9")
    cluster.wait_started(last, 30)


def test_who_is_let_go_is_planned_at_once(cluster: Cluster) -> None:
    held = cluster.sbatch("--gres=gpu:1", "--hold", script="module load cuda; sleep 9")
    later = cluster.sbatch("--gres=gpu:1", "--begin=now+1hour", script="module load cuda; sleep 9")
    time.sleep(2)  # hetd has looked at them
    cluster.ok("scontrol", "release", held)
    cluster.wait_started(held, 10)
    time.sleep(2)
    cluster.ok("scontrol", "update", f"JobId={later}", "StartTime=now")
    cluster.wait_started(later, 10)
