"""Admission in a process of its own, so that planning never delays slurmctld.

Measured with planning in the same process: one hook call in a hundred of a burst of 200 took the
whole 50 ms deadline, waiting for Python's interpreter lock. The parent sends the inventory when
what it offers changes, and what each cycle leaves for interactive jobs; the child says when it is
ready and when it admitted a job. Either ends when the other does: no admission without a planner,
no planner without admission.

The hook keeps the reply to a request that comes again and again, for KEEP_SECONDS: asking took
2.5 % of a flood's CPU time, and slurmctld holds its locks meanwhile (`./dev bench submit`, 22.05).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import msgspec

from slurm_het.children import end_child
from slurm_het.config import load_config
from slurm_het.core.capacity import UNKNOWN, Capacity
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.admission import Admitted, Verdict
from slurm_het.core.jobs.modes import admit_by_mode
from slurm_het.core.jobs.trials import Trial, Trials
from slurm_het.core.model import Node
from slurm_het.core.planner.at_once import AtOnce, Openings
from slurm_het.core.reservations.closings import can_plan_inside
from slurm_het.daemon.hook_server import HookServer, answer
from slurm_het.daemon.last_words import last_words
from slurm_het.daemon.logs import set_up_logging
from slurm_het.daemon.trials import TrialKeeper
from slurm_het.errors import HetError
from slurm_het.settings import Config

log = logging.getLogger("hetd.hook")
LENGTH = struct.Struct(">I")
MAX_FRAME = 64 << 20
READY, ADMITTED, KEPT, URGENT, AT_ONCE = b"r", b"a", b"k", b"u", b"o"
START_SECONDS = 20.0
SEND_SECONDS = 1.0
REMEMBERED = 64
TELL_SECONDS = 0.02
REPEATS, APART = 4, 0.07
KEEP_SECONDS = 0.25
"""The hook gives a reply itself for so long, once its request has come REPEATS times, each at most
APART seconds after the one before. Whoever submits a few jobs a second is planned at once instead.
"""
FRESH_POLLS = 6
"""What no node can hold is refused only while hetd reads Slurm's nodes: for so many polls after."""
KEPT_BYTES = 16384
"""The longest request whose reply the hook keeps (MAX_KEPT_BYTES in het_transport.lua)."""
LATE_SECONDS = 2.0
"""A cycle that ends so long after it was due does not hang."""


class Offered(msgspec.Struct):
    """What the parent sends: what has changed, and the openings that the last cycle left."""

    inventory: Inventory | None = None
    capacity: Capacity | None = None
    openings: Openings | None = None
    trials: list[Trial] = []


def offer(inventory: Inventory) -> Inventory:
    """The part of an inventory that admission looks at: what exists, not how much or what is free.

    One node of each kind, so that 1,000 nodes are asked as fast as 10.
    """
    nodes: dict[tuple[object, ...], Node] = {}
    reservations = [
        replace(r, start=0.0, end=0.0) for r in inventory.reservations if can_plan_inside(r)
    ]
    holders: dict[str, set[str]] = {}
    for reservation in reservations:
        for name in reservation.nodes:
            holders.setdefault(name, set()).add(reservation.name)
    for node in inventory.nodes.values():
        devices = Counter(
            replace(
                d,
                node="",
                index=0,
                occupied_gib=0,
                holders=(),
                in_shares=False,
                excess_gib=0,
                trouble="",
            )
            for d in node.devices
        )
        held = frozenset(holders.get(node.name, ()))
        key = (node.partitions, node.features, node.has_shards, frozenset(devices.items()), held)
        if key not in nodes:
            nodes[key] = replace(
                node, usable=True, state="", cpus=0, cpus_free=0, memory_mib=0, memory_free_mib=0,
                idle=True, reason="", held_exclusively=False, promised_whole=False, reserved="",
                ailing=False,
                devices=tuple(sorted(devices.elements(), key=lambda d: (d.type, d.gres))),
            )  # fmt: skip
    chosen = {node.name: node for node in nodes.values()}
    trimmed = (replace(r, nodes=tuple(n for n in r.nodes if n in chosen)) for r in reservations)
    return Inventory(chosen, reservations=tuple(trimmed))


OnAdmit = Callable[[int, bool, bool], None]
"""Called with how many jobs went to the gate (0: those that came have their nodes already), and
whether any reply is `kept`, any job `urgent`."""


