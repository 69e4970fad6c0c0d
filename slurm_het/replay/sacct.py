"""Reading what sacct prints: one record after the other, however long the text is.

Only one of the fields is what users write as they like, the command line, and two more are words
of theirs (constraint, reservation): these come last. No user knows what stands between the fields,
since it is made up for each call: the header tells it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator

from slurm_het.core.syntax.durations import parse_seconds
from slurm_het.errors import HetError
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import (
    PastJob,
    Tally,
    parse_limit,
    parse_tres,
    tasks_of,
)

FIELDS = (
    "JobIDRaw", "JobID", "User", "Account", "QOS", "Partition", "State", "Submit", "Eligible",
    "Start", "End", "ElapsedRaw", "Suspended", "TimelimitRaw", "Priority", "ReqTRES", "AllocTRES",
    "NodeList", "Reservation", "Constraints", "SubmitLine",
)  # fmt: skip
"""All are known to 22.05."""
ENVIRONMENT = {"TZ": "UTC", "SLURM_TIME_FORMAT": "%s"}
MOST = 4 << 20
"""A record is no longer than so many characters."""
_HEADER = re.compile(r"JobIDRaw(?P<mark>.{1,64}?)JobID(?P=mark)User(?P=mark)")
_NEVER_RAN = {"", "None assigned", "None"}


def command(since: str, until: str, mark: str = "") -> list[str]:
    """The command line that prints what is read here."""
    return [
        "sacct", "--allusers", "--allocations", "--duplicates", "--parsable", "--noconvert",
        f"--delimiter={mark or uuid.uuid4().hex}", f"--starttime={since}", f"--endtime={until}",
        f"--format={','.join(FIELDS)}",
    ]  # fmt: skip


def read_sacct(lines: Iterable[str], clock: WallClock, tally: Tally) -> Iterator[PastJob]:
    """The records of jobs. Raises HetError where the text is none of sacct's with these fields."""
    mark, names = "", list[str]()
    record = ""
    for line in lines:
        if not mark:
            mark, names = _header(line)
            continue
        record += line
        # A command line may have line breaks: a record is whole when all its fields are.
        if record.count(mark) < len(names):
            if len(record) > MOST:
                raise HetError(f"a record of more than {MOST} characters", _hint())
            continue
        fields = record.split(mark)
        record = ""
        if len(fields) != len(names) + 1 or fields[-1].strip():
            if fields[: len(names)] != names:  # the header of the next month's text
                tally.left_out["lines that cannot be read"] += 1
            continue
        made = _job(dict(zip(names, fields, strict=False)), clock, tally)
        if made:
            yield made
    if not mark:
        raise HetError("there is no line in it", _hint())
    if record.strip():
        tally.left_out["lines that cannot be read"] += 1


def _header(line: str) -> tuple[str, list[str]]:
    match = _HEADER.match(line)
    names = line.rstrip("\n").split(match["mark"])[:-1] if match else []
    if not match or not set(FIELDS[:-1]) <= set(names):
        raise HetError(
            f"the first line is none of sacct's with these fields: {line[:60]!r}", _hint()
        )
    return match["mark"], names


def _hint() -> str:
    environment = " ".join(f"{key}={value}" for key, value in ENVIRONMENT.items())
    words = " ".join(command("2026-10-01", "2026-11-01", "$(uuidgen)"))
    return f"make it by:\n  {environment} {words}"


def _job(f: dict[str, str], clock: WallClock, tally: Tally) -> PastJob | None:
    if "." in f["JobIDRaw"]:
        tally.left_out["steps of jobs, which are parts of them"] += 1
        return None
    never = f["NodeList"] in _NEVER_RAN
    try:
        submit = clock.read(f["Submit"])
        if submit is None:
            raise ValueError("no Submit")
        start = clock.read(f["Start"], submit)
        end = clock.read(f["End"], start or submit)
        suspended = parse_seconds(f["Suspended"]) or 0
        ran = f["ElapsedRaw"]
        if start is not None and end is not None and not f["Start"].isdecimal() and ran.isdecimal():
            end = start + int(ran) + suspended  # whatever a clock was set to in between
        return PastJob(
            int(f["JobIDRaw"]), f["JobID"], f["User"], f["Account"], f["QOS"], f["Partition"],
            (f["State"].split() or ["UNKNOWN"])[0], submit, clock.read(f["Eligible"], submit),
            None if never else start, end, suspended,
            parse_limit(f["TimelimitRaw"]), int(f["Priority"] or 0),
            parse_tres(f["ReqTRES"]), parse_tres(f["AllocTRES"]), "" if never else f["NodeList"],
            f["Reservation"], f["Constraints"], f.get("SubmitLine", ""), tasks_of(f["JobID"]),
        )  # fmt: skip
    except ValueError:
        tally.left_out["lines that cannot be read"] += 1
        return None
