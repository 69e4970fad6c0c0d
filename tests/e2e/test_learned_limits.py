"""End to end: a limit that hetd has no model of idles no device. Slurm's refusals tell of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
SITE = """
nodes:
- {name: "nv[1-4]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
accounting:
  slurm_conf: {PriorityWeightQOS: 100000, SchedulerParameters: batch_sched_delay=0}
  qos:
    few: {GrpTRES: {billing: 2}, Priority: 9}
  accounts:
    research: {QOS: [normal, few]}
  users:
    daemon: {Account: research}
"""
DEVICES = 16
SCRIPT = "module load cuda\ntorchrun train.py\nsleep 300"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE, accounting=True, overrides=AMPLE) as sandbox:
        yield sandbox


def running(cluster: Cluster) -> list[str]:
    return cluster.ok("squeue", "-h", "-t", "running", "-o", "%A").split()


def test_jobs_at_a_limit_that_is_not_modelled_leave_the_devices_to_others(cluster: Cluster) -> None:
    head = [
        cluster.sbatch("--gres=gpu:1", "--mem=1G", "--qos=few", script=SCRIPT, user="daemon")
        for _ in range(12)
    ]
    behind = [cluster.sbatch("--gres=gpu:1", "--mem=1G", script=SCRIPT) for _ in range(DEVICES)]
    cluster.wait("every device is busy", lambda: len(running(cluster)) == DEVICES)
    counted = [key for key in head if key in running(cluster)]
    assert len(counted) == 2
    waiting = next(key for key in head if key not in counted)
    told = cluster.tool("admin", "why", waiting)
    # Why it waits, or why it came back: what is first depends on what else there is for it.
    assert "QOSGrpBilling" in told, told

    # They would start first.
    cluster.ok("scancel", counted[0], *(key for key in behind if key not in running(cluster)))
    cluster.wait("the next one runs", lambda: len(set(head) & set(running(cluster))) == 2)
    tries = sum(cluster.outcomes(key).count("returned") for key in head)
    assert tries < 2 * len(head), f"{tries} tries of {len(head)} jobs"
