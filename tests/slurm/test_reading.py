"""A line of each job, and full records of those that changed; no Slurm needed."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.model import Job
from slurm_het.core.syntax.arrays import array_indexes
from slurm_het.errors import SlurmError
from slurm_het.slurm.job_reader import JobReader, RecordParser
from slurm_het.slurm.known_jobs import READ_AGAIN_MOST, READ_AGAIN_SECONDS, KnownJobs
from slurm_het.slurm.lines import (
    FIELDS,
    Line,
    Marks,
    NotUnderstoodError,
    Parsed,
    add_excluded,
    as_of,
    left_of_array,
    parse_lines,
    rest_of,
    squeue_format,
)
from slurm_het.slurm.programs import NOTHING, Given
from slurm_het.slurm.shared_records import Shared, packed, unpacked
from slurm_het.slurm.text_records import commands, parse_records
from slurm_het.slurm.versions import parse_version

MARKS = Marks("f0123", "r4567")
NEW, OLD = parse_version("slurm 24.11.5"), parse_version("slurm-wlm 22.05.8")
USUAL = {
    "JobID": "7", "JobArrayID": "7", "State": "PENDING", "PriorityLong": "10",
    "StartTime": "N/A", "EndTime": "N/A", "Reason": "Priority", "UserID": "1001",
    "UserName": "ann", "Account": "(null)", "QOS": "(null)", "Name": "train", "Partition": "accel",
    "NumNodes": "1", "NumCPUs": "4", "NumTasks": "1", "MinMemory": "1024M", "MinCpus": "1",
    "MCSLabel": "(null)", "AllocNodes": "login1", "TimeLimit": "1:00:00", "OverSubscribe": "OK",
    "tres-per-node": "gres:gpu:2", "SubmitTime": "100", "EligibleTime": "100",
    "WCKey": "(null)",
}  # fmt: skip


def listed(**fields: str) -> str:
    """One line of squeue, as MARKS make it; fields by their names, `_` for `-`."""
    values = dict.fromkeys(FIELDS, "N/A") | USUAL
    values |= {name.replace("_per_", "-per-"): value for name, value in fields.items()}
    return MARKS.field.join(values[name] for name in FIELDS) + f"{MARKS.record}\n"


def line(**fields: str) -> Line:
    (one,) = parse_lines(listed(**fields), MARKS).values()
    return one


def shown(name: str = "train", rest: str = "", **fields: str) -> str:
    """One job of 22.05's `scontrol -o -d show job`."""
    f = {
        "ids": "JobId=7", "account": "(null)", "state": "PENDING", "excluded": "(null)",
        "nodes": "", "gres": "", "memory": "MinMemoryCPU=1G",
    } | fields  # fmt: skip
    return (
        f"{f['ids']} JobName={name} UserId=ann(1001) GroupId=ann(1001) MCS_label=N/A"
        f" Priority=10 Nice=0 Account={f['account']} QOS=(null) JobState={f['state']}"
        " Reason=Priority Dependency=(null) Requeue=1 Partition=accel AllocNode:Sid=login1:26509"
        f" ReqNodeList=(null) ExcNodeList={f['excluded']} NodeList={f['nodes']} NumNodes=1"
        f" NumCPUs=4 CoreSpec=* {f['gres']}MinCPUsNode=1 {f['memory']} MinTmpDiskNode=0"
        f" Features=(null) Command=(null){rest} \n"
    )


def read_as_text(text: str, of: Line, job_id: int = 7) -> list[dict[str, Any]]:
    answer = f"scontrol: show hostnames {MARKS.record}\n{MARKS.record}\nscontrol: show job\n{text}"
    return list(parse_records(answer, {job_id: of}, [job_id], MARKS))


# --- lines -----------------------------------------------------------------------------------

ANYTHING = st.text(max_size=30) | st.sampled_from((
    "x\n8", "r4567\n".upper(), ".\n", "f012", "r456", "(null)", "\x00\x1f", "8f01 23PENDING\n",
))  # fmt: skip


FREE = ("Name", "Comment", "admin_comment", "Account", "WCKey", "Command")


