"""End to end: srun and salloc, whose users sit before a terminal."""

from __future__ import annotations

import statistics
import time

import pytest

from slurm_het.sandbox.layout import slurm_version
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
SRUN = ("srun", "--gres=gpu:1", "--mem=1000", "-t", "2")


def test_one_line_says_why_the_partition_is_down(cluster: Cluster) -> None:
    done = cluster.box.run([*SRUN, "true"])
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "slurm-het:" in line]
    if slurm_version().tuple < (24, 11):
        assert not said, "srun of 22.05 prints no such line of a job that waits"
        return
    assert len(said) == 1, done.stderr
    assert "partition accel is DOWN on purpose" in said[0]


def test_a_batch_job_is_told_nothing(cluster: Cluster) -> None:
    script = cluster.box.layout.work / "quiet.sh"
    script.write_text("#!/bin/bash\ntrue\n")
    done = cluster.box.run(["sbatch", "-o", "/dev/null", "--gres=gpu:1", str(script)])
    assert done.returncode == 0
    assert not done.stderr


def test_srun_starts_soon_on_an_idle_cluster(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Side by side with plain Slurm: the same srun in a partition that the hook lets pass.

    A job that is moved waits for Slurm's next pass, a second at most; the rest is a cycle.
    """
    cluster.ok("scontrol", "create", "PartitionName=plain", "Nodes=nv[1-2]", "State=UP")
    seconds: dict[str, list[float]] = {"accel": [], "plain": []}
    for _ in range(20):
        for partition, taken in seconds.items():
            began = time.monotonic()
            cluster.ok(*SRUN, "-p", partition, "true")
            taken.append(time.monotonic() - began)
    ours, plain = (statistics.median(seconds[name]) for name in ("accel", "plain"))
    with capsys.disabled():
        print(f"\nsrun: {ours:.2f} s, plain Slurm {plain:.2f} s: {ours / plain:.2f}")
    assert ours < plain + 1.5
