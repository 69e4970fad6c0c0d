"""The client of hetd's control socket: one JSON line out, one JSON line back, in bounded time."""

from __future__ import annotations

import json
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from slurm_het.errors import HetError, SilenceError
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.shared_records import Shared, unpacked

MAX_REQUEST = 64 << 10
MAX_REPLY = 16 << 20
RECORDS_SECONDS = 1.0
_HINT = "is hetd running? systemctl status hetd, or in a sandbox: slurm-het sandbox status"
_NO_SOCKET = "hetd answers on its controller host only; is this it, and does hetd run there?"


class _Records(msgspec.Struct):
    records: bytes


def call(socket_path: Path, request: dict[str, Any], timeout: float = 2.0) -> dict[str, Any]:
    """Ask hetd, and return its reply. `timeout` (seconds) bounds the whole exchange.

    Raises SilenceError when it does not answer or answers what is no reply, HetError when it
    refuses.
    """
    return _reply(_ask(socket_path, request, timeout), socket_path)


def ask_records(socket_path: Path) -> list[Shared]:
    """The records of jobs, as far as hetd tells them; Slurm's programs have them too."""
    try:
        raw = _ask(socket_path, {"op": "records"}, RECORDS_SECONDS)
        return unpacked(msgspec.json.decode(raw, type=_Records).records)
    except (HetError, ValueError):
        return []


def slurm_of(settings: Config) -> CliSlurm:
    """Slurm for who looks at the queue: he begins with what hetd knows of the jobs."""
    slurm = CliSlurm(settings.slurm)
    slurm.jobs.elsewhere = partial(ask_records, settings.paths.control_socket)
    return slurm


def _ask(path: Path, request: dict[str, Any], timeout: float) -> bytes:
    """hetd's line. Raises SilenceError, HetError for too long a request."""
    line = json.dumps(request).encode() + b"\n"
    if len(line) > MAX_REQUEST:
        raise HetError(f"a request of {len(line)} bytes", f"at most {MAX_REQUEST}")
    try:
        return _exchange(path, line, time.monotonic() + timeout)
    except OSError as error:  # TimeoutError too
        why = error.strerror or "no answer in time"
        hint = _NO_SOCKET if isinstance(error, FileNotFoundError) else _HINT
        raise SilenceError(f"hetd is not answering (socket {path}: {why})", hint) from error


def _exchange(path: Path, line: bytes, deadline: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_left(deadline))
        sock.connect(str(path))
        sock.sendall(line)
        received = bytearray()
        while b"\n" not in received[-65536:]:
            sock.settimeout(_left(deadline))
            part = sock.recv(65536)
            received += part
            if not part or len(received) > MAX_REPLY:
                break
    return bytes(received)


def _left(deadline: float) -> float:
    """Seconds until the deadline; settimeout(0) would mean not to wait at all, so never 0."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reply(raw: bytes, path: Path) -> dict[str, Any]:
    line, end, _ = raw.partition(b"\n")
    try:
        reply = json.loads(line) if end else None
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        what = f"{len(raw)} bytes that are no reply" if raw else "nothing"
        raise SilenceError(f"hetd answered {what} (socket {path})", _HINT)
    if reply.get("ok") is not True:
        error = str(reply.get("error") or "it gave no reason")
        raise HetError(f"hetd refused: {error[:500]}", str(reply.get("hint") or "")[:500])
    return reply