@given(st.fixed_dictionaries(dict.fromkeys(FREE, ANYTHING)))
def test_whatever_users_write_is_read_as_it_is(written: dict[str, str]) -> None:
    text = listed(**written) + listed(JobID="8", JobArrayID="8")
    lines = parse_lines(text, MARKS)
    assert list(lines) == [7, 8]
    told = rest_of(lines[7], MARKS)
    assert {name: told[name] for name in written} == written
    assert lines[8] == line(JobID="8", JobArrayID="8")


@pytest.mark.parametrize("damaged", [
    lambda text: text[:-3],
    lambda text: text.replace(MARKS.field, "", 60),
    lambda text: text.replace("7", "seven", 1),
    lambda text: f"error: something\n{text}",
])  # fmt: skip
def test_what_is_no_list_is_not_understood(damaged: Callable[[str], str]) -> None:
    with pytest.raises(NotUnderstoodError) as told:
        parse_lines(damaged(listed()), MARKS)
    assert MARKS.field not in str(told.value)


def test_each_field_is_asked_for_in_full_and_a_mark_is_no_width() -> None:
    asked = squeue_format(MARKS, ["ExcNodes"]).split(",")
    assert len(asked) == len(FIELDS) + 1
    assert asked[0] == "JobID:0f0123"
    assert asked[-1] == "ExcNodes:0r4567"


JOB = Job(7, reason="Priority", priority=10, array_job_id=7, array_tasks="1-3%2", array_limit=2)


@pytest.mark.parametrize(("changed", "expected"), [
    ({"PriorityLong": "99"}, {"priority": 99}),
    ({"Reason": "Resources"}, {"reason": "Resources"}),
    ({"StartTime": "500", "EndTime": "900"}, {"start_time": 500, "end_time": 900}),
    ({"JobArrayID": "7_[2-3%2]"}, {"array_tasks": "2-3%2"}),
    ({"JobArrayID": "7_3"}, None),
    ({"Reason": "ReqNodeNotAvail, UnavailableNodes:nv1"}, None),
    ({"State": "RUNNING"}, None),
    ({"Name": "other"}, None),
    ({"Comment": "new"}, None),
    ({"admin_comment": "new"}, None),
    ({"Feature": "a100"}, None),
    ({"MinMemory": "2048M"}, None),
    ({"tres_per_node": "gres:gpu:4"}, None),
])  # fmt: skip
def test_what_slurm_changes_all_the_time_is_taken_from_the_line(
    changed: dict[str, str], expected: dict[str, Any] | None
) -> None:
    then = line(JobArrayID="7_[1-3%2]")
    now = line(**({"JobArrayID": "7_[1-3%2]"} | changed))
    assert as_of(JOB, then, now) == (replace(JOB, **expected) if expected else None)


def test_a_running_job_whose_end_moves_is_read_anew() -> None:
    job = Job(7, state="RUNNING", end_time=900, priority=10)
    then = line(State="RUNNING", EndTime="900")
    assert as_of(job, then, line(State="RUNNING", EndTime="900", PriorityLong="9")) == replace(
        job, priority=9
    )
    assert as_of(job, then, line(State="RUNNING", EndTime="950")) is None


@given(st.sets(st.integers(0, 99), min_size=2), st.integers(0, 5))
def test_the_tasks_that_are_left_of_an_array(left: set[int], limit: int) -> None:
    text = left_of_array(" ".join(f"7_{number}" for number in sorted(left)), limit)
    assert array_indexes(text, 1000) == tuple(sorted(left))
    assert text.endswith(f"%{limit}") == bool(limit)
    assert left_of_array(f"7_[{text}]", limit) == text


def test_an_array_of_which_each_task_is_listed_is_one_job() -> None:
    tasks = [listed(JobArrayID=f"7_{number}") for number in (1, 2, 5)]
    assert parse_lines("".join(tasks), MARKS)[7].tasks == "7_1 7_2 7_5"


