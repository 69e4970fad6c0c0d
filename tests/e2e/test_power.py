"""End to end: nodes that Slurm has powered down, and powers up for the first job they are given;
and nodes that are there once a `slurmd -F` has claimed them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slurm_het.sandbox.layout import program
from tests.chaos.events import TOPOLOGY
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
CONF = """
SuspendProgram=/bin/true
ResumeProgram=/bin/true
SuspendTime=3600
SuspendTimeout=1
ResumeTimeout=60
"""
NODES = ("nv1", "nv2")


@contextmanager
def asleep(state: str = "UNKNOWN") -> Iterator[Cluster]:
    """A cluster of its own with power saving, its A100 nodes powered down, which hetd has seen up.
    `state` is theirs in slurm.conf."""
    with own_sandbox(TOPOLOGY, hetd=False) as box:
        cluster, conf = Cluster(box), box.layout.slurm_conf
        text = re.sub(r"(?m)^(NodeName=nv.* State=)\S+", rf"\1{state}", conf.read_text())
        conf.write_text(text + CONF)
        box.restart_slurmctld()
        box.start_hetd()
        cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")
        cluster.wait("they have registered", lambda: states(cluster) <= {"IDLE", "IDLE+CLOUD"})
        for node in NODES:
            cluster.ok("scontrol", "update", f"NodeName={node}", "State=POWER_DOWN")
            box.kill_slurmd(node)  # by registering again it would be up again
        cluster.wait("they are powered down", lambda: all(map(is_down, states(cluster))))
        yield cluster


def is_down(state: str) -> bool:
    """Whether that is the state of a node that is powered down; '': Slurm does not show it."""
    return state in {"IDLE+POWERED_DOWN", "IDLE+CLOUD+POWERED_DOWN", ""}


@pytest.fixture
def saving() -> Iterator[Cluster]:
    with asleep() as cluster:
        yield cluster


def states(cluster: Cluster) -> set[str]:
    """The states of the A100 nodes."""
    told = [cluster.box.run(["scontrol", "-o", "show", "node", node]).stdout for node in NODES]
    return {found[1] if (found := re.search(r" State=(\S+)", text)) else "" for text in told}


def test_a_powered_down_node_is_powered_up_for_a_job(saving: Cluster) -> None:
    key = saving.sbatch("--gres=gpu:4", script="module load cuda\nsleep 1")
    saving.wait("Slurm powers it up", lambda: saving.job(key)["JobState"] == "CONFIGURING")
    plan = saving.planned(key)
    assert plan is not None
    (node,) = plan.nodes
    assert saving.job(key)["NodeList"] == node
    saving.wait("hetd saw it start", lambda: "started" in saving.outcomes(key))
    assert saving.outcomes(key) == ["released", "started"]


def test_nodes_that_slurm_does_not_show_while_they_sleep_are_used_as_they_were() -> None:
    """State=CLOUD on 22.05, where PrivateData does not say cloud."""
    with asleep("CLOUD") as cluster:
        key = cluster.sbatch("--gres=gpu:4", script="module load cuda\nsleep 1")
        cluster.wait("Slurm powers it up", lambda: cluster.job(key)["JobState"] == "CONFIGURING")
        assert cluster.job(key)["NodeList"] in NODES
        assert "released" in cluster.outcomes(key)


def test_powered_down_nodes_are_used_after_a_restart_of_slurmctld(saving: Cluster) -> None:
    """22.05 does not know their devices until they register, and a job gets them all the same."""
    saving.box.restart_slurmctld()
    saving.wait("hetd closed it again", lambda: saving.gate() == "DOWN")
    key = saving.sbatch("--gres=gpu:a100:2", script="sleep 1")
    saving.wait("Slurm powers one up", lambda: saving.job(key)["JobState"] == "CONFIGURING")
    assert saving.job(key)["GRES"].endswith("(IDX:0-1)")


def test_a_node_that_slurmd_has_claimed_is_planned() -> None:
    """It is IDLE+DYNAMIC_FUTURE: there, unlike one of state FUTURE."""
    with own_sandbox(TOPOLOGY, hetd=False) as box:
        cluster, conf = Cluster(box), box.layout.slurm_conf
        box.kill_slurmd("nv1")
        real = cluster.ok(program("slurmd"), "-C").splitlines()[0]
        sizes = " ".join(
            re.findall(r"(?:CPUs|SocketsPerBoard|CoresPer\w+|ThreadsPer\w+)=\d+", real)
        )
        node = r"(?m)^(NodeName=nv1 .*)CPUs=.* RealMemory=\d+ (.*) State=\S+"
        claimable = rf"\1{sizes} RealMemory=500 \2 State=FUTURE"
        text, changed = re.subn(node, claimable, conf.read_text())
        assert changed
        conf.write_text(text)
        box.restart_slurmctld()
        said = ("scontrol", "-o", "-F", "show", "node", "nv1")
        if "State=FUTURE" not in cluster.ok(*said):
            pytest.skip("slurmctld keeps the state that the node had (26.05)")
        box.start_hetd()
        cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")
        box._spawn("slurmd-nv1", [program("slurmd"), "-D", "-Ftrain-nv"])  # noqa: SLF001
        cluster.wait("it is claimed", lambda: "IDLE+DYNAMIC_FUTURE" in cluster.ok(*said))
        cluster.ok("scontrol", "update", "NodeName=nv2", "State=DRAIN", "Reason=x")
        key = cluster.sbatch("--gres=gpu:a100:2", "--mem=100", script="sleep 1")
        cluster.wait("it starts there", lambda: cluster.job(key).get("NodeList") == "nv1")
        assert "released" in cluster.outcomes(key)
