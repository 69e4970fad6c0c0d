"""Jobs of one reading that are alike but for what each has of its own.

Of 10,000 jobs few are asked for in a way of their own: sweeps, arrays and templates make the rest.
One of each sort is made of its whole record, the others of that one and of what is their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

import msgspec

from slurm_het.core.model import Job
from slurm_het.slurm.api.records import varied
from slurm_het.slurm.api.wire import ToldJob
from slurm_het.slurm.lines import Line, Marks, NotUnderstoodError, own_of
from slurm_het.slurm.text_records import own_values

Made = tuple[Any, Job]
"""A job's kind, and the job."""
_NAMES = tuple(field.name for field in fields(Job))


class Alike:
    """Makes jobs. `whole` makes one of what is told of it and of its line, and may raise; `blank`
    tells of a value whether it counts as none, which is part of a job's kind."""

    def __init__(
        self, marks: Marks, whole: Callable[[ToldJob, Line], Made], blank: Callable[[Any], bool]
    ) -> None:
        self._marks, self._whole, self._blank = marks, whole, blank
        self._sorts: dict[tuple[object, ...], int] = {}  # of lines
        self._lines: dict[int, tuple[Line, int, dict[str, Any]]] = {}
        self._known: dict[tuple[object, ...], tuple[Any, dict[str, Any]]] = {}  # and of jobs

    def prepare(self, ids: Iterable[int], lines: Mapping[int, Line]) -> None:
        """Take the lines of these jobs: what can be done before their records are told."""
        for job_id in ids:
            try:
                self._lines[job_id] = self._prepared(lines[job_id])
            except NotUnderstoodError:
                continue  # squeue's JSON tells

    def _prepared(self, line: Line) -> tuple[Line, int, dict[str, Any]]:
        own, others = own_of(line, self._marks)
        if own["Name"] == "(null)":
            raise NotUnderstoodError("it is called so, or nothing")
        sort = (
            others, line.state, line.reason, line.excluded, varied(own["admin_comment"]),
            *map(self._blank, own.values()),
        )  # fmt: skip
        number = self._sorts.setdefault(sort, len(self._sorts))
        return line, number, own_values(line, own)

    def made(self, told: ToldJob) -> Made:
        """The job and its kind. Raises KeyError without its line, and what `whole` raises."""
        line, sort, own = self._lines[told.id]
        sort_of_job = (sort, *msgspec.structs.astuple(told)[1:])
        if known := self._known.get(sort_of_job):
            kind, values = known
            values = {**values, **own, "id": told.id}
            return kind, msgspec.convert(values, Job)  # sooner by half than Job(**values)
        kind, job = self._whole(told, line)
        self._known[sort_of_job] = kind, {name: getattr(job, name) for name in _NAMES}
        return kind, job
