"""het-squeue's columns, and its two ways to choose them: squeue's `%.8i`, or a list of names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slurm_het.cli.render import cut, pad
from slurm_het.core.cluster.holdings import UNKNOWN, count_text, fold_held
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.durations import duration
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.job_rows import JobRow
from slurm_het.errors import HetError
from slurm_het.times import slurms_time

STATE_CODES = {
    "PENDING": "PD", "RUNNING": "R", "SUSPENDED": "S", "COMPLETED": "CD", "CANCELLED": "CA",
    "FAILED": "F", "TIMEOUT": "TO", "NODE_FAIL": "NF", "PREEMPTED": "PR", "BOOT_FAIL": "BF",
    "DEADLINE": "DL", "OUT_OF_MEMORY": "OOM", "COMPLETING": "CG", "CONFIGURING": "CF",
    "RESIZING": "RS", "RESV_DEL_HOLD": "RD", "REQUEUED": "RQ", "REQUEUE_FED": "RF",
    "REQUEUE_HOLD": "RH", "REVOKED": "RV", "SIGNALING": "SI", "SPECIAL_EXIT": "SE",
    "STAGE_OUT": "SO", "STOPPED": "ST",
}  # fmt: skip
_SPEC = re.compile(r"%(\.?)(\d{0,4})(?:([a-zA-Z])|\{([^}]*)\}|(%))")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name for -o, squeue's letter if it has one, heading, text, alignment.

    `key` is what it is sorted by, if that is not the text.
    """

    name: str
    letter: str
    heading: str
    text: Callable[[JobRow], str]
    right: bool = False
    key: Callable[[JobRow], float | tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One item of a % format: a column with its width (0: as it is), or text between columns."""

    column: Column | None
    size: int = 0
    right: bool = False
    literal: str = ""


def _devices(row: JobRow) -> str:
    if row.waits:
        asked = count_text(row.ask.devices) if row.ask else ""
        return f"({asked})" if asked else _none(row)
    return fold_held(row.held) or _none(row)


def _where(row: JobRow) -> str:
    """Like squeue's NODELIST(REASON)."""
    if row.waits:
        return f"({row.reason})"
    return fold_held(row.held) or (f"({row.reason})" if row.reason else "")


def _count(row: JobRow) -> str:
    if row.waits:
        return (count_text(row.ask.devices) if row.ask else "") or _none(row)
    unknown = any(h.indexes is None and not h.count for h in row.held)
    return UNKNOWN if unknown else count_text(h.count for h in row.held) or _none(row)


def _memory(row: JobRow) -> str:
    if row.waits:
        if not (row.ask and row.ask.memory_gib):
            return _none(row)
        return f"({row.ask.memory_gib}{'+' if row.ask.at_least else ''})"
    return str(row.memory_gib) if row.memory_gib else _none(row)


def _none(row: JobRow) -> str:
    return UNKNOWN if row.unreadable else "-"


def _types(row: JobRow) -> str:
    return "|".join(row.types) or _none(row)


def _reason_column(row: JobRow) -> str:
    nodes = ",".join(row.nodes)
    return f"({row.reason})" if row.waits or (row.job.finished and not nodes) else nodes


def _start(row: JobRow) -> str:
    """When it starts, or started."""
    at = row.expected.start if row.expected else 0 if row.waits else row.job.start_time
    return slurms_time(at) if at else "N/A"


def _likely(row: JobRow) -> str:
    """When it probably starts."""
    at = row.expected.likely if row.expected else None
    return slurms_time(at) if at else "-"


def _planned(row: JobRow) -> str:
    nodes = row.expected.nodes if row.expected else ()
    return hostlist.fold(nodes) if nodes else _none(row)


def _cause(row: JobRow) -> str:
    """Why it waits, and why no time is known if that does not say it."""
    return row.reason if row.untold in {"", row.reason} else f"{row.reason}; {row.untold}"


def _limit_minutes(row: JobRow) -> float:
    minutes = row.job.time_limit_minutes
    return math.inf if minutes is None else minutes


def _wait(row: JobRow) -> str:
    """squeue's PendingTime: from its submission until it started, or until now."""
    return duration(row.waited)


def _task_of(row: JobRow) -> str:
    if row.job.array_task_id is not None:
        return str(row.job.array_task_id)
    return row.job.array_tasks or "N/A"


def _devices_in_all(row: JobRow) -> float:
    return sum(row.ask.devices if row.ask else ()) if row.waits else sum(h.count for h in row.held)


def _gib(row: JobRow) -> float:
    return (row.ask.memory_gib if row.ask else 0) if row.waits else row.memory_gib


def _limit(row: JobRow) -> str:
    minutes = row.job.time_limit_minutes
    return "UNLIMITED" if minutes is None else duration(minutes * 60)


def _at(seconds: float) -> str:
    return slurms_time(seconds) if seconds else "N/A"


def _left(row: JobRow) -> str:
    """What of its limit a job has left, as squeue counts it."""
    minutes = row.job.time_limit_minutes
    if minutes is None:
        return "UNLIMITED"
    left = minutes * 60 - row.seconds
    return duration(left) if left >= 0 else f"-{duration(-left)}"


def _or_null(text: str) -> str:
    return text or "(null)"


def _id(row: JobRow) -> tuple[int, ...]:
    task = row.job.array_task_id
    last = 1 << 30 if row.job.unsplit else 0  # what is left of an array comes last, as in squeue
    return row.job.array_job_id or row.job.id, last if task is None else task


def _least_memory(row: JobRow) -> str:
    """squeue's MIN_MEMORY; 0 is all of a node's, or none dealt out."""
    job = row.job
    mib = job.memory_per_cpu_mib or job.memory_per_node_mib or job.memory_per_gpu_mib or 0
    return f"{mib >> 10}G" if mib and not mib & 1023 else f"{mib}M" if mib else "0"


def _account_or_null(row: JobRow) -> str:
    return _or_null(row.job.account)


COLUMNS = (
    Column("id", "i", "JOBID", lambda r: r.id, right=True, key=_id),
    Column("user", "u", "USER", lambda r: r.job.user),
    Column("name", "j", "NAME", lambda r: r.job.name),
    Column("partition", "P", "PARTITION", lambda r: r.job.partition),
    Column("account", "a", "ACCOUNT", _account_or_null),
    Column("qos", "q", "QOS", lambda r: _or_null(r.job.qos)),
    Column("priority", "Q", "PRIORITY", lambda r: str(r.job.priority), right=True,
           key=lambda r: r.job.priority),
    Column("state", "T", "STATE", lambda r: r.job.state),
    Column("st", "t", "ST", lambda r: STATE_CODES.get(r.job.state, r.job.state)),
    Column("time", "M", "TIME", lambda r: duration(r.seconds), right=True,
           key=lambda r: r.seconds),
    Column("limit", "l", "TIME_LIMIT", _limit, right=True, key=_limit_minutes),
    Column("nodes", "N", "NODELIST", lambda r: ",".join(r.nodes)),
    Column("nodecount", "D", "NODES", lambda r: str(len(r.nodes) or r.job.nodes_min), right=True,
           key=lambda r: len(r.nodes) or r.job.nodes_min),
    Column("cpus", "C", "CPUS", lambda r: str(r.job.cpus), right=True, key=lambda r: r.job.cpus),
    Column("start", "S", "START_TIME", _start),
    Column("likely", "", "LIKELY", _likely),
    Column("planned", "Y", "SCHEDNODES", _planned),
    Column("reason", "r", "REASON", lambda r: r.reason),
    Column("cause", "", "REASON", _cause),
    Column("code", "", "CODE", lambda r: r.code or "-"),
    Column("action", "", "WHAT TO DO", lambda r: r.action or "-"),
    Column("nodelist", "R", "NODELIST(REASON)", _reason_column),
    Column("jobid", "A", "JOBID", lambda r: str(r.job.id), right=True, key=lambda r: r.job.id),
    Column("array", "F", "ARRAY_JOB_ID", lambda r: str(r.job.array_job_id or r.job.id), right=True,
           key=lambda r: r.job.array_job_id or r.job.id),
    Column("task", "K", "ARRAY_TASK_ID", lambda r: _task_of(r), right=True),
    Column("uid", "U", "UID", lambda r: str(r.job.uid), right=True, key=lambda r: r.job.uid),
    Column("submitted", "V", "SUBMIT_TIME", lambda r: _at(r.job.submit_time)),
    Column("end", "e", "END_TIME", lambda r: _at(0 if r.waits else r.job.end_time)),
    Column("left", "L", "TIME_LEFT", _left, right=True),
    Column("reservation", "v", "RESERVATION", lambda r: _or_null(r.job.reservation)),
    Column("dependency", "E", "DEPENDENCY", lambda r: _or_null(r.job.dependency)),
    Column("features", "f", "FEATURES", lambda r: _or_null(r.job.features)),
    Column("excluded", "x", "EXC_NODES", lambda r: r.job.exc_nodes),
    Column("licenses", "W", "LICENSES", lambda r: _or_null(r.job.licenses)),
    Column("minmemory", "m", "MIN_MEMORY", _least_memory, right=True),
    Column("tres", "b", "TRES_PER_NODE", lambda r: r.job.tres_per_node or "N/A"),
    Column("wait", "", "WAIT", _wait, right=True, key=lambda r: r.waited),
    Column("spent", "", "RUN|WAIT", lambda r: duration(r.waited if r.waits else r.seconds),
           right=True, key=lambda r: r.waited if r.waits else r.seconds),
    Column("scenario", "", "SCENARIO", lambda r: r.scenario or _none(r)),
    Column("pool", "", "POOL", lambda r: r.pool),
    Column("type", "", "VENDOR:TYPE", _types),
    Column("devices", "", "DEVICES", _devices),
    Column("count", "", "DEV", _count, right=True, key=_devices_in_all),
    Column("memory", "", "GIB", _memory, right=True, key=_gib),
    Column("where", "", "DEVICES(REASON)", _where),
)  # fmt: skip
BY_NAME = {c.name: c for c in COLUMNS}
BY_LETTER = {c.letter: c for c in COLUMNS if c.letter}
DEFAULT = ("id", "user", "name", "scenario", "pool", "type", "count", "memory", "st", "time",
           "wait", "where")  # fmt: skip
LONG = ("id", "partition", "name", "user", "account", "state", "type", "devices", "memory", "time",
        "limit", "wait", "nodecount", "where")  # fmt: skip
STARTS = ("id", "user", "name", "pool", "type", "count", "st", "start", "likely", "planned",
          "cause")  # fmt: skip
EXPECTED = frozenset({"likely", "start", "planned", "cause"})
"""The columns that are known once it has been worked out when the waiting jobs start."""


def by_name(name: str) -> Column:
    """The column of that name. Raises HetError listing the names."""
    if name not in BY_NAME:
        raise HetError(f"no column {name[:40]!r}", f"columns: {', '.join(BY_NAME)}")
    return BY_NAME[name]


def named(text: str) -> tuple[Column, ...]:
    """The columns of a comma-separated list of names."""
    return tuple(by_name(name.strip().lower()) for name in text.split(",") if name.strip())


def sorted_by(text: str, rows: Sequence[JobRow]) -> list[JobRow]:
    """The rows in the order of squeue's -S: letters or names of columns, each with + or - before
    it; rows that are equal in all of these stay as they are."""
    out = list(rows)
    for word in reversed([w.strip() for w in text.split(",") if w.strip()]):
        name = word.lstrip("+-")
        column = BY_LETTER.get(name) or by_name(name.lower())
        key: Callable[[JobRow], Any] = column.key or column.text
        out.sort(key=key, reverse=word.startswith("-"))
    return out


def parse_format(text: str) -> tuple[Field, ...]:
    """Read squeue's `%[.][SIZE]LETTER`, and `%[.][SIZE]{NAME}` for any column; rest is literal."""
    fields: list[Field] = []
    at = 0
    while at < len(text):
        match = _SPEC.match(text, at)
        if match is None and text[at] == "%":
            raise _bad(text[at : at + 12])
        end = match.end() if match else at + 1
        fields.append(_field(match) if match else Field(None, literal=text[at]))
        at = end
    return tuple(fields)


def _field(match: re.Match[str]) -> Field:
    dot, size, letter, name, percent = match.groups()
    if percent:
        return Field(None, literal="%")
    if letter and letter not in BY_LETTER:
        raise _bad(match.group())
    column = BY_LETTER[letter] if letter else by_name(name.strip().lower())
    return Field(column, int(size or 0), right=bool(dot))


def _bad(text: str) -> HetError:
    letters = " ".join(f"%{c.letter} {c.name}" for c in COLUMNS if c.letter)
    return HetError(
        f"invalid format {text!r}", f"letters: {letters}; or %{{NAME}}, --help lists all"
    )


def format_lines(fields: Sequence[Field], rows: Sequence[JobRow], *, header: bool) -> list[str]:
    """One line per row, each column at its given width, as squeue prints it."""
    lines = ["".join(_sized(f, f.column.heading if f.column else "") for f in fields)]
    lines += ["".join(_sized(f, clean(f.column.text(r)) if f.column else "") for f in fields)
              for r in rows]  # fmt: skip
    return lines if header else lines[1:]


def _sized(item: Field, text: str) -> str:
    if item.column is None:
        return item.literal
    return pad(cut(text, item.size), item.size, right=item.right) if item.size else text
