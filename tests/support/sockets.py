"""hetd's sockets in tests: a directory for them, servers behind them, and a client of raw bytes."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

ANSWER_SECONDS = 5.0
"""Far more than an answer takes; a connection still open then hangs."""


class Server(Protocol):
    """What listens on an event loop, such as hetd's ControlServer and HookServer."""

    async def start(self) -> None:
        """Listen."""

    async def stop(self) -> None:
        """Stop listening."""


@contextmanager
def short_dir() -> Iterator[Path]:
    """A directory for a while; its sockets' paths are short enough, and munge's clients reach it.

    pytest's own directories are too deep for sockets, and other users may not enter them.
    """
    with tempfile.TemporaryDirectory(prefix="het-", ignore_cleanup_errors=True) as path:
        Path(path).chmod(0o755)
        yield Path(path)


@contextmanager
def serving(*servers: Server) -> Iterator[None]:
    """Servers that listen on an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        for server in servers:
            asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        yield
    finally:
        for server in servers:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def exchange(path: Path, data: bytes) -> bytes:
    """Send bytes to a socket, say that no more come; all that is answered."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(str(path))
        with suppress(OSError):  # refused before all of it was read
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        received = bytearray()
        with suppress(ConnectionResetError):
            while part := sock.recv(65536):
                received += part
                assert len(received) < 1 << 20
    return bytes(received)
