"""The job-submit hook without a Slurm: wire format, decisions, assignments, on Lua 5.1 to 5.4."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.config import parse_config
from slurm_het.resources import data_dir
from slurm_het.settings import HookSettings
from slurm_het.templating import hook_config

HOOK = data_dir("job_submit")
LUAS = ("lua51", "lua52", "lua53", "lua54")
CONFIG = """return {
  socket = "/nowhere/hook.sock", intake = "accel", gres_names = {"gpu", "shard", "npu"},
  pools = {"train-nv", "infer"}, on_failure = "%s",
}"""
ADMIT = {"action": "admit", "partition": "accel"}
GPU_JOB: dict[str, Any] = {"tres_per_node": "gres:gpu:2", "user_id": 1000}
NO_VAL, NO_VAL16, NO_VAL64 = 4294967294, 65534, 1.8446744073709552e19

# A job_desc as Slurm has it: '' unsets, nil raises, and unknown fields are refused.
FAKE_SLURM = """
logs, user, errors, writes, sent, told, answer, why = {}, {}, {}, {}, {}, 0, nil, nil
local function into(list) return function(...) list[#list + 1] = string.format(...) end end
slurm = {SUCCESS = 0, ERROR = -1}
slurm.log_info, slurm.log_error, slurm.log_user = into(logs), into(errors), into(user)
package.preload.het_transport = function()
  return {
    load_socket = function() return {now = function() return 0 end} end,
    teller = function() return function() told = told + 1 end end,
    client = function() return function(make) sent[#sent + 1] = make(); return answer, why end end,
  }
end
function job_desc(data, refused)
  return setmetatable({}, {__index = data, __newindex = function(_, key, value)
    if value == nil then error("string expected, got nil") end
    if key == refused then error("unrecognized field " .. key) end
    writes[#writes + 1] = key
    data[key] = value ~= "" and value or nil
  end})
end
"""


def runtime(version: str) -> Any:
    """A fresh Lua of that version; its strings are bytes, shown as latin-1."""
    lua = importlib.import_module(f"lupa.{version}").LuaRuntime(encoding="latin-1")
    lua.execute(f"package.path = '{HOOK}/?.lua;' .. package.path")
    return lua


@pytest.fixture(scope="module", params=LUAS)
def lua(request: pytest.FixtureRequest) -> Any:
    return runtime(request.param)


@pytest.fixture(scope="module")
def protocol(lua: Any) -> Any:
    return lua.execute("return (require('het_protocol'))")


class Hook:
    """job_submit.lua in a fresh Lua, with a fake slurm and a daemon that answers as told."""

    def __init__(self, version: str, directory: Path, config: str) -> None:
        for name in ("job_submit.lua", "het_protocol.lua"):
            shutil.copy(HOOK / name, directory)
        (directory / "het_hook_config.lua").write_text(config)
        self.lua = importlib.import_module(f"lupa.{version}").LuaRuntime(encoding="latin-1")
        self.lua.execute(FAKE_SLURM)
        self.lua.globals().dofile(str(directory / "job_submit.lua"))

    def submit(
        self,
        job: dict[str, Any],
        answer: dict[str, str] | str | None = None,
        *,
        why: str = "timeout after 50 ms",
        parts: tuple[str, ...] = ("accel", "train-nv", "infer", "debug"),
        refused: str | None = None,
    ) -> dict[str, Any]:
        """The job's fields after the hook ran; its return code in `rc`."""
        g = self.lua.globals()
        g.answer = urlencode(answer, quote_via=quote) if isinstance(answer, dict) else answer
        g.why = why if answer is None else None
        data = self.lua.table_from(job)
        part_list = self.lua.table_from({name: self.lua.table() for name in parts})
        rc = g.slurm_job_submit(g.job_desc(data, refused), part_list, 1000)
        return {**dict(data.items()), "rc": rc}

    def texts(self, name: str) -> list[str]:
        """What the hook put into one of the fake's lists: logs, user, errors, writes, sent."""
        return list(self.lua.globals()[name].values())


HookFactory = Callable[..., Hook]


@pytest.fixture(params=LUAS)
def hook(request: pytest.FixtureRequest, tmp_path: Path) -> HookFactory:
    def make(on_failure: str = "intake", config: str | None = None) -> Hook:
        return Hook(request.param, tmp_path, config or CONFIG % on_failure)

    return make


# Wire format


@given(st.lists(st.tuples(st.text(min_size=1), st.binary()), unique_by=lambda pair: pair[0]))
def test_what_the_hook_encodes_urllib_decodes(
    lua: Any, protocol: Any, fields: list[tuple[str, bytes]]
) -> None:
    pairs = [(k.encode("utf-8", "replace"), v) for k, v in fields]
    rows = [lua.table(k.decode("latin-1"), v.decode("latin-1")) for k, v in pairs]
    body = protocol.encode(lua.table_from(rows))
    assert body.isascii()
    decoded = parse_qsl(body, keep_blank_values=True, encoding="latin-1")
    assert decoded == [(k.decode("latin-1"), v.decode("latin-1")) for k, v in pairs]


@given(st.dictionaries(st.binary(min_size=1), st.binary(), min_size=1))
def test_what_urllib_encodes_the_hook_decodes(protocol: Any, fields: dict[bytes, bytes]) -> None:
    for body in (urlencode(fields), urlencode(fields, quote_via=quote)):
        decoded = dict(protocol.decode(body).items())
        assert decoded == {k.decode("latin-1"): v.decode("latin-1") for k, v in fields.items()}


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reply_parser(protocol: Any, body: bytes) -> None:
    reply = protocol.reply(body.decode("latin-1"))
    if isinstance(reply, tuple):
        assert reply[0] is None
        assert reply[1]
    else:
        assert reply.action in {"admit", "pass", "reject"}


@pytest.mark.parametrize(
    "body",
    ["", "x", "=1", "action", "action=admit&", "action=%zz", "action=admit&why=%", "action=a=b",
     "action=admit&action=pass", "action=burn", "why=ok", "action=admit&partition=a%00b",
     "action=admit&features=a%0ab", "action=admit&comment=" + "x" * 1025],
)  # fmt: skip
def test_garbage_replies_are_refused(protocol: Any, body: str) -> None:
    reply, why = protocol.reply(body)
    assert reply is None
    assert why


@pytest.mark.parametrize(
    ("header", "length"),
    [("0000000a", 10), ("00004000", 16384), ("0000000A", 10), ("00004001", None),
     ("00000000", None), ("ffffffff", None), ("HTTP/1.1", None), ("      12", None), ("12", None)],
)  # fmt: skip
def test_reply_headers(protocol: Any, header: str, length: int | None) -> None:
    parsed = protocol.parse_header(header)
    assert (parsed if length else parsed[0]) == length


def test_a_frame_says_its_length(protocol: Any) -> None:
    assert protocol.frame("a=b") == "00000003a=b"


# Detection and spelling


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"tres_per_node": "gres:gpu:2"}, True),
        ({"tres_per_node": "gres/gpu:a100:2"}, True),
        ({"tres_per_node": "gpu"}, True),
        ({"tres_per_node": "gpu:a100:2"}, True),
        ({"tres_per_node": "gres:craynetwork:1"}, False),
        ({"tres_per_node": "gres:craynetwork:1,gres:npu:910b:1"}, True),
        ({"tres_per_node": "gres:gpus:1"}, False),
        ({"tres_per_node": "gres:gpu:0"}, False),
        ({"tres_per_node": "none"}, False),
        ({"tres_per_job": "gres/shard:24"}, True),
        ({"tres_per_socket": "gres:gpu:1"}, True),
        ({"tres_per_task": "cpu=2"}, False),
        ({"tres_per_task": "cpu=2,gres/gpu=1"}, True),
        ({"tres_per_task": "license/gpu=1"}, False),
        ({"tres_per_node": ",,:,="}, False),
        ({"ntasks_per_tres": 2}, True),
        ({"ntasks_per_tres": NO_VAL16}, False),
    ],
)
def test_accelerator_jobs_are_told_apart(
    lua: Any, protocol: Any, fields: dict[str, str], expected: bool
) -> None:
    names = lua.table_from({"gpu": True, "shard": True, "npu": True})
    assert protocol.is_accelerator(lua.table_from(fields), names) is expected


