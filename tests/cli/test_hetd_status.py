"""What het-squeue's header says of the gate and of hetd's troubles; what a silent hetd left."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from slurm_het.cli.hetd_status import HetdStatus, ask_hetd
from slurm_het.settings import Config, TelemetrySettings
from tests.support.squeue_cluster import POLICY


@pytest.mark.parametrize(
    ("status", "slurm", "says"),
    [
        (HetdStatus("closed"), "DOWN", ""),
        (HetdStatus("open"), "UP", "the gate is open (hetd says open): plain Slurm schedules"),
        (HetdStatus("recovering"), "DOWN", "hetd, which is recovering, plans nothing yet"),
        (HetdStatus("open"), "DOWN", "hetd, which is open, plans nothing yet"),
        (HetdStatus("recovering", leads=False), "DOWN", ""),
        (HetdStatus("closed", troubles=("the journal is off",)), "DOWN", "the journal is off"),
        (HetdStatus(silence="hetd is not answering"), "DOWN", "its jobs wait"),
    ],
)
def test_the_operator_reads_what_is_not_as_it_should_be(
    status: HetdStatus, slurm: str, says: str
) -> None:
    note = status.note("accel", slurm)
    assert says in note
    assert bool(note) == bool(says)


def test_a_dead_hetd_left_on_its_socket_when_it_planned_last(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    assert ask_hetd(path).memory.since is None, "none was here"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    os.utime(path, (0, 1_234))
    found = ask_hetd(path)
    assert found.silence
    assert found.memory.since == 1_234


@pytest.mark.parametrize(
    ("silence", "hidden", "telemetry", "more"),
    [
        ("", (), True, False), ("it is dead", (), False, False), ("it is dead", (), True, True),
        ("", ("jobs", "usage"), False, True), ("", ("usage", "users"), False, False),
    ],
)  # fmt: skip
def test_who_sees_less_than_hetd(
    silence: str, hidden: tuple[str, ...], telemetry: bool, more: bool
) -> None:
    heard = TelemetrySettings(prometheus="http://127.0.0.1:9" if telemetry else "")
    memory = HetdStatus(silence=silence).remembers(Config(POLICY, telemetry=heard), hidden)
    assert memory.sees_more is more