class HookChild:
    """The parent's end: starts the process, keeps its inventory fresh, hears of admissions."""

    def __init__(self, config: Config, on_admit: OnAdmit, on_exit: Callable[[], None]) -> None:
        self.config = config
        self.on_admit = on_admit
        self.on_exit = on_exit
        self.trials: TrialKeeper | None = None  # what it tells of how programs fared
        self.placed = 0  # so many interactive jobs did not wait in the gate
        self._process: asyncio.subprocess.Process | None = None
        self._sent = Offered()
        self._turn = asyncio.Lock()  # a new process must not take another's news for its own
        self._listener: asyncio.Task[None] | None = None

    async def start(self, inventory: Inventory, capacity: Capacity) -> None:
        """Start it, and wait until it listens. Raises HetError."""
        async with self._turn:
            await self._start(inventory, capacity)

    async def _start(self, inventory: Inventory, capacity: Capacity) -> None:
        self._sent = Offered()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "slurm_het.daemon.hook_process", str(self.config.source),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        await self._send(inventory, capacity, None)
        assert self._process.stdout  # noqa: S101 - asked for above
        try:
            said = await asyncio.wait_for(self._process.stdout.read(1), START_SECONDS)
        except TimeoutError:
            said = b""
        if said != READY:
            raise HetError("the hook's process did not start", "its reason stands above in the log")
        self._listener = asyncio.create_task(self._listen(self._process.stdout))

    @property
    def path(self) -> Path:
        """Where it is asked."""
        return self.config.paths.hook_socket

    async def again(self, inventory: Inventory, capacity: Capacity) -> None:
        """End it, however it hangs, and start another. Raises HetError."""
        async with self._turn:
            await self.stop()
            await self._start(inventory, capacity)

    async def update(
        self, inventory: Inventory, capacity: Capacity, openings: Openings | None = None
    ) -> None:
        """Send what changed of that, and that the rest still holds."""
        async with self._turn:
            await self._send(inventory, capacity, openings)

    async def _send(
        self, inventory: Inventory, capacity: Capacity, openings: Openings | None
    ) -> None:
        offered, sent = Offered(offer(inventory), capacity), self._sent
        stdin = self._process.stdin if self._process else None
        if stdin is None or stdin.transport.get_write_buffer_size():
            return  # it does not read: only the newest counts, and whoever looks after it sees that
        new = Offered(
            inventory=None if offered.inventory == sent.inventory else offered.inventory,
            capacity=None if capacity == sent.capacity else capacity,
            openings=openings,
            trials=self._trials(afresh=sent.inventory is None),
        )
        payload = msgspec.msgpack.encode(new)
        stdin.write(LENGTH.pack(len(payload)) + payload)
        with contextlib.suppress(ConnectionError, TimeoutError):  # its end is heard by _listen
            await asyncio.wait_for(stdin.drain(), SEND_SECONDS)
        self._sent = offered

    def _trials(self, *, afresh: bool) -> list[Trial]:
        if self.trials is None:
            return []
        return self.trials.afresh() if afresh else self.trials.news()

    async def stop(self) -> None:
        """End it: it removes its socket, so that the hook fails at once, not late."""
        if self._listener:
            self._listener.cancel()
        if self._process and self._process.stdin:
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), 2.0)
            except TimeoutError:
                await end_child(self._process)

    async def _listen(self, stdout: asyncio.StreamReader) -> None:
        while told := await stdout.read(4096):
            self.placed += told.count(AT_ONCE)
            self.on_admit(told.count(ADMITTED), KEPT in told, URGENT in told)
        log.error("the hook's process ended: hetd stops, the gate opens")
        self.on_exit()


class _Notice:
    """Tells the parent of admissions: of the first one at once, then at most every TELL_SECONDS.

    Telling wakes hetd, which then runs on the CPUs of those who submit.
    """

    def __init__(self) -> None:
        self._untold = b""
        self._due: asyncio.TimerHandle | None = None

    def admitted(self, kept: bool, urgent: bool) -> None:
        """One more; `kept`: the hook may admit others like it unasked; `urgent`: srun, salloc."""
        self._add(ADMITTED + (KEPT if kept else b"") + (URGENT if urgent else b""), urgent)

    def placed(self) -> None:
        """One more, which did not go to the gate."""
        self._add(AT_ONCE, True)

    def _add(self, notice: bytes, at_once: bool) -> None:
        self._untold += notice
        if not self._due or at_once:
            self._tell()

    def _tell(self) -> None:
        if self._due:
            self._due.cancel()
            self._due = None
        if not self._untold:
            return
        # Full: the parent is told already. Gone: this process ends soon, its answers are as good.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(1, self._untold)
        self._untold = b""
        self._due = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)


