"""Slurm's topology/tree: the nodes of a job are under one leaf switch if that is to be had."""

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
# nv1 and nv3 are apart; by name, nv1 and nv2 would be the first.
TREE = """
SwitchName=leaf1 Nodes=nv[1,3]
SwitchName=leaf2 Nodes=nv[2,4]
SwitchName=top Switches=leaf[1-2]
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        conf = sandbox.layout.slurm_conf
        conf.write_text(conf.read_text() + "\nTopologyPlugin=topology/tree\n")
        (conf.parent / "topology.conf").write_text(TREE)
        sandbox.restart_slurmctld()
        sandbox.start_hetd()
        yield sandbox


def test_two_nodes_are_under_one_switch(cluster: Cluster) -> None:
    script = "module load cuda\ntorchrun train.py\nsleep 60"
    pairs = [cluster.sbatch("--gres=gpu:4", "-N2", script=script) for _ in range(2)]
    found = {cluster.wait_started(key)["NodeList"] for key in pairs}
    assert found == {"nv[1,3]", "nv[2,4]"}
    for key in pairs:
        plan = cluster.planned(key)
        assert plan is not None
        assert plan.terms["locality"] > 0
        assert "locality" in cluster.tool("admin", "why", key)