def test_what_is_the_same_text_is_the_same_line() -> None:
    """Of an array too, which has a line for each of its tasks in an older Slurm."""
    before: Parsed = {}
    same = listed(JobID="8", JobArrayID="8")
    array = [listed(JobID="7", JobArrayID=f"7_{n}") for n in (1, 2)]
    first = parse_lines("".join([same, *array]), MARKS, before)
    next_one = parse_lines("".join([same, array[0]]), MARKS, before)
    assert next_one[8] is first[8]
    assert (first[7].tasks, next_one[7].tasks) == ("7_1 7_2", "7_1")
    assert len(before) == 2, "what is gone is forgotten"
    changed = parse_lines(listed(JobID="8", JobArrayID="8", Comment="x"), MARKS, before)
    assert changed[8] != first[8]
    excluded = parse_lines(same, MARKS, before)
    add_excluded(excluded, "8f0123nv1r4567\n", MARKS)
    assert (excluded[8].excluded, first[8].excluded) == ("nv1", ""), "the list before keeps its own"


def test_excluded_nodes_that_are_listed_apart() -> None:
    lines = {7: line(), 8: line()}
    add_excluded(lines, "7f0123nv[1-2]r4567\n8f0123r4567\n9f0123nv1r4567\n", MARKS)
    assert (lines[7].excluded, lines[8].excluded) == ("nv[1-2]", "")
    assert as_of(Job(7), line(), lines[7]) is None
    with pytest.raises(NotUnderstoodError):
        add_excluded(lines, "7 nv1r4567\n", MARKS)


# --- what is known ---------------------------------------------------------------------------


def test_only_new_and_changed_jobs_are_read() -> None:
    known = KnownJobs()
    lines = {7: line(), 8: line()}
    assert known.unread(lines, 0) == [7, 8]
    assert known.learn(lines, [7, 8], [Job(7), Job(8)], 0)
    assert known.unread(lines, 1) == []
    lines[8] = line(Name="other")
    assert known.unread(lines, 2) == [8]
    assert known.learn(lines, [8], [Job(8, name="other")], 2)
    assert [job.name for job in known.jobs(lines)] == ["", "other"]
    assert known.unread({8: lines[8]}, 3) == []
    assert [job.id for job in known.jobs({8: lines[8]})] == [8]


def test_a_job_that_starts_between_its_line_and_its_record_asks_for_another_list() -> None:
    known = KnownJobs()
    lines = {7: line(), 8: line()}
    known.unread(lines, 0)
    running = Job(7, state="RUNNING", nodes="nv1")
    assert not known.learn(lines, [7, 8], [running], 0)  # and 8 is gone
    assert known.jobs(lines) == (running,)
    assert known.unread(lines, 1) == [7, 8]


def test_a_job_that_we_update_is_read_anew() -> None:
    known = KnownJobs()
    lines = {7: line(), 9: line(JobID="9", JobArrayID="7_3")}
    known.unread(lines, 0)
    known.learn(lines, [7, 9], [Job(7), Job(9, array_job_id=7, array_task_id=3)], 0)
    known.doubt("7_3")
    assert known.unread(lines, 1) == [9]


def test_old_records_are_read_again_some_at_a_time() -> None:
    known = KnownJobs()
    lines = {number: line() for number in range(100)}
    known.unread(lines, 0)
    known.learn(lines, list(lines), [Job(number) for number in lines], 0)
    assert known.unread(lines, READ_AGAIN_SECONDS) == []
    due = known.unread(lines, READ_AGAIN_SECONDS + 1)
    assert due == list(range(READ_AGAIN_MOST))
    known.learn(lines, due, [Job(number, array_limit=3) for number in due], READ_AGAIN_SECONDS + 1)
    assert known.unread(lines, READ_AGAIN_SECONDS + 2)[0] == READ_AGAIN_MOST
    assert known.jobs(lines)[0].array_limit == 3


# --- 22.05's text ----------------------------------------------------------------------------


def test_a_record_from_text() -> None:
    text = shown(
        state="RUNNING", nodes="nv[1-2]", excluded="nv3", memory="MinMemoryNode=1G",
        gres="JOB_GRES=gpu:4   Nodes=nv2 CPU_IDs=0 Mem=1 GRES=gpu:2(IDX:4-5)"
        "   Nodes=nv1 CPU_IDs=0 Mem=1 GRES=gpu:2(IDX:0-1) ",
    )  # fmt: skip
    (record,) = read_as_text(text, line(State="RUNNING", NodeList="nv[1-2]"))
    assert record["gres_detail"] == ["gpu:2(IDX:0-1)", "gpu:2(IDX:4-5)"]
    assert record["memory_per_node"] == 1024
    assert "memory_per_cpu" not in record
    assert record["excluded_nodes"] == "nv3"
    assert (record["job_state"], record["cpus"], record["time_limit"]) == ("RUNNING", 4, 60)
    assert record["prefer"] == ""
    (record,) = read_as_text(shown(), line(Prefer="nvlink"))
    assert record["prefer"] == "nvlink"


