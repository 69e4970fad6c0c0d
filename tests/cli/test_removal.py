"""What a package does to the gate before slurm-het is removed."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path

import pytest

from slurm_het.cli.removal import opened
from slurm_het.config import load_config
from slurm_het.core.model import Snapshot
from slurm_het.daemon.gate import closed_flag
from slurm_het.daemon.lease import lease_path
from slurm_het.errors import HetError, SlurmError
from slurm_het.settings import Config
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import config_text


class StuckSlurm(FakeSlurm):
    """It takes no order, or takes it and does nothing."""

    refusal = ""

    async def set_partition_state(self, *_: str) -> None:
        if self.refusal:
            raise SlurmError(self.refusal)


def site(folder: Path, mode: str = "plan", *, led: bool = True) -> Config:
    """A configuration whose hetd has led on this host, or not."""
    (folder / "het.yaml").write_text(f"mode: {mode}\n{config_text(folder)}")
    config = load_config(folder / "het.yaml")
    config.paths.state_dir.mkdir(parents=True, exist_ok=True)
    if led:
        lease_path(config.paths.state_dir).touch()
    return config


def test_a_gate_that_was_left_closed_is_opened(tmp_path: Path) -> None:
    slurm = FakeSlurm(gate="DOWN")
    assert asyncio.run(opened(site(tmp_path), slurm)) == "opened the gate: accel is UP"
    assert slurm.gate == "UP"


def test_what_is_open_is_left(tmp_path: Path) -> None:
    assert asyncio.run(opened(site(tmp_path), FakeSlurm(gate="UP"))) == ""


def test_a_host_whose_hetd_never_led_does_nothing(tmp_path: Path) -> None:
    slurm = FakeSlurm(gate="DOWN")
    assert asyncio.run(opened(site(tmp_path, led=False), slurm)) == ""
    assert slurm.gate == "DOWN"


def test_the_gate_of_another_that_leads_is_left(tmp_path: Path) -> None:
    config, slurm = site(tmp_path), FakeSlurm(gate="DOWN")
    with lease_path(config.paths.state_dir).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert asyncio.run(opened(config, slurm)) == ""
    assert slurm.gate == "DOWN"


def test_in_shadow_only_what_slurm_het_closed_is_opened(tmp_path: Path) -> None:
    config, slurm = site(tmp_path, "shadow"), FakeSlurm(gate="DOWN")
    assert "not by slurm-het: it is left so" in asyncio.run(opened(config, slurm))
    assert slurm.gate == "DOWN"
    closed_flag(config.paths.state_dir).touch()
    asyncio.run(opened(config, slurm))
    assert slurm.gate == "UP"


@pytest.mark.parametrize("refusal", ["", "Access denied"])
def test_one_that_stays_closed_keeps_the_package(refusal: str, tmp_path: Path) -> None:
    slurm = StuckSlurm(gate="DOWN")
    slurm.refusal = refusal
    with pytest.raises(HetError) as refused:
        asyncio.run(opened(site(tmp_path), slurm))
    assert refusal in refused.value.message
    assert "scontrol update PartitionName=accel State=UP" in refused.value.hint


def test_without_slurmctld_the_package_may_go(tmp_path: Path) -> None:
    class Away(FakeSlurm):
        async def snapshot(self) -> Snapshot:
            raise SlurmError("no answer")

    assert "Slurm does not answer" in asyncio.run(opened(site(tmp_path), Away()))
