"""het-exporter: tells Prometheus and hetd what the devices of this host say of themselves.

It reads devices, and needs no other right. /metrics is for Prometheus, /devices for hetd.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click
import msgspec

from slurm_het.errors import LACKING, HetError, LibraryError
from slurm_het.telemetry.host import Host
from slurm_het.telemetry.host_watch import HostReading, HostWatch, ReadDevices
from slurm_het.telemetry.replay import Replay
from slurm_het.telemetry.slurm_order import COMMAND, SlurmOrder
from slurm_het.vendors import load_vendors

PORT = 9788
PROMETHEUS_CLIENT = "prometheus-client>=0.19"
HANDLER_SECONDS = 10.0  # whoever asks and then says nothing keeps a thread so long
HANDLERS = 16
"""Who asks beyond these has the oldest connection closed: it says nothing, most likely."""
PATIENCE = 1  # a driver that is late once is no news; the host may be busy
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Handler(WSGIRequestHandler):
    timeout = HANDLER_SECONDS

    def log_message(self, *_arguments: object) -> None:
        """A line for each request is of no use to anybody."""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers the newest. Idle connections leave processes enough to read the devices."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self._open: dict[Any, None] = {}
        self._running, self._lock = 0, threading.Lock()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, as long as those that were told to end are not too many."""
        with self._lock:
            if len(self._open) >= HANDLERS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            if self._running >= 2 * HANDLERS:
                self.shutdown_request(request)
                return
            self._open[request] = None
            self._running += 1
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._ended(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, in the thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._ended(request)

    def _ended(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
            self._running -= 1

    def handle_error(self, *_arguments: object) -> None:
        """Who hangs up amid his answer is of no interest to anybody."""


def application(watch: HostWatch) -> WsgiApp:
    """What answers requests. Raises LibraryError where prometheus-client is not installed."""
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app
    except ImportError as error:
        raise LibraryError("het-exporter", PROMETHEUS_CLIENT) from error
    from slurm_het.telemetry.metrics import DeviceCollector

    registry = CollectorRegistry()
    registry.register(DeviceCollector(watch))
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/devices":
            told: Iterable[bytes] = metrics(environ, start)
            return told
        start("200 OK", [("Content-Type", "application/json")])
        return [msgspec.json.encode(watch.report())]

    return answer


def serve(answer: WsgiApp, address: str, port: int) -> WSGIServer:
    """A server that listens; `serve_forever` answers. Raises HetError."""
    try:
        return make_server(address, port, answer, _Server, _Handler)
    except OSError as error:
        raise HetError(f"cannot listen at {address}:{port}: {error.strerror}") from error


def reader_of(replay: Path | None, slurm_order: str) -> ReadDevices:
    """What reads the devices: a recording, or the probes of this host."""
    if replay:
        return Replay(replay).read
    host, order = Host(load_vendors(), patience=PATIENCE), SlurmOrder(slurm_order)

    def read(seconds: float) -> HostReading:
        devices = host.read(seconds)
        return HostReading(devices, places=tuple(order.places(devices)))

    return read


def address_of(text: str) -> tuple[str, int]:
    """ADDRESS:PORT of an option. Raises BadParameter."""
    address, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{text} is no ADDRESS:PORT", param_hint="--listen")
    return address.strip("[]"), int(port)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--listen", default=f"127.0.0.1:{PORT}", show_default=True,
    help="ADDRESS:PORT; `:9788` is every address of this host.",
)  # fmt: skip
@click.option("--every", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True,
              help="Read the devices so often (seconds).")  # fmt: skip
@click.option("--deadline", type=click.FloatRange(0.1, 600), default=5.0, show_default=True,
              help="A driver may take so long (seconds).")  # fmt: skip
@click.option("--slurm-order", metavar="COMMAND", default=COMMAND, show_default=True,
              help="Prints Slurm's devices in Slurm's order, as slurmd does.")  # fmt: skip
@click.option("--replay", type=click.Path(path_type=Path),
              help="Read a file of readings in place of the drivers.")  # fmt: skip
def main(listen: str, every: float, deadline: float, slurm_order: str, replay: Path | None) -> None:
    """Tell Prometheus and hetd what this host's devices say of themselves.

    \b
    Example:
      het-exporter --listen :9788
    """
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    watch = HostWatch(reader_of(replay, slurm_order), every, deadline)
    try:
        server = serve(application(watch), *address_of(listen))
    except LibraryError as error:
        click.echo(f"het-exporter: {error}", err=True)
        sys.exit(LACKING)
    except HetError as error:
        sys.exit(f"het-exporter: {error}")
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    watch.start()
    server.serve_forever(poll_interval=0.5)


if __name__ == "__main__":
    main()
