"""Reads all jobs of Slurm: a line of each every time, full records of those that have changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from slurm_het.core.model import FINISHED, Job
from slurm_het.core.syntax.arrays import array_size
from slurm_het.errors import SlurmError, TooMuchError, TooSlowError
from slurm_het.slurm.api.source import ApiSource, Early, RecordsWanted
from slurm_het.slurm.jobs import job_of, parse_jobs
from slurm_het.slurm.known_jobs import KnownJobs
from slurm_het.slurm.layouts import TOLD, with_told
from slurm_het.slurm.lines import (
    Line,
    Marks,
    NotUnderstoodError,
    Parsed,
    add_excluded,
    excluded_format,
    parse_lines,
    squeue_format,
    told_of,
)
from slurm_het.slurm.programs import Given, Run
from slurm_het.slurm.shared_records import Shared, known_of, shared
from slurm_het.slurm.text_records import commands, parse_records
from slurm_het.slurm.versions import SlurmVersion

log = logging.getLogger("slurm_het.jobs")

AT_A_TIME = 500
"""Full records in one call: squeue takes 0.16 MiB for each (24.11, 26.05)."""
SIDE_BY_SIDE = 2  # of these calls
MOST_AS_TEXT = 500
"""Records on 22.05 beyond which all of them as JSON come sooner than these as text."""
TRIES = 3  # lists in one reading, until a list and the records are of one moment
MOST_TASKS = 50_000
"""Array tasks without a record of their own beyond which a line for each costs more than the
records of all jobs."""
FIRST_LIST = 24 << 20
"""Bytes of a list while it is not known how many jobs there are: an array of a million tasks may
have a line for each."""
LINE = 4096  # bytes, generously
LIST_CPU_SECONDS = 2
"""Of a list of all jobs. It takes 0.1 s for 10,000 tasks (24.11, 26.05); but squeue folds anew for
each task the nodes that it names or excludes: 25 ms for 16,000 names, which any user can write."""
NO_LIST_SECONDS = 300.0  # after one that took longer
ASKED_AFTER = 3  # jobs, where squeue suddenly shows none
BELIEVED = 5.0
"""Seconds that an empty list of squeue's counts for once scontrol has said the same."""
_JOB = re.compile(r"JobId=(\d+)")
_STATE = re.compile(r"\bJobState=([A-Z_]+)")
CUT_OFF = f"ended by signal {int(signal.SIGPIPE)}"
"""squeue ends so, silently, where slurmctld is short of time and closes the connection (22.05)."""
NO_TIME = f"ended by signal {int(signal.SIGXCPU)}"
_NO_SUCH = ("Invalid job format specification", "unrecognized option")


@dataclass(frozen=True, slots=True)
class RecordParser:
    """Makes jobs of Slurm's records; it knows what must be known for that: see `parse_jobs`."""

    version: SlurmVersion
    memory_tracked: bool

    def json(self, answer: bytes) -> tuple[Job, ...]:
        """The jobs of squeue's JSON. Raises SlurmError."""
        return parse_jobs(answer, memory_tracked=self.memory_tracked)

    def text(
        self, answer: bytes, lines: Mapping[int, Line], ids: Sequence[int], marks: Marks
    ) -> tuple[Job, ...]:
        """The jobs of scontrol's text. Raises NotUnderstoodError."""
        return self.records(parse_records(answer.decode("utf-8", "replace"), lines, ids, marks))

    def records(self, records: Iterable[Mapping[str, Any]]) -> tuple[Job, ...]:
        """The jobs of records in the form of the JSON."""
        return tuple(job_of(record, memory_tracked=self.memory_tracked) for record in records)


