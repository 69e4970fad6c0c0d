"""The real hook process, driven as hetd drives it."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from slurm_het import wire
from slurm_het.daemon.hook_process import offer
from tests.conftest import short_dir
from tests.world import config_text, inventory

REQUEST = {"op": "admit", "user_id": "1000", "tres_per_node": "gpu:1", "script": "#!/bin/sh\n"}


@pytest.fixture
def run_dir() -> Iterator[Path]:
    path = short_dir()
    yield path
    shutil.rmtree(path)


def ask(path: Path) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(wire.encode(REQUEST))
        received = b""
        while (reply := wire.take_frame(received)) is None:
            data = sock.recv(65536)
            assert data, "closed without a reply"
            received += data
        return reply


def test_it_answers_while_its_parent_is_gone(run_dir: Path) -> None:
    """Between the end of a hetd that was killed and its own it is still asked."""
    config = run_dir / "het.yaml"
    config.write_text(config_text(run_dir))
    command = [sys.executable, "-m", "slurm_het.daemon.hook_process", str(config)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        payload = msgspec.msgpack.encode(offer(inventory()))
        process.stdin.write(struct.pack(">I", len(payload)) + payload)
        process.stdin.flush()
        assert process.stdout.read(1) == b"r"
        first = ask(run_dir / "hook.sock")
        process.stdout.close()
        assert ask(run_dir / "hook.sock") == first
        assert first["partition"] == "accel"
        process.stdin.close()
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
        assert not (run_dir / "hook.sock").exists()
    finally:
        process.kill()
        process.wait()
