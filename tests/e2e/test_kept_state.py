"""End to end: with `ReconfigFlags=KeepPartState` a restarted slurmctld keeps the gate closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.sandbox import procs
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.versions import parse_version
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

SITE = """
nodes:
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE) as sandbox:
        path = sandbox.layout.etc / "slurm.conf"
        path.write_text(f"ReconfigFlags=KeepPartState\n{path.read_text()}")
        sandbox.restart_slurmctld()
        yield sandbox


def keeps(cluster: Cluster) -> bool:
    """Whether this Slurm does what the word says: 24.11 does, 22.05 does not."""
    return parse_version(cluster.ok("scontrol", "--version")).rewrites_gres


def stop_slurmctld(cluster: Cluster) -> None:
    procs.end([p for p in cluster.box.daemons() if p.name == "slurmctld"], 60.0)


def closed(cluster: Cluster) -> None:
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN", 30)


def test_check_says_it_and_the_state_is_kept(cluster: Cluster) -> None:
    check = ["slurm-het", "check", "--config", str(cluster.box.config_path)]
    assert "remark: slurm.conf, ReconfigFlags: has KeepPart" in cluster.ok(*check)
    cluster.box.stop_hetd()
    cluster.ok("scontrol", "update", "PartitionName=accel", "State=DOWN")
    cluster.box.restart_slurmctld()
    assert cluster.gate() == ("DOWN" if keeps(cluster) else "UP")
    cluster.box.start_hetd()
    closed(cluster)


def test_a_supervisor_opens_what_a_restarted_slurmctld_kept_closed(cluster: Cluster) -> None:
    """hetd dies for good while slurmctld is away: its supervisor tries until slurmctld is back."""
    closed(cluster)
    config = cluster.box.config_path
    text = config.read_text()
    stop_slurmctld(cluster)
    config.write_text("nonsense: true\n")
    try:
        cluster.box.kill_hetd()
        cluster.box.restart_slurmctld()
        cluster.wait("the gate is open", lambda: cluster.gate() == "UP", 30)
    finally:
        config.write_text(text)
    closed(cluster)


def test_a_hetd_that_goes_on_plans_at_once_and_opens_when_it_stops(cluster: Cluster) -> None:
    closed(cluster)
    cluster.box.restart_slurmctld()
    closed(cluster)
    cluster.wait_started(cluster.sbatch("--gres=gpu:1"), 40)
    cluster.box.stop_hetd()
    try:
        cluster.wait("the gate is open", lambda: cluster.gate() == "UP", 20)
    finally:
        cluster.box.start_hetd()


def test_bypass_opens_what_a_hetd_left_that_was_stopped_while_slurmctld_was_away(
    cluster: Cluster,
) -> None:
    """Its opener's last try may outlive it and reach slurmctld in time; else nobody is there."""
    closed(cluster)
    stop_slurmctld(cluster)
    cluster.box.stop_hetd()
    cluster.box.restart_slurmctld()
    cluster.box.run(["slurm-het", "bypass", "on", "--config", str(cluster.box.config_path)])
    assert cluster.gate() == "UP"
    cluster.box.run(["slurm-het", "bypass", "off", "--config", str(cluster.box.config_path)])
    cluster.box.start_hetd()
    closed(cluster)