class Repeats:
    """Tells a flood of one request from other requests; it knows the last REMEMBERED ones."""

    def __init__(self) -> None:
        self._asked: dict[bytes, tuple[int, float]] = {}

    def again(self, body: bytes, now: float) -> bool:
        """Whether the request came REPEATS times or more, never long after the time before.

        `now` are seconds of any clock.
        """
        if len(body) > KEPT_BYTES:
            return False
        times, last = self._asked.pop(body, (0, now))
        # A kept reply's request comes only when that is used up.
        pause = APART + (KEEP_SECONDS if times >= REPEATS else 0.0)
        times = times + 1 if now - last <= pause else 1
        self._asked[body] = times, now
        if len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return times >= REPEATS


class Serving:
    """The child: the newest inventory, and the server."""

    def __init__(self, config: Config) -> None:
        self.config, self.policy = config, config.policy.planned
        self.server = HookServer(config.paths.hook_socket, self.answer)
        self.notice = _Notice()
        self.repeats = Repeats()
        self.at_once = AtOnce(self.policy, config.planner.poll_seconds + LATE_SECONDS)
        self.capacity, self.heard_at = UNKNOWN, 0.0
        self.trials = Trials()
        self.offered(Inventory({}))

    def heard(self, offered: Offered) -> None:
        """Take over what the parent sent."""
        self.heard_at = time.monotonic()
        self.at_once.openings = offered.openings
        self.capacity = self.capacity if offered.capacity is None else offered.capacity
        for trial in offered.trials:
            self.trials.put(trial)
        if offered.inventory or offered.capacity or offered.trials:
            self.offered(offered.inventory or self.inventory)

    def offered(self, inventory: Inventory) -> None:
        """Admit by this inventory from now on.

        Whoever submits much submits the same script again and again, and it is read once: the
        replies to the last REMEMBERED requests, of at most 256 KiB each, are kept.
        """
        self.inventory = self.at_once.known = inventory

        @lru_cache(maxsize=REMEMBERED)
        def remembered(body: bytes, keep_ms: int, known: bool) -> bytes:
            return answer(
                body, lambda sent: self._admission(sent, known), keep_ms, self.config.hook.tell
            )

        self._remembered = remembered

    def answer(self, body: bytes) -> bytes:
        """The reply's frame to a request's body. Raises WireError."""
        now = time.monotonic()
        interactive = b"&op=admit&" in body and b"&script=" not in body
        reply = b""
        if interactive and self.at_once.any_left(now):
            reply, placed = self._answer_at_once(body, now)
            if placed:
                self.notice.placed()
                return reply
        keep = self.repeats.again(body, now)
        if keep or not reply:
            keep_ms = round(KEEP_SECONDS * 1000) if keep else 0
            reply = self._remembered(body, keep_ms, self._known(now))
        admits = b"action=admit" in reply
        if admits:
            self.at_once.somebody_waits(now)
        self.notice.admitted(keep and admits, admits and interactive)
        return reply

    def _admission(self, sent: Mapping[str, str], known: bool) -> Verdict:
        """`known`: whether the nodes are."""
        capacity = self.capacity if known else UNKNOWN
        return admit_by_mode(sent, self.policy, self.inventory, capacity, self.trials)

    def _known(self, now: float) -> bool:
        """Whether the nodes are known: of what hetd last heard long ago nobody is refused."""
        return now - self.heard_at < FRESH_POLLS * self.config.planner.poll_seconds

    def _answer_at_once(self, body: bytes, now: float) -> tuple[bytes, bool]:
        """The reply, and whether it starts the job."""
        placed = False

        def admit(sent: Mapping[str, str]) -> Verdict:
            nonlocal placed
            made = self._admission(sent, self._known(now))
            there = self.at_once.place(sent, made, now) if isinstance(made, Admitted) else None
            placed = there is not None
            return there or made

        reply = answer(body, admit, tell=self.config.hook.tell)
        return reply, placed

    async def run(self) -> None:
        os.set_blocking(1, False)
        reader = asyncio.StreamReader(limit=1 << 20)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        decoder = msgspec.msgpack.Decoder(Offered)
        serving = False
        try:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                    if length > MAX_FRAME:
                        raise HetError(f"an inventory of {length} bytes is too large")
                    self.heard(decoder.decode(await reader.readexactly(length)))
                    if not serving:
                        serving = True
                        await self.server.start()
                        with contextlib.suppress(BrokenPipeError):  # hetd is gone, and we soon
                            os.write(1, READY)
        finally:
            await self.server.stop()


def main() -> None:
    """Serve until the parent is gone."""
    os.umask(0o077)
    set_up_logging()
    with last_words("hetd hook"):
        config = load_config(Path(sys.argv[1]))
        _ = config.policy.signs.patterns  # made ready now, and not while the first sbatch waits
        gc.freeze()  # what is here now stays: to look through it took 10 ms of one admission in 100
        asyncio.run(Serving(config).run())


if __name__ == "__main__":
    main()
