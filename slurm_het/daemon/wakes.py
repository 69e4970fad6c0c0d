"""What wakes hetd between cycles: admissions, jobs that ended or were let go, orders, the slow
timer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from socket import SOCK_DGRAM, socket

from slurm_het.daemon.hook_process import KEEP_SECONDS
from slurm_het.daemon.peers import claim_socket, identity

# The hook asks before Slurm has made the job: look when it should be there, then again.
ADMISSION_WAKES = (0.15, 0.6)
# During a flood (more than FLOOD submissions while events settle) planning waits for a pause, at
# most FLOOD_SECONDS: cycles would take the CPUs from those who submit, and plan a few jobs at a
# time. (Slurm's own batch_sched_delay is 3 s for the same reason.)
FLOOD, FLOOD_SECONDS = 1, 2.0
# The jobs of a burst end one after the other: who ends first waits so long for those that follow,
# as one cycle more for them would take longer. Where a cycle takes long, no longer than this.
BURST_SECONDS = 0.2
MAX_SETTLE = 1.0
MAX_READ = 256  # datagrams read at once, and bytes of each


class Wakes:
    """Tells when to plan next. `settle_seconds` is for how long a burst of events settles."""

    def __init__(self, event_socket: Path, settle_seconds: float) -> None:
        self.path, self.settle_seconds = event_socket, settle_seconds
        self.stop = asyncio.Event()
        self.raced = False  # whether idle devices may be others' meanwhile: no flood is waited out
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._event = False  # a job ended, and its devices are idle; or one was let go
        self._socket: socket | None = None
        self._bound: tuple[int, int] | None = None
        self._wanted = False
        self._admissions = 0
        self._flood_until = 0.0
        self._looks: list[asyncio.TimerHandle] = []

    def listen(self) -> None:
        """Take events: jobs that ended, from EpilogSlurmctld, and jobs in the gate that were let
        go, from the hook. Only that they come matters."""
        self._wanted = True
        self._socket = sock = claim_socket(self.path, SOCK_DGRAM, 0o600)
        self._bound = identity(self.path)

        def readable() -> None:
            with contextlib.suppress(BlockingIOError):
                for _ in range(MAX_READ):
                    sock.recv(MAX_READ)
            self._event = True
            self.wake()

        asyncio.get_running_loop().add_reader(sock, readable)

    def lost(self) -> bool:
        """Whether nobody finds it any more: its socket was removed, or replaced."""
        return self._wanted and (self._socket is None or identity(self.path) != self._bound)

    def close(self) -> None:
        """Stop listening, and remove the socket."""
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            if not self.lost():
                self.path.unlink(missing_ok=True)
            self._socket = None

    def wake(self) -> None:
        """Something happened: plan soon."""
        self._wake.set()

    def begin(self) -> None:
        """A cycle begins: what happens from now on is for the next one."""
        self._wake.clear()
        self._urgent.clear()
        self._event = False

    def admitted(self, jobs: int, kept: bool, urgent: bool) -> None:
        """The hook sent jobs to the gate; `kept`: it gives the last reply itself for a while;
        `urgent`: somebody sits before a terminal, so nothing settles first."""
        loop = asyncio.get_running_loop()
        if not jobs:  # all have their nodes: hetd looks once it takes nothing from their start
            loop.call_later(ADMISSION_WAKES[-1], self.wake)
            return
        self._admissions += jobs
        if kept:
            self._flood_until = time.monotonic() + KEEP_SECONDS
        if urgent:  # no need to wait for the job: slurmctld makes it before it answers us
            self._urgent.set()
        self.wake()
        for look in self._looks:
            look.cancel()
        later = KEEP_SECONDS if kept else 0.0
        self._looks = [loop.call_later(later + delay, self.wake) for delay in ADMISSION_WAKES]

    async def wait(self, seconds: float, took: float) -> None:
        """Wait for an event, at most so long; then let a burst of events settle.

        The last cycle `took` so many seconds. The next one begins as long after it at the soonest:
        a flood of events takes half of our time at most.
        """
        until = time.monotonic() + min(took, MAX_SETTLE)
        stop = asyncio.create_task(self.stop.wait())
        wake = asyncio.create_task(self._wake.wait())
        await asyncio.wait({stop, wake}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        wake.cancel()
        if self._wake.is_set() and not self.stop.is_set():
            await self._settle(max(self.settle_seconds, min(took, BURST_SECONDS)))
            await asyncio.sleep(max(0.0, until - time.monotonic()))

    async def _settle(self, seconds: float) -> None:
        until, before = time.monotonic() + seconds + FLOOD_SECONDS, self._admissions
        await self._pause(seconds)
        while (
            (self._admissions - before > FLOOD or time.monotonic() < self._flood_until)
            and time.monotonic() < until
            and not self.stop.is_set()
            and not self._urgent.is_set()
            and not self._event
            and not self.raced
        ):
            before = self._admissions
            await self._pause(max(0.01, self.settle_seconds))

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until somebody before a terminal waits."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._urgent.wait(), seconds)
