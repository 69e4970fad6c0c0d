"""End to end: nodes that Slurm has powered down, and powers up for the first job they are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.events import TOPOLOGY
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
CONF = """
SuspendProgram=/bin/true
ResumeProgram=/bin/true
SuspendTime=3600
SuspendTimeout=1
ResumeTimeout=60
"""
NODES = ("nv1", "nv2")


@pytest.fixture
def saving() -> Iterator[Cluster]:
    """A cluster of its own with power saving, its A100 nodes powered down."""
    with own_sandbox(TOPOLOGY, hetd=False) as box:
        cluster, conf = Cluster(box), box.layout.slurm_conf
        conf.write_text(conf.read_text() + CONF)
        box.restart_slurmctld()
        box.start_hetd()
        cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")
        cluster.wait("they have registered", lambda: states(cluster) == {"IDLE"})
        for node in NODES:
            cluster.ok("scontrol", "update", f"NodeName={node}", "State=POWER_DOWN")
            box.kill_slurmd(node)  # by registering again it would be up again
        cluster.wait("they are powered down", lambda: states(cluster) == {"IDLE+POWERED_DOWN"})
        yield cluster


def states(cluster: Cluster) -> set[str]:
    """The states of the A100 nodes."""
    return {
        word.removeprefix("State=")
        for node in NODES
        for word in cluster.ok("scontrol", "-o", "show", "node", node).split()
        if word.startswith("State=")
    }


def test_a_powered_down_node_is_powered_up_for_a_job(saving: Cluster) -> None:
    key = saving.sbatch("--gres=gpu:4", script="module load cuda\nsleep 1")
    saving.wait("Slurm powers it up", lambda: saving.job(key)["JobState"] == "CONFIGURING")
    plan = saving.planned(key)
    assert plan is not None
    (node,) = plan.nodes
    assert saving.job(key)["NodeList"] == node
    saving.wait("hetd saw it start", lambda: "started" in saving.outcomes(key))
    assert saving.outcomes(key) == ["released", "started"]