@pytest.mark.parametrize(
    ("written", "wire"),
    [("gres:gpu:2", "gpu:2"), ("gres/gpu:a100:2,gres/shard:4", "gpu:a100:2,shard:4"),
     ("cpu=2,gres/gpu=1", "cpu=2,gpu=1"), ("gpu:1", "gpu:1"), ("gres:gpu", "gpu")],
)  # fmt: skip
def test_tres_is_sent_without_slurms_prefix(protocol: Any, written: str, wire: str) -> None:
    assert protocol.normalise(written) == wire


@pytest.mark.parametrize(
    ("job", "field", "answer", "expected"),
    [
        ({"tres_per_node": "gres:gpu:2"}, "tres_per_node", "gpu:a100:2", "gres:gpu:a100:2"),
        ({"tres_per_node": "gres/gpu:2"}, "tres_per_node", "gpu:a100:2", "gres/gpu:a100:2"),
        ({"tres_per_job": "gres/gpu:2"}, "tres_per_node", "gpu:2,npu:1", "gres/gpu:2,gres/npu:1"),
        ({"tres_per_node": "gpu:2"}, "tres_per_node", "gpu:2", "gres/gpu:2"),
        ({"tres_per_node": "gres:gpu:2"}, "tres_per_node", "gres/gpu:2", "gres:gpu:2"),
        ({"tres_per_node": "gres:gpu:2"}, "tres_per_node", "gpu=2", "gres:gpu:2"),
        ({"tres_per_node": "gres:gpu:2"}, "tres_per_node", "", ""),
        ({"tres_per_task": "cpu=2,gres/gpu=1"}, "tres_per_task", "cpu=2,gpu:a100:1",
         "cpu=2,gres/gpu:a100=1"),
        ({"tres_per_task": "gres/gpu=1"}, "tres_per_task", "gpu:a100", "gres/gpu:a100"),
        ({"tres_per_task": "gres/gpu=1"}, "tres_per_task", "license/x=1", "license/x=1"),
    ],
)  # fmt: skip
def test_tres_is_written_as_the_running_slurm_spells_it(
    lua: Any, protocol: Any, job: dict[str, str], field: str, answer: str, expected: str
) -> None:
    spelling = protocol.spelling(lua.table_from(job), field, "gres/")
    assert protocol.spell(answer, spelling) == expected


