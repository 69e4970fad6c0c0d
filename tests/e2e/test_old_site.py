"""End to end: a site's own partition as the intake, and programs that write AdminComment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.records import parse_partitions
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

SITE = """
nodes:
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: long, scenario: training}
- {name: "b[1-2]", type: l40s, vendor: nvidia, devices: 4, memory_gib_per_device: 48,
   shards_per_device: 48, cpus: 64, memory_gib: 512, pool: short, scenario: inference}
accounting:
  accounts: {vision: {}}
  users: {daemon: {Account: vision}}
  partitions:
    gpu: {Nodes: "a[1-2],b[1-2]", MaxTime: INFINITE, DefaultTime: 60, State: UP}
"""
WHO = "daemon"
OURS = {"intake_partition": "gpu", "planner": {"grace_seconds": 30}}


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE, accounting=True, overrides={**AMPLE, **OURS}) as sandbox:
        cluster = Cluster(sandbox)
        cluster.wait("the gate is closed", lambda: state(cluster) == "DOWN")
        yield sandbox


def state(cluster: Cluster) -> str:
    return parse_partitions(cluster.ok("scontrol", "-o", "show", "partition", "gpu"))[0].state


def test_an_old_script_that_names_the_old_partition_is_managed(cluster: Cluster) -> None:
    key = cluster.sbatch("-p", "gpu", "--gres=gpu:2", script="torchrun x\nsleep 20", user=WHO)
    record = cluster.wait_started(key, 30)
    placement = cluster.planned(key)
    assert placement
    assert (record["Partition"], record["NodeList"]) == ("long", placement.nodes[0])
    cluster.clear()


def test_what_a_user_set_for_his_own_squeue_hides_nothing(cluster: Cluster) -> None:
    key = cluster.sbatch("-p", "long", "-w", "a1", script="sleep 60", user=WHO)
    cluster.wait_started(key, 30)
    own = ("SQUEUE_STATES=PENDING", "SQUEUE_FEDERATION=1", "SLURM_CLUSTERS=other")
    assert key in cluster.ok("env", *own, "het-squeue", "--json")
    cluster.clear()


def test_a_pin_is_known_again_though_its_comment_is_anothers(cluster: Cluster) -> None:
    """As where a prolog writes AdminComment: the job is requeued, and hetd restarted."""
    other = ("-w", "a2", "-p", "long", "--exclusive")  # left to plain Slurm
    cluster.wait_started(cluster.sbatch(*other, script="sleep 300", user=WHO), 30)
    key = cluster.sbatch("--gres=gpu:4", "-t", "5", script="torchrun x\nsleep 300", user=WHO)
    cluster.wait_started(key, 30)
    cluster.ok("scontrol", "update", f"JobId={key}", "AdminComment=another program's")
    cluster.ok("scontrol", "requeue", key)
    cluster.wait("it waits again, with its pin", lambda: cluster.job(key)["ReqNodeList"] == "a1")
    cluster.box.stop_hetd()
    cluster.ok("scontrol", "update", "NodeName=a1", "State=DRAIN", "Reason=test")
    cluster.ok("scontrol", "update", f"JobId={key}", "StartTime=now")
    try:
        cluster.box.start_hetd()
        cluster.wait(
            "hetd takes it back from a node that starts nothing",
            lambda: cluster.job(key)["ReqNodeList"] in {"(null)", ""},
            30,
            job=key,
        )
        assert cluster.job(key)["Partition"] == "gpu"
    finally:
        cluster.ok("scontrol", "update", "NodeName=a1", "State=RESUME")
        cluster.clear()
