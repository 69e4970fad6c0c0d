"""het-squeue from the outside: tables, formats, hostile names, hetd's socket."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from slurm_het.cli import squeue as module
from slurm_het.cli.columns import STATE_CODES, format_lines, parse_format
from slurm_het.cli.hetd_client import MAX_REQUEST, call
from slurm_het.cli.live import Frame, Live, Screen, composed
from slurm_het.cli.render import Styled, cut, pad, style_of, table, width
from slurm_het.cli.screen import job_lines
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.syntax.printable import clean
from slurm_het.errors import HetError, SlurmError
from slurm_het.slurm.versions import parse_version
from slurm_het.times import local_time, slurms_time
from tests.support.squeue_cluster import CONFIG, NOW, running, snapshot, view, waiting

Serve = Callable[[bytes], Path]

TYPICAL = (
    running(101, "nv1", "gpu:a100:4(IDX:0-3)", name="pretrain"),
    running(102, "amd[1-2]", *["gpu:mi300x:6(IDX:0-5)"] * 2, partition="train-amd"),
    running(103, "l40s1", "shard:30(IDX:0)", partition="infer-nv", name="chat-7b"),
    running(104, "cpu1", partition="cpu", name="prep"),
    waiting(110, "gpu:a100:8", nodes_min=2, name="big"),
    waiting(111, "shard:24", name="vllm"),
    waiting(112, "gpu:1", array_job_id=112, array_tasks="3-9%3", reason="Dependency"),
)
TABLE = f"""\
      JOBID USER NAME    SCENARIO  POOL      VENDOR:TYPE DEV    GIB ST    TIME WAIT DEVICES(REASON)
         101 ann  pretrain training  train-nv  nvidia:a100   4    320 R  1:00:00 0:00 nv1:0-3
         102 ann  job102   training  train-amd amd:mi300x  2x6   2304 R  1:00:00 0:00 amd[1-2]:0-5
         103 ann  chat-7b  inference infer-nv  nvidia:l40s   1     30 R  1:00:00 0:00 l40s1:0
         104 ann  prep     -         cpu       -             -      - R  1:00:00 0:00 cpu1
         110 bob  big      training  gate      nvidia:a100 2x8 (1280) PD    0:00 0:00 (needs 8 \
free on each of 2 nodes; only 1 such: nv2; next is nv1 (101 is there until \
{local_time(NOW + 3600)} at the latest))
         111 bob  vllm     inference gate      any           1   (24) PD    0:00 0:00 (not known \
here; by Slurm's records alone: can start now; waits for hetd)
112_[3-9%3] bob  job112   training  gate      any           1  (80+) PD    0:00 0:00 (Dependency)
"""


class FakeSlurm:
    """Slurm with a given snapshot, or out of reach."""

    jobs: tuple[Job, ...] = TYPICAL
    intake = "DOWN"
    error: SlurmError | None = None

    def __init__(self, _settings: object) -> None:
        pass

    async def snapshot(self) -> Snapshot:
        """The snapshot, or the error."""
        if FakeSlurm.error:
            raise FakeSlurm.error
        return snapshot(*FakeSlurm.jobs, intake=FakeSlurm.intake)

    async def version(self) -> object:
        """22.05."""
        return parse_version("slurm 22.05.8")

    async def hidden(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    async def configuration(self) -> dict[str, str]:
        """Nothing out of the ordinary."""
        return {"SelectTypeParameters": "CR_CORE"}

    def spare(self, patience: object) -> None:
        """It costs nothing."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """het-squeue on the fake Slurm, with the control socket in tmp_path."""
    config = tmp_path / "het.yaml"
    config.write_text(f"{CONFIG}paths: {{control_socket: {tmp_path}/control.sock}}\n")
    monkeypatch.setattr(module, "slurm_of", lambda config: FakeSlurm(config.slurm))
    for name, value in (("jobs", TYPICAL), ("intake", "DOWN"), ("error", None)):
        monkeypatch.setattr(FakeSlurm, name, value)

    def _run(*arguments: str) -> Result:
        return CliRunner().invoke(module.squeue, ["--config", str(config), *arguments])

    return _run


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A control server that answers one request with the given bytes."""
    threads: list[threading.Thread] = []

    def start(reply: bytes) -> Path:
        path = tmp_path / "control.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            with server, server.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(reply)

        threads.append(threading.Thread(target=answer, daemon=True))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(5)


def status(**changes: Any) -> bytes:
    """hetd's status reply."""
    reply = {"ok": True, "gate": "closed", "bypass": False, "pid": 1, "waiting": {}, "returned": {}}
    return json.dumps(reply | changes).encode() + b"\n"


def words(text: str) -> list[list[str]]:
    """Lines as words, so that a table can be compared without its blanks."""
    return [line.split() for line in text.splitlines()]


def test_a_typical_table(run: Callable[..., Result]) -> None:
    result = run()
    assert words(result.stdout) == words(TABLE)
    lines = result.stdout.splitlines()
    starts = {line.index(word) for line, word in zip(lines[1:5], ["R "] * 4, strict=True)}
    assert len(starts) == 1
    assert lines[0].index("DEVICES(REASON)") == lines[1].index("nv1:0-3")


def test_without_hetd_one_line_says_so(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run()
    (line,) = result.stderr.splitlines()
    assert f"no hetd on this host (it would listen at {tmp_path}/control.sock)" in line
    assert "the intake accel is DOWN = its jobs wait for hetd, if it runs" in line
    FakeSlurm.intake = "UP"
    assert "the intake accel is UP = plain Slurm schedules" in run().stderr


def test_a_hetd_that_died_is_told_from_one_on_another_host(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "control.sock"))
    (line,) = run().stderr.splitlines()
    assert f"hetd is not answering (socket {tmp_path}/control.sock: Connection refused)" in line
    assert "slurm-het bypass on lets them go" in line


def test_hetd_adds_what_it_remembers(run: Callable[..., Result], serve: Serve) -> None:
    serve(status(waiting={"110": "goes after 99"}, returned={"110": {"reason": "QOSMaxGRES"}}))
    result = run("-j", "110", "-o", "reason", "-h")
    assert result.stdout == "returned (QOSMaxGRES); goes after 99\n"
    assert result.stderr == ""


@pytest.mark.parametrize(
    "reply",
    [b"", b"\n", b"[]\n", b"{", b"[" * 60000 + b"\n", b'{"ok": true, "waiting": 7}\n', b"\xff\n",
     b'{"ok": false, "error": "busy"}\n'],
)  # fmt: skip
def test_odd_answers_are_as_none(run: Callable[..., Result], serve: Serve, reply: bytes) -> None:
    serve(reply)
    result = run()
    assert result.exit_code == 0
    shown = re.sub(r"since \d\d:\d\d:\d\d;", "here;", result.stdout)
    assert words(shown) == words(TABLE)
    assert "gate state from Slurm alone" in result.stderr


def test_a_bypass_is_told(run: Callable[..., Result], serve: Serve) -> None:
    serve(status(gate="open", bypass=True))
    FakeSlurm.intake = "UP"
    assert "the gate is open (bypass is on)" in run().stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-o", "%i|%u|%t|%M"), "JOBID|USER|ST|TIME\n101|ann|R|1:00:00\n"),
        (("-o", "%.6i %5j%%"), " JOBID NAME %\n   101 pretr%\n"),
        (("-o", "%R", "-h"), "nv1\n"),
        (("-h", "-o", "%12{devices}<%.5{memory}"), "nv1:0-3     <  320\n"),
        (("-o", "id,devices"), "JOBID DEVICES\n  101 nv1:0-3\n"),
        (("-h", "-o", "pool,scenario,type"), "train-nv training nvidia:a100\n"),
    ],
)
def test_formats(run: Callable[..., Result], arguments: tuple[str, ...], expected: str) -> None:
    assert run("-j", "101", *arguments).stdout == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "%!"), "invalid format"),
        (("-o", "%Z"), "invalid format"),
        (("-o", "id,colour"), "no column 'colour'"),
        (("-o", "%{colour}"), "no column"),
        (("-t", "FOO"), "no job state"),
        (("--config", "/nonexistent/het.yaml"), "cannot read the configuration"),
    ],
)
def test_wrong_options(
    run: Callable[..., Result], arguments: tuple[str, ...], message: str
) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, HetError)
    assert message in str(result.exception)


