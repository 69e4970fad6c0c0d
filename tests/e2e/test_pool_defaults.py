"""End to end: host memory that a user leaves open is that of the pool's partition, as for Slurm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
NODES = """
- {name: "nv[1-4]", type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 32, memory_gib: 64, pool: train-nv, scenario: training}
"""
SCRIPT = "module load cuda\ntorchrun train.py\nsleep 120"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        conf = sandbox.layout.slurm_conf
        text = conf.read_text().replace("DefMemPerCPU=1024\n", "")
        assert text.count("PartitionName=train-nv ") == 1
        text = text.replace("PartitionName=train-nv ", "PartitionName=train-nv DefMemPerGPU=4096 ")
        conf.write_text(text)
        sandbox.restart_slurmctld()
        sandbox.start_hetd()
        yield sandbox


def running(cluster: Cluster) -> list[str]:
    return cluster.ok("squeue", "-h", "-t", "running", "-o", "%A").split()


def test_jobs_without_mem_share_the_nodes_as_the_pools_default_says(cluster: Cluster) -> None:
    """32 on four nodes of eight; without the default each would take a node's whole memory."""
    jobs = [cluster.sbatch("--gres=gpu:1", script=SCRIPT) for _ in range(32)]
    cluster.wait("all of them run", lambda: set(jobs) <= set(running(cluster)), 20)
    assert not any("returned" in cluster.outcomes(key) for key in jobs)


def test_a_job_that_asks_for_all_memory_gets_a_node_that_has_it(cluster: Cluster) -> None:
    others = [cluster.sbatch("--gres=gpu:1", script=SCRIPT) for _ in range(3)]
    for key in others:
        cluster.wait_started(key)
    whole = cluster.sbatch("--gres=gpu:1", "--mem=0", script=SCRIPT)
    node = cluster.wait_started(whole, seconds=20)["NodeList"]
    assert node not in {cluster.job(key)["NodeList"] for key in others}
    assert "returned" not in cluster.outcomes(whole)
