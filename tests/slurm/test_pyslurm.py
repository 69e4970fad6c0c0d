"""pyslurm's process, whatever becomes of it, and what is believed of what it tells.

What a real pair of Slurm 25.11.7 and pyslurm 25.11.2 said of 60 varied jobs in one moment is
recorded: squeue's list, its JSON, and pyslurm's answer. A stand-in for pyslurm tells the same JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slurm_het.core.model import Job
from slurm_het.core.network import Layout
from slurm_het.slurm.api.process import ApiProcess, NoAnswerError
from slurm_het.slurm.api.records import record_of
from slurm_het.slurm.api.source import TRIES, ApiSource, RecordsTold
from slurm_het.slurm.api.wire import JobsAsked, ToldJob, ToldJobs
from slurm_het.slurm.job_reader import JobReader, RecordParser
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.lines import Marks, NotUnderstoodError, following, parse_lines, rest_of
from slurm_het.slurm.programs import NOTHING, Given
from slurm_het.slurm.versions import parse_version
from tests.slurm import test_reading as reading_tests

TESTS = Path(__file__).parents[1]
RECORDED = json.loads((TESTS / "data" / "pyslurm_25_11.json").read_text())
FIELD = "\x1f"
MARKS = Marks(FIELD, "\x1e")
VERSION = parse_version(f"slurm {RECORDED['slurm']}")
READING = RecordParser(VERSION, memory_tracked=True)
MORE = VERSION.squeue_fields
QUICK = 0.5  # seconds, for who is never to answer
PATIENCE = 20.0  # for what takes a tenth of a second


def whole(jobs: list[dict[str, Any]]) -> tuple[Job, ...]:
    return parse_jobs(json.dumps({"jobs": jobs}).encode(), memory_tracked=True)


def listed(marks: Marks = MARKS) -> str:
    lines = (line.replace(FIELD, marks.field) for line in RECORDED["lines"])
    return "".join(f"{line}{marks.record}\n" for line in lines)


# --- what a real one told ---------------------------------------------------------------------


def test_a_line_and_what_pyslurm_tells_make_the_record_of_the_json() -> None:
    lines = parse_lines(listed(), MARKS)
    expected = {job.id: following(job, lines[job.id]) for job in whole(RECORDED["jobs"])}
    left: list[str] = []
    for told in msgspec.convert(RECORDED["told"], list[ToldJob]):
        line = lines[told.id]
        try:
            record = record_of(told, line, rest_of(line, MARKS, MORE))
        except NotUnderstoodError as error:
            left.append(str(error))
            continue
        (job,) = READING.records([record])
        assert following(job, line) == expected[told.id]
    assert len(expected) >= 60
    assert len(left) < 20
    assert set(left) == {
        "the devices of its shares are not told",
        "nobody tells whether it is to get the fewest nodes",
    }


TOLD = ToldJob(7, "RUNNING", nodes="nv1", gres=((("gpu:a100", 2, "0-1"),),))


@pytest.mark.parametrize("changed", [
    {"state": "COMPLETING"}, {"restarts": 1}, {"nodes": "nv2"}, {"state": "PENDING"},
    {"gres": ((("shard", 3, None),),)}, {"gres": ((("gpu:100", 100, None),),)},
])  # fmt: skip
def test_what_is_not_of_one_moment_or_too_little_is_left_to_the_json(
    changed: dict[str, Any],
) -> None:
    text = reading_tests.listed(State="RUNNING", NodeList="nv1", RestartCnt="0")
    line = parse_lines(text, reading_tests.MARKS)[7]
    fields = rest_of(line, reading_tests.MARKS) | {"ExcNodes": ""}
    assert record_of(TOLD, line, fields)["gres_detail"] == ["gpu:a100:2(IDX:0-1)"]
    (job,) = READING.records(
        [record_of(msgspec.structs.replace(TOLD, ntasks_per_gpu=2), line, fields)]
    )
    assert job.ntasks_per_gpu == 2
    with pytest.raises(NotUnderstoodError):
        record_of(msgspec.structs.replace(TOLD, **changed), line, fields)


# --- its process ------------------------------------------------------------------------------


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of the child; what the file `fault` there says is what it does."""
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": RECORDED["jobs"]}))
    (tmp_path / "fault").write_text("")
    return os.environ | {
        "PYTHONPATH": f"{TESTS / 'support' / 'stand_in'}{os.pathsep}{TESTS.parent}",
        "PYSLURM_RECORDED": str(tmp_path / "jobs.json"),
        "PYSLURM_FAULT": str(tmp_path / "fault"),
    }


@pytest.mark.parametrize(("fault", "seconds", "said"), [
    ("crash", PATIENCE, r"gone \(it ended by signal 11\)"),
    ("raise", PATIENCE, "Unable to contact slurm controller"),
    ("hang", QUICK, "no answer in time"),
    ("exit", PATIENCE, r"gone \(it ended with 1\)"),
])  # fmt: skip
def test_a_fault_ends_only_the_process_and_the_next_one_answers(
    fault: str, seconds: float, said: str, env: dict[str, str], tmp_path: Path
) -> None:
    process = ApiProcess(env, PATIENCE)
    assert [job.id for job in process.ask(JobsAsked([6])).jobs] == [6]
    (tmp_path / "fault").write_text(fault)
    process.seconds, first, began = seconds, process.pid, time.monotonic()
    with pytest.raises(NoAnswerError, match=said):
        process.ask(JobsAsked([6]))
    assert time.monotonic() - began < seconds + 2
    assert process.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(first or 0, 0)
    (tmp_path / "fault").write_text("")
    process.seconds = PATIENCE
    assert [job.id for job in process.ask(JobsAsked([6])).jobs] == [6]
    process.close()
    assert process.pid is None


