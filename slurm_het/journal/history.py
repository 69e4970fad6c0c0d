"""What the journal has of one job or array, for `slurm-het why`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from slurm_het.core.jobs.ending import JobEnd
from slurm_het.core.model import Classification, Job, Placement
from slurm_het.core.syntax.arrays import array_indexes
from slurm_het.core.views.accuracy import ToldStart

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
    `submitted` is when it was submitted last (epoch seconds), 0 if that is not known. `told` is
    when it was said to start, if it was.
    """

    user: str = ""
    submitted: int = 0
    classification: Classification | None = None
    asked: dict[str, str] | None = None
    placement: Placement | None = None
    cycle: dict[str, Any] | None = None
    outcomes: list[tuple[float, str, str]] = []
    end: JobEnd | None = None
    tasks: list[PastTask] = []
    more_tasks: bool = False
    told: ToldStart | None = None

    @property
    def empty(self) -> bool:
        """Whether the journal has nothing of such a job."""
        return self == History()

    @property
    def tells(self) -> bool:
        """Whether it has anything of that job or task itself, not of its array alone."""
        return bool(self.placement or self.outcomes or self.end or self.told or self.tasks)


class _Entry(msgspec.Struct):
    """Of a job's entry the key beside those of a classification, which older entries have not, and
    the one that a job without a class lacks."""

    asked: dict[str, str] | None = None
    scenario: str = ""


def read_history(db: sqlite3.Connection, key: str) -> History:
    """The history of `123`, the id of a job or an array, or of `123_4`.

    Raises what `UNREADABLE` lists.
    """
    history, since = _record_of(db, key)
    history.placement = placement_of(db, key, since)
    history.cycle = cycle_of(db, key, since)
    history.outcomes = outcomes_of(db, key, since)[-MAX_OUTCOMES:]
    history.end = _end_of(db, key, history.submitted)
    history.told = _told_of(db, key, history.submitted)
    if "_" not in key:
        history.tasks, history.more_tasks = _tasks_of(db, key, since)
    return history


def _within(array: str) -> tuple[str, str]:
    """The first and the last key that a task of an array may have: digits or brackets follow."""
    return f"{array}_", f"{array}_~"


def _record_of(db: sqlite3.Connection, key: str) -> tuple[History, int]:
    """What the job is, and when it was submitted first.

    Ids start anew when Slurm's state is lost, or after MaxJobId: what an older job of that id did
    is not told, for it may be another user's. A job that is requeued is submitted anew, and is the
    same.
    """
    array, _, task = key.partition("_")
    named = "FROM job WHERE (key IN (?, ?) OR key BETWEEN ? AND ?)"
    keys = (key, array, *((key, key) if task else _within(array)))
    row = db.execute(
        f"SELECT user, submitted, classification {named} ORDER BY submitted DESC, key = ? DESC",
        (*keys, key),
    ).fetchone()
    if row is None:
        return History(), 0
    user, newest, text = row
    (since,) = db.execute(
        f"SELECT MIN(submitted) {named} AND user = ? AND submitted > (SELECT"
        f" COALESCE(MAX(submitted), -1) {named} AND user != ?) AND submitted >= (SELECT"
        f" COALESCE(MAX(submitted), 0) {named} AND restarts = 0)",
        (*keys, user, *keys, user, *keys),
    ).fetchone()
    entry = msgspec.json.decode(text, type=_Entry)
    what = msgspec.json.decode(text, type=Classification) if entry.scenario else None
    return History(user, newest, what, entry.asked), newest if since is None else since


# An entry of an older hetd does not say when its job was submitted: there its own time counts.
_OF_JOB = "(submitted >= ? OR (submitted = 0 AND {}time >= ?))"
_SINCE = _OF_JOB.format("")
_SINCE_END = "(submitted >= ? AND submitted >= ?)"


def placement_of(db: sqlite3.Connection, key: str, since: int = 0) -> Placement | None:
    """The newest placement planned for a job."""
    row = db.execute(
        f"SELECT placement FROM placement WHERE key = ? AND {_SINCE} ORDER BY rowid DESC LIMIT 1",  # noqa: S608
        (key, since, since),
    ).fetchone()
    return msgspec.json.decode(row[0], type=Placement) if row else None


