"""pyslurm's answer is asked for while squeue prints, and jobs that are alike are made of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slurm_het.settings import SlurmSettings
from slurm_het.slurm.api.source import ApiSource, Kind, RecordsWanted
from slurm_het.slurm.api.wire import JobsAsked, ToldJob, ToldJobs
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.job_reader import JobReader
from slurm_het.slurm.lines import FIELDS, OWN, Line, Marks, parse_lines
from slurm_het.slurm.programs import NOTHING, Given
from tests.slurm.test_pyslurm import FIELD, MARKS, MORE, READING, RECORDED, listed

TOLD = msgspec.convert(RECORDED["told"], list[ToldJob])
TEXTS = st.text(max_size=9).filter(lambda text: not {FIELD, MARKS.record} & set(text))
WORDS = st.sampled_from(("None", "N/A", "(null)", "", '"nodes"', "7\n8", "x"))
NUMBERS = st.sampled_from(("N/A", "0", "100", "4294967294", "soon"))
LIMITS = st.sampled_from(("1:00", "UNLIMITED", "1-00:00:00", "INVALID"))
DRAWN = {
    name: NUMBERS if name in {"SubmitTime", "EligibleTime"} else
    LIMITS if name == "TimeLimit" else TEXTS | WORDS
    for name in OWN
}  # fmt: skip


def varied(own: Iterable[dict[str, str]]) -> tuple[list[ToldJob], dict[int, Line]]:
    """The recorded jobs, each once with each of these fields of its own, as jobs of other ids."""
    names, told, text = (*FIELDS, *MORE), [], ""
    recorded = parse_lines(listed(), MARKS)
    for number, fields in enumerate(own, 1):
        for one in TOLD:
            if one.id not in recorded:
                continue
            values = dict(zip(names, line_of(one.id).split(FIELD), strict=True)) | fields
            told.append(msgspec.structs.replace(one, id=one.id + 1000 * number))
            values["JobID"] = str(told[-1].id)
            text += FIELD.join(values[name] for name in names) + f"{MARKS.record}\n"
    return told, parse_lines(text, MARKS)


def line_of(job_id: int) -> str:
    return next(str(line) for line in RECORDED["lines"] if line.startswith(f"{job_id}{FIELD}"))


def read(told: list[ToldJob], lines: dict[int, Line]) -> dict[int, tuple[Kind, Any]]:
    """What a source that knows nothing makes of them."""
    source = ApiSource({})
    source.process.ask = lambda question: ToldJobs(tuple(told))  # type: ignore[method-assign]  # noqa: ARG005
    wanted = RecordsWanted(list(lines), lines, MARKS, MORE, READING.records)
    return dict(asyncio.run(source.read(wanted)).unproven)


USUAL = dict.fromkeys(OWN, "x") | {"SubmitTime": "5", "EligibleTime": "6", "TimeLimit": "7:00"}


@settings(max_examples=25)
@example([USUAL, USUAL | {"admin_comment": '"nodes"'}])
@given(st.lists(st.fixed_dictionaries(DRAWN), min_size=2, max_size=3))
def test_jobs_that_are_alike_are_as_if_each_was_read_alone(own: list[dict[str, str]]) -> None:
    told, lines = varied(own)
    some = told[:: len(told) // 40 or 1]
    alone = {one.id: read([one], {one.id: lines[one.id]}).get(one.id) for one in some}
    together = read(told, lines)
    assert {one.id: together.get(one.id) for one in some} == alone


def test_most_of_the_recorded_jobs_can_be_told_so() -> None:
    told, lines = varied([USUAL, USUAL | {"Name": "y", "TimeLimit": "9:00"}])
    made = read(told, lines)
    assert len(made) > len(TOLD)
    assert {job.name for _, job in made.values()} == {"x", "y"}
    assert {job.time_limit_minutes for _, job in made.values()} == {7, 9}


def test_who_may_be_called_null_or_nothing_is_left_to_the_json() -> None:
    told, lines = varied([USUAL | {"Name": "(null)"}])
    assert read(told, lines) == {}


# --- when it is asked -------------------------------------------------------------------------


class Squeue:
    """Answers as squeue did, and says when it begins to print, so many times."""

    def __init__(self, begins: int) -> None:
        self.begins = begins

    async def __call__(self, program: str, *arguments: str, given: Given = NOTHING) -> bytes:
        assert program == "squeue"
        if fields := given.env.get("SQUEUE_FORMAT2"):
            for _ in range(self.begins if given.begun else 0):
                given.begun()  # type: ignore[misc]  # it is there
                await asyncio.sleep(0)
            marks = Marks(fields.split(",")[0].partition(":0")[2], fields.rpartition(":0")[2])
            return listed(marks).encode()
        ids = {int(i) for i in arguments[-1].split(",")}
        return json.dumps({"jobs": [j for j in RECORDED["jobs"] if j["job_id"] in ids]}).encode()


class Asked:
    """A reader, and what it asks pyslurm's process."""

    def __init__(self, begins: int) -> None:
        self.questions: list[JobsAsked] = []
        self.reader = JobReader(Squeue(begins))
        self.reader.source = ApiSource({})
        self.reader.source.process.ask = self._ask  # type: ignore[method-assign]

    def _ask(self, question: JobsAsked) -> ToldJobs:
        self.questions.append(question)
        return ToldJobs(tuple(TOLD))

    def read(self) -> None:
        asyncio.run(self.reader.read(READING))


