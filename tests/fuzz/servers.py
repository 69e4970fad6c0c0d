"""hetd's hook and control servers on real sockets, asked with raw bytes and a deadline."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

from slurm_het.core.jobs.admission import admit_message
from slurm_het.daemon.control import Caller, ControlRequest, ControlServer
from slurm_het.daemon.hook_server import HookServer, answer
from tests.support import world

ANSWER_SECONDS = 5.0
"""Far more than an answer takes; a connection still open then hangs."""


def _handle(request: ControlRequest, caller: Caller) -> dict[str, Any]:
    return {"op": request.op, "admin": caller.admin}


class Servers:
    """Both servers, on an event loop in a thread of its own."""

    def __init__(self) -> None:
        logging.getLogger("hetd").setLevel(logging.CRITICAL)  # a line per input is too many
        self.directory = Path(tempfile.mkdtemp(prefix="het-fuzz-"))
        inventory, policy = world.inventory(), world.policy()
        self._hook = HookServer(
            self.directory / "hook.sock",
            lambda body: answer(body, lambda sent: admit_message(sent, policy, inventory)),
        )
        self._control = ControlServer(self.directory / "control.sock", (), _handle)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        for server in (self._hook, self._control):
            asyncio.run_coroutine_threadsafe(server.start(), self._loop).result(10)

    def close(self) -> None:
        """Stop both and remove their sockets."""
        for server in (self._hook, self._control):
            asyncio.run_coroutine_threadsafe(server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def ask_hook(self, data: bytes) -> bytes:
        """Send bytes, say that no more come; all that is answered."""
        return _ask(self._hook.path, data)

    def ask_control(self, data: bytes) -> dict[str, Any] | None:
        """The same of the control socket; its answer is one line of JSON, or nothing."""
        reply = _ask(self._control.path, data)
        if not reply:
            return None
        assert reply.endswith(b"\n")
        assert reply.count(b"\n") == 1
        answer = json.loads(reply)
        assert isinstance(answer, dict)
        return answer


def _ask(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(str(path))
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # refused before all of it was read
        received = bytearray()
        while True:
            try:
                part = sock.recv(65536)
            except ConnectionResetError:
                return bytes(received)
            if not part:
                return bytes(received)
            received += part
            assert len(received) < 1 << 20
