"""What is fuzzed: functions of bytes that return, or raise AssertionError for a broken promise.

An error that a reader documents (HetError and its children) is an answer; any other exception is
a find. Where there is an oracle the target checks it: what is written reads back the same, both
ends of the wire agree, results stay within their bounds.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from slurm_het import supervise, wire
from slurm_het.core.jobs.demand import MAX_NODES
from slurm_het.core.jobs.mark import (
    MARK,
    MAX_COMMENT,
    decode_comment,
    encode_comment,
)
from slurm_het.core.model import SCENARIOS, Classification
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.constraint import combine, parse_features
from slurm_het.core.syntax.script import parse_gib, parse_hints, read_script
from slurm_het.errors import HetError, SlurmError
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.records import parse_nodes, parse_partitions
from slurm_het.slurm.reservations import parse_reservations
from tests.fuzz.hook import LuaHook
from tests.fuzz.servers import Servers

SETTABLE = 1024
"""Longest value, in bytes, that the hook assigns to a field of a job."""


@dataclass(frozen=True, slots=True)
class Target:
    """`share` is the part of all inputs it gets; `words` are what a fuzzer should know of it."""

    run: Callable[[bytes], None]
    share: float
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = ()


def text_of(data: bytes) -> str:
    """Bytes as Slurm's text reaches us."""
    return data.decode("utf-8", "replace")


def fuzz_gres(data: bytes) -> None:
    """What is read is written, and read back the same."""
    text = text_of(data)
    try:
        items = gres.parse(text)
    except HetError:
        return
    assert all(item.count >= 0 for item in items)
    written = ",".join(map(str, items))
    assert len(written) > gres.MAX_TEXT or gres.parse(written) == items
    assert len(gres.split_list(text)) >= len(items)


def fuzz_indexes(data: bytes) -> None:
    """Index lists are bounded, and what is read is written and read back the same."""
    try:
        indexes = gres.parse_indexes(text_of(data))
    except HetError:
        return
    assert len(indexes) <= gres.MAX_INDEX + 1
    assert gres.parse_indexes(gres.format_indexes(indexes)) == indexes


def fuzz_hostlist(data: bytes) -> None:
    """A host list is bounded, names each host once, and folds to one that names the same."""
    try:
        names = hostlist.expand(text_of(data))
    except HetError:
        return
    assert len(names) == len(set(names)) <= hostlist.MAX_HOSTS
    # No job has more nodes, and no node a longer name.
    if 0 < len(names) <= MAX_NODES and max(map(len, names)) <= hostlist.MAX_DIGITS:
        assert set(hostlist.expand(hostlist.fold(names))) == set(names)


def fuzz_features(data: bytes) -> None:
    """What the user restricted is never loosened by what we add."""
    text, nul, more = text_of(data).partition("\0")
    try:
        user = parse_features(text)
    except HetError:
        return
    have = frozenset(more.split(",")) if nul else frozenset({"a100", "train-nv"})
    user.allows(have)
    for one_for_all in (False, True):
        both = combine(text, ("a100", "h100"), one_for_all=one_for_all)
        try:
            joint = parse_features(both)
        except HetError:
            assert len(both) > SETTABLE or "[" in text, f"{both!r} cannot be read back"
            return
        assert user.allows(have) or not joint.allows(have), f"{both!r} loosens {text!r}"


def fuzz_comment(data: bytes) -> None:
    """Our record in admin_comment reads back; a damaged one is none, not another."""
    text = text_of(data)
    found = decode_comment(text) or decode_comment(MARK + text)
    words = tuple(text.split("\n"))
    made = Classification(SCENARIOS[len(data) % 2], words[:3], words[3:5], memory_gib=len(data))
    sent = {"features": text, "tres_per_node": text}
    for what in (found[0] if found else made, made):
        kept = encode_comment(what, sent)
        assert len(kept) <= MAX_COMMENT
        if kept:
            again = decode_comment(f"{text} {kept}")
            assert again is not None
            assert replace(again[0], evidence=()) == replace(what, evidence=())


