"""hetd tells its watchdog that it lives: as long as no cycle hangs, whatever else still runs."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slurm_het.core.model import Snapshot
from slurm_het.daemon.notify import Watcher
from slurm_het.opener import OPENS, opens
from tests.support.daemons import PATIENCE, running_daemon, until
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import config_text

STUCK = 0.5  # seconds


class HangingSlurm(FakeSlurm):
    """A Slurm that gives no snapshot while it `hangs`, as if a directory server did not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0.0
        self.hangs = self.waited_for = False

    async def snapshot(self) -> Snapshot:
        while self.hangs:
            self.waited_for = True
            await asyncio.sleep(0.01)
        self.waited_for = False
        return await super().snapshot()


class Watchdog:
    """It wants a sign every 0.1 s."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def signs(self) -> int:
        """How many came since the last call."""
        count = 0
        while True:
            try:
                count += self.sock.recv(100) == b"WATCHDOG=1"
            except BlockingIOError:
                return count

    async def silent(self) -> bool:
        """Whether no sign comes any more once hetd counts as stuck."""
        await asyncio.sleep(STUCK + 0.2)
        self.signs()
        await asyncio.sleep(0.3)
        return self.signs() == 0


@pytest.fixture
def watchdog(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchdog]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(short_path / "notify"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(short_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        yield Watchdog(sock)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> HangingSlurm:
    """The Slurm of every hetd that is made."""
    made = HangingSlurm()
    monkeypatch.setattr("slurm_het.daemon.app.client_of", lambda _settings: made)
    monkeypatch.setattr("slurm_het.daemon.app.stuck_seconds", lambda _config: STUCK)
    return made


@pytest.fixture
def as_before() -> Iterator[None]:
    """hetd's event loop leaves no handler for SIGTERM; the tests have one."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@asynccontextmanager
async def hetd(path: Path, slurm: HangingSlurm, poll_seconds: float) -> AsyncIterator[None]:
    """A running hetd that looks that often; at its end Slurm answers again."""
    text = config_text(path).replace("poll_seconds: 5", f"poll_seconds: {poll_seconds}")
    (path / "het.yaml").write_text(text)
    async with running_daemon(path / "het.yaml"):
        try:
            yield
        finally:
            slurm.hangs = False


@pytest.mark.usefixtures("as_before")
def test_a_cycle_that_hangs_is_no_life(
    short_path: Path, watchdog: Watchdog, slurm: HangingSlurm
) -> None:
    """The event loop runs on, and plans nothing."""

    async def live() -> None:
        async with hetd(short_path, slurm, poll_seconds=0.05):
            await until(watchdog.signs)
            slurm.hangs = True
            await until(lambda: slurm.waited_for)
            assert await watchdog.silent()
            slurm.answered = time.monotonic()
            await until(watchdog.signs)  # many calls that are slow, each answered, are no hang
            assert await watchdog.silent()
            slurm.hangs = False
            await watchdog.silent()
            await until(watchdog.signs)  # it came to an end after all, and others after it

    asyncio.run(live())


@pytest.mark.usefixtures("as_before")
def test_what_users_ask_of_slurm_is_no_life_of_the_cycles(
    short_path: Path, watchdog: Watchdog, slurm: HangingSlurm
) -> None:
    """Their calls beside cycles that come no more do not feed the watchdog."""

    async def live() -> None:
        async with hetd(short_path, slurm, poll_seconds=30):
            await until(watchdog.signs)
            async with asyncio.timeout(PATIENCE):
                while not await watchdog.silent():
                    pass  # the gate is being closed
            slurm.answered = time.monotonic()
            assert await watchdog.silent()

    asyncio.run(live())


def test_a_supervisor_that_does_not_hear_or_is_older_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none.sock"))
    monkeypatch.setenv(OPENS, opens("accel", "scontrol", ""))
    assert Watcher(opens("accel2", "scontrol", "")).trouble == (
        "the supervisor has an older configuration (it opens accel by scontrol; het.yaml says"
        " accel2 by scontrol): restart it"
    )
    watcher = Watcher(opens("accel", "scontrol", ""))
    assert not watcher.trouble
    for _ in range(3):
        watcher.tell("WATCHDOG=1")
        assert "does not hear hetd (No such file" in watcher.trouble
    assert len(caplog.records) == 2, "each is said once"
    monkeypatch.delenv("NOTIFY_SOCKET")
    watcher.tell("WATCHDOG=1")
    assert not watcher.trouble
    monkeypatch.delenv(OPENS)
    assert not Watcher("accel by scontrol").trouble, "systemd reads het.yaml when it opens"
