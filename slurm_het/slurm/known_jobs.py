"""The jobs whose full records were read, each with the line that it had then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, takewhile

from slurm_het.core.model import Job
from slurm_het.slurm.lines import Line, as_of, following

READ_AGAIN_SECONDS = 900.0
"""A record counts as old then. It bounds how long a change that shows in no line goes unseen: of an
array's limit of running tasks (24.11 on), of --mem to as much --mem-per-cpu, of no most number of
nodes to the least one."""
READ_AGAIN_MOST = 50  # old ones at a time


class KnownJobs:
    """Knows, of a list of all jobs, which are as they were, and what those are.

    `unread` tells whose records must be read for a list; `learn` takes these; `jobs` then gives all
    jobs of that list. Times are seconds that never go back.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, Line, Job]] = {}  # those read longest ago come first
        self._doubted: set[str] = set()
        self._passing: dict[int, Job] = {}  # changed between their line and their record

    def __bool__(self) -> bool:
        """Whether it knows any job."""
        return bool(self._known)

    def doubt(self, key: str) -> None:
        """Read this job anew next time: it was just updated."""
        self._doubted.add(key)

    def share(self) -> list[tuple[Line, Job]]:
        """Those that nothing is to be read of, with their lines."""
        doubted = self._doubted
        return [(line, job) for _, line, job in self._known.values() if job.key not in doubted]

    def take(self, known: Iterable[tuple[Line, Job]], now: float) -> None:
        """Know what another reader knows: where a line has changed since, the job is read."""
        self._known |= {job.id: (now, line, job) for line, job in known}

    def unread(self, lines: Mapping[int, Line], now: float) -> list[int]:
        """The ids of the jobs that are new or have changed, and of some whose records are old."""
        self._passing = {}
        known = {}
        for job_id, one in self._known.items():
            read, then, job = one
            line = lines.get(job_id)
            if self._doubted and job.key in self._doubted:
                continue
            if line is then:  # parse_lines tells what is the same text
                known[job_id] = one
            elif line == then:
                known[job_id] = read, then, job
            elif line and (changed := as_of(job, then, line)):
                known[job_id] = read, line, changed
        self._known = known
        self._doubted.clear()
        new = [job_id for job_id in lines if job_id not in known]
        old = takewhile(lambda item: item[1][0] < now - READ_AGAIN_SECONDS, known.items())
        return [*new, *(job_id for job_id, _ in islice(old, READ_AGAIN_MOST))]

    def learn(
        self, lines: Mapping[int, Line], asked: Iterable[int], jobs: Sequence[Job], now: float
    ) -> bool:
        """Take the records that were just read of the jobs asked for, which may be gone by now.

        Returns whether they are of one moment with the lines: else list all jobs again, for a
        device may seem to have two holders.
        """
        found = {job.id: job for job in jobs}
        at_once = True
        for job_id in asked:
            self._known.pop(job_id, None)
            job, line = found.get(job_id), lines[job_id]
            if job and job.state == line.state:
                self._known[job_id] = now, line, following(job, line)
                continue
            at_once = False
            if job:
                self._passing[job_id] = job
        return at_once

    def jobs(self, lines: Mapping[int, Line]) -> tuple[Job, ...]:
        """The jobs of the list whose lines `unread` was told last, in its order."""
        found = (self._known[i][2] if i in self._known else self._passing.get(i) for i in lines)
        return tuple(job for job in found if job)