def test_the_gate_is_a_pool_to_choose(run: Callable[..., Result]) -> None:
    assert run("-p", "gate", "-h", "-o", "id").stdout == run("-p", "accel", "-h", "-o", "id").stdout
    assert run("-p", "gate", "-h", "-o", "id").stdout.split() == ["110", "111", "112_[3-9%3]"]


def test_what_is_free_of_a_pool_or_a_node(run: Callable[..., Result]) -> None:
    all_pools, one = run("--free", "-h").stdout, run("--free", "-h", "-p", "train-amd").stdout
    assert words(one) == [line for line in words(all_pools) if line[0] == "train-amd"]
    assert "nv1" in run("--nodes", "-h", "-w", "nv1").stdout
    assert "amd" not in run("--nodes", "-h", "-w", "nv1").stdout
    assert "no node nv99" in str(run("--nodes", "-w", "nv99").exception)
    for option in (("-u", "ann"), ("-j", "1"), ("-o", "id"), ("--why",), ("-t", "PD")):
        result = run("--free", *option)
        assert result.exit_code == 2
        said = " ".join(result.stderr.split())
        assert f"--free and --nodes show no jobs, which {option[0]} is for" in said
        assert f"with --json, {option[0]} adds the jobs" in said


def test_me_is_who_asks_whatever_the_environment_says(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setattr("os.getuid", lambda: 54321)
    assert run("--me", "-h").stdout.strip() == ""


def test_main_says_errors_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["het-squeue", "--config", f"{tmp_path}/none\x1b[2J.yaml"])
    with pytest.raises(SystemExit) as left:
        module.main()
    error = capsys.readouterr().err
    assert left.value.code == 1
    assert error.startswith("het-squeue: cannot read the configuration")
    assert "\x1b" not in error
    assert "--config or $HET_CONFIG" in error


