"""slurm-het enable takes back what it did itself, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
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
from slurm_het.errors import HetError, SlurmBusyError
from slurm_het.setup.mode_text import with_modes
from tests.support.world import config_text, marked, snapshot

TROUBLE = "the journal cannot be written"
EDITED_AT = 3  # calls after the change: hetd goes by it, and the first look is over


class FakeHetd:
    """It has the modes that het.yaml has, and troubles as soon as that has changed."""

    edit: Callable[[str], str] | None = None
    """What an admin makes of het.yaml once it is changed."""

    def __init__(self, path: Path) -> None:
        self.path, self.text, self.calls = path, path.read_text(), 0

    def __call__(self, *_: object, **__: object) -> dict[str, Any]:
        """Its status."""
        self.calls += self.path.read_text() != self.text
        if FakeHetd.edit and self.calls == EDITED_AT:
            self.path.write_text(FakeHetd.edit(self.path.read_text()))
        modes = {p.partition: p.mode for p in load_config(self.path).policy.pools}
        changed = self.path.read_text() != self.text
        return {
            "leading": True, "pid": 1 << 22, "modes": modes, "gate": "closed",
            "troubles": [TROUBLE] * changed,
        }  # fmt: skip


class FakeSlurm:
    """Two jobs wait in the gate, one for each of two pools."""

    updates: dict[str, Mapping[str, str]]
    busy = 0
    """So many updates more it has no time for."""

    def __init__(self, _settings: object) -> None:
        pass

    async def snapshot(self) -> Snapshot:
        """They, on the sandbox."""
        return snapshot(of_a_pool(1, "train-nv"), of_a_pool(2, "train-amd"))

    async def update_job(self, key: str, fields: Mapping[str, str]) -> None:
        """Taken, unless it is busy."""
        if FakeSlurm.busy:
            FakeSlurm.busy -= 1
            raise SlurmBusyError("Resource temporarily unavailable")
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
        text = with_modes(text, {pool.partition: modes.get(pool.partition, "shadow")})
    path = tmp_path / "het.yaml"
    path.write_text(text)
    FakeSlurm.updates = {}
    monkeypatch.setattr(FakeHetd, "edit", None)
    nothing = SimpleNamespace(wrong=(), moves=(), lines=tuple)

    async def effect_of(_wanted: object) -> SimpleNamespace:
        return nothing

    monkeypatch.setattr(module, "effect_of", effect_of)
    monkeypatch.setattr(module, "call", FakeHetd(path))
    monkeypatch.setattr(module, "CliSlurm", FakeSlurm)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    return path


def test_what_was_in_plan_before_stays_there_and_advise_is_advise_again(het_yaml: Path) -> None:
    before = het_yaml.read_text()
    words = ["--config", str(het_yaml), "--pool", "train-nv", "--pool", "train-amd", "--yes"]
    made = CliRunner().invoke(module.enable, words)
    assert f"taken back: {TROUBLE}" in made.output
    assert made.exit_code == 1, made.output
    assert het_yaml.read_text() == before
    assert set(FakeSlurm.updates) == {"2"}
    assert FakeSlurm.updates["2"]["Partition"] == "train-amd"


def test_a_slurm_that_is_busy_is_asked_again(
    het_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSlurm, "busy", 2)
    words = ["--config", str(het_yaml), "--pool", "train-amd", "--yes"]
    made = CliRunner().invoke(module.enable, words)
    assert "1 waiting job is again as it was submitted" in made.output
    assert FakeSlurm.updates["2"]["Partition"] == "train-amd"


def test_what_an_admin_wrote_meanwhile_stays(
    het_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHetd, "edit", staticmethod(lambda text: f"# ours, now\n{text}"))
    words = ["--config", str(het_yaml), "--pool", "train-amd", "--yes"]
    made = CliRunner().invoke(module.enable, words)
    assert f"taken back: {TROUBLE}" in made.output
    assert het_yaml.read_text().startswith("# ours, now\n")
    modes = {p.partition: p.mode for p in load_config(het_yaml).policy.pools}
    assert (modes["train-amd"], modes["train-nv"]) == ("advise", "plan")
    assert FakeSlurm.updates["2"]["Partition"] == "train-amd"


def test_if_it_cannot_be_read_any_more_the_gate_is_opened(
    het_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(module, "switch_on", opened.append)
    monkeypatch.setattr(FakeHetd, "edit", staticmethod(lambda text: f"{text}\nwieghts: 1\n"))
    monkeypatch.setattr(FakeHetd, "__call__", lenient(FakeHetd.__call__))
    words = ["--config", str(het_yaml), "--pool", "train-amd", "--yes"]
    made = CliRunner().invoke(module.enable, words)
    assert made.exit_code == 1, made.output
    assert "was changed meanwhile, and stays so: " in made.output
    assert "wieghts" in made.output
    assert len(opened) == 1
    assert "wieghts: 1" in het_yaml.read_text()
    assert FakeSlurm.updates["2"]["Partition"] == "train-amd"


def lenient(call: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A hetd that goes by the last het.yaml that it could read."""
    last: dict[str, Any] = {}

    def answer(hetd: FakeHetd, *words: object, **more: object) -> dict[str, Any]:
        try:
            last.update(call(hetd, *words, **more))
        except HetError:
            last["troubles"] = [TROUBLE]
        return last

    return answer
