"""All jobs in a line each, by `squeue -O`: cheap to ask for, and enough to tell who has changed.

A line is compared, not believed: what a job is comes from its full record (known_jobs.py). Only
what Slurm itself changes all the time is taken from it: priority, reason, expected times and which
tasks of an array are left.

Job names, comments and the like are the users', so nothing they can write may pose as the end of a
field. Hence each field ends in a mark that only we know (`Marks`): it is drawn at random and goes
to squeue in its environment, which other users cannot read as they can its arguments.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import msgspec
from msgspec import structs

from slurm_het.core.model import Job

_HEAD = ("JobID", "JobArrayID", "State", "PriorityLong", "StartTime", "EndTime", "Reason")
OWN = (
    "Name", "TimeLimit", "SubmitTime", "EligibleTime", "Command", "AssocID", "admin_comment",
    "Comment",
)  # fmt: skip
"""Fields that are seldom the same of two jobs, and the first ones in a line's `rest`."""
_WATCHED = (
    *OWN, "UserID", "UserName", "Account", "QOS", "Partition", "HetJobID", "Dependency",
    "Feature", "Prefer", "Reservation", "ReqNodes", "NodeList", "NumNodes", "MaxNodes", "NumCPUs",
    "NumTasks", "MinCpus", "MinMemory", "mem-per-tres", "cpus-per-task", "cpus-per-tres",
    "NTPerNode", "NTPerSocket", "NTPerCore", "Sockets", "Cores", "Threads", "OverSubscribe",
    "tres-per-node", "tres-per-job", "tres-per-task", "tres-per-socket", "tres-alloc", "MinTime",
    "Deadline", "RestartCnt", "exit_code", "WCKey", "MCSLabel", "AllocNodes", "Licenses",
    "Requeue", "ReqSwitch", "Wait4Switch", "Contiguous", "CoreSpec", "Nice", "BatchFlag",
)  # fmt: skip
FIELDS = (*_HEAD, *_WATCHED)
"""What squeue is asked for, in this order: all that Slurm lets one change and we read, and more."""

YEAR = 365 * 86_400
CENTURY = 0xFFFFFFFF * 60 & 0xFFFFFFFF  # Slurm's unlimited minutes in seconds, cut to 32 bits
_DRAWN = string.ascii_letters + string.digits
_NONE = {"", "(null)"}
_PLAIN = re.compile(r"[A-Za-z_]+\Z")  # a reason as a word, not as a sentence


class NotUnderstoodError(Exception):
    """Slurm's answer is not what we know; the jobs have to be read another way."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands after each field of a line, and after the last one. Nobody else may know them.

    They begin with a letter: a digit would be read as part of the field's width. 62 ** 11 is more
    than 2 ** 64, and half of a list of jobs is marks: so they are no longer than that.
    """

    field: str
    record: str

    @classmethod
    def drawn(cls) -> Self:
        """New ones."""
        return cls(*(f"{first}{''.join(map(secrets.choice, [_DRAWN] * 11))}" for first in "fr"))


class Line(msgspec.Struct, frozen=True, gc=False):
    """One job as squeue lists it.

    `tasks` is its array's id with the tasks that it stands for (`7_[1-3,5%2]`; `7_1 7_2` where
    squeue prints a line for each of them); `start` and `end` are epoch seconds as text. `rest` is
    all that changes seldom, as it was printed; `excluded` the nodes that it may not have, where
    they are listed apart (`excluded_format`).
    """

    tasks: str
    state: str
    priority: str
    start: str
    end: str
    reason: str
    rest: str
    excluded: str = ""


def squeue_format(marks: Marks, more: Iterable[str] = ()) -> str:
    """The value of SQUEUE_FORMAT2 for `parse_lines`: fields in full (width 0), each marked."""
    *others, last = [*FIELDS, *more]
    return ",".join([*(f"{name}:0{marks.field}" for name in others), f"{last}:0{marks.record}"])


Parsed = dict[str, tuple[int, Line]]
"""A job id and its line, by the text that they were read from."""


def parse_lines(text: str, marks: Marks, before: Parsed | None = None) -> dict[int, Line]:
    """The lines by job id. Raises NotUnderstoodError, whose text tells no mark.

    Of the list `before` is what is the same text is the same object; it is brought up to date.
    """
    *records, left = text.split(f"{marks.record}\n")
    if left:
        raise NotUnderstoodError(f"squeue's list ends amid a job ({len(left)} characters)")
    known = before or {}
    parsed = {record: known.get(record) or _parse(record, marks) for record in records}
    lines: dict[int, Line] = {}
    for record in records:
        job_id, line = parsed[record]
        if job_id in lines:  # the next task of the same array
            line = structs.replace(lines[job_id], tasks=f"{lines[job_id].tasks} {line.tasks}")
        lines[job_id] = line
    if before is not None:
        before.clear()
        before.update(parsed)
    return lines


