"""End to end: nodes that Slurm has powered down, and powers up for the first job they are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster

pytestmark = pytest.mark.slurm
CONF = """
SuspendProgram=/bin/true
ResumeProgram=/bin/true
SuspendTime=3600
SuspendTimeout=1
ResumeTimeout=60
"""
NODES = ("nv1", "nv2")


@pytest.fixture
def saving(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with power saving, and its A100 nodes powered down."""
    conf = cluster.box.layout.slurm_conf
    before = conf.read_text()
    conf.write_text(before + CONF)
    try:
        cluster.box.restart_slurmctld()
        cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")
        for node in NODES:
            cluster.ok("scontrol", "update", f"NodeName={node}", "State=POWER_DOWN")
        cluster.wait("they are powered down", lambda: states(cluster) == {"IDLE+POWERED_DOWN"})
        for node in NODES:
            cluster.box.kill_slurmd(node)
        yield cluster
    finally:
        conf.write_text(before)
        cluster.clear()
        for node in NODES:
            cluster.box.kill_slurmd(node)
        cluster.box.restart_slurmctld()
        for node in NODES:
            cluster.box.start_slurmd(node)
        cluster.wait("they are back", lambda: states(cluster) == {"IDLE"})
        cluster.wait("so are the others", lambda: set(node_states(cluster)) == {"idle"})
        cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")


def node_states(cluster: Cluster) -> list[str]:
    """The states of all nodes, as sinfo has them."""
    return cluster.ok("sinfo", "-h", "-N", "-o", "%T").split()


def states(cluster: Cluster) -> set[str]:
    """The states of the A100 nodes."""
    return {
        word.removeprefix("State=")
        for node in NODES
        for word in cluster.ok("scontrol", "-o", "show", "node", node).split()
        if word.startswith("State=")
    }


def test_a_powered_down_node_is_powered_up_for_a_job(saving: Cluster) -> None:
    key = saving.sbatch("--gres=gpu:8", script="module load cuda\nsleep 1")
    saving.wait("Slurm powers it up", lambda: saving.job(key)["JobState"] == "CONFIGURING")
    plan = saving.planned(key)
    assert plan is not None
    (node,) = plan.nodes
    assert saving.job(key)["NodeList"] == node
    saving.wait("hetd saw it start", lambda: "started" in saving.outcomes(key))
    assert saving.outcomes(key) == ["released", "started"]
