"""What of others' is taken into memory is bounded: requests, connections, what programs print."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from slurm_het import wire
from slurm_het.daemon.control import (
    MAX_CONNECTIONS,
    MAX_LINE,
    Caller,
    ControlRequest,
    ControlServer,
)
from slurm_het.daemon.hook_server import MAX_CONNECTIONS as HOOK_CONNECTIONS
from slurm_het.daemon.hook_server import HookServer, answer
from slurm_het.errors import HetError, TooMuchError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.programs import Given
from tests.support.sockets import ANSWER_SECONDS, exchange, serving

MOST = 1 << 20


def refuses(_request: object) -> Any:
    """Nothing is admitted here."""
    raise HetError("not here", "")


async def granted(_request: ControlRequest, _who: Caller) -> dict[str, Any]:
    """A handler that grants everything."""
    return {}


def test_a_request_of_the_hook_has_at_most_so_many_bytes(short_path: Path) -> None:
    path = short_path / "hook.sock"
    with serving(HookServer(path, lambda body: answer(body, refuses))):
        assert b"it listens" in exchange(path, wire.encode({"op": "ping"}))
        assert exchange(path, f"{wire.MAX_REQUEST + 1:08x}".encode()) == b"", "its length is enough"


def test_a_line_of_the_control_socket_has_at_most_so_many_bytes(short_path: Path) -> None:
    path = short_path / "control.sock"
    with serving(ControlServer(path, (), granted)):
        assert exchange(path, b'{"op": "status"}\n') == b'{"ok":true}\n'
        assert exchange(path, b" " * (2 * MAX_LINE) + b"\n") == b""


@pytest.mark.parametrize("which", ["hook", "control"])
def test_so_many_connections_are_served_at_once(short_path: Path, which: str) -> None:
    path = short_path / f"{which}.sock"
    hook = HookServer(path, lambda body: answer(body, refuses))
    server = hook if which == "hook" else ControlServer(path, (), granted)
    most = HOOK_CONNECTIONS if which == "hook" else MAX_CONNECTIONS
    with serving(server):
        with ExitStack() as held:
            lines = [held.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(most + 1)]
            for line in lines:
                line.settimeout(ANSWER_SECONDS)
                line.connect(str(path))
            assert lines[-1].recv(1) == b"", "it is closed at once"
        for _ in range(100):
            if exchange(path, wire.encode({"op": "ping"}) + b"\n"):
                break
            time.sleep(0.05)
        else:
            pytest.fail("the others are served once these are gone")


def test_a_program_that_prints_without_end_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "squeue").write_text("#!/bin/sh\nexec yes\n")
    (tmp_path / "squeue").chmod(0o755)
    slurm = CliSlurm(SlurmSettings(bin_dir=tmp_path, timeout_seconds=20.0))
    with pytest.raises(TooMuchError, match=f"printed more than {MOST} bytes"):
        asyncio.run(slurm.programs.run("squeue", given=Given(most=MOST)))
    assert Given().most == 1 << 30