def test_slurm_out_of_reach(run: Callable[..., Result]) -> None:
    FakeSlurm.error = SlurmError("squeue --all --json: Unable to contact slurm controller")
    assert isinstance(run().exception, SlurmError)


def test_iterate_goes_on_and_ends_quietly(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        FakeSlurm.error = SlurmError("away") if len(slept) == 1 else None
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    result = run("-i", "2", "-j", "101")
    assert result.exit_code == 0
    assert slept == [2, 2, 2]
    assert result.stdout.count("pretrain") == 2
    assert "away" in result.stderr
    assert run("-i", "0").exit_code == 2


KEYS = [
    "id", "job_id", "array_job_id", "user", "account", "qos", "name", "partition", "pool",
    "scenario", "types", "devices", "memory_gib", "asks", "state", "seconds",
    "time_limit_minutes", "priority", "submit_time", "start_time", "reason", "slurm_reason",
    "evidence", "readable", "expected_start", "expected_nodes", "waited_seconds",
    "reason_code", "action", "expected_cause", "likely_start",
]  # fmt: skip


POOL_KEYS = [
    "pool", "scenario", "types", "memory_gib", "free", "total", "unusable", "best_node", "best",
    "shared", "best_gib",
]  # fmt: skip
NODE_KEYS = [
    "pool", "node", "types", "free", "total", "free_gib", "shared", "state", "note", "devices",
]  # fmt: skip


def test_what_is_free_as_json(run: Callable[..., Result]) -> None:
    """What was asked for, and nothing else: the jobs only where an option chooses some."""

    def document(*options: str) -> dict[str, Any]:
        return dict(json.loads(run("--json", *options).stdout))

    by_pool = document("--free")
    assert list(by_pool) == ["free", "gate", "source"]
    assert list(by_pool["free"][0]) == POOL_KEYS
    first = by_pool["free"][0]
    assert (first["pool"], first["free"], first["total"]) == ("train-nv", 12, 16)
    by_node = document("--nodes")
    assert list(by_node) == ["nodes", "gate", "source"]
    assert list(by_node["nodes"][0]) == NODE_KEYS
    assert [n["node"] for n in document("--nodes", "-w", "nv1")["nodes"]] == ["nv1"]
    assert list(document("--free", "--nodes", "-p", "train-nv"))[:2] == ["free", "nodes"]
    both = document("--free", "-j", "101")
    assert list(both) == ["jobs", "free", "gate", "source"]
    assert [job["id"] for job in both["jobs"]] == ["101"]
    help_text = " ".join(run("--help").stdout.split())
    assert " ".join(POOL_KEYS) in help_text
    assert " ".join(NODE_KEYS) in help_text


def test_json(run: Callable[..., Result]) -> None:
    document = json.loads(run("--json").stdout)
    assert list(document) == ["jobs", "gate", "source"]
    assert list(document["jobs"][0]) == KEYS
    first, waits = document["jobs"][0], document["jobs"][4]
    assert first["devices"] == [{"node": "nv1", "indexes": [0, 1, 2, 3], "count": 4}]
    assert waits["asks"] == {"devices": [8, 8], "memory_gib": 1280, "at_least": False}
    assert document["gate"] == {
        "state": "closed", "bypass": False, "intake": "accel", "intake_state": "DOWN",
        "hetd": False, "modes": {},
    }  # fmt: skip
    help_text = " ".join(run("--help").stdout.split())
    assert " ".join(KEYS) in help_text


def test_free_and_nodes(run: Callable[..., Result]) -> None:
    text = run("--free", "--nodes").stdout
    assert words(text)[1][:5] == ["train-nv", "training", "nvidia:a100", "80", "12/16"]
    assert "0:18 1-3:48" in text


def test_why_and_help(run: Callable[..., Result]) -> None:
    text = run("--why", "-j", "111").stdout
    assert "    inference: a share of a device is asked for" in text
    assert "Examples:" in run("--help").stdout
    assert run("--version").stdout.startswith("het-squeue, version ")


HOSTILE = [
    "\x1b[31mred\x1b[0m", "a\nb", "a\rb", "\x9b2J", "\u202egnp.exe", "\u2066x\u2069", "\x07",
    "\u200b", "\u2028", "\ufeff", "\x7f", "\udc80", "\ue000",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_made_visible(text: str) -> None:
    assert "?" in clean(text)
    assert clean(text).isprintable()


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("terminal", [None, 80, 140])
def test_hostile_jobs_cannot_steer_the_table(text: str, terminal: int | None) -> None:
    jobs = (
        running(1, "nv1", "gpu:a100:1(IDX:0)", name=text, user=text, partition=text),
        waiting(2, "gpu:1", name=text, reason=text, comment=text),
    )
    rows = view(*jobs).rows
    lines = job_lines(rows, None, header=True, why=True, terminal=terminal)
    lines += format_lines(parse_format("%j %u %P %r %R %T"), rows, header=False)
    assert all(line.isprintable() for line in lines)
    assert sum(not line.startswith("    ") for line in lines) >= 2


@pytest.mark.parametrize("terminal", [40, 80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal(terminal: int) -> None:
    wide = running(1, "l40s1", "shard:9(IDX:1)", name="训练任务-大模型-" * 4, user="averylongname")
    rows = view(*TYPICAL, wide).rows
    lines = job_lines(rows, None, header=True, why=True, terminal=terminal)
    assert max(width(line) for line in lines) <= terminal
    assert any("needs 8 free on each" in line or terminal == 40 for line in lines)


def test_widths() -> None:
    assert (width("abc"), width("训练"), width("e\u0301")) == (3, 4, 1)
    assert (cut("训练任务", 5), cut("训练任务", 5, "…"), cut("ab", 0)) == ("训练", "训练…", "")
    assert (pad("训", 4) + "|", pad("a", 3, right=True)) == ("训  |", "  a")
    assert table(["A", "B"], [["训", "x "], ["abc", ""]], [True, False]) == [
        "  A B",
        " 训 x",
        "abc",
    ]


def test_state_codes_are_two_or_three_letters_and_differ() -> None:
    assert len(set(STATE_CODES.values())) == len(STATE_CODES)


def test_call(serve: Serve) -> None:
    assert call(serve(status()), {"op": "status"})["gate"] == "closed"


def test_call_refused_and_silent(serve: Serve, tmp_path: Path) -> None:
    refused = serve(b'{"ok": false, "error": "only for admins", "hint": "use sudo"}\n')
    with pytest.raises(HetError, match="only for admins") as refusal:
        call(refused, {"op": "wake"})
    assert refusal.value.hint == "use sudo"
    with pytest.raises(HetError, match="not answering"):
        call(tmp_path / "none.sock", {"op": "status"})
    with pytest.raises(HetError, match="a request of"):
        call(refused, {"op": "x" * MAX_REQUEST})
    with pytest.raises(HetError, match="not answering"):
        call(tmp_path / ("x" * 200), {"op": "status"})


def test_call_is_bounded_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "c.sock"))
        server.listen()
        with pytest.raises(HetError, match="no answer in time"):
            call(tmp_path / "c.sock", {"op": "status"}, timeout=0.1)


def test_when_and_where_what_waits_starts(run: Callable[..., Result]) -> None:
    """By the running jobs' limits, soonest first; N/A is not known, as in squeue."""
    FakeSlurm.jobs = (
        *TYPICAL,
        waiting(113, "gpu:a100:8", name="behind", time_limit_minutes=60),
        replace(waiting(114, "", partition="cpu", name="cpus"), start_time=NOW + 60),
        replace(waiting(115, "", partition="cpu", name="past"), start_time=NOW - 60),
    )
    found = run("--start", "-o", "id,start,planned")
    ends = slurms_time(NOW + 3600)
    assert words(found.stdout) == [
        ["JOBID", "START_TIME", "SCHEDNODES"],
        ["111", slurms_time(NOW), "l40s1"],
        ["113", slurms_time(NOW), "nv2"],
        ["114", slurms_time(NOW + 60), "-"],
        ["110", ends, "nv[1-2]"],
        ["115", "N/A", "-"],
        ["112_[3-9%3]", "N/A", "-"],
    ]
    heading, *lines = words(run("--start").stdout)
    assert heading[-5:] == ["ST", "START_TIME", "LIKELY", "SCHEDNODES", "REASON"]
    assert [line[0] for line in lines][-3:] == ["110", "115", "112_[3-9%3]"]
    jobs = {job["id"]: job for job in json.loads(run("--start", "--json").stdout)["jobs"]}
    assert jobs["110"]["expected_start"] == NOW + 3600
    assert jobs["110"]["expected_nodes"] == ["nv1", "nv2"]
    assert {job["expected_start"] for job in json.loads(run("--json").stdout)["jobs"]} == {None}
    assert {job["expected_cause"] for job in json.loads(run("--json").stdout)["jobs"]} == {None}


def test_what_waits_has_a_time_or_the_cause_why_none_is_known(run: Callable[..., Result]) -> None:
    for_ever = running(116, "nv2", "gpu:a100:8(IDX:0-7)", end_time=0, time_limit_minutes=None)
    FakeSlurm.jobs = (
        *TYPICAL, for_ever,
        waiting(117, "", reason="Dependency", dependency="afterok:101"),
        replace(waiting(118, "", partition="cpu", name="past"), start_time=NOW - 60),
        waiting(119, "gpu:a100:9"),
    )  # fmt: skip
    jobs = json.loads(run("--start", "--json").stdout)["jobs"]
    assert all((job["expected_start"] is None) != (job["expected_cause"] is None) for job in jobs)
    cause = {job["id"]: job["expected_cause"] for job in jobs}
    assert "jobs without a time limit hold what it needs" in cause["110"], "it needs two nodes"
    assert cause["119"] == "needs 9 free on one node; the largest node, nv1, has 8"
    assert cause["118"] == "PartitionDown"
    shown = next(line for line in run("--start").stdout.splitlines() if " 110 " in f" {line}")
    assert "best is nv1 with 4" in shown
    assert shown.endswith(cause["110"])


@pytest.mark.parametrize(("minutes", "kept"), [(60, False), (119, False), (120, True), (0, True)])
def test_no_start_is_told_at_which_a_job_misses_its_deadline(
    run: Callable[..., Result], minutes: int, kept: bool
) -> None:
    """Slurm does not start it then; of a job that plain Slurm places it tells that time itself."""
    due = NOW + 60 * minutes if minutes else 0
    gated, placed = (
        replace(job, deadline=due, time_limit_minutes=60)
        for job in (
            waiting(120, "gpu:a100:8", nodes_min=2, tasks=2, cpus=2),
            replace(waiting(121, "", partition="cpu", reason="Resources"), start_time=NOW + 3600),
        )
    )
    FakeSlurm.jobs = (running(101, "nv1", "gpu:a100:8(IDX:0-7)"), gated, placed)
    jobs = {job["id"]: job for job in json.loads(run("--start", "--json").stdout)["jobs"]}
    for key in ("120", "121"):
        told, cause = jobs[key]["expected_start"], jobs[key]["expected_cause"]
        assert (told == NOW + 3600, "deadline" in (cause or "")) == (kept, not kept)


def test_it_says_how_good_the_told_times_were(run: Callable[..., Result], serve: Serve) -> None:
    told = {"told": 200, "kept": 194, "half_seconds": 240.0, "most_seconds": 900.0}
    says = "start times: of the last 200 told times 97 % were kept; half within 4 min"
    for options, is_told in ((("--start",), True), (("--start", "-h"), False), ((), False)):
        path = serve(status(told=told))
        assert (says in run(*options).stderr) == is_told
        path.unlink()
    serve(status(told=told))
    assert json.loads(run("--start", "--json").stdout)["told"] == told


def test_hetd_tells_when_jobs_probably_start(run: Callable[..., Result], serve: Serve) -> None:
    """What it told some time ago is not before now, nor after the latest time."""
    FakeSlurm.jobs = (*TYPICAL, waiting(113, "gpu:a100:8", name="behind", time_limit_minutes=60))
    told = {"110": NOW + 600.0, "111": NOW - 5.0, "113": NOW + 1e6}
    path = serve(status(likely=told))
    jobs = {job["id"]: job for job in json.loads(run("--start", "--json").stdout)["jobs"]}
    likely = {key: job["likely_start"] for key, job in jobs.items()}
    assert (likely["110"], likely["111"]) == (NOW + 600, NOW)
    assert likely["113"] == jobs["113"]["expected_start"]
    assert likely["112_[3-9%3]"] is None
    path.unlink()
    serve(status(likely=told))
    found = words(run("--start", "-j", "110", "-o", "start,likely").stdout)
    assert found[1] == [slurms_time(NOW + 3600), slurms_time(NOW + 600)]


def test_a_hetd_that_is_silent_tells_of_no_times(run: Callable[..., Result]) -> None:
    assert "start times" not in run("--start").stderr
    assert json.loads(run("--start", "--json").stdout)["told"] is None


def test_while_the_gate_is_open_slurm_says_when_jobs_start(run: Callable[..., Result]) -> None:
    FakeSlurm.jobs = (*TYPICAL[:5], replace(TYPICAL[5], start_time=NOW + 60))
    FakeSlurm.intake = "UP"
    found = words(run("--start", "-o", "id,start,planned").stdout)
    assert found[1:] == [["111", slurms_time(NOW + 60), "-"], ["110", "N/A", "-"]]


@pytest.mark.parametrize("more", [(), ("--start",), ("--free",), ("--nodes", "-l")])
def test_json_is_as_its_schema_says(run: Callable[..., Result], more: tuple[str, ...]) -> None:
    schema = Path(__file__).parents[2] / "docs" / "schemas" / "het-squeue.json"
    jsonschema.validate(json.loads(run("--json", *more).stdout), json.loads(schema.read_text()))


def test_order_accounts_names_and_tasks(run: Callable[..., Result]) -> None:
    def ids(*arguments: str) -> list[str]:
        return run("-h", "-o", "%i", *arguments).stdout.split()

    assert ids("-S", "-priority,i")[:2] == ["104", "103"]
    assert ids("-S", "-count")[0] == "110"
    assert ids("-n", "vllm,prep", "-S", "i") == ["104", "111"]
    assert ids("-r", "-j", "112") == [f"112_{n}" for n in range(3, 10)]
    assert ids("-A", "nobody") == []
    assert "no column" in str(run("-S", "unheard").exception)


LONG_ARRAY = waiting(11, "gpu:1", array_job_id=11, array_tasks="0-29999%8")


@pytest.mark.parametrize(
    ("arguments", "count", "last"),
    [
        (("-r",), 30_000, "11_29999"),
        (("-j", "11_20000"), 1, "11_[0-29999%8]"),
        (("-j", "11_30000"), 0, ""),
        (("-r", "-j", "11_20000"), 1, "11_20000"),
        (("-r", "-j", "11_[3-9:2,20000-40000:5000]"), 6, "11_25000"),
        (("-r", "-j", "11_7,11"), 30_000, "11_29999"),
    ],
)
def test_each_task_of_a_long_array_is_found(
    run: Callable[..., Result], arguments: tuple[str, ...], count: int, last: str
) -> None:
    FakeSlurm.jobs = (LONG_ARRAY,)
    done = run("-h", "-o", "%i", *arguments)
    ids = done.stdout.split()
    assert (len(ids), ids[-1] if ids else "") == (count, last)
    assert "left out" not in done.stderr


def test_of_more_tasks_than_are_shown_it_is_said(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeSlurm.jobs = (LONG_ARRAY, waiting(12, "gpu:1", array_job_id=12, array_tasks="1-5"))
    monkeypatch.setattr("slurm_het.cli.filters.MAX_TASKS", 29_998)
    done = run("-h", "-o", "%i", "-r")
    assert len(done.stdout.split()) == 29_998
    assert "7 waiting tasks of arrays are left out" in done.stderr
    (said,) = json.loads(run("--json", "-r").stdout)["source"]["warnings"]
    assert "7 waiting tasks" in said


def test_a_screen_is_redrawn_in_place() -> None:
    frame, size = Frame(), os.terminal_size((40, 5))
    lines = [Styled("clock 10:00:01", "1"), Styled("waits  0:01", "33"), "█ nv1  0:07"]
    first = frame.changes(lines, size)
    assert "\x1b[2J" not in first
    assert first.startswith("\x1b[1;1H\x1b[0;1mclock 10:00:01\x1b[K")
    assert frame.changes(lines, size) == ""
    later = [Styled("clock 10:00:03", "1"), Styled("waits  0:03", "33"), "█ nv1  0:10"]
    assert frame.changes(later, size) == (
        "\x1b[1;14H\x1b[0;1m3\x1b[2;11H\x1b[0;33m3\x1b[3;10H\x1b[0m10"
    )
    assert frame.changes(later[:2], size) == "\x1b[3;1H\x1b[K"
    assert "clock" in frame.changes(later[:2], os.terminal_size((50, 5)))


def test_what_does_not_fit_a_terminal_is_counted() -> None:
    live = Live("het-squeue", 2, "het-squeue -i 2")
    lines = composed(live, Screen(["hetd is away"], [str(n) for n in range(9)]),
                     os.terminal_size((40, 6)))  # fmt: skip
    assert [str(line) for line in lines[1:]] == ["hetd is away", "0", "1", "2", "and 6 more lines"]


def test_colours_only_on_a_terminal(run: Callable[..., Result]) -> None:
    assert "\x1b" not in run().stdout
    table = job_lines(view(*TYPICAL).rows, None, header=True, why=False, terminal=100)
    assert [style_of(line) for line in table][:2] == ["1", ""]
    assert style_of(table[-1]) == "33"
