"""slurm-het metrics: the cluster in numbers, for Prometheus."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import click

from slurm_het.cli.hetd_client import slurm_of
from slurm_het.cli.hetd_status import HetdStatus, ask_hetd
from slurm_het.cli.options import CONFIG
from slurm_het.cli.whole_file import write_whole
from slurm_het.config import load_config
from slurm_het.core.views.device_map import MapOptions, device_map
from slurm_het.core.views.job_rows import make_view
from slurm_het.core.views.metrics import (
    PREFIX,
    Family,
    HetdFacts,
    Samples,
    ShadowFacts,
    families,
    of_hetd,
)
from slurm_het.core.views.probes import ProbeOptions
from slurm_het.errors import HetError, LibraryError
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.records import memory_defaults
from slurm_het.telemetry.exporter import PROMETHEUS_CLIENT, address_of, serve

KEEP_SECONDS = 10.0
"""So long a reading of Slurm answers whoever scrapes: two servers cost as much as one."""


@click.command()
@CONFIG
@click.option(
    "--textfile", type=click.Path(path_type=Path, dir_okay=False),
    help="Write them here, whole or not at all: for node_exporter's textfile collector.",
)  # fmt: skip
@click.option(
    "--every", type=click.FloatRange(5, 3600),
    help="With --textfile: again and again, so many seconds apart.",
)  # fmt: skip
@click.option("--listen", metavar="ADDRESS:PORT", help="Answer Prometheus there, at /metrics.")
def metrics(
    config: Path | None, textfile: Path | None, every: float | None, listen: str | None
) -> None:
    """Print the cluster's devices, tasks, waits and gate as Prometheus reads them.

    It reads Slurm as het-squeue does, and hetd where that answers: run it on hetd's host, as a user
    who may see all jobs. docs/metrics.md has each name.

    \b
    Examples:
      slurm-het metrics
      slurm-het metrics --textfile /var/lib/prometheus/node-exporter/slurm_het.prom --every 30
      slurm-het metrics --listen 127.0.0.1:9789
    """
    if (textfile and listen) or (every and not textfile):
        raise click.UsageError("--every belongs to --textfile, and that excludes --listen")
    reader = _Exposer(load_config(config))
    if listen:
        _serve(reader, listen)
    elif textfile:
        _write_on(reader, textfile, every)
    else:
        click.echo(reader.text(), nl=False)


class _Exposer:
    """Reads Slurm and hetd at most once in KEEP_SECONDS; one who asks meanwhile waits for it."""

    def __init__(self, settings: Config) -> None:
        self.settings, self.slurm = settings, slurm_of(settings)
        self._turn = threading.Lock()
        self._known: tuple[float, bytes] = (float("-inf"), b"")

    def text(self) -> str:
        """The exposition, now."""
        return self.answer().decode()

    def answer(self) -> bytes:
        """The exposition, at most KEEP_SECONDS old."""
        with self._turn:
            if time.monotonic() - self._known[0] > KEEP_SECONDS:
                made = _exposition(asyncio.run(_families(self.settings, self.slurm)))
                self._known = (time.monotonic(), made)
            return self._known[1]


async def _families(settings: Config, slurm: CliSlurm) -> list[Family]:
    status = ask_hetd(settings.paths.control_socket)
    hetd = _facts(status)
    try:
        snapshot = status.with_devices(await slurm.snapshot())
        memory = memory_defaults(await slurm.configuration())
        view = make_view(snapshot, settings.policy, settings.planner.limits, status.memory)
        options = MapOptions(ProbeOptions(memory=memory, gate_open=view.intake == "UP"))
        found = list(families(view, device_map(view.prepared, options), hetd))
        slurm_says, version = 1.0, (await slurm.version()).text
    except HetError:
        found, slurm_says, version = list(of_hetd(hetd)), 0.0, ""
    build: Samples = {(package_version("slurm-het"), version): 1.0}
    return [
        *found,
        Family("slurm_answers", "1 if Slurm could be read.", (), {(): slurm_says}),
        Family("build_info", "What runs here.", ("version", "slurm"), build),
    ]


def _facts(status: HetdStatus) -> HetdFacts:
    if status.silence:
        return HetdFacts()
    told = status.shadow
    some = set(status.modes.values()) - {"plan"}
    shadow = ShadowFacts(told.pinned, told.cycle.time, told.cycle.seconds, told.outcomes)
    return HetdFacts(
        True, status.state, status.plans, len(status.troubles), status.cycle.time,
        status.cycle.seconds, status.pinned, status.accuracy, status.modes,
        shadow if some else None,
    )  # fmt: skip


def _exposition(found: Iterable[Family]) -> bytes:
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.core import GaugeMetricFamily, Metric
        from prometheus_client.registry import Collector
    except ImportError as error:
        raise LibraryError("slurm-het metrics", PROMETHEUS_CLIENT) from error

    class Gauges(Collector):
        def collect(self) -> Iterator[Metric]:
            for family in found:
                made = GaugeMetricFamily(PREFIX + family.name, family.text, labels=family.labels)
                for labels, value in sorted(family.samples.items()):
                    made.add_metric(labels, value)
                yield made

    registry = CollectorRegistry()
    registry.register(Gauges())
    return generate_latest(registry)


def _serve(reader: _Exposer, listen: str) -> None:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/metrics":
            start("404 Not Gauges", [("Content-Type", "text/plain")])
            return [b"/metrics\n"]
        start("200 OK", [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")])
        return [reader.answer()]

    server = serve(answer, *address_of(listen))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.5)


def _write_on(reader: _Exposer, path: Path, every: float | None) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while True:
        write_whole(path, reader.answer())
        if every is None or stop.wait(every):
            return
