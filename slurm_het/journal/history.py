"""What the journal has of one job or array, for `slurm-het why`."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import msgspec

from slurm_het.core.jobs.ending import JobEnd
from slurm_het.core.model import Classification, Placement
from slurm_het.core.syntax.arrays import array_indexes

MAX_OUTCOMES = 200
MAX_TASKS = 2000  # of one array


class PastTask(msgspec.Struct):
    """A task of an array: `6_2`, or `6_[4-9]` of those that ended before they were split off."""

    key: str
    placement: Placement | None = None
    event: str = ""
    end: JobEnd | None = None


class History(msgspec.Struct):
    """All there is of a job, as plain data: hetd hands it on as JSON.

    `classification` and `asked` (the request as it was submitted) of an array's task are the
    array's. `asked` is None where it is not known. `end` is how it ended, if that was seen. `tasks`
    are those of an array that were planned or have ended; `more_tasks`: there are others.
    """

    user: str = ""
    classification: Classification | None = None
    asked: dict[str, str] | None = None
    placement: Placement | None = None
    cycle: dict[str, Any] | None = None
    outcomes: list[tuple[float, str, str]] = []
    end: JobEnd | None = None
    tasks: list[PastTask] = []
    more_tasks: bool = False

    @property
    def empty(self) -> bool:
        """Whether the journal has nothing of such a job."""
        return self == History()


class _Asked(msgspec.Struct):
    """The key beside those of a classification; older entries have none."""

    asked: dict[str, str] | None = None


def read_history(db: sqlite3.Connection, key: str) -> History:
    """The history of `123`, the id of a job or an array, or of `123_4`.

    Raises what `UNREADABLE` lists.
    """
    history, since, newest = _record_of(db, key)
    history.placement = placement_of(db, key, since)
    history.cycle = cycle_of(db, key, since)
    history.outcomes = outcomes_of(db, key, since)[-MAX_OUTCOMES:]
    history.end = _end_of(db, key, newest)
    if "_" not in key:
        history.tasks, history.more_tasks = _tasks_of(db, key, since)
    return history


def _within(array: str) -> tuple[str, str]:
    """The first and the last key that a task of an array may have: digits or brackets follow."""
    return f"{array}_", f"{array}_~"


def _record_of(db: sqlite3.Connection, key: str) -> tuple[History, float, float]:
    """What the job is, since when its id has been this user's, and when it was submitted last.

    Ids start anew when Slurm's state is lost, or after MaxJobId: what an older job of that id did
    is not told, for it may be another user's.
    """
    array, _, task = key.partition("_")
    named = "FROM job WHERE (key IN (?, ?) OR key BETWEEN ? AND ?)"
    keys = (key, array, *((key, key) if task else _within(array)))
    row = db.execute(
        f"SELECT user, submitted, classification {named} ORDER BY submitted DESC, key = ? DESC",
        (*keys, key),
    ).fetchone()
    if row is None:
        return History(), 0.0, 0.0
    user, newest, text = row
    (since,) = db.execute(
        f"SELECT MIN(submitted) {named} AND user = ? AND submitted >="
        f" (SELECT MAX(submitted) {named} AND user != ?)",
        (*keys, user, *keys, user),
    ).fetchone()
    what = msgspec.json.decode(text, type=Classification)
    return History(user, what, msgspec.json.decode(text, type=_Asked).asked), since or 0.0, newest


def placement_of(db: sqlite3.Connection, key: str, since: float = 0.0) -> Placement | None:
    """The newest placement planned for a job."""
    row = newest_plan(db, key, since)
    return msgspec.json.decode(row, type=Placement) if row else None


def newest_plan(db: sqlite3.Connection, key: str, since: float = 0.0) -> str:
    """The JSON of the newest placement, and from when on its nodes are free; '' without one."""
    row = db.execute(
        "SELECT placement FROM placement WHERE key = ? AND time >= ? ORDER BY rowid DESC LIMIT 1",
        (key, since),
    ).fetchone()
    return str(row[0]) if row else ""


def cycle_of(db: sqlite3.Connection, key: str, since: float = 0.0) -> dict[str, Any] | None:
    """The cycle that last placed a job."""
    cursor = db.execute(
        "SELECT cycle.* FROM placement JOIN cycle ON cycle.id = placement.cycle"
        " WHERE key = ? AND placement.time >= ? ORDER BY placement.rowid DESC LIMIT 1",
        (key, since),
    )
    row = cursor.fetchone()
    return dict(zip([c[0] for c in cursor.description], row, strict=True)) if row else None


def outcomes_of(
    db: sqlite3.Connection, key: str, since: float = 0.0
) -> list[tuple[float, str, str]]:
    """(time, event, detail) of a job, oldest first."""
    return db.execute(
        "SELECT time, event, detail FROM outcome WHERE key = ? AND time >= ? ORDER BY rowid",
        (key, since),
    ).fetchall()


def _end_of(db: sqlite3.Connection, key: str, since: float) -> JobEnd | None:
    """How a job ended: by its own record, or with other tasks of its array that share one."""
    array, _, task = key.partition("_")
    for end in reversed(_ends(db, key, key, since)):
        return end
    rests = _ends(db, f"{array}_[", f"{array}_[~", since) if task else []
    return next((end for end in reversed(rests) if int(task) in _indexes(end.key)), None)


def _indexes(key: str) -> tuple[int, ...]:
    """The tasks of `123_[4-9]`."""
    return array_indexes(key.partition("[")[2].removesuffix("]"), 1_000_000)


def _ends(db: sqlite3.Connection, first: str, last: str, since: float) -> list[JobEnd]:
    """How the jobs with keys in that range ended, oldest first."""
    rows = db.execute(
        "SELECT job_end FROM job_end WHERE key BETWEEN ? AND ? AND submitted >= ? ORDER BY time",
        (first, last, since),
    )
    return [msgspec.json.decode(row[0], type=JobEnd) for row in rows]


def _tasks_of(db: sqlite3.Connection, array: str, since: float) -> tuple[list[PastTask], bool]:
    """The tasks of an array, and whether there are more: an array may have a million."""
    keys: set[str] = set()
    for table in ("placement", "job_end"):
        rows = db.execute(
            f"SELECT DISTINCT key FROM {table}"  # noqa: S608 - ours
            " WHERE key BETWEEN ? AND ? AND time >= ? LIMIT ?",
            (*_within(array), since, MAX_TASKS + 1),
        )
        keys |= {row[0] for row in rows}
    tasks = {key: PastTask(key) for key in sorted(keys)[:MAX_TASKS]}
    these = (json.dumps(list(tasks)), since)
    chosen = "key IN (SELECT value FROM json_each(?)) AND time >= ? ORDER BY rowid"
    for key, text in db.execute(f"SELECT key, placement FROM placement WHERE {chosen}", these):  # noqa: S608
        tasks[key].placement = msgspec.json.decode(text, type=Placement)
    for key, event in db.execute(f"SELECT key, event FROM outcome WHERE {chosen}", these):  # noqa: S608
        tasks[key].event = event
    for key, text in db.execute(f"SELECT key, job_end FROM job_end WHERE {chosen}", these):  # noqa: S608
        tasks[key].end = msgspec.json.decode(text, type=JobEnd)
    return list(tasks.values()), len(keys) > len(tasks)