# Decisions


def test_a_job_without_accelerators_is_untouched_and_not_logged(hook: HookFactory) -> None:
    h = hook()
    assert h.submit({"name": "cpu"}, ADMIT) == {"name": "cpu", "rc": 0}
    assert h.texts("logs") == h.texts("sent") == h.texts("writes") == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"het_job_offset": 0}, "het job component"),
        ({"cron_job": True, "het_job_offset": 0}, "scrontab job"),
        ({"immediate": 1}, "--immediate"),
        ({"req_nodes": "n1"}, "--nodelist"),
        ({"tres_per_node": None, "ntasks_per_tres": 2}, "--ntasks-per-gpu without --gpus"),
        ({"partition": "debug"}, "partition debug is not ours"),
        ({"partition": "train-nv,debug"}, "partition debug is not ours"),
        ({"features": "a100*2"}, "features with counts or brackets"),
        ({"features": "[rack1|rack2]"}, "features with counts or brackets"),
        ({"features": "a" * 1025}, "features is too long"),
        ({"tres_per_job": "gres:gpu:" + "a" * 1025}, "tres_per_job is too long"),
    ],
)
def test_jobs_that_pass_through(hook: HookFactory, fields: dict[str, Any], why: str) -> None:
    h, job = hook(), {k: v for k, v in {**GPU_JOB, **fields}.items() if v is not None}
    assert h.submit(job, ADMIT) == {**job, "rc": 0}
    assert h.texts("logs") == [f"slurm-het: pass uid=1000: {why}"]
    assert h.texts("sent") == h.texts("writes") == []


def test_a_user_kept_out_of_the_intake_passes(hook: HookFactory) -> None:
    h = hook()
    assert "partition" not in h.submit(GPU_JOB, ADMIT, parts=("debug",))
    assert "may not use partition accel" in h.texts("logs")[0]


