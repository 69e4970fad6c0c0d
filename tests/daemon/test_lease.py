"""The lead among several hetds: one at a time, handed on at its holder's end, its loss noticed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
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


def test_a_state_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LeadError, match="file/lease"):
        Lease(tmp_path / "file").take()