def _parse(record: str, marks: Marks) -> tuple[int, Line]:
    job_id, *fields = record.split(marks.field, len(_HEAD))
    if len(fields) != len(_HEAD) or not job_id.isdecimal():
        raise NotUnderstoodError(f"squeue's list has a job of {len(fields)} parts")
    return int(job_id), Line(*fields)


def excluded_format(marks: Marks) -> str:
    """The value of SQUEUE_FORMAT for `add_excluded`, where squeue -O does not know ExcNodes."""
    return f"%A{marks.field}%x{marks.record}"


def add_excluded(lines: MutableMapping[int, Line], text: str, marks: Marks) -> None:
    """Add what that list tells to the lines. Raises NotUnderstoodError."""
    for record in text.split(f"{marks.record}\n")[:-1]:
        job_id, found, nodes = record.partition(marks.field)
        if not found or not job_id.isdecimal():
            raise NotUnderstoodError("squeue's list of excluded nodes has another form")
        if nodes not in _NONE and (line := lines.get(int(job_id))):
            lines[int(job_id)] = structs.replace(line, excluded=nodes)


def told_of(line: Line, marks: Marks, more: Sequence[str], names: Iterable[str]) -> dict[str, str]:
    """These fields of the line, as far as it has them; `more` are those that squeue_format got."""
    told = rest_of(line, marks, more)
    return {name: told[name] for name in names if name in told}


def rest_of(line: Line, marks: Marks, more: Sequence[str] = ()) -> dict[str, str]:
    """The fields of the line that change seldom, by their names. Raises NotUnderstoodError."""
    fields, values = (*_WATCHED, *more), line.rest.split(marks.field)
    if len(values) != len(fields):
        raise NotUnderstoodError(f"squeue's list has a job of {len(values)} fields")
    return dict(zip(fields, values, strict=True))


def own_of(line: Line, marks: Marks) -> tuple[dict[str, str], str]:
    """The OWN fields of the line, and the text of all others. Raises NotUnderstoodError."""
    *own, others = line.rest.split(marks.field, len(OWN))
    if len(own) != len(OWN):
        raise NotUnderstoodError(f"squeue's list has a job of {len(own)} fields")
    return dict(zip(OWN, own, strict=True)), others


def as_of(job: Job, then: Line, now: Line) -> Job | None:
    """A job that was as given when its line was `then`; None if its full record must be read."""
    if (now.state, now.rest, now.excluded) != (then.state, then.rest, then.excluded):
        return None
    if now.reason != then.reason and not (job.state == "PENDING" and _PLAIN.match(now.reason)):
        return None
    if (now.start, now.end) != (then.start, then.end) and job.state != "PENDING":
        return None
    # The last task of an array may have become a job of its own: that shows in the record alone.
    if now.tasks != then.tasks and not (job.unsplit and ("[" in now.tasks or " " in now.tasks)):
        return None
    return following(job, now)


def following(job: Job, line: Line) -> Job:
    """The job with what its line says of what Slurm changes all the time."""
    changes: dict[str, object] = {"priority": _int(line.priority)}
    if job.state == "PENDING":
        changes |= {"start_time": _int(line.start), "end_time": end_of(line)}
        if _PLAIN.match(line.reason):
            changes["reason"] = line.reason
    if job.unsplit:
        changes["array_tasks"] = left_of_array(line.tasks, job.array_limit)
    for name, value in changes.items():
        if getattr(job, name) != value:
            return replace(job, **changes)  # type: ignore[arg-type]  # by name
    return job


def end_of(line: Line) -> int:
    """Its end as its record has it: of a job without a time limit a year or a century ahead."""
    if line.end != "NONE":
        return _int(line.end)
    return _int(line.start) + (CENTURY if line.state == "PENDING" else YEAR)


def left_of_array(tasks: str, limit: int) -> str:
    """`1-3,5%2` of `7_[1-3,5%2]`, or of `7_1 7_2 7_3 7_5` and the limit 2."""
    names = [name.partition("_")[2] for name in tasks.split()]
    if len(names) == 1:
        text = names[0].strip("[]")
    else:
        text = ",".join(_spans(sorted(int(name) for name in names)))
    return text if "%" in text or not limit else f"{text}%{limit}"


def _spans(numbers: Iterable[int]) -> Iterable[str]:
    first = last = -2
    for number in [*numbers, -2]:
        if number != last + 1:
            if first >= 0:
                yield str(first) if first == last else f"{first}-{last}"
            first = number
        last = number


def _int(text: str) -> int:
    return int(text) if text.isdecimal() else 0
