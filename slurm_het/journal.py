"""The journal: what was decided, why, and what came of it. SQLite; Slurm stays the truth."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slurm_het.core.model import Classification, Placement, Plan
from slurm_het.core.planner.repairs import Planned
from slurm_het.core.worth.forecast import (
    MOST,
)
from slurm_het.core.worth.profiles import (
    TaskProfile,
)
from slurm_het.errors import HetError

log = logging.getLogger("hetd.journal")
KEEP_SECONDS = 30 * 86400
PRUNE_SECONDS = 86400
COMPLAIN_SECONDS = 60.0
MAX_OUTCOMES = 200
REMEDY = "see paths.journal; it is for SlurmUser and root, others ask hetd"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    key TEXT, submitted INTEGER, user TEXT, classification TEXT, PRIMARY KEY (key, submitted));
CREATE TABLE IF NOT EXISTS cycle (
    id INTEGER PRIMARY KEY, time REAL, seconds REAL, solve_seconds REAL, status TEXT, gap REAL,
    objective REAL, bound REAL, tasks INTEGER, placed INTEGER);
CREATE TABLE IF NOT EXISTS placement (
    cycle INTEGER, time REAL, key TEXT, placement TEXT);
CREATE INDEX IF NOT EXISTS placement_key ON placement (key);
CREATE TABLE IF NOT EXISTS demand (
    key TEXT, time REAL, demand TEXT, minutes REAL, PRIMARY KEY (key, demand));
CREATE TABLE IF NOT EXISTS outcome (time REAL, key TEXT, event TEXT, detail TEXT);
CREATE INDEX IF NOT EXISTS outcome_key ON outcome (key);
"""


