"""End to end: jobs of a partition that is no pool wait for the nodes of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
NODES = """
nodes:
- {name: a1, type: a100, vendor: nvidia, devices: 2, memory_gib_per_device: 80, cpus: 8,
   memory_gib: 64, pool: train-nv, scenario: training}
"""
ONE = ("--gres=gpu:1", "--mem=1000", "-t", "2")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE) as box:
        cluster = Cluster(box)
        cluster.ok("scontrol", "create", "PartitionName=scavenge", "Nodes=a1", "State=UP")
        cluster.ok("scontrol", "update", "PartitionName=train-nv", "PriorityTier=10")
        yield box


def test_older_jobs_start_before_what_is_passed_to_their_pool(cluster: Cluster) -> None:
    for key in [cluster.sbatch(*ONE, script="sleep 6") for _ in range(2)]:
        cluster.wait_started(key)
    passed = (*ONE, "-p", "train-nv", "-C", "[a100*1]")
    script = "module load cuda\nsleep 4"
    older = [cluster.sbatch(*ONE, script=script, user="nobody") for _ in range(4)]
    later = [cluster.sbatch(*passed, script=script, user="daemon") for _ in range(4)]
    for key in older + later:
        cluster.wait_state(key, "COMPLETED")
    starts = {key: cluster.job(key)["StartTime"] for key in older + later}
    assert max(starts[key] for key in older) <= min(starts[key] for key in later), starts
    cluster.clear()


def test_a_job_of_a_higher_tier_gets_what_is_free_first(cluster: Cluster) -> None:
    running = [cluster.sbatch(*ONE, script="sleep 100") for _ in range(2)]
    for key in running:
        cluster.wait_started(key)
    lower = cluster.sbatch(*ONE, "-p", "scavenge", script="sleep 100")
    cluster.wait("it competes", lambda: cluster.job(lower)["Reason"] in {"Priority", "Resources"})
    upper = cluster.sbatch(*ONE, script="sleep 100")

    def stands_in_line() -> bool:
        job = cluster.job(upper)
        return job["Partition"] == "train-nv" and job["ReqNodeList"] == "(null)"

    cluster.wait("it stands in line", stands_in_line, job=upper)
    assert "in Slurm's line" in cluster.tool("admin", "why", upper)
    assert "in Slurm's own line" in cluster.tool("squeue")
    before = cluster.box.hetd_pid()
    cluster.box.kill_hetd()
    cluster.wait("hetd is back", lambda: cluster.box.hetd_pid() not in {None, before})
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    assert stands_in_line()
    cluster.ok("scancel", running[0])
    cluster.wait_started(upper)
    assert cluster.job(lower)["JobState"] == "PENDING"
    cluster.wait("hetd tells of its start", lambda: "started" in cluster.outcomes(upper), job=upper)