@pytest.mark.parametrize(
    "fields",
    [{"het_job_offset": NO_VAL}, {"cron_job": False}, {"immediate": 0}, {"immediate": NO_VAL16},
     {"partition": "accel"}, {"partition": "train-nv,infer"}, {"features": "a100|h100&ib"},
     {"reservation": "course"}],
)  # fmt: skip
def test_jobs_that_are_asked_about(hook: HookFactory, fields: dict[str, Any]) -> None:
    h = hook()
    assert h.submit({**GPU_JOB, **fields}, ADMIT)["partition"] == "accel"
    assert h.texts("logs") == ["slurm-het: admit uid=1000 us=0 -> accel"]


def test_the_request_holds_allowed_and_bounded_fields_only(hook: HookFactory) -> None:
    h = hook()
    job = {
        **GPU_JOB, "name": "n" * 5000, "script": "#!/bin/sh\n" + "x" * 200_000, "argv": "secret",
        "min_nodes": 2, "max_nodes": NO_VAL, "num_tasks": NO_VAL, "cpus_per_task": NO_VAL16,
        "ntasks_per_node": 4, "time_limit": NO_VAL + 1, "min_mem_per_node": NO_VAL64,
        "min_mem_per_cpu": 2048, "pn_min_memory": 2.0**63, "mem_per_tres": "gres:gpu:1024",
        "comment": "a&b=c%d\n\u00e9", "std_out": "/home/x", "shared": NO_VAL16,
    }  # fmt: skip
    h.submit(job, ADMIT)
    sent = dict(parse_qsl(h.texts("sent")[0], keep_blank_values=True, encoding="latin-1"))
    script = sent.pop("script")
    assert script == job["script"][:65536]
    assert sent == {
        "v": "1", "op": "admit", "submit_uid": "1000", "user_id": "1000", "name": "n" * 1024,
        "tres_per_node": "gpu:2", "mem_per_tres": "gpu:1024", "min_nodes": "2",
        "ntasks_per_node": "4", "min_mem_per_cpu": "2048", "comment": job["comment"],
        "time_limit": "unlimited",
    }  # fmt: skip


def test_an_admitted_job_is_rewritten_partition_last(hook: HookFactory) -> None:
    h = hook()
    answer = {
        **ADMIT, "tres_per_node": "gpu:a100:2", "features": "a100|h100", "comment": "",
        "admin_comment": "het:v1", "why": "training", "user_msg": "one\n%s two\n", "priority": "9",
        "script": "evil", "account": "root",
    }  # fmt: skip
    job = {**GPU_JOB, "comment": "mine", "admin_comment": "site", "script": "#!/bin/sh"}
    assert h.submit(job, answer) == {
        "tres_per_node": "gres:gpu:a100:2", "features": "a100|h100", "user_id": 1000,
        "admin_comment": "site het:v1", "partition": "accel", "script": "#!/bin/sh", "rc": 0,
    }  # fmt: skip
    assert h.texts("writes")[-1] == "partition"
    assert h.texts("logs") == ["slurm-het: admit uid=1000 us=0 -> accel: training"]
    assert h.texts("user") == ["slurm-het: one", "slurm-het: %s two"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [(None, "n", "n"), ("o", "n", "o n"), ("o" * 999, "n", "n"), ("o" * 998, "n", "o" * 998 + " n"),
     ("o", "n" * 1020, "n" * 1000), ("o", "", "o")],
)  # fmt: skip
def test_the_admin_comment_keeps_what_fits(
    hook: HookFactory, old: str | None, new: str, expected: str
) -> None:
    job = {**GPU_JOB, **({"admin_comment": old} if old else {})}
    after = hook().submit(job, {**ADMIT, "admin_comment": new})
    assert after["admin_comment"] == expected


def test_a_pass_answer_changes_nothing(hook: HookFactory) -> None:
    h = hook()
    answer = {"action": "pass", "why": "small\tjob\x1b[31m", "partition": "accel"}
    assert h.submit(GPU_JOB, answer) == {**GPU_JOB, "rc": 0}
    assert h.texts("logs") == ["slurm-het: pass uid=1000 us=0: small?job?[31m"]


def test_a_reject_answer_tells_the_user_why(hook: HookFactory) -> None:
    h = hook()
    assert h.submit(GPU_JOB, {"action": "reject", "why": "no %d such card"})["rc"] == -1
    assert h.texts("user") == ["slurm-het: no %d such card"]
    assert h.texts("writes") == []


