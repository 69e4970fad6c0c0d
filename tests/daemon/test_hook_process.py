"""The real hook process, driven as hetd drives it."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from slurm_het import wire
from slurm_het.config import load_config
from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.admission import Verdict, admit_message
from slurm_het.core.jobs.trials import Trial, forgotten, program_of
from slurm_het.core.planner.at_once import Openings, openings_of
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, observe, prepare
from slurm_het.core.policy import Limits
from slurm_het.core.syntax.script import read_script
from slurm_het.daemon.hook_process import Offered, Serving, offer
from tests.support.world import config_text, inventory, policy, snapshot

REQUEST = {"op": "admit", "user_id": "1000", "tres_per_node": "gpu:1", "script": "#!/bin/sh\n"}


def ask(path: Path, **changed: str) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(wire.encode(REQUEST | changed))
        received = b""
        while (reply := wire.take_body(received)) is None:
            data = sock.recv(65536)
            assert data, "closed without a reply"
            received += data
        return wire.decode(reply)


def send(
    process: subprocess.Popen[bytes],
    found: Inventory,
    openings: Openings | None = None,
    trials: Sequence[Trial] = (),
) -> None:
    """As hetd does."""
    assert process.stdin
    offered = Offered(
        inventory=offer(found),
        capacity=capacity_of(snapshot(), policy()),
        openings=openings,
        trials=list(trials),
    )
    payload = msgspec.msgpack.encode(offered)
    process.stdin.write(struct.pack(">I", len(payload)) + payload)
    process.stdin.flush()


@contextmanager
def hook_process(
    run_dir: Path, first: Inventory | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A hook process that listens, with the sandbox's inventory or another one at first."""
    config = run_dir / "het.yaml"
    config.write_text(config_text(run_dir))
    command = [sys.executable, "-m", "slurm_het.daemon.hook_process", str(config)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdin
            assert process.stdout
            send(process, first or inventory())
            assert process.stdout.read(1) == b"r"
            yield process
        finally:
            process.kill()


def test_the_hook_keeps_the_reply_to_what_comes_again_and_again(short_path: Path) -> None:
    """It says so in the reply, and tells hetd that more may come unasked."""
    with hook_process(short_path) as process:
        kept: list[str] = []
        for attempt in range(10):  # a stall between two is a pause
            name = f"attempt{attempt}"
            replies = [ask(short_path / "hook.sock", name=name) for _ in range(6)]
            kept += (last := [r.pop("keep_ms", "") for r in replies])
            if last == ["", "", "", "250", "250", "250"]:
                break
        assert last == ["", "", "", "250", "250", "250"]
        assert all(r == replies[0] for r in replies)
        assert ask(short_path / "hook.sock", name="another") == replies[0]
        time.sleep(0.6)
        assert "keep_ms" not in ask(short_path / "hook.sock", name=name), "it comes now and then"
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        told = process.stdout.read()
        assert told.count(b"a") == len(kept) + 2
        assert told.count(b"ak") == told.count(b"k") == kept.count("250")


def test_it_answers_while_its_parent_is_gone(short_path: Path) -> None:
    """Between the end of a hetd that was killed and its own it is still asked."""
    with hook_process(short_path) as process:
        assert process.stdin
        assert process.stdout
        first = ask(short_path / "hook.sock")
        process.stdout.close()
        assert ask(short_path / "hook.sock") == first
        assert first["partition"] == "accel"
        process.stdin.close()
        assert process.wait(10) == 0
        assert process.stderr
        assert b"Traceback" not in process.stderr.read()
        assert not (short_path / "hook.sock").exists()


def test_it_goes_on_when_the_accelerators_come_after_it(short_path: Path) -> None:
    """hetd may start before any node has some, and all may vanish for a while."""
    with hook_process(short_path, Inventory({})) as process:
        for found in (inventory(), Inventory({}), inventory()):
            send(process, found)
        deadline = time.monotonic() + 60
        while ask(short_path / "hook.sock").get("action") != "admit":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert process.poll() is None


def test_it_refuses_what_no_node_can_hold_in_a_sentence_and_by_slurms_number(
    short_path: Path,
) -> None:
    with hook_process(short_path) as process:
        reply = ask(short_path / "hook.sock", tres_per_node="gpu:64")
        assert reply["action"] == "reject"
        assert reply["errno"] == "2014"
        assert "no node has 64 GPUs; the largest" in reply["user_msg"]
        assert process.poll() is None


def test_how_a_program_fared_counts_for_its_user_from_the_next_submission_on(
    short_path: Path,
) -> None:
    """Though the very same request was answered a moment before; until hetd says no more of it."""
    script = "export CUDA_VISIBLE_DEVICES=0\n./simulate"
    trial = Trial("ann", program_of(read_script(script)), "nvidia", 9.0, failures=1, job="7")

    def counts(user: str) -> bool:
        reply = ask(short_path / "hook.sock", script=script, user_name=user)
        return "it failed within moments on nvidia" in reply["admin_comment"]

    with hook_process(short_path) as process:
        assert not counts("ann")
        send(process, inventory(), trials=[trial])
        deadline = time.monotonic() + 60
        while not counts("ann"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not counts("bob")
        send(process, inventory(), trials=[forgotten(trial)])
        while counts("ann"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("waits", [True, False])
def test_an_srun_is_read_once_whether_it_has_to_wait_or_not(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """The hook's time is slurmctld's."""
    (short_path / "het.yaml").write_text(config_text(short_path))
    read: list[object] = []

    def counted(*arguments: Any) -> Verdict:
        read.append(arguments)
        return admit_message(*arguments)

    monkeypatch.setattr("slurm_het.daemon.hook_process.admit_by_mode", counted)
    serving = Serving(load_config(short_path / "het.yaml"))
    serving.notice = Mock()
    memory = Memory(Pins(45, 60))
    prepared = prepare(observe(snapshot(), policy(), memory, 0.0), Limits(), memory, 0.0)
    left = openings_of(prepared, (), time.monotonic())
    serving.heard(Offered(offer(inventory()), capacity_of(snapshot(), policy()), left))
    sent = {"op": "admit", "user_id": "1000", "tres_per_node": "gpu:1", "pn_min_memory": "1000"}
    body = wire.encode({"time_limit": "1"} | sent | ({"shared": "2"} if waits else {}))
    reply = wire.decode(wire.take_body(serving.answer(body[wire.HEADER :])) or b"")
    assert (reply["partition"] == "accel", len(read)) == (waits, 1)
