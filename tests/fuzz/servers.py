"""hetd's hook and control servers on real sockets, asked with raw bytes and a deadline."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from typing import Any

from slurm_het.core.jobs.admission import admit_message
from slurm_het.daemon.control import Caller, ControlRequest, ControlServer
from slurm_het.daemon.hook_server import HookServer, answer
from tests.support import world
from tests.support.sockets import exchange, serving, short_dir


async def _handle(request: ControlRequest, caller: Caller) -> dict[str, Any]:
    return {"op": request.op, "admin": caller.admin}


class Servers:
    """Both servers, in a directory of their own."""

    def __init__(self) -> None:
        inventory, policy = world.inventory(), world.policy()
        self._stop = ExitStack()
        log = logging.getLogger("hetd")
        self._stop.callback(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL)  # a line per input is too many
        directory = self._stop.enter_context(short_dir())
        self._hook = HookServer(
            directory / "hook.sock",
            lambda body: answer(body, lambda sent: admit_message(sent, policy, inventory)),
        )
        self._control = ControlServer(directory / "control.sock", (), _handle)
        self._stop.enter_context(serving(self._hook, self._control))

    def close(self) -> None:
        """Stop both and remove their sockets."""
        self._stop.close()

    def ask_hook(self, data: bytes) -> bytes:
        """All that the hook's server answers to these bytes."""
        return exchange(self._hook.path, data)

    def ask_control(self, data: bytes) -> dict[str, Any] | None:
        """The same of the control socket; its answer is one line of JSON, or nothing."""
        reply = exchange(self._control.path, data)
        if not reply:
            return None
        assert reply.endswith(b"\n")
        assert reply.count(b"\n") == 1
        answer = json.loads(reply)
        assert isinstance(answer, dict)
        return answer
