"""What devices say of themselves, beside the cycle: it takes what is there, and waits for nobody.

A child process asks the nodes. Here their answers are held against the last cycle's inventory; what
counts of them the next cycle puts into its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Protocol

import msgspec

from slurm_het.children import end_child
from slurm_het.core.cluster.ailing import Excesses, base_of, devices_of, what_ails_node
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.overruns import Use
from slurm_het.core.measured import OF_NODE, Measured
from slurm_het.core.model import Job
from slurm_het.core.syntax import hostlist
from slurm_het.errors import HetError
from slurm_het.pipes import LENGTH, MAX_FRAME
from slurm_het.settings import TelemetrySettings
from slurm_het.telemetry.reader import News, Sources
from slurm_het.telemetry.report import HostReport

log = logging.getLogger("hetd.telemetry")
RESTART_SECONDS = 5.0
BASE_SECONDS = 30.0
MOST_PEAKS = 50_000
Measurements = Mapping[str, tuple[Measured, ...]]
"""By node."""
NONE: Measurements = {}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The inventory that Slurm's records gave, and when (ticks) they were read."""

    inventory: Inventory
    ticks: float


class Devices(Protocol):
    """What a cycle takes of what devices say."""

    def measured(self) -> Measurements:
        """What counts, by node."""

    def uses(self) -> Iterable[Use]:
        """What jobs have of shared devices."""

    def peak_of(self, job: Job) -> int:
        """The most MiB of one device that a job was seen to take; 0: not known."""


class Silent:
    """Devices that say nothing."""

    def measured(self) -> Measurements:
        """Nothing."""
        return NONE

    def uses(self) -> Iterable[Use]:
        """None."""
        return ()

    def peak_of(self, _job: Job) -> int:
        """Not known."""
        return 0


