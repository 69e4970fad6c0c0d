"""het-squeue's columns, and its two ways to choose them: squeue's `%.8i`, or a list of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slurm_het.cli.render import cut, duration, pad
from slurm_het.core.cluster.holdings import UNKNOWN, count_text, fold_held
from slurm_het.core.syntax import hostlist
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
    """A column: its name for -o, squeue's letter if it has one, heading, text, alignment."""

    name: str
    letter: str
    heading: str
    text: Callable[[JobRow], str]
    right: bool = False


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


def _planned(row: JobRow) -> str:
    nodes = row.expected.nodes if row.expected else ()
    return hostlist.fold(nodes) if nodes else _none(row)


def _limit(row: JobRow) -> str:
    minutes = row.job.time_limit_minutes
    return "UNLIMITED" if minutes is None else duration(minutes * 60)


COLUMNS = (
    Column("id", "i", "JOBID", lambda r: r.id, right=True),
    Column("user", "u", "USER", lambda r: r.job.user),
    Column("name", "j", "NAME", lambda r: r.job.name),
    Column("partition", "P", "PARTITION", lambda r: r.job.partition),
    Column("account", "a", "ACCOUNT", lambda r: r.job.account),
    Column("qos", "q", "QOS", lambda r: r.job.qos),
    Column("priority", "Q", "PRIORITY", lambda r: str(r.job.priority), right=True),
    Column("state", "T", "STATE", lambda r: r.job.state),
    Column("st", "t", "ST", lambda r: STATE_CODES.get(r.job.state, r.job.state)),
    Column("time", "M", "TIME", lambda r: duration(r.seconds), right=True),
    Column("limit", "l", "TIME_LIMIT", _limit, right=True),
    Column("nodes", "N", "NODELIST", lambda r: ",".join(r.nodes)),
    Column("nodecount", "D", "NODES", lambda r: str(len(r.nodes) or r.job.nodes_min), right=True),
    Column("cpus", "C", "CPUS", lambda r: str(r.job.cpus), right=True),
    Column("start", "S", "START_TIME", _start),
    Column("planned", "Y", "SCHEDNODES", _planned),
    Column("reason", "r", "REASON", lambda r: r.reason),
    Column("nodelist", "R", "NODELIST(REASON)", _reason_column),
    Column("jobid", "A", "JOBID", lambda r: str(r.job.id), right=True),
    Column("scenario", "", "SCENARIO", lambda r: r.scenario or _none(r)),
    Column("pool", "", "POOL", lambda r: r.pool),
    Column("type", "", "VENDOR:TYPE", _types),
    Column("devices", "", "DEVICES", _devices),
    Column("count", "", "DEV", _count, right=True),
    Column("memory", "", "GIB", _memory, right=True),
    Column("where", "", "DEVICES(REASON)", _where),
)  # fmt: skip
BY_NAME = {c.name: c for c in COLUMNS}
BY_LETTER = {c.letter: c for c in COLUMNS if c.letter}
DEFAULT = ("id", "user", "name", "scenario", "pool", "type", "count", "memory", "st", "time",
           "where")  # fmt: skip
STARTS = ("id", "user", "name", "pool", "type", "count", "st", "start", "planned", "reason")
EXPECTED = frozenset({"start", "planned"})
"""The columns that are known once it has been worked out when the waiting jobs start."""


def by_name(name: str) -> Column:
    """The column of that name. Raises HetError listing the names."""
    if name not in BY_NAME:
        raise HetError(f"no column {name[:40]!r}", f"columns: {', '.join(BY_NAME)}")
    return BY_NAME[name]


def named(text: str) -> tuple[Column, ...]:
    """The columns of a comma-separated list of names."""
    return tuple(by_name(name.strip().lower()) for name in text.split(",") if name.strip())


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
