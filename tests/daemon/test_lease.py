"""The lead among several hetds: one at a time, handed on at its holder's end, its loss noticed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from slurm_het.daemon.lease import Lease
from slurm_het.errors import LeadError

HOLD = """
import sys, time, pathlib
from slurm_het.daemon.lease import Lease
lease = Lease(pathlib.Path(sys.argv[1]))
print(lease.take(), flush=True)
time.sleep(60)
"""


def holder(directory: Path) -> subprocess.Popen[str]:
    """Another process that holds the lead."""
    argv = [sys.executable, "-c", HOLD, str(directory)]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stdout.readline() == "True\n"
    return child


def test_one_at_a_time_and_free_again_after_a_kill(tmp_path: Path) -> None:
    other = holder(tmp_path)
    try:
        mine = Lease(tmp_path)
        assert not mine.take()
        other.send_signal(signal.SIGSTOP)
        assert not mine.take(), "a leader that only hangs still leads: its watchdog ends it"
        other.kill()
        other.wait()
        assert mine.take()
        mine.check()
        assert (tmp_path / "lease").stat().st_mode & 0o777 == 0o600
    finally:
        other.kill()
        other.wait()
    assert not Lease(tmp_path).take()
    mine.release()
    assert Lease(tmp_path).take()


def close_behind(path: Path) -> None:
    """Close this process's descriptors of a file, as if its storage were gone."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            if entry.readlink() == path:
                os.close(int(entry.name))


@pytest.mark.parametrize("damage", ["another's name", "removed", "closed"])
def test_a_lost_lead_is_noticed(tmp_path: Path, damage: str) -> None:
    """By a file system whose locks are no locks, by an admin's hand, by storage that is gone."""
    lease = Lease(tmp_path)
    assert lease.take()
    if damage == "another's name":
        lease.path.write_text("ctl2 77 0123\n\x1b[2J")
    elif damage == "removed":
        lease.path.unlink()
    else:
        close_behind(lease.path)
    with pytest.raises(LeadError, match="the lead is lost"):
        asyncio.run(lease.checked())


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSYS, "has no locks"), (errno.ENOLCK, "has no locks"), (errno.EIO, "cannot use")],
)
def test_a_file_system_without_locks_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def flock(_fd: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(LeadError, match=says) as raised:
        Lease(tmp_path).take()
    assert str(tmp_path / "lease") in str(raised.value)
    assert "paths.state_dir" in raised.value.hint
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_a_lease_that_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lease"
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    with pytest.raises(LeadError, match="lease"):
        Lease(tmp_path).take()


def test_storage_that_hangs_is_no_lead_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_het.daemon.lease.CHECK_SECONDS", 0.1)
    monkeypatch.setattr("slurm_het.daemon.lease.RELEASE_SECONDS", 0.1)
    thawed = threading.Event()
    lease = Lease(tmp_path)

    async def use() -> float:
        assert await lease.taken()
        monkeypatch.setattr(lease, "check", lambda: thawed.wait(20))
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(LeadError, match="did not answer"):
                await lease.checked()
        await lease.released()
        return time.monotonic() - began

    assert asyncio.run(use()) < 5
    thawed.set()


def test_a_state_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LeadError, match="file/lease"):
        Lease(tmp_path / "file").take()