def test_user_names_are_no_format_and_no_second_log_line(hook: HookFactory) -> None:
    h = hook()
    h.submit({**GPU_JOB, "partition": "%s%n\nslurm-het: admit\x00" + "x" * 900}, ADMIT)
    (line,) = h.texts("logs")
    assert line.startswith("slurm-het: pass uid=1000: partition %s%n?slurm-het: admit?xxx")
    assert len(line) < 500


# Failures


@pytest.mark.parametrize(
    ("on_failure", "job", "expected", "text"),
    [
        ("intake", GPU_JOB, {**GPU_JOB, "partition": "accel", "rc": 0}, "job goes to accel"),
        ("intake", {**GPU_JOB, "partition": "infer"},
         {**GPU_JOB, "partition": "infer", "rc": 0}, "job left as written"),
        ("pass", GPU_JOB, {**GPU_JOB, "rc": 0}, "job left as written"),
        ("hold", GPU_JOB, {**GPU_JOB, "partition": "accel", "priority": 0, "rc": 0}, "job held"),
        ("hold", {**GPU_JOB, "partition": "infer"},
         {**GPU_JOB, "partition": "infer", "priority": 0, "rc": 0}, "job held"),
        ("reject", GPU_JOB, {**GPU_JOB, "rc": -1}, "job rejected"),
    ],
)  # fmt: skip
def test_when_the_daemon_cannot_be_asked(
    hook: HookFactory, on_failure: str, job: dict[str, Any], expected: dict[str, Any], text: str
) -> None:
    h = hook(on_failure)
    assert h.submit(job) == expected
    assert h.texts("logs") == [f"slurm-het: fail uid=1000 us=0: timeout after 50 ms, {text}"]
    assert bool(h.texts("user")) is (on_failure in {"hold", "reject"})


@pytest.mark.parametrize("answer", ["garbage", "action=admit&partition=elsewhere", "action=%"])
def test_an_unusable_answer_is_a_failure(hook: HookFactory, answer: str) -> None:
    h = hook("pass")
    assert h.submit(GPU_JOB, answer) == {**GPU_JOB, "rc": 0}
    assert ", job left as written" in h.texts("logs")[0]


def test_a_refused_assignment_is_undone(hook: HookFactory) -> None:
    h = hook("pass")
    answer = {**ADMIT, "features": "a100", "tres_per_node": "gpu:a100:2", "admin_comment": "x"}
    job = {**GPU_JOB, "features": "ib"}
    assert h.submit(job, answer, refused="admin_comment") == {**job, "rc": 0}
    assert "unrecognized field admin_comment, job left as written" in h.texts("logs")[0]


def test_a_lua_error_does_not_reach_slurm(hook: HookFactory) -> None:
    h = hook()
    job = {**GPU_JOB, "features": 7.5, "name": "x"}
    assert h.submit({**job, "script": 5}, ADMIT)["rc"] == 0
    assert "internal error" in h.texts("logs")[0]
    h.lua.execute("slurm.log_info = function() error('log is gone') end")
    assert h.submit(GPU_JOB, ADMIT)["rc"] == 0


def test_updates_always_go_through(hook: HookFactory) -> None:
    assert hook().lua.globals().slurm_job_modify(None, None, None, 0) == 0


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("return nil", "does not return a table"),
        ("syntax error here", "het_hook_config.lua"),
        ("return {intake = 'a', gres_names = {}, pools = {}}", "socket is not set"),
        ("return {socket = 's', intake = 'a', gres_names = {}}", "pools is not a list"),
        (CONFIG % "panic", "on_failure"),
        ((CONFIG % "pass").replace("pools", "deadline_ms = 0, pools"), "deadline_ms"),
    ],
)
def test_a_broken_config_lets_every_job_pass(hook: HookFactory, config: str, why: str) -> None:
    h = hook(config=config)
    assert h.submit(GPU_JOB, ADMIT) == {**GPU_JOB, "rc": 0}
    (line,) = h.texts("errors")
    assert why in line
    assert "all jobs pass" in line


