"""End to end: srun and salloc, whose users sit before a terminal."""

from __future__ import annotations

import pytest

from slurm_het.sandbox.layout import slurm_version
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
SRUN = ("srun", "--gres=gpu:1", "--mem=1000", "-t", "2")


def test_one_line_says_why_the_partition_is_down(cluster: Cluster) -> None:
    done = cluster.box.run([*SRUN, "true"])
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "slurm-het:" in line]
    if slurm_version().tuple < (24, 11) and not said:
        return  # srun of 22.05 prints none of a job that waits
    assert len(said) == 1, done.stderr
    assert "partition accel is DOWN on purpose" in said[0]


def test_a_batch_job_is_told_nothing(cluster: Cluster) -> None:
    script = cluster.box.layout.work / "quiet.sh"
    script.write_text("#!/bin/bash\ntrue\n")
    done = cluster.box.run(["sbatch", "-o", "/dev/null", "--gres=gpu:1", str(script)])
    assert done.returncode == 0
    assert not done.stderr