def newest_plan(db: sqlite3.Connection, job: Job) -> str:
    """The JSON of a job's newest placement, and from when on its nodes are free; '' without one."""
    row = db.execute(
        "SELECT placement, submitted, time FROM placement WHERE key = ?"
        " ORDER BY rowid DESC LIMIT 1",
        (job.key,),
    ).fetchone()
    if row is None:
        return ""
    text, submitted, time = row
    own = submitted == job.submit_time if submitted else time >= job.submit_time
    # One that was requeued was submitted anew, and is the same.
    return str(text) if own or job.restarts else ""


def cycle_of(db: sqlite3.Connection, key: str, since: int = 0) -> dict[str, Any] | None:
    """The cycle that last placed a job."""
    cursor = db.execute(
        "SELECT cycle.* FROM placement JOIN cycle ON cycle.id = placement.cycle"  # noqa: S608
        f" WHERE key = ? AND {_OF_JOB.format('placement.')} ORDER BY placement.rowid DESC LIMIT 1",
        (key, since, since),
    )
    row = cursor.fetchone()
    return dict(zip([c[0] for c in cursor.description], row, strict=True)) if row else None


def outcomes_of(db: sqlite3.Connection, key: str, since: int = 0) -> list[tuple[float, str, str]]:
    """(time, event, detail) of a job, oldest first."""
    return db.execute(
        f"SELECT time, event, detail FROM outcome WHERE key = ? AND {_SINCE} ORDER BY rowid",  # noqa: S608
        (key, since, since),
    ).fetchall()


def _told_of(db: sqlite3.Connection, key: str, submitted: int) -> ToldStart | None:
    row = db.execute(
        "SELECT time, first, last_time, last, started FROM told WHERE key = ? AND submitted >= ?"
        " ORDER BY submitted DESC LIMIT 1",
        (key, submitted),
    ).fetchone()
    return ToldStart(*row) if row else None


def _end_of(db: sqlite3.Connection, key: str, since: int) -> JobEnd | None:
    """How a job ended: by its own record, or with other tasks of its array that share one."""
    array, _, task = key.partition("_")
    for end in reversed(_ends(db, key, key, since)):
        return end
    rests = _ends(db, f"{array}_[", f"{array}_[~", since) if task else []
    return next((end for end in reversed(rests) if int(task) in _indexes(end.key)), None)


def _indexes(key: str) -> tuple[int, ...]:
    """The tasks of `123_[4-9]`."""
    return array_indexes(key.partition("[")[2].removesuffix("]"), 1_000_000)


def _ends(db: sqlite3.Connection, first: str, last: str, since: int) -> list[JobEnd]:
    """How the jobs with keys in that range ended, oldest first."""
    rows = db.execute(
        "SELECT job_end FROM job_end WHERE key BETWEEN ? AND ? AND submitted >= ? ORDER BY time",
        (first, last, since),
    )
    return [msgspec.json.decode(row[0], type=JobEnd) for row in rows]


def _tasks_of(db: sqlite3.Connection, array: str, since: int) -> tuple[list[PastTask], bool]:
    """The tasks of an array, and whether there are more: an array may have a million."""
    keys: set[str] = set()
    for table, own in (("placement", _SINCE), ("job_end", _SINCE_END)):
        rows = db.execute(
            f"SELECT DISTINCT key FROM {table}"  # noqa: S608 - ours
            f" WHERE key BETWEEN ? AND ? AND {own} LIMIT ?",
            (*_within(array), since, since, MAX_TASKS + 1),
        )
        keys |= {row[0] for row in rows}
    tasks = {key: PastTask(key) for key in sorted(keys)[:MAX_TASKS]}
    these = (json.dumps(list(tasks)), since, since)
    named = "key IN (SELECT value FROM json_each(?))"

    def column(of: str, table: str, own: str) -> Iterator[tuple[str, str]]:
        chosen = f"FROM {table} WHERE {named} AND {own} ORDER BY rowid"
        return db.execute(f"SELECT key, {of} {chosen}", these)

    for key, text in column("placement", "placement", _SINCE):
        tasks[key].placement = msgspec.json.decode(text, type=Placement)
    for key, event in column("event", "outcome", _SINCE):
        tasks[key].event = event
    for key, text in column("job_end", "job_end", _SINCE_END):
        tasks[key].end = msgspec.json.decode(text, type=JobEnd)
    return list(tasks.values()), len(keys) > len(tasks)