@pytest.mark.parametrize("end", ["ge", "le"])
def test_what_the_configuration_allows_the_hook_takes(protocol: Any, lua: Any, end: str) -> None:
    """The bounds of config.py, which writes the file, are those of the hook, which reads it."""
    hints = get_type_hints(HookSettings, include_extras=True)
    bounds = {n: h.__metadata__[0] for n, h in hints.items() if hasattr(h, "__metadata__")}
    assert bounds
    for name, meta in bounds.items():
        limit = getattr(meta, end)
        text = "intake_partition: a\npools: {t: {scenario: training, vendors: [amd]}}\nhook: "
        written = hook_config(parse_config(f"{text}{{{name}: {limit}}}"))
        assert protocol.config(lua.execute(written))[name] == limit
        beyond = written.replace(
            f"{name} = {limit}", f"{name} = {limit + (1 if end == 'le' else -1)}"
        )
        assert beyond != written
        refused, why = protocol.config(lua.execute(beyond))
        assert refused is None
        assert name in why


def test_a_missing_luasocket_lets_every_job_pass(hook: HookFactory, tmp_path: Path) -> None:
    h = hook()
    h.lua.execute("""package.loaded.het_transport = {load_socket = function()
        return nil, "module 'socket' not found" end}""")
    h.lua.globals().dofile(str(tmp_path / "job_submit.lua"))
    assert h.submit(GPU_JOB, ADMIT) == {**GPU_JOB, "rc": 0}
    assert "module 'socket' not found" in h.texts("errors")[0]


def test_a_repaired_config_is_picked_up(hook: HookFactory, tmp_path: Path) -> None:
    h = hook(config="return nil")
    (tmp_path / "het_hook_config.lua").write_text(CONFIG % "pass")
    h.lua.execute("local late = os.time() + 11; os.time = function() return late end")
    assert h.submit(GPU_JOB, ADMIT)["partition"] == "accel"


ADMITTED = 'x het1:{"s":"training","orig":%s,"why":["\\"orig\\":{}"]}'


@pytest.mark.parametrize(
    ("change", "job", "uid", "expected"),
    [
        # The user's own Features come back; without any, those that all of the pool's nodes have.
        ({"partition": "infer"}, '{"features":"a|b","tres_per_node":"gpu:1"}', 1000, "a|b"),
        ({"partition": "infer"}, '{"tres_per_node":"gpu:1"}', 0, "infer"),
        ({"partition": "infer,train-nv"}, '{"tres_per_node":"gpu:1"}', 0, "infer|train-nv"),
        ({"partition": "infer", "req_nodes": "n1"}, '{"tres_per_job":"gpu:1"}', 1000, "infer"),
        # hetd's own updates, other people's Features, moves to where Features mean nothing to us.
        ({"partition": "infer", "req_nodes": "n1"}, '{"tres_per_job":"gpu:1"}', 0, None),
        ({"partition": "infer", "admin_comment": "x"}, '{"tres_per_job":"gpu:1"}', 0, None),
        ({"partition": "infer", "features": "c"}, '{"tres_per_job":"gpu:1"}', 1000, None),
        ({"partition": "accel"}, '{"features":"a"}', 1000, None),
        ({"partition": "debug"}, '{"tres_per_node":"gpu:1"}', 1000, None),
        ({"partition": "infer"}, "{}", 1000, None),
        ({"partition": "infer"}, '{"features":"a\\\\u0022"}', 1000, None),
        ({"nice": 3}, '{"features":"a"}', 1000, None),
    ],
)
def test_a_job_that_is_moved_gets_its_own_features_back(
    hook: Callable[..., Any], change: dict[str, Any], job: str, uid: int, expected: str | None
) -> None:
    it = hook()
    record = {"partition": "accel", "user_id": 1000, "job_id": 5, "admin_comment": ADMITTED % job}
    job_desc = it.lua.globals().job_desc(it.lua.table_from(change))
    modify = it.lua.globals().slurm_job_modify
    assert modify(job_desc, it.lua.table_from(record), None, uid) == 0
    assert job_desc["features"] == (expected or change.get("features"))
    plain = it.lua.table_from({**record, "admin_comment": None})
    assert modify(it.lua.globals().job_desc(it.lua.table_from(change)), plain, None, uid) == 0


