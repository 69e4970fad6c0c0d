"""Slurm's topology: a job's nodes are in as few leaves as can be, and where Slurm takes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.versions import parse_version
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = pytest.mark.slurm
NODES = """
- {name: "nv[1-4]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
"""
# nv1 and nv3 are apart; by name, nv1 and nv2 would be the first.
TREE = """
SwitchName=leaf1 Nodes=nv[1,3]
SwitchName=leaf2 Nodes=nv[2,4]
SwitchName=top Switches=leaf[1-2]
"""


SCRIPT = "module load cuda\ntorchrun train.py\nsleep 60"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        use(sandbox, "TopologyPlugin=topology/tree", "topology.conf", TREE)
        yield sandbox


def use(sandbox: Sandbox, line: str, name: str, topology: str) -> None:
    """Give Slurm that topology, and start hetd."""
    conf = sandbox.layout.slurm_conf
    (conf.parent / name).write_text(topology)
    conf.write_text(f"{conf.read_text()}\n{line}\n")
    sandbox.restart_slurmctld()
    sandbox.start_hetd()


def test_two_nodes_are_under_one_switch(cluster: Cluster) -> None:
    pairs = [cluster.sbatch("--gres=gpu:4", "-N2", script=SCRIPT) for _ in range(2)]
    found = {cluster.wait_started(key)["NodeList"] for key in pairs}
    assert found == {"nv[1,3]", "nv[2,4]"}
    for key in pairs:
        plan = cluster.planned(key)
        assert plan is not None
        assert plan.terms["locality"] > 0
        assert "locality" in cluster.tool("admin", "why", key)
    cluster.clear()


# By name, n1 and n2 would be the first; Slurm takes no job of two nodes in two blocks.
BLOCK = """
BlockName=b1 Nodes=nv[1,3]
BlockName=b2 Nodes=nv[2,4]
BlockSizes=2
"""


def test_a_job_is_inside_a_block(cluster: Cluster) -> None:
    """A pin across blocks ends in BadConstraints, with priority 0 (24.11, 26.05)."""
    if parse_version(cluster.ok("scontrol", "--version")).tuple < (23, 11):
        pytest.skip("topology/block is of 23.11 on")
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        use(sandbox, "TopologyPlugin=topology/block", "topology.conf", BLOCK)
        cluster = Cluster(sandbox)
        one = cluster.sbatch("--gres=gpu:4", script=SCRIPT)
        cluster.wait_started(one)
        pairs = [cluster.sbatch("--gres=gpu:4", "-N2", "-t5", script=SCRIPT) for _ in range(2)]
        cluster.wait_started(pairs[0])
        cluster.ok("scancel", one)
        found = {cluster.wait_started(key)["NodeList"] for key in pairs}
        assert found == {"nv[1,3]", "nv[2,4]"}
        three = cluster.sbatch("--gres=gpu:4", "-N3", "-t5", script=SCRIPT)
        cluster.ok("scancel", *pairs)
        assert cluster.wait_started(three)["NumNodes"] == "3"


RING = "RingName=r1 Nodes=nv[1,3]\nRingName=r2 Nodes=nv[2,4]\n"


def test_slurm_chooses_several_nodes_where_the_network_is_neither_tree_nor_blocks(
    cluster: Cluster,
) -> None:
    """A pin across two rings ends in BadConstraints, with priority 0."""
    if parse_version(cluster.ok("scontrol", "--version")).tuple < (26, 5):
        pytest.skip("topology/ring is of 26.05 on")
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        use(sandbox, "TopologyPlugin=topology/ring", "topology.conf", RING)
        cluster = Cluster(sandbox)
        one = cluster.sbatch("--gres=gpu:4", "-t5", script=SCRIPT)
        assert cluster.wait_started(one)["ReqNodeList"] != "(null)"
        pair = cluster.sbatch("--gres=gpu:4", "-N2", "-t5", script=SCRIPT)
        assert cluster.wait_started(pair, 15.0)["ReqNodeList"] == "(null)"


def test_a_job_waits_for_one_switch_as_long_as_it_says(cluster: Cluster) -> None:
    cluster.clear()
    held = [cluster.sbatch("--gres=gpu:4", "-t5", script="sleep 300") for _ in range(4)]
    where = {cluster.wait_started(key)["NodeList"]: key for key in held}
    pair = ("--gres=gpu:4", "-N2", "-t5")
    patient = cluster.sbatch(*pair, "--switches=1@01:00", script=SCRIPT)
    cluster.ok("scancel", where["nv1"], where["nv2"])  # under two switches
    hasty = cluster.sbatch(*pair, "--switches=1@00:03", script=SCRIPT)
    assert cluster.wait_started(hasty)["NodeList"] == "nv[1-2]"
    assert cluster.job(patient)["JobState"] == "PENDING"
    cluster.ok("scancel", hasty, where["nv3"])
    assert cluster.wait_started(patient)["NodeList"] == "nv[1,3]"
    cluster.clear()


OPTIONS = ("--contiguous", "--spread-job", "--gres-flags=enforce-binding", "--exclusive=user")


def test_slurm_chooses_the_nodes_where_only_it_keeps_an_option(cluster: Cluster) -> None:
    keys = {
        option: cluster.sbatch("--gres=gpu:1", "-n2", "-N2", option, script="sleep 1")
        for option in OPTIONS
    }
    for key in keys.values():
        assert cluster.wait_started(key)["ReqNodeList"] == "(null)"
    cluster.clear()
    keys["--nodes=2-4"] = cluster.sbatch("--gres=gpu:1", "-N2-4", script="sleep 1")
    assert cluster.wait_started(keys["--nodes=2-4"])["NumNodes"] == "4"
    for option, key in keys.items():
        assert cluster.outcomes(key) == ["handed over"]
        assert option in cluster.tool("admin", "why", key)
