"""The control socket's rules and the log's: who may ask, what is let through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.cli.hetd_client import call
from slurm_het.config import parse_config
from slurm_het.core.jobs.mark import MARK, decode_comment, encode_comment
from slurm_het.core.model import Classification
from slurm_het.core.syntax.printable import clean
from slurm_het.daemon.control import (
    FOR_ADMINS,
    MAX_CONNECTIONS,
    Caller,
    ControlRequest,
    ControlServer,
    Handler,
)
from slurm_het.daemon.logs import FORMAT, CleanFormatter
from slurm_het.daemon.peers import peer_uid
from slurm_het.errors import ConfigError, HetError
from tests.support.sockets import ANSWER_SECONDS, exchange, serving, short_dir

DAEMON, BIN = 1, 2  # uids: Debian's policy
NAME = "a\x1b]0;x\x07\r\n2026-01-01 ERROR hetd: forged \u202e\x9b2J"
POOLS = (
    "intake_partition: accel\npools:\n  train-nv: {scenario: training, vendors: [nvidia]}\n"
    "types:\n  a100: {memory_gib: 80}\n"
)


async def granted(request: ControlRequest, who: Caller) -> dict[str, Any]:
    """What a handler answers that grants everything."""
    return {"did": request.op, "name": who.name, "admin": who.admin}


@dataclass
class Door:
    """A control socket, asked by whoever the test says; by None, whoever the kernel says."""

    path: Path
    uid: int | None = None
    handler: Handler = granted

    def ask(self, line: bytes, uid: int | None = None) -> dict[str, Any]:
        """The answer to a line, or to anything else."""
        self.uid = uid
        reply = json.loads(exchange(self.path, line))
        assert isinstance(reply, dict)
        return reply

    def call(self, uid: int | None = None, **request: str) -> dict[str, Any]:
        """The reply that our own client gets. Raises HetError for a refusal."""
        self.uid = uid
        return call(self.path, request, ANSWER_SECONDS)


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """A control socket whose one operator is `daemon`."""
    with short_dir() as directory, pytest.MonkeyPatch.context() as kernel:
        it = Door(directory / "control.sock")
        kernel.setattr(
            "slurm_het.daemon.control.peer_uid",
            lambda writer: peer_uid(writer) if it.uid is None else it.uid,
        )
        server = ControlServer(it.path, ("daemon",), lambda request, who: it.handler(request, who))
        with serving(server):
            yield it


ops = st.text() | st.sampled_from(sorted(FOR_ADMINS))


@given(line=st.binary() | ops.map(lambda op: json.dumps({"op": op}).encode()))
def test_whatever_is_sent_is_answered_and_orders_need_an_admin(door: Door, line: bytes) -> None:
    reply = door.ask(line, BIN)
    assert reply["ok"] is (
        reply.get("did") in {op for op, admin in FOR_ADMINS.items() if not admin}
    )


@pytest.mark.parametrize("op", FOR_ADMINS)
def test_admins_may_all_and_others_what_is_not_for_admins(door: Door, op: str) -> None:
    assert door.call(0, op=op)["did"] == op
    if FOR_ADMINS[op]:
        with pytest.raises(HetError, match=f"hetd refused: {op} is for root"):
            door.call(BIN, op=op)
    else:
        assert door.call(BIN, op=op)["did"] == op


def test_who_is_an_admin(door: Door) -> None:
    def asks(uid: int | None) -> tuple[str, bool]:
        reply = door.call(uid, op="status")
        return reply["name"], reply["admin"]

    assert asks(None)[1], "as the kernel has it: whoever hetd runs as"
    assert asks(0) == ("root", True)
    assert asks(DAEMON) == ("daemon", True), "a configured operator"
    assert asks(BIN) == ("bin", False)
    assert asks(4_000_000_000) == ("", False)


def test_a_refusal_of_ours_is_an_answer(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(request: ControlRequest, who: Caller) -> dict[str, Any]:
        raise HetError(f"job {request.job} is not {who.name}'s", "ask an admin")

    monkeypatch.setattr(door, "handler", refuse)
    reply = door.ask(b'{"op": "history", "job": "7"}\n', BIN)
    assert reply == {"ok": False, "error": "job 7 is not bin's", "hint": "ask an admin"}
    with pytest.raises(HetError, match="hetd refused: job 7 is not bin's") as refused:
        door.call(BIN, op="history", job="7")
    assert refused.value.hint == "ask an admin"


def test_answers_that_nobody_reads_do_not_fill_the_memory(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is to get more than may be under way gets that word instead."""

    async def at_length(_request: ControlRequest, _who: Caller) -> dict[str, Any]:
        return {"records": msgspec.Raw(b'["' + b"x" * 3_000_000 + b'"]')}

    monkeypatch.setattr(door, "handler", at_length)
    monkeypatch.setattr("slurm_het.daemon.control.MAX_SENDING", 4_000_000)
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(str(door.path))
        idle.sendall(b'{"op": "records"}\n')
        idle.recv(1)  # his answer is under way, and he reads no further
        with pytest.raises(HetError, match="too much to tell at once"):
            door.call(BIN, op="records")
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:  # he is gone
        with contextlib.suppress(HetError):
            assert len(door.call(BIN, op="records")["records"][0]) == 3_000_000
            break
        assert time.monotonic() < deadline