class JobReader:
    """All jobs of one Slurm, as `squeue --json` would give them, for a fraction of its cost.

    What was read is kept from one call to the next. Where Slurm's answers are not what we know,
    all is read by `squeue --json`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known = KnownJobs()
        self._parsed: Parsed = {}
        self._reading: RecordParser | None = None  # the last one
        self._marks = Marks.drawn()
        self._tasks = 0
        self._most = FIRST_LIST
        self._no_list_until = float("-inf")  # on a clock that never goes back
        self._asked: list[int] = []  # the last ones of those that waited or ran when all was read
        self._empty_until = float("-inf")  # by scontrol's word, on a clock that never goes back
        self.fell_back = False  # once at least
        # For who only looks, on 22.05: what nodes jobs exclude is asked when other things changed,
        # and most jobs' records as JSON, which lacks where a job was submitted.
        self.sparing = False
        self._last: tuple[bytes, bytes] | None = None
        self.source: ApiSource | None = None  # of records, beside Slurm's programs
        self.elsewhere: Callable[[], list[Shared]] | None = None  # who may know them at the start

    def share(self) -> Callable[[], list[Shared]]:
        """What others may take of what is known now; to be worked out in a thread."""
        return partial(shared, self._known.share(), self._marks)

    def doubt(self, key: str) -> None:
        """Read this job anew next time: it is being updated."""
        self._known.doubt(key)

    async def read(self, reading: RecordParser) -> tuple[Job, ...]:
        """All jobs now. Raises SlurmError, also where squeue shows none and scontrol knows one."""
        self._forget_another(reading)
        jobs = await self._read(reading)
        if not _active(jobs) and (known := await self._missed()):
            jobs = await self._read(reading)  # it may have come just now
            if not _active(jobs):
                raise SlurmError(f"squeue shows no job, and scontrol knows job {known}")
        self._asked = _active(jobs)[-ASKED_AFTER:]
        return jobs

    def _forget_another(self, reading: RecordParser) -> None:
        """Read all anew where Slurm was upgraded, or deals out memory now: jobs are told otherwise
        then, by lines that may say the same."""
        if self._reading not in {None, reading}:
            self._known, self._parsed, self._last = KnownJobs(), {}, None
            self.fell_back = False
        self._reading = reading

    async def _missed(self) -> str:
        """A job that waits or runs by scontrol's word, or ''; of those that there were when all
        was read, else of any.

        Users can write what looks like a state: only what all of a line says counts.
        """
        if not self._asked and time.monotonic() < self._empty_until:
            return ""
        for which in [[str(job_id)] for job_id in self._asked] or [[]]:
            given = Given(may_fail=True)
            answer = await self._run("scontrol", "-o", "show", "job", *which, given=given)
            for line in answer.decode("utf-8", "replace").splitlines():
                states = set(_STATE.findall(line))
                if (known := _JOB.match(line)) and states and not states & FINISHED:
                    return known[1]
        self._empty_until = time.monotonic() + BELIEVED
        return ""

    async def _read(self, reading: RecordParser) -> tuple[Job, ...]:
        try:
            if self._tasks <= MOST_TASKS and time.monotonic() >= self._no_list_until:
                return self._count(await self._read_changed(reading))
        except NotUnderstoodError as error:
            if not self.fell_back:
                log.warning("all jobs are read by squeue --json, which takes longer: %s", error)
            self.fell_back = True
        return self._count(await self.read_all(reading))

    def _count(self, jobs: tuple[Job, ...]) -> tuple[Job, ...]:
        self._tasks = sum(array_size(job.array_tasks) for job in jobs if job.unsplit)
        self._most = max(FIRST_LIST, LINE * 2 * len(jobs))
        return jobs

    async def _read_changed(self, reading: RecordParser) -> tuple[Job, ...]:
        lines: Mapping[int, Line] = {}
        for _ in range(TRIES):
            # Where nothing is known all records are wanted, whatever the list will say.
            early = self.source.early() if self.source and not self._known else None
            lines, _ = await asyncio.gather(self._list(reading.version, early), self._take())
            unread = self._known.unread(lines, time.monotonic())
            records = await self._records(unread, lines, reading, early)
            jobs = self._with_layouts(records, lines, reading)
            if self._known.learn(lines, unread, jobs, time.monotonic()):
                break
        return self._known.jobs(lines)

    async def _take(self) -> None:
        """Begin with what is known elsewhere; once, for from then on we know it ourselves."""
        elsewhere, self.elsewhere = self.elsewhere, None
        if elsewhere:
            told = await asyncio.to_thread(elsewhere)
            self._known.take(known_of(told, self._marks), time.monotonic())

    async def _list(self, version: SlurmVersion, early: Early | None) -> dict[int, Line]:
        options = ("--noheader", "--noconvert", "--sort=i", *version.squeue_lines)
        fields = {"SQUEUE_FORMAT2": squeue_format(self._marks, version.squeue_fields)}
        excluded = {"SQUEUE_FORMAT": excluded_format(self._marks)}
        formats = [fields] if version.squeue_fields else [fields, excluded]
        if self.sparing and len(formats) > 1:
            listed = await self._squeue(fields, *options)
            if not self._last or self._last[0] != listed:
                self._last = listed, await self._squeue(excluded, *options)
            return await asyncio.to_thread(self._parse, self._last)
        begun = early.begin if early and version.squeue_chooses else None
        answers = await asyncio.gather(
            *(self._squeue(env, *options, begun=begun) for env in formats)
        )
        return await asyncio.to_thread(self._parse, answers)

    def _parse(self, answers: Sequence[bytes]) -> dict[int, Line]:
        listed, *excluded = (answer.decode("utf-8", "replace") for answer in answers)
        lines = parse_lines(listed, self._marks, self._parsed)
        for text in excluded:
            add_excluded(lines, text, self._marks)
        return lines

    async def _records(
        self,
        ids: Sequence[int],
        lines: Mapping[int, Line],
        reading: RecordParser,
        early: Early | None,
    ) -> Sequence[Job]:
        """Full records of at least these jobs; some may be gone by now."""
        if not ids:
            return ()
        if reading.version.squeue_chooses:
            return await self._by_source(ids, lines, reading, early)
        if self.source:
            self.source.leave(f"with Slurm {reading.version.text} it tells other things")
        # Each record as text is a call of slurmctld, all of them as JSON are one.
        most_at_once = self.sparing and 2 * len(ids) > len(lines)
        if len(ids) <= MOST_AS_TEXT and not most_at_once:
            with contextlib.suppress(NotUnderstoodError):  # one changed meanwhile, or is odd
                return await self._as_text(ids, lines, reading)
        return await self.read_all(reading)

    async def _by_source(
        self,
        ids: Sequence[int],
        lines: Mapping[int, Line],
        reading: RecordParser,
        early: Early | None,
    ) -> Sequence[Job]:
        """Those that the source knows by its word, all others by squeue's."""
        if not self.source:
            return await self._as_json(ids, reading)
        more = reading.version.squeue_fields
        wanted = RecordsWanted(ids, lines, self._marks, more, reading.records)
        told = await self.source.read(wanted, early)
        known = {job.id for job in told.jobs}
        jobs = await self._as_json([i for i in ids if i not in known], reading)
        for key in self.source.compare(told, jobs, lines):
            self.doubt(key)
        return [*told.jobs, *jobs]

    def _with_layouts(
        self, jobs: Sequence[Job], lines: Mapping[int, Line], reading: RecordParser
    ) -> Sequence[Job]:
        """The jobs with what of their layout their lines alone tell. Raises NotUnderstoodError."""
        more = reading.version.squeue_fields
        if reading.version.squeue_chooses and "SegmentSize" not in more:
            return jobs
        told = {
            job.id: told_of(line, self._marks, more, TOLD)
            for job in jobs
            if (line := lines.get(job.id))
        }
        return [
            replace(job, layout=with_told(job.layout, told[job.id])) if job.id in told else job
            for job in jobs
        ]

    async def _as_text(
        self, ids: Sequence[int], lines: Mapping[int, Line], reading: RecordParser
    ) -> Sequence[Job]:
        given = Given(stdin=commands(lines, ids, self._marks), may_fail=True)
        answer = await self._run("scontrol", "-o", "-d", given=given)
        return await asyncio.to_thread(reading.text, answer, lines, ids, self._marks)

    async def _as_json(self, ids: Sequence[int], reading: RecordParser) -> list[Job]:
        slots = asyncio.Semaphore(SIDE_BY_SIDE)

        async def part(some: Sequence[int]) -> tuple[Job, ...]:
            arguments = (reading.version.squeue_json, "--jobs", ",".join(map(str, some)))
            async with slots:
                try:
                    answer = await self._squeue({}, *arguments)
                except SlurmError as error:
                    if "Invalid job id" in error.message:  # of a single one that is gone
                        return ()
                    raise
                return await asyncio.to_thread(reading.json, answer)

        parts = await asyncio.gather(*map(part, _parts(ids)))
        return [job for jobs in parts for job in jobs]

    async def read_all(self, reading: RecordParser) -> tuple[Job, ...]:
        """The same by `squeue --json` alone. Raises SlurmError."""
        answer = await self._squeue({}, reading.version.squeue_json)
        return await asyncio.to_thread(reading.json, answer)

    async def _squeue(
        self, env: Mapping[str, str], *arguments: str, begun: Callable[[], None] | None = None
    ) -> bytes:
        given = Given(env, begun=begun)
        if env:
            given = replace(given, most=self._most, cpu_seconds=LIST_CPU_SECONDS)
        try:
            return await self._listed(given, *arguments)
        except SlurmError as error:
            if env and (isinstance(error, TooSlowError) or NO_TIME in error.message):
                self._no_list_until = time.monotonic() + NO_LIST_SECONDS
                why = "its list of jobs takes too long, as with thousands of nodes in --exclude"
                raise NotUnderstoodError(why) from error
            too_much = env and isinstance(error, TooMuchError)
            if too_much or any(text in error.message for text in _NO_SUCH):
                raise NotUnderstoodError(error.message) from error
            raise

    async def _listed(self, given: Given, *arguments: str) -> bytes:
        """What squeue prints; one that slurmctld cut off is asked once more."""
        try:
            return await self._run("squeue", "--all", *arguments, given=given)
        except SlurmError as error:
            if CUT_OFF not in error.message:
                raise
        return await self._run("squeue", "--all", *arguments, given=given)


def _active(jobs: Sequence[Job]) -> list[int]:
    return [job.id for job in jobs if not job.finished]


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + AT_A_TIME] for start in range(0, len(ids), AT_A_TIME))
