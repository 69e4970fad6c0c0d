"""slurm-het devices, on a host whose bus and drivers are stand-ins."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from slurm_het.cli import devices as command
from slurm_het.telemetry.host import Host

ANSWER = (
    '{"devices": [{"index": 0, "vendor": "nvidia", "address": "0000:3b:00.0", "model": "A5000",'
    '"memory_total_mib": 24564, "memory_used_mib": 22437, "utilization": 0.37,'
    '"processes": [{"pid": 4711, "memory_mib": 22430}]}]}'
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for address in ("0000:3b:00.0", "0000:5e:00.0"):
        (tmp_path / address).mkdir()
        (tmp_path / address / "vendor").write_text("0x10de\n")
        (tmp_path / address / "class").write_text("0x030200\n")
    child = (sys.executable, "-c", f"print({ANSWER!r})")
    monkeypatch.setattr(command, "Host", lambda vendors: Host(vendors, tmp_path, child))
    return CliRunner()


def test_a_table(run: CliRunner) -> None:
    lines = run.invoke(command.devices).stdout.splitlines()
    words = [line.split() for line in lines]
    assert words[1][:3] == ["nvidia:0", "0000:3b:00.0", "A5000"]
    assert "21.9 of 24.0 GiB  37%   4711 (21.9 GiB)  well" in lines[1]
    assert lines[2].endswith("its driver does not tell of it")


def test_json(run: CliRunner) -> None:
    first, second = json.loads(run.invoke(command.devices, ["--json"]).stdout)
    assert first["processes"] == [{"pid": 4711, "memory_mib": 22430}]
    assert (second["index"], second["address"]) == (1, "0000:5e:00.0")
    assert second["unhealthy"]


def test_why_nothing_is_read_is_said(run: CliRunner) -> None:
    done = run.invoke(command.devices, ["--vendor", "enflame"])
    assert "enflame: nothing reads this vendor's devices yet" in done.stderr
    assert run.invoke(command.devices, ["--vendor", "acme"]).exit_code == 2