class Journal:
    """Appends to the journal, and answers `slurm-het why`.

    hetd's own never raises for want of a disk: it says so and tries again with the next entry. A
    damaged file is put aside for a new one. Read only, HetError says why it cannot be read.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._pruned = 0.0
        self._complain_at = 0.0
        self._db: sqlite3.Connection | None = None
        if read_only:
            try:
                uri = f"{path.resolve().as_uri()}?mode=ro"
                self._db = sqlite3.connect(uri, uri=True, timeout=2)
                self._db.execute("SELECT 1 FROM job LIMIT 1")
            except (OSError, sqlite3.Error) as error:
                raise HetError(f"cannot read the journal {path}: {error}", REMEDY) from error
        else:
            with self._writing():
                pass

    @classmethod
    def copy_of(cls, path: Path | None) -> Journal:
        """A journal in memory that begins as the one in the file; without a file it is empty.

        What is written to it is gone with it. Raises HetError if the file cannot be read.
        """
        copy = cls.__new__(cls)
        copy.path, copy._pruned, copy._complain_at = Path(":memory:"), 0.0, 0.0
        copy._db = sqlite3.connect(":memory:", check_same_thread=False)
        if path:
            original = cls(path, read_only=True)
            try:
                original.db.backup(copy._db)
            except sqlite3.Error as error:
                raise HetError(f"cannot read the journal {path}: {error}", REMEDY) from error
            finally:
                original.close()
        copy._db.executescript(_SCHEMA)
        return copy

    @property
    def db(self) -> sqlite3.Connection:
        """The database, opened when it is needed. Raises sqlite3.Error or OSError."""
        if self._db is None:
            self._db = _open(self.path)
        return self._db

    def close(self) -> None:
        """Close the database."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def prune(self, now: float) -> None:
        """Forget what is older than KEEP_SECONDS; at most once a day."""
        if abs(now - self._pruned) < PRUNE_SECONDS:  # the clock may have been set back
            return
        self._pruned = now
        before = now - KEEP_SECONDS
        with self._writing() as db:
            for table in ("cycle", "placement", "outcome", "demand"):
                db.execute(f"DELETE FROM {table} WHERE time < ?", (before,))  # noqa: S608 - ours
            db.execute("DELETE FROM job WHERE submitted < ?", (int(before),))

    def record_jobs(self, jobs: Iterable[tuple[str, int, str, Classification]]) -> None:
        """Keep the classification of jobs (key, submit time, user, classification), once."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR IGNORE INTO job VALUES (?, ?, ?, ?)",
                [(*job, json.dumps(asdict(what))) for *job, what in jobs],
            )

    def record_demands(self, now: float, demands: Iterable[tuple[str, TaskProfile, float]]) -> None:
        """Keep what tasks ask (key, demand, time limit in minutes); a task that waits, once."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO demand VALUES (?, ?, ?, ?)",
                [(key, now, json.dumps(demand), minutes) for key, demand, minutes in demands],
            )

    def add_demands(self, now: float, minutes: Mapping[TaskProfile, float]) -> None:
        """Add to what tasks have asked in this hour, by demand; nobody asks which they were."""
        hour = f"hour {int(now // 3600)}"  # no task's key: many jobs are few rows
        with self._writing() as db:
            db.executemany(
                "INSERT INTO demand VALUES (?, ?, ?, ?)"
                " ON CONFLICT (key, demand) DO UPDATE"
                " SET minutes = minutes + excluded.minutes, time = excluded.time",
                [(hour, now, json.dumps(demand), time) for demand, time in minutes.items()],
            )

    def last_added(self) -> float:
        """When something was last added to an hour's demands; 0 if never."""
        try:
            row = self.db.execute("SELECT MAX(time) FROM demand WHERE key GLOB 'hour *'").fetchone()
            return float(row[0] or 0.0)
        except (OSError, sqlite3.Error, ValueError, TypeError) as error:
            self._complain(error)
            return 0.0

    def demands(self, since: float) -> dict[TaskProfile, float]:
        """What tasks have asked since then, by their time limits' sum (minutes).

        The heaviest of those for devices, and of those without.
        """
        try:
            rows = self.db.execute(
                "SELECT demand, total FROM (SELECT demand, SUM(minutes) AS total, ROW_NUMBER() OVER"
                " (PARTITION BY json_extract(demand, ?) > 0 ORDER BY SUM(minutes) DESC) AS place"
                " FROM demand WHERE time >= ? GROUP BY demand) WHERE place <= ?",
                (f"$[{TaskProfile._fields.index('devices')}]", since, MOST),
            ).fetchall()
            return {demand_from(json.loads(text)): float(minutes) for text, minutes in rows}
        except (OSError, sqlite3.Error, ValueError, TypeError) as error:
            self._complain(error)
            return {}

    def demands_of(self, keys: Iterable[str]) -> dict[str, TaskProfile]:
        """What these tasks asked last, as far as it is known."""
        try:
            rows = self.db.execute(
                "SELECT key, demand FROM demand WHERE key IN (SELECT value FROM json_each(?))"
                " ORDER BY time", (json.dumps(sorted(keys)),),
            ).fetchall()  # fmt: skip
            return {key: demand_from(json.loads(text)) for key, text in rows}
        except (OSError, sqlite3.Error, ValueError, TypeError) as error:
            self._complain(error)
            return {}

    def record_plan(
        self,
        now: float,
        seconds: float,
        tasks: int,
        plan: Plan,
        starts: Mapping[str, float] | None = None,
    ) -> None:
        """Keep a cycle and its placements, in one transaction, before any of it is applied.

        `starts` are the start times (epoch seconds) of what is pinned ahead.
        """
        rows = [
            (p.key, json.dumps(asdict(p) | {"start": (starts or {}).get(p.key, 0.0)}))
            for p in plan.placements
        ]
        with self._writing() as db:
            cursor = db.execute(
                "INSERT INTO cycle (time, seconds, solve_seconds, status, gap, objective, bound,"
                " tasks, placed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (now, seconds, plan.seconds, plan.status, plan.gap, plan.objective, plan.bound,
                 tasks, len(plan.placements)),
            )  # fmt: skip
            db.executemany(
                "INSERT INTO placement VALUES (?, ?, ?, ?)",
                [(cursor.lastrowid, now, *row) for row in rows],
            )

    def record_outcomes(self, now: float, outcomes: Iterable[tuple[str, str, str]]) -> None:
        """Keep (key, event, detail) triples."""
        with self._writing() as db:
            db.executemany("INSERT INTO outcome VALUES (?, ?, ?, ?)", [(now, *o) for o in outcomes])

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; if it fails (a full disk) the log says so, and planning goes on."""
        try:
            db = self.db
        except (OSError, sqlite3.Error) as error:
            self._complain(error)
            db = sqlite3.connect(":memory:")
            db.executescript(_SCHEMA)
            yield db
            db.close()
            return
        try:
            with db:
                yield db
        except sqlite3.Error as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if _is_damage(error):
            self.close()  # opening it again puts it aside
        if time.monotonic() >= self._complain_at:
            log.error("the journal does not work, planning goes on without it: %s", error)
            self._complain_at = time.monotonic() + COMPLAIN_SECONDS

    def history(self, key: str) -> dict[str, Any]:
        """All there is of one job, as JSON has it: user, placement, cycle, outcomes.

        Raises HetError when the journal cannot be read.
        """
        try:
            placement = self.placement_of(key)
            return {
                "user": self._user_of(key),
                "placement": asdict(placement) if placement else None,
                "cycle": self.cycle_of(key),
                "outcomes": [list(outcome) for outcome in self.outcomes_of(key)[-MAX_OUTCOMES:]],
            }
        except (OSError, sqlite3.Error) as error:
            raise HetError(f"cannot read the journal {self.path}: {error}", REMEDY) from error

    def _user_of(self, key: str) -> str:
        """Whose job it is; of job ids that were used twice, the newer one's."""
        row = self.db.execute(
            "SELECT user FROM job WHERE key IN (?, ?) ORDER BY submitted DESC LIMIT 1",
            (key, key.split("_", maxsplit=1)[0]),
        ).fetchone()
        return str(row[0]) if row else ""

    def placement_of(self, key: str) -> Placement | None:
        """The newest placement planned for a job."""
        planned = self._newest(key)
        return planned.placement if planned else None

    def last_plan(self, key: str) -> Planned | None:
        """What was last planned for a job; None also while the journal cannot be read."""
        try:
            return self._newest(key)
        except (OSError, sqlite3.Error, ValueError, KeyError) as error:
            self._complain(error)
            return None

    def _newest(self, key: str) -> Planned | None:
        row = self.db.execute(
            "SELECT placement FROM placement WHERE key = ? ORDER BY rowid DESC LIMIT 1", (key,)
        ).fetchone()
        if row is None:
            return None
        data = json.loads(row[0])
        return Planned(placement_from(data), float(data.get("start", 0.0)))

    def placements(self) -> list[Placement]:
        """Every planned placement, oldest first."""
        rows = self.db.execute("SELECT placement FROM placement ORDER BY rowid")
        return [placement_from(json.loads(row[0])) for row in rows]

    def outcomes_of(self, key: str) -> list[tuple[float, str, str]]:
        """(time, event, detail) of a job, oldest first."""
        return self.db.execute(
            "SELECT time, event, detail FROM outcome WHERE key = ? ORDER BY rowid", (key,)
        ).fetchall()

    def cycle_of(self, key: str) -> dict[str, Any] | None:
        """The cycle that last placed a job."""
        cursor = self.db.execute(
            "SELECT cycle.* FROM placement JOIN cycle ON cycle.id = placement.cycle"
            " WHERE key = ? ORDER BY placement.rowid DESC LIMIT 1", (key,)
        )  # fmt: skip
        row = cursor.fetchone()
        return dict(zip([c[0] for c in cursor.description], row, strict=True)) if row else None


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _prepared(path)
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        log.error("the journal %s is damaged (%s): it is kept as %s", path, error, aside)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=2)
    try:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _is_damage(error: Exception) -> bool:
    """Whether the file itself is bad, not the disk or the permissions."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def demand_from(data: list[Any]) -> TaskProfile:
    """A demand from its JSON form."""
    types, pools, *rest = data
    return TaskProfile(tuple(types), tuple(pools), *rest)


def placement_from(data: dict[str, Any]) -> Placement:
    """A placement from its JSON form."""
    return Placement(
        key=data["key"],
        partition=data["partition"],
        nodes=tuple(data["nodes"]),
        devices=tuple(tuple(d) for d in data["devices"]),
        types=tuple(data["types"]),
        memory_gib=data["memory_gib"],
        terms=data["terms"],
    )
