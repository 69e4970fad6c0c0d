"""Answers the job-submit hook: classify one job, say what to rewrite. Never waits on Slurm.

On bare sockets: asyncio's own server makes a transport and a task for each connection, which took
twice the time of this, with slurmctld waiting and its submitters on the same CPUs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from slurm_het import wire
from slurm_het.core.jobs.admission import Passed, Refused, Verdict
from slurm_het.core.jobs.told import Tell, told
from slurm_het.core.reasons import waits_in_the_gate
from slurm_het.daemon.peers import claim_socket, uid_behind
from slurm_het.errors import HetError

log = logging.getLogger("hetd.hook")
CONNECTION_SECONDS = 2.0
PAUSE_SECONDS = 1.0
MAX_CONNECTIONS = 64
CHUNK = 1 << 16
MAX_WHY = 200
"""The hook is told so many characters of a reason, for slurmctld's log."""

Admit = Callable[[Mapping[str, str]], Verdict]


def answer(body: bytes, admit: Admit, keep_ms: int = 0, tell: Tell = "problems") -> bytes:
    """The reply's frame to a request's body, which counts for `keep_ms`. Raises WireError."""
    request = wire.decode(body)
    if request.get("op") == "ping":  # hetd asks whether it is heard here
        return wire.encode({"action": "pass", "why": "it listens"})
    if request.get("op") not in ("admit", "judge"):
        return wire.encode({"action": "pass", "why": f"unknown op {request.get('op', '')[:20]!r}"})
    try:
        admission = admit(request)
    except HetError as error:
        log.error("cannot classify a job of uid %s: %s", request.get("user_id"), error.message)
        return wire.encode({"action": "pass", "why": error.message[:MAX_WHY]})
    reply = {"keep_ms": str(keep_ms)} if keep_ms else {}
    if isinstance(admission, Refused):
        said = {"why": str(admission.why)[:MAX_WHY], "user_msg": str(admission.why)}
        return wire.encode(reply | {"action": "reject", "errno": str(admission.why.errno)} | said)
    lines = list(told(admission, tell))
    if isinstance(admission, Passed):
        said = {"user_msg": "\n".join(lines)} if lines else {}
        goes = {"action": "admit", "partition": admission.partition}
        said |= goes if admission.partition else {"action": "pass"}
        return wire.encode(reply | {"why": str(admission.why)[:MAX_WHY]} | said)
    reply |= {"action": "admit", "why": admission.why[:MAX_WHY], **admission.fields}
    # srun and salloc that have to wait print what Slurm says of the partition.
    if "script" not in request and "req_nodes" not in admission.fields:
        lines.append(waits_in_the_gate(admission.fields["partition"]))
    if lines:
        reply["user_msg"] = "\n".join(lines)
    return wire.encode(reply)


class HookServer:
    """Serves one request per connection to root and to our own uid (slurmctld's)."""

    def __init__(self, path: Path, answer: Callable[[bytes], bytes]) -> None:
        self.path = path
        self.answer = answer
        self.open: set[_Connection] = set()
        self._listener: socket.socket | None = None

    async def start(self) -> None:
        """Listen."""
        self._listener = claim_socket(self.path, socket.SOCK_STREAM, 0o600)
        self._listener.listen(128)
        self._listen()

    async def stop(self) -> None:
        """Stop listening and remove the socket, so that the hook fails at once, not late."""
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self.path.unlink(missing_ok=True)
        for connection in tuple(self.open):
            connection.close()

    def _listen(self) -> None:
        if self._listener:
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return  # it is gone again
        except OSError as error:  # such as no file left: it would be readable all the time
            log.error("cannot accept connections: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(PAUSE_SECONDS, self._listen)
            return
        uid = uid_behind(sock)
        if len(self.open) >= MAX_CONNECTIONS or uid not in {0, os.getuid()}:
            log.warning("refused a connection of uid %d", uid)
            sock.close()
            return
        _Connection(self, sock)


class _Connection:
    """One request and its reply; closed when that is done, or after CONNECTION_SECONDS."""

    def __init__(self, server: HookServer, sock: socket.socket) -> None:
        self.server, self.sock = server, sock
        self.received = bytearray()
        sock.setblocking(False)
        self.timer: asyncio.TimerHandle | None = None
        server.open.add(self)
        self._readable()  # most often all of it is there

    def close(self) -> None:
        """Forget it."""
        if self.timer:
            asyncio.get_running_loop().remove_reader(self.sock)
            self.timer.cancel()
        self.sock.close()
        self.server.open.discard(self)

    def _wait(self) -> None:
        if not self.timer:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(CONNECTION_SECONDS, self._fail, "timeout")
            loop.add_reader(self.sock, self._readable)

    def _readable(self) -> None:
        try:
            data = self.sock.recv(CHUNK)
            self.received += data
            body = wire.take_body(self.received)
        except BlockingIOError:
            self._wait()
            return
        except (OSError, wire.WireError) as error:
            self._fail(str(error))
            return
        if body is not None:
            try:
                self._reply(self.server.answer(body))
            except wire.WireError as error:
                _warn(str(error))
            finally:
                self.close()
        elif data:
            self._wait()
        else:
            self._fail("it ended early")

    def _reply(self, frame: bytes) -> None:
        try:  # a fresh socket takes it all, and who does not read it is not waited for
            sent = self.sock.send(frame)
        except OSError as error:
            log.warning("a hook connection took no reply: %s", error)
        else:
            if sent < len(frame):
                log.warning("a hook connection took %d bytes of %d", sent, len(frame))

    def _fail(self, why: str) -> None:
        _warn(why)
        self.close()


def _warn(why: str) -> None:
    log.warning("a hook connection gave no request: %s", why)
