"""hetd's reader of exporters: a process of its own, so that no node and no sample costs hetd time.

hetd writes one line of settings to its standard input, and reads from its output frames (4 bytes of
length, then msgpack) of what is new. It ends when its input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import msgspec

from slurm_het.errors import HetError
from slurm_het.pipes import LENGTH
from slurm_het.telemetry import prometheus
from slurm_het.telemetry.http import get
from slurm_het.telemetry.report import MOST_STALE, HostReport, hear
from slurm_het.vendors import load_vendors

AT_ONCE = 128  # exporters that are asked at one time
MAX_REPORT = 4 << 20
LOOK_SECONDS = 600.0
FRAME_SECONDS = 0.25  # what comes within this time is told together


class Sources(msgspec.Struct, frozen=True):
    """Whom to ask, how often (seconds), and how long one may take: settings.TelemetrySettings."""

    exporters: dict[str, str]
    prometheus: str
    every: float
    deadline: float
    stale: float


class News(msgspec.Struct, frozen=True):
    """By node what it told, and as of when; or why it told nothing. '' is Prometheus itself.

    The times are of time.monotonic(), which all processes of a machine share.
    """

    reports: dict[str, tuple[float, HostReport]] = {}
    failures: dict[str, str] = {}


async def from_exporters(sources: Sources) -> AsyncIterator[News]:
    """Ask every node's exporter once; what comes soon after each other comes together."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(node: str, url: str) -> tuple[str, HostReport | str]:
        async with turns:
            try:
                answer = await get(url, sources.deadline, MAX_REPORT)
                return node, hear(answer.body)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is this node's alone
                return node, _why(error)

    asked = [asyncio.create_task(ask(node, url)) for node, url in sources.exporters.items()]
    told: list[tuple[str, HostReport | str]] = []
    since = time.monotonic()
    for next_one in asyncio.as_completed(asked):
        told.append(await next_one)
        if time.monotonic() - since > FRAME_SECONDS:
            yield _news(told)
            told, since = [], time.monotonic()
    yield _news(told)


def _why(error: Exception) -> str:
    """Why somebody's answer tells nothing. Nobody's answer may end the reader of all others."""
    known = isinstance(error, HetError | msgspec.MsgspecError | RecursionError)
    return str(error) if known else f"its answer cannot be read: {type(error).__name__}: {error}"


def _news(told: Iterable[tuple[str, HostReport | str]]) -> News:
    now = time.monotonic()
    reports = {node: (now - of.age, of) for node, of in told if isinstance(of, HostReport)}
    return News(reports, {node: why for node, why in told if isinstance(why, str)})


async def from_prometheus(sources: Sources, within: float = MOST_STALE) -> News:
    """Ask the Prometheus server once for what it has of the last `within` seconds."""
    try:
        read = prometheus.meanings(load_vendors().values())
        answer = await prometheus.ask(sources.prometheus, read, within, sources.deadline)
        return _news(prometheus.reports_of(answer, read, time.time()).items())
    except HetError as error:
        return News(failures={"": error.message})
    except Exception as error:  # noqa: BLE001  # the nodes' exporters are asked all the same
        return News(failures={"": _why(error)})


@dataclass
class LookBack:
    """Of how much time Prometheus is asked: of the last samples of those that are scraped most
    seldom, which is looked for once in a while."""

    stale: float
    seconds: float = MOST_STALE
    looked_at: float = float("-inf")

    def next(self, now: float) -> float:
        """The seconds to ask for."""
        if now >= self.looked_at + LOOK_SECONDS:
            self.seconds, self.looked_at = max(self.stale, MOST_STALE), now
        return self.seconds

    def heard(self, news: News) -> None:
        """What came of it. So much may have been too much for the server, or too late."""
        stale = (report.stale(self.stale) for _, report in news.reports.values())
        self.seconds = max(stale, default=self.stale)


async def sweep(sources: Sources, window: LookBack) -> AsyncIterator[News]:
    """Ask everybody once."""
    if sources.prometheus:
        news = await from_prometheus(sources, window.next(time.monotonic()))
        window.heard(news)
        yield news
    if sources.exporters:
        async for news in from_exporters(sources):
            yield news


async def run(sources: Sources) -> None:
    """Ask everybody again and again; tell on standard output."""
    window = LookBack(sources.stale)
    while True:
        began = time.monotonic()
        async for news in sweep(sources, window):
            payload = msgspec.msgpack.encode(news)
            await asyncio.to_thread(_write, LENGTH.pack(len(payload)) + payload)
        await asyncio.sleep(max(0.1, began + sources.every - time.monotonic()))


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


async def _until_told_to_end(sources: Sources) -> None:
    asking = asyncio.create_task(run(sources))

    def heard() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            asking.cancel()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), heard)
    with contextlib.suppress(asyncio.CancelledError, BrokenPipeError):
        await asking


def main() -> None:
    """The child's life; hetd's end ends it."""
    sources = msgspec.json.decode(_line(), type=Sources)
    asyncio.run(_until_told_to_end(sources))


def _line() -> bytes:
    told = b""  # unbuffered: what follows is for the loop
    while not told.endswith(b"\n"):
        some = os.read(sys.stdin.fileno(), 1 << 16)
        if not some:
            sys.exit(0)
        told += some
    return told


if __name__ == "__main__":
    main()
