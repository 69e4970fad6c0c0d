"""Answers the job-submit hook: classify one job, say what to rewrite. Never waits on Slurm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import SOCK_STREAM

from slurm_het import wire
from slurm_het.core.rewrite import Admission
from slurm_het.daemon.peers import claim_socket, peer_uid
from slurm_het.errors import HetError

log = logging.getLogger("hetd.hook")
READ_SECONDS = 1.0
MAX_CONNECTIONS = 64

Admit = Callable[[Mapping[str, str]], Admission]


class HookServer:
    """Serves one request per connection to root and to our own uid (slurmctld's)."""

    def __init__(self, path: Path, admit: Admit) -> None:
        self.path = path
        self.admit = admit
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        """Listen."""
        sock = claim_socket(self.path, SOCK_STREAM, 0o600)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=1 << 18)

    async def stop(self) -> None:
        """Stop listening and remove the socket, so that the hook fails at once, not late."""
        if self._server:
            self._server.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > MAX_CONNECTIONS or peer_uid(writer) not in {0, os.getuid()}:
                log.warning("refused a connection of uid %d", peer_uid(writer))
                return
            reply = await asyncio.wait_for(self._answer(reader), READ_SECONDS)
            writer.write(wire.encode(reply))
            await asyncio.wait_for(writer.drain(), READ_SECONDS)
        except (wire.WireError, TimeoutError, ConnectionError) as error:
            log.warning("a hook connection gave no request: %s", error or "timeout")
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, str]:
        request = await wire.read_frame(reader)
        if request.get("op") != "admit":
            return {"action": "pass", "why": f"unknown op {request.get('op', '')[:20]!r}"}
        try:
            admission = self.admit(request)
        except HetError as error:
            log.error("cannot classify a job of uid %s: %s", request.get("user_id"), error.message)
            return {"action": "pass", "why": error.message[:200]}
        return {"action": admission.action, "why": admission.why[:200], **admission.fields}