class Telemetry:
    """The latest of every node. `recorded` gives the last cycle's inventory; `wake` is called where
    what counts has changed, for another cycle."""

    def __init__(
        self,
        settings: TelemetrySettings,
        recorded: Callable[[], Recorded],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recorded, self.ticks = recorded, ticks
        self.wake: Callable[[], None] = lambda: None
        self.reader: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.begin(settings)

    def begin(self, settings: TelemetrySettings) -> None:
        """Know nothing yet."""
        self.settings = settings
        self.heard: dict[str, tuple[float, HostReport]] = {}
        self.failures: dict[str, str] = {}
        self.peaks: dict[tuple[int, int, str], int] = {}  # MiB, by job id, user and node
        self._counts: dict[str, tuple[Measured, ...]] = {}
        self._told: dict[str, dict[tuple[int, str], int]] = {}  # the GiB of what ailed, by node
        self._excesses = Excesses(settings.tolerance_gib, settings.steady_seconds)
        self._based = float("-inf")

    def start(self) -> None:
        """Have the nodes asked, if there is anybody to ask."""
        if self.settings.on:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ask nobody any more."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def use(self, settings: TelemetrySettings) -> None:
        """Ask by these settings from now on."""
        if settings != self.settings:
            await self.stop()
            self.begin(settings)
            self.start()

    def measured(self) -> Measurements:
        """By node, what its devices say and what counts of it; nodes that are silent are left out.

        Slurm's records alone count for those.
        """
        if not self._counts:
            return NONE
        for name in [name for name, heard in self.heard.items() if not self._fresh(*heard)]:
            self._forget(name)
        return dict(self._counts)

    def peak_of(self, job: Job) -> int:
        """The most MiB that a job was seen to take of one device; 0: not known."""
        nodes = hostlist.expand_readable(job.nodes)
        return max((self.peaks.get((job.id, job.uid, node), 0) for node in nodes), default=0)

    def uses(self) -> Iterator[Use]:
        """What jobs have of devices that are shared, where that is told."""
        inventory = self.recorded().inventory
        for name, (taken, report) in self.heard.items():
            node = inventory.nodes.get(name)
            if not report.jobs or not node or not any(d.in_shares for d in node.devices):
                continue
            index_of = {(s.place, s.vendor): d.index for s, d in devices_of(report.devices, node)}
            for use in report.jobs:
                if (index := index_of.get((use.place, use.vendor))) is not None:
                    yield Use(name, index, use.job, use.uid, use.used_mib, taken)

    @property
    def trouble(self) -> str:
        """What is wrong with the sources as a whole; '' if some node is heard."""
        if not self.settings.on or self._counts or not self.failures:
            return ""
        name, why = next(iter(self.failures.items()))
        return f"no device is heard of ({name or 'Prometheus'}: {why}): Slurm's records alone count"

    def status(self) -> dict[str, object]:
        """How many nodes are heard, and why others are not."""
        silent = {n: why for n, why in self.failures.items() if n not in self._counts}
        return {"on": self.settings.on, "heard": len(self._counts), "silent": silent}

    def told(self) -> dict[str, object]:
        """What counts, for the control socket: a row per device, as Measured has it."""
        rows = {name: [astuple(m) for m in those] for name, those in self.measured().items()}
        return {"devices": rows}

    def hear(self, news: News) -> None:
        """Take over what is new, and see what counts of it."""
        for name, why in news.failures.items():
            if name not in self.failures:
                log.warning("no word of %s's devices: %s", name or "Prometheus", why)
            self.failures[name] = why
        if news.reports:
            self.failures.pop("", None)
        recorded = self.recorded()
        self._base(recorded.inventory)
        for name, (taken, report) in news.reports.items():
            self.failures.pop(name, None)
            if self._fresh(taken, report):
                self.heard[name] = taken, report
                self._note_peaks(name, report)
                self._look(name, recorded)
        changed = [name for name in news.reports if self._has_changed(name)]
        if changed:
            self.wake()

    def _has_changed(self, name: str) -> bool:
        """Whether what ails a node's devices is another than was told last; the log tells of it.

        What a stranger has goes up and down by a GiB: that is no news.
        """
        was, counts = self._told.get(name, {}), self._counts.get(name, ())
        now = {(m.index, m.trouble): m.excess_gib for m in counts if m.ails}
        far = {OF_NODE: self.settings.tolerance_gib * sum(m.of_node for m in counts)}
        news = {
            key
            for key in now.keys() & was.keys()
            if abs(now[key] - was[key]) > far.get(key[0], self.settings.tolerance_gib)
        }
        if not (news := news | (now.keys() ^ was.keys())):
            return False
        near = {key: was[key] for key in was.keys() - news}
        self._told[name] = now | near
        indexes = {index for index, _ in news}
        for measured in counts:
            if not measured.of_node and measured.index in indexes:
                log.warning("%s:%d %s", name, measured.index, told(measured))
        if OF_NODE in indexes and (said := what_ails_node(counts)):
            log.warning("%s: %s", name, said)
        return indexes != {OF_NODE}  # that closes nothing

    def _fresh(self, taken: float, report: HostReport) -> bool:
        return taken >= self.ticks() - report.stale(self.settings.stale_seconds)

    def _look(self, name: str, recorded: Recorded) -> None:
        taken, report = self.heard[name]
        if node := recorded.inventory.nodes.get(name):
            self._counts[name] = self._excesses.see(node, report.devices, taken, recorded.ticks)

    def _note_peaks(self, node: str, report: HostReport) -> None:
        for use in report.jobs:
            key = use.job, use.uid, node  # of others' jobs a node says what it likes
            self.peaks[key] = max(use.used_mib, self.peaks.pop(key, 0))  # the newest are the last
        while len(self.peaks) > MOST_PEAKS:
            del self.peaks[next(iter(self.peaks))]

    def _base(self, inventory: Inventory) -> None:
        """What idle devices have in use for themselves, once in a while: it does not change."""
        if self.ticks() < self._based + BASE_SECONDS and self._excesses.base_mib:
            return
        self._based = self.ticks()
        seen = (
            both
            for name, (_, report) in self.heard.items()
            if name in inventory.nodes
            for both in devices_of(report.devices, inventory.nodes[name])
        )
        self._excesses.base_mib = base_of(seen)

    def _forget(self, name: str) -> None:
        self.heard.pop(name)
        self._counts.pop(name, None)
        self._told.pop(name, None)
        self._excesses.forget(name)

    async def _run(self) -> None:
        while True:
            try:
                await self._ask()
            except (OSError, HetError, msgspec.MsgspecError, asyncio.IncompleteReadError) as error:
                log.warning("the reader of exporters ended: %s; another is started", error)
            await asyncio.sleep(RESTART_SECONDS)

    async def _ask(self) -> None:
        """Start a reader, and hear it to its end."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "slurm_het.telemetry.reader",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.reader = child
        try:
            if child.stdin is None or child.stdout is None:
                raise HetError("the reader has no pipes")
            child.stdin.write(msgspec.json.encode(sources_of(self.settings)) + b"\n")
            await child.stdin.drain()
            while True:
                (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
                if length > MAX_FRAME:
                    raise HetError(f"a frame of {length} bytes is too long")
                frame = await child.stdout.readexactly(length)
                self.hear(msgspec.msgpack.decode(frame, type=News))
        finally:
            await end_child(child)


def sources_of(settings: TelemetrySettings) -> Sources:
    """Whom the reader is to ask. Raises HetError for a host list that is none."""
    exporters = {
        name: address_of(url, name)
        for names, url in settings.exporters.items()
        for name in hostlist.expand(names)
    }
    return Sources(
        exporters, settings.prometheus, settings.every_seconds, settings.deadline_seconds,
        settings.stale_seconds,
    )  # fmt: skip


def address_of(url: str, node: str) -> str:
    """Where a node's exporter tells of its devices."""
    url = url.replace("{node}", node)
    return f"{url if '://' in url else f'http://{url}'}/devices"


def told(measured: Measured) -> str:
    """What ails a device, in words."""
    if measured.trouble:
        return f"must not be used: {measured.trouble}"
    if not measured.ails:
        return "is well again"
    if measured.used_gib is None:  # it may be any of those that are so full
        return f"has {measured.excess_gib} GiB at least in use beyond what Slurm gave away"
    beyond = f"{measured.excess_gib} of them beyond what Slurm gave away"
    return f"has {measured.used_gib} GiB in use, {beyond}"