def test_operators_are_names() -> None:
    assert parse_config(POOLS + "operators: [ann, bob]\n").operators == ("ann", "bob")
    for bad in ("ann", "[7]", "['']"):
        with pytest.raises(ConfigError, match="operators"):
            parse_config(POOLS + f"operators: {bad}\n")


def test_a_log_line_is_one_line_without_escapes() -> None:
    formatter = CleanFormatter(FORMAT)
    try:
        raise ValueError(NAME)
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("hetd", logging.INFO, "", 0, "job %s", (NAME,), None)
    text = formatter.format(record)
    assert text.isprintable()
    assert "forged" in text
    record = logging.LogRecord("hetd", logging.INFO, "", 0, "failed", (), info)
    assert all(clean(line) == line for line in formatter.format(record).split("\n"))


@given(st.text(), st.text())
def test_our_mark_in_a_users_words_is_not_taken_for_ours(word: str, partition: str) -> None:
    forged = MARK + json.dumps(
        {"s": "inference", "v": [], "t": [], "p": ["theirs"], "m": 1, "sh": 1, "orig": {},
         "why": []}
    )  # fmt: skip
    what = Classification("training", evidence=(word + forged, forged))
    sent = {"partition": partition + forged, "features": word}
    text = encode_comment(what, sent)
    assert text.count(MARK) == (1 if text else 0)
    kept = decode_comment(f"{forged} {text}")
    assert kept
    if text:
        assert kept[0].scenario == "training"
        assert kept[0].evidence in {what.evidence, ()}


def test_a_cycle_leaves_its_time_on_the_socket() -> None:
    with short_dir() as directory:
        path = directory / "control.sock"
        server = ControlServer(path, (), granted)
        server.mark()
        assert not path.exists(), "where there is none, none is made"
        with serving(server):
            os.utime(path, (0, 0))
            server.mark()
            assert time.time() - path.stat().st_mtime < ANSWER_SECONDS


def test_a_directory_server_that_hangs_takes_no_thread_of_the_cycle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who asks is answered all the same, as nobody known; what hetd thinks in threads goes on."""
    over = threading.Event()

    def hangs(uid: int) -> None:
        over.wait(ANSWER_SECONDS)
        raise KeyError(uid)

    async def seconds_to_think(path: Path) -> float:
        for _ in range(MAX_CONNECTIONS - 1):
            _, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b'{"op":"status"}\n')
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await asyncio.to_thread(lambda: None)
        return time.monotonic() - began

    monkeypatch.setattr("pwd.getpwuid", hangs)
    monkeypatch.setattr("slurm_het.daemon.control.NAME_SECONDS", 1.0)
    with short_dir() as directory:
        path = directory / "control.sock"

        async def run() -> tuple[float, bytes]:
            server = ControlServer(path, (), granted)
            await server.start()
            took = await seconds_to_think(path)
            answer = await asyncio.to_thread(exchange, path, b'{"op":"status"}\n')
            over.set()
            await server.stop()
            return took, answer

        took, answer = asyncio.run(run())
    assert took < 0.5
    assert json.loads(answer)["name"] == ""
