"""The control socket: a JSON object per line in, one out. Who asks is the kernel's word."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from socket import SOCK_STREAM
from typing import Any

import msgspec

from slurm_het.daemon.peers import claim_socket, identity, peer_uid
from slurm_het.errors import HetError

log = logging.getLogger("hetd.control")
MAX_LINE = 65536
MAX_CONNECTIONS = 64
READ_SECONDS = 5.0
NAME_SECONDS = 2.0
NAMES_AT_ONCE = 2
MAX_SENDING = 64 << 20
"""Bytes of all answers that are under way."""
FOR_ADMINS = {
    "status": False, "devices": False, "history": False, "reasons": False, "ask": False,
    "learned": False, "records": False, "memory": True, "wake": True, "bypass": True,
}  # fmt: skip


class ControlRequest(msgspec.Struct):
    """What may be asked. `job` goes with history and ask, `words` with ask, `on` with bypass.

    `user` goes with learned: admins may name one, else it is of all.
    """

    op: str
    job: str = ""
    words: str = ""
    on: bool = False
    user: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; admins are root, our own uid (SlurmUser's) and the configured operators."""

    uid: int
    name: str
    admin: bool

    def speaks_for(self, user: str) -> str | None:
        """Of whom he is told what is for each of his own: an admin of `user`, or of all (None)."""
        return (user or None) if self.admin else self.name


Handler = Callable[[ControlRequest, Caller], Awaitable[dict[str, Any]]]


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


class ControlServer:
    """Serves `handler(request, caller)`, after seeing to it that the caller may ask that."""

    def __init__(self, path: Path, operators: tuple[str, ...], handler: Handler) -> None:
        self.path = path
        self.operators = operators
        self.handler = handler
        self._server: asyncio.Server | None = None
        self._open = self._sending = 0
        # Of its own: a directory server that hangs must not take the threads of the cycle.
        self._names = ThreadPoolExecutor(NAMES_AT_ONCE, "names")
        self._bound: tuple[int, int] | None = None

    async def start(self) -> None:
        """Listen."""
        sock = claim_socket(self.path, SOCK_STREAM, 0o666)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_LINE)
        self._bound = identity(self.path)

    def mark(self) -> None:
        """Leave on the socket that a cycle has ended: who finds it dead reads when that was."""
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def lost(self) -> bool:
        """Whether nobody finds it any more: its socket was removed, or replaced."""
        return self._server is not None and identity(self.path) != self._bound

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server:
            self._server.close()
            if not self.lost():
                self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > MAX_CONNECTIONS:
                return
            line = await asyncio.wait_for(reader.readline(), READ_SECONDS)
            caller = await self._caller(peer_uid(writer))
            answer = await self._answer(line, caller)
            await self._send(writer, msgspec.json.encode(answer) + b"\n")
        except (ValueError, TimeoutError, ConnectionError) as error:
            log.debug("a control connection gave no request: %s", error)
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _send(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        if self._sending + len(answer) > MAX_SENDING:  # who does not read them has them kept here
            answer = b'{"ok":false,"error":"too much to tell at once","hint":"try again"}\n'
        self._sending += len(answer)
        try:
            writer.write(answer)
            await asyncio.wait_for(writer.drain(), READ_SECONDS)
        finally:
            self._sending -= len(answer)

    async def _caller(self, uid: int) -> Caller:
        """Without a name where a directory server does not tell it in time."""
        looking = asyncio.get_running_loop().run_in_executor(self._names, _name_of, uid)
        try:
            name = await asyncio.wait_for(looking, NAME_SECONDS)
        except TimeoutError:
            name = ""
        return Caller(uid, name, uid in {0, os.getuid()} or name in self.operators)

    async def _answer(self, line: bytes, caller: Caller) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=ControlRequest)
        except (msgspec.DecodeError, RecursionError):
            return {"ok": False, "error": "not a request", "hint": 'send {"op": "status"}'}
        needs_admin = FOR_ADMINS.get(request.op)
        if needs_admin is None:
            valid = ", ".join(FOR_ADMINS)
            return {"ok": False, "error": f"no op {request.op[:40]!r}", "hint": f"valid: {valid}"}
        if needs_admin and not caller.admin:
            who = "root, SlurmUser and the configuration's operators"
            return {"ok": False, "error": f"{request.op} is for {who}", "hint": "use sudo"}
        try:
            return {"ok": True, **await self.handler(request, caller)}
        except HetError as error:
            return {"ok": False, "error": error.message, "hint": error.hint}
