"""End to end: a limit that hetd has no model of idles no device. Slurm's refusals tell of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = pytest.mark.slurm
NODES = """
- {name: "nv[1-4]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
"""
DEVICES = 16
SCRIPT = "module load cuda\ntorchrun train.py\nsleep 300"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        conf = sandbox.layout.slurm_conf
        conf.write_text(conf.read_text() + "\nLicenses=matlab:2,other:2\n")
        sandbox.restart_slurmctld()
        sandbox.start_hetd()
        yield sandbox


def running(cluster: Cluster) -> list[str]:
    return cluster.ok("squeue", "-h", "-t", "running", "-o", "%A").split()


def test_jobs_without_a_licence_leave_the_devices_to_others(cluster: Cluster) -> None:
    head = [
        cluster.sbatch("--gres=gpu:1", "--mem=1G", "-L", "matlab:1", script=SCRIPT)
        for _ in range(12)
    ]
    behind = [cluster.sbatch("--gres=gpu:1", "--mem=1G", script=SCRIPT) for _ in range(DEVICES)]
    cluster.wait("every device is busy", lambda: len(running(cluster)) == DEVICES)
    licensed = [key for key in head if key in running(cluster)]
    assert len(licensed) == 2
    waiting = next(key for key in head if key not in licensed)
    told = cluster.tool("admin", "why", waiting)
    assert "Licenses: Slurm did not start job" in told, told

    # Whoever is pinned ahead would start first.
    cluster.ok("scancel", licensed[0], *(key for key in behind if key not in running(cluster)))
    cluster.wait(
        "the next one has its licence", lambda: len(set(head) & set(running(cluster))) == 2
    )
    tries = sum(cluster.outcomes(key).count("returned") for key in head)
    assert tries < 2 * len(head), f"{tries} tries of {len(head)} jobs"