@pytest.mark.parametrize(
    ("change", "partition", "tells"),
    [
        ({"priority": 4294967295}, "accel", True),  # scontrol release
        ({"priority": 77}, "accel", True),
        ({"priority": 0}, "accel", False),  # scontrol hold
        ({"priority": NO_VAL, "begin_time": 0, "comment": "x"}, "accel", False),
        ({"priority": NO_VAL, "begin_time": 1_796_000_000}, "accel", True),
        ({"begin_time": NO_VAL}, "accel", False),
        ({"dependency": ""}, "accel", True),
        ({"priority": NO_VAL, "partition": "train-nv", "req_nodes": "nv1"}, "accel", False),
        ({"priority": 4294967295}, "debug", False),
    ],
)
def test_hetd_is_told_of_an_update_that_lets_a_gated_job_go(
    hook: HookFactory, change: dict[str, Any], partition: str, tells: bool
) -> None:
    it = hook()
    g = it.lua.globals()
    job = it.lua.table_from({"partition": partition, "user_id": 1000, "job_id": 5})
    assert g.slurm_job_modify(g.job_desc(it.lua.table_from(change)), job, None, 1000) == 0
    assert g.told == tells
    assert it.texts("writes") == it.texts("logs") == []


@pytest.mark.parametrize(
    ("comment", "now", "goes_to", "expected"),
    [
        ('het1:{"orig":{"time_limit":""},"w":{"features":"a100"}}', "a100", "infer", "infer"),
        ('het1:{"orig":{"features":"x,y"},"w":{"features":"x,y&z"}}', "x&y&z", "infer", "x,y"),
        # Moved before, by the hook's leave; or its user has set others since.
        ('het1:{"orig":{"time_limit":""},"w":{"features":"a100"}}', "train-nv", "infer", "infer"),
        ('het1:{"orig":{"time_limit":""},"w":{"features":"a100"}}', "ib", "infer", None),
        ('het1:{"orig":{"time_limit":""},"w":{}}', "ib", "infer", None),
        # Handed over.
        ("slurm-het: why [Features=a100, submitted with ]", "a100", "infer", "infer"),
        ("x slurm-het: why [Features=a&b, submitted with a]", "a&b", "debug", "a"),
        ("slurm-het: why [Features=a100, submitted with ]", "ib", "infer", None),
        ("slurm-het: why", "ib", "infer", None),
    ],
)
def test_features_that_its_user_has_set_since_stay(
    hook: Callable[..., Any], comment: str, now: str, goes_to: str, expected: str | None
) -> None:
    it = hook()
    record = {"partition": "accel", "user_id": 1000, "job_id": 5, "admin_comment": comment}
    job_desc = it.lua.globals().job_desc(it.lua.table_from({"partition": goes_to}))
    modify = it.lua.globals().slurm_job_modify
    assert modify(job_desc, it.lua.table_from(record | {"features": now}), None, 1000) == 0
    assert job_desc["features"] == expected


def test_what_passes_into_a_closed_partition_is_judged_all_the_same(hook: HookFactory) -> None:
    """A refusal counts, by Slurm's number, and another partition; nothing else that is answered."""
    job = {"tres_per_node": "gres:gpu:9", "partition": "accel", "req_nodes": "nv1"}
    h = hook("reject")
    seen = h.submit(dict(job), {"action": "reject", "errno": "2014", "user_msg": "no such"})
    assert seen["rc"] == 2014
    assert h.texts("user") == ["slurm-het: no such"]
    assert dict(parse_qsl(h.texts("sent")[0]))["op"] == "judge"
    for reply in ({"action": "pass", "why": "x"}, "garbage", None):
        assert h.submit(dict(job), reply) == job | {"rc": 0}
    elsewhere = {"partition": "infer"}
    seen = h.submit(dict(job), ADMIT | elsewhere | {"req_nodes": "x", "tres_per_node": "gpu:1"})
    assert seen == job | elsewhere | {"rc": 0}
    h.submit({"ntasks_per_tres": 2, "partition": "accel"}, {"action": "pass", "why": "x"})
    h.submit(job | {"partition": "debug"})
    assert len(h.texts("sent")) == 6, "a partition that is not ours is Slurm's to judge"


@pytest.mark.parametrize("errno", ["", "no", "99999", "-1"])
def test_a_refusal_without_slurms_number_is_one_all_the_same(hook: HookFactory, errno: str) -> None:
    seen = hook().submit(dict(GPU_JOB), {"action": "reject", "errno": errno, "why": "x"})
    assert seen["rc"] == -1
