"""slurm-het disable beside a hetd that is slow to answer, or never goes by the new het.yaml."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slurm_het.cli.switch import disable
from slurm_het.config import load_config
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import config_text, marked


class Told(socketserver.StreamRequestHandler):
    """Answers with the status, or, as a hetd that plans, not at all."""

    server: SlowHetd

    def handle(self) -> None:
        self.rfile.readline()
        if self.server.silent():
            return
        status = {"ok": True, "leading": True, "pid": os.getpid(), "modes": self.server.modes}
        self.wfile.write(json.dumps(status).encode() + b"\n")


class SlowHetd(socketserver.ThreadingUnixStreamServer):
    """It goes by het.yaml as of each SIGHUP, and gives no answer while it is `silent`."""

    def __init__(self, base: Path) -> None:
        self.path = base / "het.yaml"
        self.hangups = 0
        self.silent: Callable[[], bool] = lambda: False
        self.read()
        super().__init__(str(base / "control.sock"), Told)

    def read(self) -> None:
        policy = load_config(self.path).policy
        self.modes = {pool.partition: pool.mode for pool in policy.pools}

    def hung_up(self, *_: object) -> None:
        self.hangups += 1
        self.read()


@pytest.fixture
def hetd(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowHetd]:
    (short_path / "het.yaml").write_text(f"mode: plan\n{config_text(short_path)}")
    monkeypatch.setattr("slurm_het.cli.switch.CliSlurm", lambda _settings: FakeSlurm())
    with SlowHetd(short_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        before = signal.signal(signal.SIGHUP, server.hung_up)
        yield server
        signal.signal(signal.SIGHUP, before)
        server.shutdown()
        thread.join()


def disabled(hetd: SlowHetd) -> Result:
    return CliRunner().invoke(disable, ["--pool", "train-nv", "--config", str(hetd.path)])


def test_a_hetd_that_plans_is_waited_for(hetd: SlowHetd) -> None:
    looks = iter([True, True, True])
    hetd.silent = lambda: hetd.hangups > 0 and next(looks, False)
    done = disabled(hetd)
    assert done.exit_code == 0, done.output
    assert "plain Slurm schedules" in done.output
    assert (hetd.hangups, hetd.modes["train-nv"]) == (1, "shadow")
    assert load_config(hetd.path).policy.pools[0].mode == "shadow"


def test_a_link_stays_one_and_lines_end_as_they_did(hetd: SlowHetd) -> None:
    kept = hetd.path.with_name("kept.yaml")
    kept.write_bytes(hetd.path.read_bytes().replace(b"\n", b"\r\n"))
    hetd.path.unlink()
    hetd.path.symlink_to(kept.name)
    assert disabled(hetd).exit_code == 0
    assert hetd.path.is_symlink()
    assert load_config(kept).policy.pools[0].mode == "shadow"
    text = kept.read_bytes()
    assert text.count(b"\r\n") == text.count(b"\n")


def test_if_it_does_not_answer_in_time_it_is_told_of_the_old_one(
    hetd: SlowHetd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_het.cli.switch.SWITCH_SECONDS", 2.0)
    text = hetd.path.read_text()
    hetd.silent = lambda: "shadow" in hetd.modes.values() and hetd.path.read_text() != text
    done = disabled(hetd)
    assert "het.yaml is as it was: hetd " in str(done.exception)
    assert hetd.path.read_text() == text
    assert (hetd.hangups, set(hetd.modes.values())) == (2, {"plan"})


def test_if_it_never_answers_again_that_is_said(
    hetd: SlowHetd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_het.cli.switch.SWITCH_SECONDS", 0.5)
    text = hetd.path.read_text()
    hetd.silent = lambda: hetd.hangups > 0
    done = disabled(hetd)
    assert "but hetd may go by the new one: hetd " in str(done.exception)
    assert hetd.path.read_text() == text


@pytest.mark.parametrize(("state", "code"), [("UP", 0), ("DOWN", 1)])
def test_that_plain_slurm_schedules_is_said_where_it_does(
    hetd: SlowHetd, monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    """hetd goes by the mode, but Slurm may refuse to have the intake UP."""
    monkeypatch.setattr("slurm_het.cli.switch.OPEN_SECONDS", 0.5)
    slurm = FakeSlurm(gate=state)
    monkeypatch.setattr("slurm_het.cli.switch.CliSlurm", lambda _settings: slurm)
    pools = [word for name in hetd.modes for word in ("--pool", name)]
    done = CliRunner().invoke(disable, [*pools, "--config", str(hetd.path)])
    assert (done.exit_code, "plain Slurm schedules" in done.output) == (code, code == 0)
    if code:
        assert "the mode is shadow, but accel is DOWN: what waits there" in str(done.exception)
        assert "slurm-het bypass on" in str(done.exception)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        ("Job is no longer pending execution", "job 7 has started meanwhile"),
        ("Job has already finished", "job 7 has ended meanwhile"),
        ("Access/permission denied", "job 7 stays: Access/permission denied"),
    ],
)
def test_what_becomes_of_a_job_that_is_not_moved(
    hetd: SlowHetd, monkeypatch: pytest.MonkeyPatch, refusal: str, told: str
) -> None:
    slurm = FakeSlurm(replace(marked(7, partition="train-nv"), partition="accel"))
    slurm.refuse, slurm.refusal = {"7"}, refusal
    monkeypatch.setattr("slurm_het.cli.switch.CliSlurm", lambda _settings: slurm)
    assert told in disabled(hetd).output