@pytest.mark.parametrize(("listed_as", "reason"), [
    ("QOSMaxGRESPerUser", "QOSMaxGRESPerUser"),
    ("ReqNodeNotAvail, UnavailableNodes:nv1", "ReqNodeNotAvail"),
    ("ReqNodeNotAvail(Unavailable:nv1)", "ReqNodeNotAvail"),
    ("Nodes required for job are DOWN, DRAINED or reserved for jobs in", "Resources"),
    ("job requeued in special exit state", "JobHeldUser"),
    ("Reservation r, which this job was running under, has ended", None),
])  # fmt: skip
def test_a_sentence_is_told_by_its_reason(listed_as: str, reason: str | None) -> None:
    if reason is None:
        with pytest.raises(NotUnderstoodError):
            read_as_text(shown(), line(Reason=listed_as))
    else:
        (record,) = read_as_text(shown(), line(Reason=listed_as))
        assert record["state_reason"] == reason


@given(ANYTHING, ANYTHING, st.text(max_size=40))
def test_no_name_poses_as_a_field(name: str, account: str, after: str) -> None:
    posing = f"{name} UserId=root(0) Account=x QOS=y JobState=RUNNING MinMemoryNode=9G "
    text = shown(posing, rest=f" Comment={after} ExcNodeList=nv9", account=account)
    (record,) = read_as_text(text, line(Name=posing, Account=account, Comment=after))
    assert record["name"] == posing
    assert (record["job_state"], record["excluded_nodes"]) == ("PENDING", "")
    assert record["memory_per_cpu"] == 1024


@pytest.mark.parametrize("text", [
    shown("another"),
    shown(ids="JobId=8"),
    shown(memory=""),
    "JobId=7 JobName=train",
])  # fmt: skip
def test_a_text_that_is_not_the_jobs_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        read_as_text(text, line())


def test_a_job_that_is_gone_has_no_text_and_no_record() -> None:
    assert read_as_text("", line()) == []
    with pytest.raises(NotUnderstoodError):
        list(parse_records("scontrol: died", {7: line()}, [7], MARKS))


def test_one_task_is_asked_for_where_the_id_names_its_whole_array() -> None:
    lines = {7: line(JobArrayID="7_[3-5%2]"), 9: line(JobArrayID="7_1"), 10: line()}
    asked = commands(lines, lines, MARKS).decode().splitlines()
    assert asked[1::2] == ["show job 7_3", "show job 7_1", "show job 10"]
    assert set(asked[::2]) == {f"show hostnames {MARKS.record}"}


# --- the reader ------------------------------------------------------------------------------