def fuzz_script(data: bytes) -> None:
    """Words and hints are short, lower case, and stand where they are said to stand."""
    text = text_of(data)
    script = read_script(text)
    lines = len(text.splitlines())
    assert all(1 <= n <= lines for n, _ in script.first_lines(["train", "cuda", "module:cuda"]))
    assert all(len(d) <= 256 for _, d in script.directives)
    for _, directive in script.directives:
        for value in parse_hints(directive)[0].values():
            gib = parse_gib(value)
            assert gib is None or gib >= 0


def fuzz_records(data: bytes) -> None:
    """Slurm's own answers, damaged: SlurmError or records."""
    with contextlib.suppress(SlurmError):
        parse_jobs(data, memory_tracked=True)
    parse_nodes(text_of(data))
    parse_partitions(text_of(data))
    parse_reservations(text_of(data), ())


def fuzz_wire(data: bytes) -> None:
    """A frame is read, refused, or not all there; what was read can be sent again."""
    with contextlib.suppress(wire.WireError):
        wire.decode(wire.take_body(data) or b"")
    fields: dict[str, str] = {}
    with contextlib.suppress(wire.WireError):
        fields = wire.decode(data)
    assert len(fields) <= wire.MAX_FIELDS
    assert wire.decode(wire.encode(fields)[wire.HEADER :]) == fields


def fuzz_notify(data: bytes) -> None:
    """Any datagram to the supervisor is lines of text."""
    here, there = _datagrams()
    there.send(data[:4096])
    assert all(isinstance(line, str) for line in supervise.receive(here, 1.0))


def fuzz_hook_socket(data: bytes) -> None:
    """A connection is answered or closed at once; the hook understands every answer."""
    reply = _servers().ask_hook(data)
    if reply:
        length = int(reply[: wire.HEADER], 16)
        assert length == len(reply) - wire.HEADER <= wire.MAX_REPLY
        _lua().must_accept(reply[wire.HEADER :])


def fuzz_admission(data: bytes) -> None:
    """The same for frames that are whole, so that what is in them gets further."""
    body = b"op=admit&" + data
    fuzz_hook_socket(b"%08x%s" % (len(body), body))


def fuzz_control_socket(data: bytes) -> None:
    """A connection gets one JSON object or none, and nobody but admins gets further."""
    reply = _servers().ask_control(data)
    if reply is not None:
        assert reply["ok"] in {True, False}
        assert reply["ok"] or reply["error"]


def fuzz_lua_reply(data: bytes) -> None:
    """Any reply is refused with words or becomes bounded assignments; header and body alike."""
    _lua().check_header(data[: wire.HEADER])
    for field, value in _lua().assignments(data):
        assert len(value) <= SETTABLE, f"{field!r} of {len(value)} bytes"
        assert not set(value) & set(range(32)), f"{field!r} has control characters"


@cache
def _datagrams() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


@cache
def _servers() -> Servers:
    return Servers()


@cache
def _lua() -> LuaHook:
    return LuaHook()


def close() -> None:
    """End the servers, if a target started them."""
    if _servers.cache_info().currsize:
        _servers().close()
        _servers.cache_clear()