def test_at_the_start_all_is_asked_for_while_squeue_prints() -> None:
    asked = Asked(begins=1)
    asked.read()
    assert asked.questions[0] == JobsAsked()
    assert all(question.ids for question in asked.questions[1:]), "what was not of one moment"


def test_a_list_that_squeue_makes_anew_is_asked_for_anew() -> None:
    asked = Asked(begins=2)
    asked.read()
    assert asked.questions[:2] == [JobsAsked(), JobsAsked()]


def test_an_answer_is_never_older_than_the_list() -> None:
    asked = Asked(begins=0)  # it was not seen when that began
    asked.read()
    assert asked.questions[0].ids


def test_where_jobs_are_known_those_that_are_not_are_asked_for() -> None:
    asked = Asked(begins=1)
    asked.read()
    waiting = next(t for t in TOLD if t.state == "PENDING" and not t.array_id)
    del asked.questions[:]
    asked.reader.doubt(str(waiting.id))
    asked.read()
    assert JobsAsked([waiting.id], singly=True) in asked.questions
    assert JobsAsked() not in asked.questions


@pytest.mark.parametrize("which", ["it runs", "it is of an array"])
def test_of_others_all_jobs_are_read(which: str) -> None:
    asked = Asked(begins=1)
    asked.read()
    some = next(
        told for told in TOLD
        if (told.array_id if which == "it is of an array" else told.state == "RUNNING")
    )  # fmt: skip
    del asked.questions[:]
    asked.reader.doubt(key_of(some))
    asked.read()
    questions = [question for question in asked.questions if some.id in (question.ids or ())]
    assert questions
    assert not any(question.singly for question in questions)


def key_of(told: ToldJob) -> str:
    """How Slurm's tools name it."""
    task = f"{told.array_id}_{told.array_task}"
    return task if told.array_id and not told.array_tasks else str(told.id)


def test_a_program_says_when_it_begins_to_print(tmp_path: Path) -> None:
    program, told = tmp_path / "squeue", tmp_path / "told"
    waits = f"until [ -e {told} ]; do sleep 0.05; done"
    program.write_text(f"#!/bin/sh\nsleep 0.2\necho first\n{waits}\n")
    program.chmod(0o755)
    slurm = CliSlurm(SlurmSettings(bin_dir=tmp_path, timeout_seconds=20))
    given = Given(begun=told.touch)
    assert asyncio.run(slurm.programs.run("squeue", given=given)) == b"first\n"
