"""The journal: what was decided, why, and what came of it. SQLite; Slurm stays the truth."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slurm_het.core.model import Classification, Placement, Plan
from slurm_het.errors import HetError

log = logging.getLogger("hetd.journal")
KEEP_SECONDS = 30 * 86400
PRUNE_SECONDS = 86400
COMPLAIN_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    key TEXT, submitted INTEGER, user TEXT, classification TEXT, PRIMARY KEY (key, submitted));
CREATE TABLE IF NOT EXISTS cycle (
    id INTEGER PRIMARY KEY, time REAL, seconds REAL, solve_seconds REAL, status TEXT, gap REAL,
    objective REAL, bound REAL, tasks INTEGER, placed INTEGER);
CREATE TABLE IF NOT EXISTS placement (
    cycle INTEGER, time REAL, key TEXT, placement TEXT);
CREATE INDEX IF NOT EXISTS placement_key ON placement (key);
CREATE TABLE IF NOT EXISTS outcome (time REAL, key TEXT, event TEXT, detail TEXT);
CREATE INDEX IF NOT EXISTS outcome_key ON outcome (key);
"""


class Journal:
    """Appends to the journal, and answers `slurm-het why`. Raises HetError when it cannot open."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._pruned = 0.0
        self._complain_at = 0.0
        try:
            if read_only:
                self.db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.db = sqlite3.connect(path, timeout=2)
                self.db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
                self.db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise HetError(
                f"cannot open the journal {path}: {error}", "see paths.journal"
            ) from error

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    def prune(self, now: float) -> None:
        """Forget what is older than KEEP_SECONDS; at most once a day."""
        if now < self._pruned + PRUNE_SECONDS:
            return
        self._pruned = now
        before = now - KEEP_SECONDS
        with self._writing() as db:
            for table in ("cycle", "placement", "outcome"):
                db.execute(f"DELETE FROM {table} WHERE time < ?", (before,))  # noqa: S608 - ours
            db.execute("DELETE FROM job WHERE submitted < ?", (int(before),))

    def record_jobs(self, jobs: Iterable[tuple[str, int, str, Classification]]) -> None:
        """Keep the classification of jobs (key, submit time, user, classification), once."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR IGNORE INTO job VALUES (?, ?, ?, ?)",
                [(*job, json.dumps(asdict(what))) for *job, what in jobs],
            )

    def record_plan(self, now: float, seconds: float, tasks: int, plan: Plan) -> None:
        """Keep a cycle and its placements, in one transaction, before any of it is applied."""
        with self._writing() as db:
            cursor = db.execute(
                "INSERT INTO cycle (time, seconds, solve_seconds, status, gap, objective, bound,"
                " tasks, placed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (now, seconds, plan.seconds, plan.status, plan.gap, plan.objective, plan.bound,
                 tasks, len(plan.placements)),
            )  # fmt: skip
            db.executemany(
                "INSERT INTO placement VALUES (?, ?, ?, ?)",
                [(cursor.lastrowid, now, p.key, json.dumps(asdict(p))) for p in plan.placements],
            )

    def record_outcomes(self, now: float, outcomes: Iterable[tuple[str, str, str]]) -> None:
        """Keep (key, event, detail) triples."""
        with self._writing() as db:
            db.executemany("INSERT INTO outcome VALUES (?, ?, ?, ?)", [(now, *o) for o in outcomes])

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; if it fails (a full disk) the log says so, and planning goes on."""
        try:
            with self.db:
                yield self.db
        except sqlite3.Error as error:
            if time.monotonic() >= self._complain_at:
                log.error("the journal is not written, planning goes on without it: %s", error)
                self._complain_at = time.monotonic() + COMPLAIN_SECONDS

    def placement_of(self, key: str) -> Placement | None:
        """The newest placement planned for a job."""
        row = self.db.execute(
            "SELECT placement FROM placement WHERE key = ? ORDER BY rowid DESC LIMIT 1", (key,)
        ).fetchone()
        return placement_from(json.loads(row[0])) if row else None

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