class Slurm:
    """Answers squeue and scontrol; `asked` are the ids whose records were wanted, None is all."""

    def __init__(self, **jobs: dict[str, str]) -> None:
        self.jobs = {int(name[1:]): fields for name, fields in jobs.items()}
        self.asked: list[list[int] | None] = []
        self.list_fails = ""
        self.cuts_off = 0  # so many times
        self.shown: dict[str, str] = {}
        self.text = ""
        self.then: dict[int, dict[str, str]] = {}  # that come once scontrol was asked

    async def __call__(self, program: str, *arguments: str, given: Given = NOTHING) -> bytes:
        if program == "scontrol" and "show" in arguments:
            self.jobs |= self.then
            return self.shown.get(arguments[-1], "").encode()
        if program == "scontrol":
            mark = given.stdin.split()[2].decode()
            return f"x\n{mark}\nx\n{self.text}".encode()
        if "SQUEUE_FORMAT" in given.env:
            return b""
        if "SQUEUE_FORMAT2" not in given.env:
            return self.as_json(arguments)
        if self.cuts_off:
            self.cuts_off -= 1
            raise SlurmError("squeue --all: ended by signal 13, and says nothing")
        if self.list_fails:
            raise SlurmError(self.list_fails)
        fields = [part.partition(":0") for part in given.env["SQUEUE_FORMAT2"].split(",")]
        out = ""
        for number, changed in self.jobs.items():
            values = dict.fromkeys(FIELDS, "N/A") | USUAL | {"JobID": str(number)} | changed
            out += "".join(values.get(name, "") + mark for name, _, mark in fields) + "\n"
        return out.encode()

    def as_json(self, arguments: tuple[str, ...]) -> bytes:
        one = "--jobs" in arguments
        ids = [int(i) for i in arguments[-1].split(",")] if one else list(self.jobs)
        self.asked.append(ids if one else None)
        found = [i for i in ids if i in self.jobs]
        if not found:
            raise SlurmError("slurm_load_jobs error: Invalid job id specified")
        jobs = [{"job_id": i, "job_state": "PENDING", **self._named(self.jobs[i])} for i in found]
        return json.dumps({"jobs": jobs}).encode()

    def _named(self, fields: Mapping[str, str]) -> dict[str, str]:
        return {"name": fields.get("Name", "train")}


def reading(version: Any = NEW) -> RecordParser:
    return RecordParser(version, memory_tracked=True)


def names(reader: JobReader, version: Any = NEW) -> list[str]:
    return [job.name for job in asyncio.run(reader.read(reading(version)))]


def test_a_second_reading_asks_only_for_what_has_changed() -> None:
    slurm = Slurm(j7={}, j8={})
    reader = JobReader(slurm)
    assert names(reader) == ["train", "train"]
    slurm.jobs |= {8: {"Name": "other"}, 9: {}}
    assert names(reader) == ["train", "other", "train"]
    assert names(reader) == ["train", "other", "train"]
    assert slurm.asked == [[7, 8], [8, 9]]


def test_after_an_upgrade_of_slurm_all_is_read_anew() -> None:
    slurm = Slurm(j7={}, j8={})
    reader = JobReader(slurm)
    names(reader, parse_version("slurm 23.11.10"))
    names(reader)
    names(reader)
    assert slurm.asked == [[7, 8], [7, 8]]


def sent(reader: JobReader) -> list[Shared]:
    """What a reader shares, as another process gets it."""
    return unpacked(packed(reader.share()()))


def test_who_begins_with_what_another_reader_knows_asks_only_for_the_rest() -> None:
    slurm = Slurm(j7={"Name": "a\x1f\n", "Comment": MARKS.field}, j8={}, j10={})
    first = JobReader(slurm)
    assert names(first) == ["a\x1f\n", "train", "train"]
    first.doubt("10")  # hetd is updating it
    slurm.jobs |= {8: {"Name": "other"}, 9: {}}
    other = JobReader(slurm)
    other.elsewhere = partial(sent, first)
    assert names(other) == names(other) == ["a\x1f\n", "other", "train", "train"]
    assert slurm.asked == [[7, 8, 10], [8, 10, 9]]


def test_nothing_is_believed_that_squeue_does_not_list_so() -> None:
    """Lines of another version, one that users could have written, a job that is gone."""
    slurm = Slurm(j7={"Name": "x", "Partition": "p"})
    first = JobReader(slurm)
    names(first)
    (told,) = sent(first)
    joined = list(told.rest)
    at = joined.index("x")
    joined[at : at + 2] = ["x,p"]
    gone = msgspec.structs.replace(told, job=replace(told.job, id=9))
    for wrong in (msgspec.structs.replace(told, rest=told.rest[:-1]),
                  msgspec.structs.replace(told, rest=joined), gone):  # fmt: skip
        slurm.asked.clear()
        reader = JobReader(slurm)
        reader.elsewhere = partial(list, [wrong])
        assert names(reader) == ["x"]
        assert slurm.asked == [[7]]


@pytest.mark.parametrize("text", [b"", b"x", zlib.compress(b'[[{"id": "seven"}]]')])
def test_records_that_are_none_are_not_understood(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"truncated|incorrect header|Expected"):
        unpacked(text)


