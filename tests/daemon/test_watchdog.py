"""hetd tells its watchdog that it lives: as long as no cycle hangs, whatever else still runs."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_het.config import load_config
from slurm_het.daemon.app import Daemon
from tests.conftest import short_dir
from tests.support.world import config_text


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a watchdog that wants a sign every 0.1 s."""
    directory = short_dir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(directory / "notify"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(directory / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        yield sock
    (directory / "notify").unlink()
    directory.rmdir()


def signs(sock: socket.socket) -> int:
    """How many came since the last call."""
    count = 0
    while True:
        try:
            assert sock.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            return count
        count += 1


def test_a_cycle_that_hangs_is_no_life(
    tmp_path: Path, watchdog: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory server that never answers, say: the event loop runs on, and plans nothing."""
    (tmp_path / "het.yaml").write_text(config_text(tmp_path))
    monkeypatch.setattr("slurm_het.daemon.app.stuck_seconds", lambda _: 60.0)

    async def live() -> tuple[int, int, int]:
        daemon = Daemon(load_config(tmp_path / "het.yaml"))
        heartbeat = asyncio.create_task(daemon._heartbeat())
        await asyncio.sleep(0.6)
        alive = signs(watchdog)
        daemon._cycle_began = time.monotonic() - 61
        await asyncio.sleep(0.3)
        signs(watchdog)
        await asyncio.sleep(0.5)
        hanging = signs(watchdog)
        daemon._cycle_began = time.monotonic()  # it came to an end after all
        await asyncio.sleep(0.3)
        heartbeat.cancel()
        daemon.journal.close()
        return alive, hanging, signs(watchdog)

    alive, hanging, again = asyncio.run(live())
    assert alive > 0
    assert hanging == 0
    assert again > 0
