"""`scontrol show topology` as 22.05, 24.11 and 26.05 print it (tree: all; block: 24.11 on)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slurm_het.core.model import NodeRecord
from slurm_het.core.network import ANY_NUMBER, Part
from slurm_het.errors import SlurmError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.topology import (
    NETWORK_SECONDS,
    NetworkReader,
    parse_topology,
    without_network,
)
from tests.support.few_answers import programs

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


def test_what_is_neither_keeps_no_two_nodes_together() -> None:
    """topology/ring, as 26.05 prints it; topology/torus3d has names of its own."""
    parts = parse_topology("RingName=r1 Nodes=n[1,3]\nRingName=r2 Nodes=n[2,4]\n")
    assert parts["n1"] == parts["n3"] == (Part("r1", 1),)
    assert parse_topology("TorusName=t Nodes=n1\n") == {"n1": (Part("t", 1),)}


def test_no_topology_at_all() -> None:
    assert parse_topology("") == {}
    assert parse_topology("No topology information available\n") == {}
    assert parse_topology("SwitchName=s Level=x Nodes=n1") == {"n1": (Part("s", ANY_NUMBER),)}
    assert parse_topology("BlockName=s Nodes=n[1-") == {}


GONE = "slurm_load_topo error: Requested topology configuration is not available"  # 26.05
AWAY = "slurm_load_topo error: Unable to contact slurm controller (connect failure)"


def test_each_topology_is_asked_for_once_and_one_that_slurm_has_not_is_none() -> None:
    asked: list[tuple[str, ...]] = []

    async def run(program: str, *arguments: str) -> str:
        asked.append((program, *arguments))
        if arguments[2:] == ("gone",):
            raise SlurmError(f"scontrol show topology gone: {GONE}")
        return BLOCKS if arguments[2:] else TREE

    reader = NetworkReader(run)
    for _ in range(2):
        networks = asyncio.run(reader.read(["blocks", "gone", ""]))
        assert set(networks[""]) == {"n1", "n2", "n3", "n4", "n5"}
        assert networks["blocks"]["n1"][0] == Part("b1", 2)
        assert networks["gone"] == {}
    assert len(asked) == 3


def test_while_slurm_does_not_tell_a_network_it_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, answers = [1000.0], [TREE]
    monkeypatch.setattr("slurm_het.slurm.topology.time.monotonic", lambda: clock[0])

    async def run(*_arguments: str) -> str:
        if not answers:
            raise SlurmError(f"scontrol show topology: {AWAY}")
        return answers.pop()

    def read() -> set[str]:
        return set(asyncio.run(reader.read(()))[""])

    reader = NetworkReader(run)
    assert read() == {"n1", "n2", "n3", "n4", "n5"}
    clock[0] += NETWORK_SECONDS + 1
    assert read() == {"n1", "n2", "n3", "n4", "n5"}
    answers.append(BLOCKS)
    assert read() == {"n1", "n2", "n3", "n4"}  # asked for again at once
    with pytest.raises(SlurmError, match="Unable to contact"):
        asyncio.run(NetworkReader(run).read(()))


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        (AWAY, False),
        (GONE, True),
        ("scontrol: error: No topology information available", True),  # 22.05
        ("scontrol: error: Ignoring obsolete FastSchedule=1 option.", True),
        ("", True),  # 24.11, 26.05
    ],
)
def test_scontrol_that_has_no_network_to_show_ends_well(
    tmp_path: Path, complaint: str, told: bool
) -> None:
    """As it does where slurmctld does not answer: what it complains of tells them apart."""
    slurm = CliSlurm(SlurmSettings(bin_dir=programs(tmp_path)))
    script = tmp_path / "scontrol"
    nothing = f'case "$*" in "show topology") echo "{complaint}" >&2; exit 0;; esac\n'
    script.write_text(script.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{nothing}", 1))
    if told:
        assert asyncio.run(slurm.snapshot()).networks == {"": {}}
    else:
        with pytest.raises(SlurmError, match="Unable to contact"):
            asyncio.run(slurm.snapshot())


def test_a_node_outside_of_the_topology_gets_nothing_on_older_slurms() -> None:
    """22.05, 24.11: ReqNodeNotAvail, of a job of one node, too."""
    records = NodeRecord("n1", "IDLE"), NodeRecord("n9", "IDLE")
    inside, outside = without_network(records, parse_topology(BLOCKS))
    assert inside.state == "IDLE"
    assert outside.state == "IDLE+OUTSIDE_TOPOLOGY"
    assert without_network(records, {}) == records