def test_a_slurm_that_knows_no_such_list_is_read_as_json(caplog: pytest.LogCaptureFixture) -> None:
    slurm = Slurm(j7={})
    slurm.list_fails = "squeue: error: Invalid job format specification: Nice"
    reader = JobReader(slurm)
    assert names(reader) == names(reader) == ["train"]
    assert slurm.asked == [None, None]
    assert len(caplog.records) == 1


def test_a_squeue_that_was_cut_off_is_asked_once_more() -> None:
    slurm = Slurm(j7={})
    slurm.cuts_off = 1
    assert names(JobReader(slurm)) == ["train"]
    slurm.cuts_off = 2
    with pytest.raises(SlurmError, match="ended by signal 13"):
        names(JobReader(slurm))


def test_a_slurm_that_does_not_answer_is_an_error() -> None:
    slurm = Slurm(j7={})
    slurm.list_fails = "squeue did not answer within 15 s"
    with pytest.raises(SlurmError, match="did not answer"):
        names(JobReader(slurm))


@pytest.mark.parametrize(
    ("name", "state", "lost"),
    [
        ("train", "PENDING", True),
        ("train", "RUNNING", True),
        ("train", "CANCELLED", False),
        ("JobState=PENDING Reason=x", "COMPLETED", False),
        ("JobState=COMPLETED", "PENDING", False),  # its user's own loss
    ],
)
def test_a_squeue_that_suddenly_shows_no_job_is_not_believed(
    name: str, state: str, lost: bool
) -> None:
    slurm = Slurm(j7={}, j8={})
    reader = JobReader(slurm)
    assert len(names(reader)) == 2
    slurm.jobs.clear()
    slurm.shown = {"8": shown(name, state=state, ids="JobId=8")}
    if lost:
        for _ in range(2):
            with pytest.raises(SlurmError, match="squeue shows no job, and scontrol knows job 8"):
                names(reader)
        slurm.shown = {}
    assert names(reader) == names(reader) == []


@pytest.mark.parametrize("came", [False, True])
def test_an_empty_list_is_not_believed_at_the_start_either(
    came: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm = Slurm()
    slurm.shown = {"job": shown(state="COMPLETED", ids="JobId=7") + shown(ids="JobId=8")}
    reader = JobReader(slurm)
    if came:  # a moment after squeue had been asked
        slurm.then = {8: {}}
        assert names(reader) == ["train"]
        return
    for _ in range(2):
        with pytest.raises(SlurmError, match="squeue shows no job, and scontrol knows job 8"):
            names(reader)
    slurm.shown = {}
    assert names(reader) == []
    slurm.shown = {"job": shown(ids="JobId=9")}
    assert names(reader) == [], "it was empty a moment ago"
    monkeypatch.setattr("slurm_het.slurm.job_reader.BELIEVED", 0.0)
    reader = JobReader(slurm)
    slurm.shown = {}
    assert names(reader) == []
    slurm.shown = {"job": shown(ids="JobId=9")}
    with pytest.raises(SlurmError, match="scontrol knows job 9"):
        names(reader)


def test_22_05_reads_one_job_as_text_and_an_odd_one_among_all() -> None:
    slurm = Slurm(j7={})
    slurm.text = shown()
    reader = JobReader(slurm)
    assert names(reader, OLD) == ["train"]
    assert slurm.asked == []
    slurm.jobs[7] = {"Name": "other"}
    slurm.text = shown("changed once more")
    assert names(reader, OLD) == ["other"]
    assert slurm.asked == [None]
    assert names(reader, OLD) == ["other"]
    assert slurm.asked == [None]


def test_22_05_reads_most_of_the_queue_at_once_for_who_looks_again_and_again() -> None:
    """Each record as text is a call of slurmctld."""
    slurm = Slurm(j7={}, j8={}, j9={})
    reader = JobReader(slurm)
    reader.sparing = True
    assert names(reader, OLD) == ["train"] * 3
    assert slurm.asked == [None]
    slurm.jobs[9] = {"Name": "other"}
    slurm.text = shown("other", ids="JobId=9")
    assert names(reader, OLD) == ["train", "train", "other"]
    assert slurm.asked == [None], "of one in three the record alone"
