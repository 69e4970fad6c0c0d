"""The control socket's rules and the log's: who may ask, what is let through."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.config import parse_config
from slurm_het.core.jobs.mark import (
    MARK,
    decode_comment,
    encode_comment,
)
from slurm_het.core.model import Classification
from slurm_het.core.syntax.printable import clean
from slurm_het.daemon.control import FOR_ADMINS, Caller, ControlRequest, ControlServer
from slurm_het.daemon.logs import FORMAT, CleanFormatter
from slurm_het.errors import ConfigError, HetError

NAME = "a\x1b]0;x\x07\r\n2026-01-01 ERROR hetd: forged \u202e\x9b2J"
POOLS = (
    "intake_partition: accel\npools:\n  train-nv: {scenario: training, vendors: [nvidia]}\n"
    "types:\n  a100: {memory_gib: 80}\n"
)


def answer(caller: Caller, line: bytes) -> dict[str, Any]:
    """What the server answers when its handler grants everything."""
    server = ControlServer(Path("unused"), ("ann",), lambda request, _who: {"did": request.op})
    return server._answer(line, caller)


@given(st.binary() | st.text().map(lambda t: json.dumps({"op": t}).encode()))
def test_whatever_is_sent_is_answered_and_orders_need_an_admin(line: bytes) -> None:
    reply = answer(Caller(1000, "bob", admin=False), line)
    assert json.dumps(reply)
    assert reply["ok"] is (
        reply.get("did") in {op for op, admin in FOR_ADMINS.items() if not admin}
    )


@pytest.mark.parametrize("op", FOR_ADMINS)
def test_admins_may_all(op: str) -> None:
    assert answer(Caller(0, "root", admin=True), json.dumps({"op": op}).encode())["did"] == op


def test_who_is_an_admin() -> None:
    server = ControlServer(Path("unused"), ("daemon",), lambda _request, _who: {})
    assert server._caller(0).admin
    assert server._caller(os.getuid()).admin
    assert server._caller(1).admin, "a configured operator"
    assert not server._caller(2).admin
    stranger = server._caller(4_000_000_000)
    assert (stranger.name, stranger.admin) == ("", False)


def test_a_refusal_of_ours_is_an_answer() -> None:
    def handler(request: ControlRequest, who: Caller) -> dict[str, Any]:
        raise HetError(f"job {request.job} is not {who.name}'s", "ask an admin")

    server = ControlServer(Path("unused"), (), handler)
    reply = server._answer(b'{"op": "history", "job": "7"}', Caller(1, "bob", admin=False))
    assert reply == {"ok": False, "error": "job 7 is not bob's", "hint": "ask an admin"}


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
