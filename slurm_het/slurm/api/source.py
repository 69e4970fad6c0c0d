"""Which jobs' records pyslurm may tell: those of kinds that it has told as squeue's JSON does.

A job's kind is what is set in its record. The first jobs of a kind are read both ways, so all that
there are at the start; on a difference that stays pyslurm is left for good. Nothing that it tells
counts before it is proven.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import msgspec

from slurm_het.core.model import Job
from slurm_het.errors import HetError
from slurm_het.slurm.api.alike import Alike
from slurm_het.slurm.api.process import ApiProcess, NoAnswerError
from slurm_het.slurm.api.records import record_of
from slurm_het.slurm.api.wire import JobsAsked, ToldJob, ToldJobs
from slurm_het.slurm.lines import Line, Marks, NotUnderstoodError, following, rest_of

log = logging.getLogger("slurm_het.jobs")

SECONDS = 5.0
"""For an answer; 10,000 jobs take a tenth of it. The first one may take as long to start."""
PAUSE, LONGEST_PAUSE = 1.0, 300.0  # seconds before it is asked again; doubled each time
TRIES = 3
"""Readings in a row in which the same of a job must differ: it may change between the two ways."""
FEW = 20  # records
MOST_KINDS = 5000  # that are remembered; users make them
FREE_TEXT = ("comment", "admin_comment")
_UNSET = frozenset({"", "(null)", "N/A", "None", "*"})
"""What a line has for no text, and users may write."""
_blank = (_UNSET | {"0", 0, ()}).__contains__

Kind = tuple[object, ...]
Names = tuple[str, ...]
"""Of the fields of a job."""


@dataclass(frozen=True, slots=True)
class RecordsWanted:
    """The jobs whose records are wanted, the list they were found in (`marks` and `more` as in
    lines.py), and what makes jobs of records."""

    ids: Sequence[int]
    lines: Mapping[int, Line]
    marks: Marks
    more: Sequence[str]
    parse: Callable[[Iterable[Mapping[str, Any]]], Sequence[Job]]


@dataclass(slots=True)
class RecordsTold:
    """What was told: jobs that can be believed, and others by their ids, to be compared."""

    jobs: list[Job] = field(default_factory=list)
    unproven: dict[int, tuple[Kind, Job]] = field(default_factory=dict)


class Early:
    """An answer on all jobs, for which is asked when their lines are being printed: records must
    not be older than the list, or what changed in between would go unseen."""

    def __init__(self, process: ApiProcess) -> None:
        self._process = process
        self._asked: asyncio.Task[ToldJobs | NoAnswerError] | None = None

    def begin(self) -> None:
        """Ask now; if it was asked before, that is of an older list."""
        self._asked = asyncio.create_task(asyncio.to_thread(self._ask))

    def _ask(self) -> ToldJobs | NoAnswerError:
        try:
            return self._process.ask(JobsAsked())
        except NoAnswerError as error:  # who asked may be gone
            return error

    async def answer(self) -> ToldJobs | None:
        """The answer, None if nobody has asked. Raises NoAnswerError."""
        answer = await self._asked if self._asked else None
        if isinstance(answer, NoAnswerError):
            raise answer
        return answer


class ApiSource:
    """Tells records of jobs by pyslurm. Whatever it does, nothing is raised here."""

    def __init__(self, env: dict[str, str], seconds: float = SECONDS) -> None:
        self.process = ApiProcess(env, seconds)
        self.left = ""  # why it is asked no more
        self._proven: set[Kind] = set()
        self._odd: Counter[tuple[int, Names]] = Counter()
        self._pause = PAUSE
        self._silent_until = float("-inf")  # of time.monotonic()
        self.believed = 0  # records, of the last answer

    @property
    def _silent(self) -> bool:
        return bool(self.left) or time.monotonic() < self._silent_until

    def early(self) -> Early | None:
        """For `read`, of all jobs; None while it is not asked."""
        return None if self._silent else Early(self.process)

    async def read(self, wanted: RecordsWanted, early: Early | None = None) -> RecordsTold:
        """What it tells of these jobs; nothing of those that it cannot tell well."""
        if self._silent:
            return RecordsTold()
        alike = Alike(wanted.marks, partial(_whole, wanted), _blank)
        prepare = asyncio.to_thread(alike.prepare, wanted.ids, wanted.lines)
        try:
            answer, _ = await asyncio.gather(self._ask(wanted, early), prepare)
            return await asyncio.to_thread(self._take, answer, alike, wanted.lines)
        except NoAnswerError as error:
            self._failed(error)
        except (HetError, ValueError, TypeError, KeyError) as error:  # msgspec's are ValueErrors
            self.leave(f"what it tells cannot be read: {type(error).__name__}: {error!s:.200}")
        return RecordsTold()

    async def _ask(self, wanted: RecordsWanted, early: Early | None) -> ToldJobs:
        if early and (answer := await early.answer()):
            return answer
        asked = JobsAsked(list(wanted.ids), _singly(wanted))
        return await asyncio.to_thread(self.process.ask, asked)

    def _take(self, answer: ToldJobs, alike: Alike, lines: Mapping[int, Line]) -> RecordsTold:
        self._pause, told = PAUSE, RecordsTold()
        for one in answer.jobs:
            try:
                kind, job = alike.made(one)
            except (NotUnderstoodError, KeyError):
                continue  # squeue's JSON tells
            if kind in self._proven:
                told.jobs.append(job)
            else:
                told.unproven[job.id] = kind, following(job, lines[job.id])
        self.believed = len(told.jobs)
        return told

    def compare(
        self, told: RecordsTold, jobs: Sequence[Job], lines: Mapping[int, Line]
    ) -> list[str]:
        """Learn from the same jobs as squeue's JSON has them; the keys of those that differ, to be
        read anew."""
        differing, same = [], set()
        for theirs in jobs:
            if theirs.id not in told.unproven:
                continue
            kind, ours = told.unproven[theirs.id]
            names = _differing(ours, following(theirs, lines[theirs.id]))
            if names:
                differing.append((theirs, kind, names))
                self._note(ours, theirs, names)
            else:
                same.add(kind)
        if len(self._proven) > MOST_KINDS:
            self._proven.clear()
        self._proven |= same - {kind for _, kind, _ in differing}
        seen = {(theirs.id, names) for theirs, _, names in differing}
        self._odd = Counter({one: n for one, n in self._odd.items() if one in seen})
        return [theirs.key for theirs, _, _ in differing]

    def close(self) -> None:
        """End its process."""
        self.process.close()

    def _note(self, ours: Job, theirs: Job, names: Names) -> None:
        self._odd[theirs.id, names] += 1
        if self._odd[theirs.id, names] == TRIES:
            told = ", ".join(
                f"{name} is {getattr(theirs, name)!r:.80}, not {getattr(ours, name)!r:.80}"
                for name in names[:3]
            )
            self.leave(f"of job {theirs.key} it tells otherwise than squeue: {told}")

    def _failed(self, error: NoAnswerError) -> None:
        if error.useless:
            self.leave(f"it cannot be used: {error.message:.300}")
            return
        self._proven.clear()  # the next process may have another library
        self._silent_until = time.monotonic() + self._pause
        log.warning(
            "pyslurm gives no answer, the command line is read for %g s: %.300s",
            self._pause, error.message,
        )  # fmt: skip
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def leave(self, why: str) -> None:
        """Ask it no more."""
        if self.left:
            return
        self.left = why
        self.process.close()
        log.warning("pyslurm is left, the command line is read from now on: %s", why)


def _singly(wanted: RecordsWanted) -> bool:
    """Whether these are asked for one by one: all jobs of 10,000 take as long as a hundred."""
    lines = (wanted.lines[job_id] for job_id in wanted.ids)
    return len(wanted.ids) <= FEW and all(
        line.state == "PENDING" and "_" not in line.tasks for line in lines
    )


def _whole(wanted: RecordsWanted, told: ToldJob, line: Line) -> tuple[Kind, Job]:
    """The kind and the job of a whole record. Raises NotUnderstoodError."""
    known = rest_of(line, wanted.marks, wanted.more)
    (job,) = wanted.parse([record_of(told, line, known)])
    return _kind(told, known), job


def _kind(told: ToldJob, line: Mapping[str, str]) -> Kind:
    """Its state, its flags, and which fields are not set."""
    own, listed = msgspec.structs.astuple(told), line.values()
    return told.state, told.flags, *map(_blank, own), *map(_blank, listed)


def _differing(ours: Job, theirs: Job) -> Names:
    """The fields in which they differ in effect: a comment `(null)` counts as none, and
    --use-min-nodes is nothing to a job that gets one node (others are not told: records.py)."""
    if ours == theirs:
        return ()
    ours, theirs = (
        replace(job, layout=replace(job.layout, fewest=False)) for job in (ours, theirs)
    )
    pairs = ((f.name, getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(Job))
    return tuple(
        name
        for name, one, other in pairs
        if one != other and not (name in FREE_TEXT and {one, other} == {"", "(null)"})
    )