_ADMIT = wire.encode(
    {
        "op": "admit",
        "user_name": "ann",
        "tres_per_node": "gpu:a100:2",
        "features": "a100|h100",
        "comment": "het: memory=40G share=yes",
        "script": "#HET scenario=inference vendors=any\nmodule load cuda/12\nvllm serve x\n",
    }
)
_SCRIPT = (
    b"#!/bin/bash\n#HET memory=40G vendors=nvidia,amd\nml rocm/6.0\ntorchrun train.py --x # c\n"
)
_COMMENT = encode_comment(
    Classification("training", ("nvidia",), ("a100",), ("train-nv",), 40, True, ("why",)),
    {"partition": "p", "features": "a|b"},
).encode()
_REPLY = wire.encode({"action": "admit", "partition": "accel", "tres_per_node": "gpu:2"})
_GRES_WORDS = (
    "gpu",
    "shard",
    "gres:",
    "gres/",
    "(IDX:",
    "(S:0-1)",
    "(CNT:",
    "(null)",
    "no_consume",
)
_NODE = b"NodeName=nv1 State=IDLE+DRAIN Gres=gpu:a100:8(S:0) CPUTot=64 RealMemory=512 Reason=a=b"
_PARTITION = b"PartitionName=p AllowGroups=a,b MaxTime=1-02:03:04 State=UP Nodes=nv[1-2]"
_JOB = (
    b'{"jobs":[{"job_id":1,"job_state":["PENDING"],"priority":{"set":true,"number":7},'
    b'"gres_detail":["gpu:a100:2(IDX:0-1)"],"cpus_per_tres":"gres/gpu=4","name":"\xff"}]}'
)

TARGETS: dict[str, Target] = {
    "gres": Target(
        fuzz_gres,
        0.2,
        (b"gpu:a100:2(IDX:0-1,4),shard:3(3/4,-/4)", b"gres/gpu:a100=2", b"gpu:(null):4(S:0-1)"),
        _GRES_WORDS,
    ),
    "indexes": Target(fuzz_indexes, 0.05, (b"0-1,4", b"N/A", b"65535"), ("65535", "-", ",")),
    "hostlist": Target(
        fuzz_hostlist, 0.15, (b"nv[1-2],amd1", b"r[001-010]n[1,3-4]", b"a-1,b.c_d"), ("[0-9]", "],")
    ),
    "features": Target(
        fuzz_features, 0.15, (b"a100|h100", b"a&(b|c)\0a,c", b"[rack1|rack2]"), ("|", "&", "(", ")")
    ),
    "comment": Target(
        fuzz_comment, 0.1, (_COMMENT, b"x\ny\nz", MARK.encode()), ('"s":', "training", "\\u003a")
    ),
    "script": Target(fuzz_script, 0.1, (_SCRIPT,), ("#HET ", "module load ", "memory=", "\u0130")),
    "records": Target(
        fuzz_records, 0.05, (_JOB, _NODE, _PARTITION), ('"number":', '"set":', "infinite", "null")
    ),
    "wire": Target(fuzz_wire, 0.08, (_ADMIT, b"00000003a=b", b"a=%zz&b"), ("%", "&", "=", "+")),
    "lua_reply": Target(
        fuzz_lua_reply,
        0.08,
        (_REPLY[wire.HEADER :], b"action=reject&user_msg=a%0ab", b"00004000"),
        ("action=admit&", "tres_per_node=", "admin_comment=", "%2C", "gres%2F"),
    ),
    "notify": Target(fuzz_notify, 0.01, (b"READY=1\nSTATUS=x", b"WATCHDOG=1"), ("READY=1",)),
    "hook_socket": Target(
        fuzz_hook_socket, 0.01, (_ADMIT, b"00000000", b"ffffffff"), ("op=admit",)
    ),
    "admission": Target(
        fuzz_admission,
        0.01,
        (_ADMIT[wire.HEADER :], b"tres_per_node=shard:24&comment=het:%20types=a100"),
        ("tres_per_node=", "&min_nodes=", "&features=", "%7C", "&script="),
    ),
    "control_socket": Target(
        fuzz_control_socket,
        0.01,
        (
            b'{"op": "status"}\n',
            b'{"op": "history", "job": "1_2"}\n',
            b'{"op":"bypass","on":true}\n',
        ),
        ('"op":', '"wake"', "\n", "[[[["),
    ),
}


def checked(name: str, data: bytes) -> None:
    """Run a target on an input; what it raises names both."""
    try:
        TARGETS[name].run(data)
    except Exception as error:
        error.add_note(f"target {name}, input {data!r}")
        raise