# --- who is believed --------------------------------------------------------------------------


class Squeue:
    """Answers as squeue did; `asked` counts the records that its JSON was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, program: str, *arguments: str, given: Given = NOTHING) -> bytes:
        if program == "scontrol":
            return b""
        if fields := given.env.get("SQUEUE_FORMAT2"):
            marks = Marks(fields.split(",")[0].partition(":0")[2], fields.rpartition(":0")[2])
            return listed(marks).encode()
        ids = {int(i) for i in arguments[-1].split(",")} if "--jobs" in arguments else None
        jobs = [job for job in RECORDED["jobs"] if ids is None or job["job_id"] in ids]
        self.asked += len(jobs)
        return json.dumps({"jobs": jobs}).encode()


class Reader:
    """Reads all anew each time, with pyslurm."""

    def __init__(self, env: dict[str, str]) -> None:
        self.squeue = Squeue()
        self.source = ApiSource(env, PATIENCE)

    def read(self) -> tuple[Job, ...]:
        self.squeue.asked = 0
        reader = JobReader(self.squeue)
        reader.source = self.source
        return asyncio.run(reader.read(READING))


@pytest.fixture
def reader(env: dict[str, str]) -> Any:
    reader = Reader(env)
    yield reader
    reader.source.close()


ALL = len(RECORDED["jobs"])


def by_squeue() -> tuple[Job, ...]:
    return asyncio.run(JobReader(Squeue()).read(READING))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_at_the_start_all_is_read_both_ways_and_then_by_pyslurm(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    assert reader.read() == by_squeue()
    assert reader.squeue.asked == ALL
    assert sorted(reader.read(), key=id_of) == sorted(by_squeue(), key=id_of)
    assert reader.squeue.asked < 20  # shares, and the like
    assert warnings(caplog) == []


def id_of(job: Job) -> int:
    return job.id


def test_one_that_tells_otherwise_is_left_with_a_line_and_never_believed(
    reader: Reader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fault").write_text("garble")
    for _ in range(TRIES + 1):
        assert reader.read() == by_squeue()
        holders = sum(bool(job.gres_detail) for job in by_squeue())
        assert reader.squeue.asked >= holders
    (line,) = warnings(caplog)
    assert line.startswith("pyslurm is left, the command line is read from now on: of job ")
    assert "gres_detail is ('gpu:a100:" in line
    assert reader.source.process.pid is None
    assert reader.squeue.asked == ALL


def test_without_pyslurm_there_is_one_line(
    env: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader(env | {"PYSLURM_FAULT": "absent"})
    for _ in range(3):
        assert reader.read() == by_squeue()
    (line,) = warnings(caplog)
    assert "it cannot be used: ImportError: libslurm.so.43" in line


def test_jobs_that_pyslurm_cannot_read_are_read_by_squeue(
    reader: Reader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fault").write_text("unreadable")
    for _ in range(2):
        jobs = reader.read()
        assert sorted(jobs, key=id_of) == sorted(by_squeue(), key=id_of)
    running = sum(job.state == "RUNNING" for job in jobs)
    assert running <= reader.squeue.asked < ALL
    assert warnings(caplog) == []


def test_one_that_tells_what_no_job_has_is_left(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = ToldJobs((msgspec.structs.replace(TOLD, id=6, array_tasks=7),))
    monkeypatch.setattr(reader.source.process, "ask", lambda _question: told)
    for _ in range(2):
        assert reader.read() == by_squeue()
    (line,) = warnings(caplog)
    assert "what it tells cannot be read: TypeError" in line


def test_with_an_older_slurm_it_is_not_asked(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    old = RecordParser(parse_version("slurm-wlm 22.05.8"), memory_tracked=True)
    jobs = JobReader(reader.squeue)
    jobs.source = reader.source
    for _ in range(2):
        asyncio.run(jobs.read(old))
    (line,) = [line for line in warnings(caplog) if "pyslurm" in line]
    assert line.endswith("with Slurm 22.05.8 it tells other things")
    assert reader.source.process.pid is None


@pytest.mark.parametrize(("theirs", "same"), [
    (Job(7, comment="(null)"), True),
    (Job(7, comment="None"), False),
    (Job(7, comment="None of these"), False),
    (Job(7, name="None"), False),
    (Job(7, layout=Layout(fewest=True)), True),
    (Job(7, nodes_max=9), False),
])  # fmt: skip
def test_what_is_the_same_in_effect_is_no_difference(theirs: Job, same: bool) -> None:
    source, lines = ApiSource({}), {7: parse_lines(reading_tests.listed(), reading_tests.MARKS)[7]}
    told = RecordsTold(unproven={7: (("PENDING",), following(Job(7), lines[7]))})
    for _ in range(TRIES):
        assert source.compare(told, [theirs], lines) == ([] if same else ["7"])
    assert bool(source.left) == (not same)


def test_one_that_dies_is_asked_again_after_a_pause_that_grows(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    clock = Clock()
    monkeypatch.setattr("slurm_het.slurm.api.source.time.monotonic", clock)
    (tmp_path / "fault").write_text("crash")
    for second in range(16):
        clock.now = second
        assert reader.read() == by_squeue()
    pauses = [line.partition(" for ")[2].partition(" s")[0] for line in warnings(caplog)]
    assert pauses == ["1", "2", "4", "8", "16"]
    (tmp_path / "fault").write_text("")
    clock.now = 100
    reader.read()
    reader.read()
    assert reader.squeue.asked < 20
    assert len(warnings(caplog)) == 5


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now
