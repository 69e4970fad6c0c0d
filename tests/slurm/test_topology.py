"""`scontrol show topology` as 22.05, 24.11 and 26.05 print it (tree: all; block: 24.11 on)."""

from __future__ import annotations

import asyncio

from slurm_het.core.model import NodeRecord
from slurm_het.core.network import ANY_NUMBER, Part
from slurm_het.errors import SlurmError
from slurm_het.slurm.topology import NetworkReader, parse_topology, without_network

TREE = """SwitchName=leaf1 Level=0 LinkSpeed=1 Nodes=n[1-2]
SwitchName=leaf2 Level=0 LinkSpeed=1 Nodes=n3
SwitchName=mid Level=1 LinkSpeed=1 Nodes=n[1-3] Switches=leaf[1-2]
SwitchName=leaf3 Level=0 LinkSpeed=1 Nodes=n4
SwitchName=top Level=2 LinkSpeed=1 Nodes=n[1-4] Switches=leaf3,mid
SwitchName=island Level=0 LinkSpeed=1 Nodes=n5
"""
BLOCKS = """BlockName=b1 BlockIndex=0 Nodes=n[1,3] BlockSize=2
BlockName=b2 BlockIndex=1 Nodes=n[2,4] BlockSize=2
AggregatedBlock=b[1-2] BlockIndex=2 Nodes=n[1-4] BlockSize=4
"""


def test_a_tree() -> None:
    parts = parse_topology(TREE)
    assert parts["n3"] == (Part("leaf2"), Part("mid"), Part("top", ANY_NUMBER))
    assert parts["n4"] == (Part("leaf3"), Part("top", ANY_NUMBER))
    assert parts["n5"] == (Part("island", ANY_NUMBER),)


def test_blocks() -> None:
    parts = parse_topology(BLOCKS)
    assert parts["n3"] == (Part("b1", 2), Part("b[1-2]", 4))
    assert parts["n4"] == (Part("b2", 2), Part("b[1-2]", 4))


def test_no_topology_at_all() -> None:
    assert parse_topology("") == {}
    assert parse_topology("No topology information available\n") == {}
    assert parse_topology("SwitchName=s Level=x Nodes=n1") == {"n1": (Part("s", ANY_NUMBER),)}
    assert parse_topology("BlockName=s Nodes=n[1-") == {}


def test_each_topology_is_asked_for_once_and_one_that_fails_is_none() -> None:
    asked: list[tuple[str, ...]] = []

    async def run(program: str, *arguments: str) -> str:
        asked.append((program, *arguments))
        if arguments[2:] == ("gone",):
            raise SlurmError("no such topology")
        return BLOCKS if arguments[2:] else TREE

    reader = NetworkReader(run)
    for _ in range(2):
        networks = asyncio.run(reader.read(["blocks", "gone", ""]))
        assert set(networks[""]) == {"n1", "n2", "n3", "n4", "n5"}
        assert networks["blocks"]["n1"][0] == Part("b1", 2)
        assert networks["gone"] == {}
    assert len(asked) == 3


def test_a_node_outside_of_the_topology_gets_nothing_on_older_slurms() -> None:
    """22.05, 24.11: ReqNodeNotAvail, of a job of one node, too."""
    records = NodeRecord("n1", "IDLE"), NodeRecord("n9", "IDLE")
    inside, outside = without_network(records, parse_topology(BLOCKS))
    assert inside.state == "IDLE"
    assert outside.state == "IDLE+OUTSIDE_TOPOLOGY"
    assert without_network(records, {}) == records
