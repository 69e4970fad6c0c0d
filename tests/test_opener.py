"""The opener: it opens what hetd held, whatever failed, and leaves alone what is another's."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_het.opener import Holds, Opener

PATIENCE = 30.0


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """What the scontrol in tmp_path was called with."""
    path = tmp_path / "calls"
    scontrol(tmp_path, f'echo "$@" >> {path}')
    return path


def scontrol(directory: Path, does: str) -> None:
    program = directory / "scontrol"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def opener(directory: Path) -> Opener:
    return Opener("accel", str(directory / "scontrol"), Holds(directory))


def ticks(made: Opener, until: Callable[[], object]) -> list[str]:
    """Have it go on until that is so; the lines that it says."""
    said: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, said
        said += filter(None, [made.tick(time.monotonic())])
        time.sleep(0.01)
    return said


def opens(made: Opener) -> list[str]:
    made.want(time.monotonic())
    return ticks(made, lambda: not made.wanted)


@pytest.mark.parametrize(
    ("note", "opened"),
    [
        ("accel2\n", "accel2"),
        (None, "accel"),
        ("", "accel"),
        ("two words\n", "accel"),
        ("\xff", "accel"),
        ("x" * 500, "accel"),
    ],
)
def test_it_opens_what_hetd_held_and_what_is_configured_in_doubt(
    tmp_path: Path, calls: Path, note: str | None, opened: str
) -> None:
    if note is not None:
        (tmp_path / "holds").write_text(note, encoding="latin-1")
    said = opens(opener(tmp_path))
    assert said == [f"opened the gate: partition {opened} is UP"]
    assert calls.read_text() == f"update PartitionName={opened} State=UP\n"


def test_the_gate_of_another_leader_is_left_alone(tmp_path: Path, calls: Path) -> None:
    Holds(tmp_path).write("")
    assert opens(opener(tmp_path)) == []
    assert not calls.exists()


def test_what_was_opened_is_opened_once(tmp_path: Path, calls: Path) -> None:
    Holds(tmp_path).write("accel")
    made = opener(tmp_path)
    opens(made)
    opens(made)
    assert len(calls.read_text().splitlines()) == 1


def test_it_tries_until_it_is_open(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    scontrol(tmp_path, f"[ -e {flag} ] && exit 0; echo no such thing >&2; exit 1")
    made = opener(tmp_path)
    made.want(time.monotonic())
    said = ticks(made, lambda: made.tries >= 3)
    assert said[0] == "could not open the gate: no such thing; tried again in 0.2 s"
    assert [line.split()[-2] for line in said] == ["0.2", "0.4", "0.8"]
    flag.touch()
    assert ticks(made, lambda: not made.wanted)[-1].startswith("opened the gate")


def test_a_scontrol_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_het.opener.TRY_SECONDS", 0.3)
    flag = tmp_path / "flag"
    scontrol(tmp_path, f"[ -e {flag} ] && exit 0; touch {flag}; exec sleep 600")
    said = opens(opener(tmp_path))
    assert "did not answer for 0.3 s" in said[0]
    assert said[-1].startswith("opened the gate")


def test_a_scontrol_that_is_not_there_is_named(tmp_path: Path) -> None:
    made = opener(tmp_path)
    made.want(time.monotonic())
    assert "scontrol" in ticks(made, lambda: made.tries)[0]


ALONE = """
import resource, sys, time
from pathlib import Path
from slurm_het.opener import Holds, Opener
here = Path(sys.argv[1])
made = Opener("accel", str(here / "scontrol"), Holds(here))
made.tick(time.monotonic())
print("ready", flush=True)
{then}
made.want(time.monotonic())
while made.wanted:
    made.tick(time.monotonic())
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    "then",
    [
        "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)); import os; os.setuid(65534)",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
    ],
    ids=["no descriptor", "no fork", "no disk"],
)
def test_it_opens_without_what_it_may_not_have(tmp_path: Path, then: str) -> None:
    if "setuid" in then and os.geteuid() != 0:
        pytest.skip("needs root, to be somebody whom the limit binds")
    mark = tmp_path / "opened"
    scontrol(tmp_path, f"touch {mark}")
    tmp_path.chmod(0o755)
    argv = [sys.executable, "-c", ALONE.format(then=then), str(tmp_path)]
    child = subprocess.Popen(argv, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        eventually(mark.exists)
    finally:
        child.kill()
        child.wait()


def test_it_opens_when_nobody_is_left_to_tell_it(tmp_path: Path) -> None:
    mark = tmp_path / "opened"
    scontrol(tmp_path, f'echo "$@" > {mark}')
    Holds(tmp_path).write("accel3")
    argv = [sys.executable, "-c", ALONE.format(then="time.sleep(600)"), str(tmp_path)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE)
    assert child.stdout
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    eventually(lambda: mark.exists() and mark.read_text())
    assert mark.read_text() == "update PartitionName=accel3 State=UP\n"
    child.stdout.close()


def test_closed_it_leaves_nothing_behind_and_opens_nothing(tmp_path: Path, calls: Path) -> None:
    made = opener(tmp_path)
    made.tick(time.monotonic())
    made.close()
    time.sleep(0.2)
    assert not calls.exists()


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
