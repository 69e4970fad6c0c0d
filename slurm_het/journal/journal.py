"""What hetd appends to the journal, and what it reads back to plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from slurm_het.core.jobs.ending import JobEnd
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.model import Classification, Job, Placement, Plan
from slurm_het.core.planner.repairs import Planned
from slurm_het.core.worth.forecast import MOST
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.journal.file import TABLES_WITH_TIME, UNREADABLE, JournalFile
from slurm_het.journal.history import (
    History,
    newest_plan,
    outcomes_of,
    placement_of,
    read_history,
)

KEEP_SECONDS = 30 * 86400
PRUNE_SECONDS = 86400


class Journal(JournalFile):
    """Appends to the journal, and answers `slurm-het why`."""

    _pruned = 0.0

    def prune(self, now: float) -> None:
        """Forget what is older than KEEP_SECONDS; at most once a day."""
        if abs(now - self._pruned) < PRUNE_SECONDS:  # the clock may have been set back
            return
        self._pruned = now
        before = now - KEEP_SECONDS
        with self.writing() as db:
            for table in TABLES_WITH_TIME:
                db.execute(f"DELETE FROM {table} WHERE time < ?", (before,))  # noqa: S608 - ours
            db.execute("DELETE FROM job WHERE submitted < ?", (int(before),))

    def record_jobs(self, jobs: Iterable[tuple[Job, Classification]]) -> None:
        """Keep what jobs are classified as, and what they asked before that was rewritten."""
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?)",
                [
                    (job.key, job.submit_time, job.user, json.dumps(asdict(what) | _asked(job)))
                    for job, what in jobs
                ],
            )

    def record_ends(self, ends: Iterable[JobEnd]) -> None:
        """Keep how jobs ended."""
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO job_end VALUES (?, ?, ?, ?)",
                [(e.key, e.submitted, float(e.ended), json.dumps(asdict(e))) for e in ends],
            )

    def record_demands(self, now: float, demands: Iterable[tuple[str, TaskProfile, float]]) -> None:
        """Keep what tasks ask (key, demand, time limit in minutes); a task that waits, once."""
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO demand VALUES (?, ?, ?, ?)",
                [(key, now, json.dumps(demand), minutes) for key, demand, minutes in demands],
            )

    def add_demands(self, now: float, minutes: Mapping[TaskProfile, float]) -> None:
        """Add to what tasks have asked in this hour, by demand; nobody asks which they were."""
        hour = f"hour {int(now // 3600)}"  # no task's key: many jobs are few rows
        with self.writing() as db:
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
        except UNREADABLE as error:
            self.complain(error)
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
            return {
                msgspec.json.decode(text, type=TaskProfile): float(minutes)
                for text, minutes in rows
            }
        except UNREADABLE as error:
            self.complain(error)
            return {}

    def demands_of(self, keys: Iterable[str]) -> dict[str, TaskProfile]:
        """What these tasks asked last, as far as it is known."""
        try:
            rows = self.db.execute(
                "SELECT key, demand FROM demand WHERE key IN (SELECT value FROM json_each(?))"
                " ORDER BY time", (json.dumps(sorted(keys)),),
            ).fetchall()  # fmt: skip
            return {key: msgspec.json.decode(text, type=TaskProfile) for key, text in rows}
        except UNREADABLE as error:
            self.complain(error)
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
        with self.writing() as db:
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
        with self.writing() as db:
            db.executemany("INSERT INTO outcome VALUES (?, ?, ?, ?)", [(now, *o) for o in outcomes])

    def history(self, key: str) -> History:
        """All there is of a job or an array. Raises HetError when the journal cannot be read."""
        try:
            return read_history(self.db, key)
        except UNREADABLE as error:
            raise self.unreadable(error) from error

    def placement_of(self, key: str) -> Placement | None:
        """The newest placement planned for a job."""
        return placement_of(self.db, key)

    def last_plan(self, key: str) -> Planned | None:
        """What was last planned for a job; None also while the journal cannot be read."""
        try:
            row = newest_plan(self.db, key)
            if not row:
                return None
            data = json.loads(row)
            return Planned(msgspec.convert(data, Placement), float(data.get("start", 0.0)))
        except UNREADABLE as error:
            self.complain(error)
            return None

    def placements(self) -> list[Placement]:
        """Every planned placement, oldest first."""
        rows = self.db.execute("SELECT placement FROM placement ORDER BY rowid")
        return [msgspec.json.decode(row[0], type=Placement) for row in rows]

    def outcomes_of(self, key: str) -> list[tuple[float, str, str]]:
        """(time, event, detail) of a job, oldest first."""
        return outcomes_of(self.db, key)


def _asked(job: Job) -> dict[str, Any]:
    """What the hook kept of the request, under a key of its own; nothing if it did not see it."""
    kept = decode_comment(job.admin_comment)
    return {"asked": kept.original} if kept else {}
