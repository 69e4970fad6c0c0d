"""The control socket: a JSON object per line in, one out. `status` for all, the rest for admins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from socket import SOCK_STREAM
from typing import Any

from slurm_het.daemon.peers import claim_socket, peer_uid

log = logging.getLogger("hetd.control")
MAX_LINE = 65536
READ_SECONDS = 5.0
OPS = ("status", "wake")

Handler = Callable[[str, bool], dict[str, Any]]


class ControlServer:
    """Serves `handler(op, is_admin)`; admins are root and our own uid."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self.path = path
        self.handler = handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        sock = claim_socket(self.path, SOCK_STREAM, 0o666)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_LINE)

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server:
            self._server.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), READ_SECONDS)
            reply = self._answer(line, admin=peer_uid(writer) in {0, os.getuid()})
            writer.write(json.dumps(reply).encode() + b"\n")
            await asyncio.wait_for(writer.drain(), READ_SECONDS)
        except (ValueError, TimeoutError, ConnectionError) as error:
            log.debug("a control connection gave no request: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def _answer(self, line: bytes, *, admin: bool) -> dict[str, Any]:
        try:
            request = json.loads(line)
            op = str(request["op"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"ok": False, "error": "not a request", "hint": 'send {"op": "status"}'}
        if op not in OPS:
            return {"ok": False, "error": f"no op {op[:40]!r}", "hint": f"valid: {', '.join(OPS)}"}
        if op != "status" and not admin:
            return {"ok": False, "error": f"{op} is for root and SlurmUser", "hint": "use sudo"}
        return {"ok": True, **self.handler(op, admin)}
