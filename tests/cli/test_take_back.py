"""slurm-het enable takes back what it did itself, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from slurm_het.cli import switch as module
from slurm_het.config import load_config, parse_config
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.policy import Mode
from slurm_het.setup.mode_text import with_mode
from tests.support.world import config_text, marked, snapshot

TROUBLE = "the journal cannot be written"


class FakeHetd:
    """It has the modes that het.yaml has, and troubles as soon as that has changed."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, path.read_text()

    def __call__(self, *_: object, **__: object) -> dict[str, Any]:
        """Its status."""
        modes = {p.partition: p.mode for p in load_config(self.path).policy.pools}
        changed = self.path.read_text() != self.text
        return {
            "leading": True, "pid": 1 << 22, "modes": modes, "gate": "closed",
            "troubles": [TROUBLE] * changed,
        }  # fmt: skip


class FakeSlurm:
    """Two jobs wait in the gate, one for each of two pools."""

    updates: dict[str, Mapping[str, str]]

    def __init__(self, _settings: object) -> None:
        pass

    async def snapshot(self) -> Snapshot:
        """They, on the sandbox."""
        return snapshot(of_a_pool(1, "train-nv"), of_a_pool(2, "train-amd"))

    async def update_job(self, key: str, fields: Mapping[str, str]) -> None:
        """Taken."""
        FakeSlurm.updates[key] = fields


def of_a_pool(number: int, pool: str) -> Job:
    """A job in the gate whose user named that pool."""
    made = marked(number)
    comment = made.admin_comment.replace('"partition":"accel"', f'"partition":"{pool}"')
    return replace(made, admin_comment=comment)


@pytest.fixture
def het_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """train-nv is in plan, train-amd in advise, the others in shadow."""
    text = config_text(tmp_path)
    modes: dict[str, Mode] = {"train-nv": "plan", "train-amd": "advise"}
    for pool in parse_config(text).policy.pools:
        text = with_mode(text, pool.partition, modes.get(pool.partition, "shadow"))
    path = tmp_path / "het.yaml"
    path.write_text(text)
    FakeSlurm.updates = {}
    nothing = SimpleNamespace(wrong=(), moves=(), lines=tuple)

    async def effect_of(_wanted: object) -> SimpleNamespace:
        return nothing

    monkeypatch.setattr(module, "effect_of", effect_of)
    monkeypatch.setattr(module, "call", FakeHetd(path))
    monkeypatch.setattr(module, "CliSlurm", FakeSlurm)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    return path


def test_what_was_in_plan_before_stays_there_and_advise_is_advise_again(het_yaml: Path) -> None:
    before = het_yaml.read_text()
    words = ["--config", str(het_yaml), "--pool", "train-nv", "--pool", "train-amd", "--yes"]
    made = CliRunner().invoke(module.enable, words)
    assert f"taken back: {TROUBLE}" in made.output
    assert made.exit_code == 1
    assert het_yaml.read_text() == before
    assert set(FakeSlurm.updates) == {"2"}
    assert FakeSlurm.updates["2"]["Partition"] == "train-amd"
