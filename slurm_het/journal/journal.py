"""What hetd appends to the journal, and what it reads back to plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import msgspec

from slurm_het.core.jobs.ending import JobEnd
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.paces import MOST as MOST_PACES
from slurm_het.core.jobs.paces import Pace
from slurm_het.core.jobs.trials import MOST as MOST_TRIALS
from slurm_het.core.jobs.trials import Trial
from slurm_het.core.model import Classification, Job, Placement, Plan
from slurm_het.core.planner.repairs import Planned
from slurm_het.core.views.accuracy import MOST as MOST_TOLD
from slurm_het.core.views.accuracy import ToldStart
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.core.worth.rates import Past
from slurm_het.core.worth.speeds import PastRun
from slurm_het.journal.file import UNREADABLE, JournalFile
from slurm_het.journal.forgetting import KEEP_DAYS, MOST_BYTES, forget, give_back, note_day, since
from slurm_het.journal.history import (
    History,
    newest_plan,
    outcomes_of,
    placement_of,
    read_history,
)
from slurm_het.journal.past import ADDED, read_past

T = TypeVar("T")
_PAST_RUNS = msgspec.json.Decoder(tuple[PastRun, ...])
NOBODY: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Planning:
    """What is kept of a plan beside it, by job key.

    `submitted`: when the jobs were submitted; `starts`: when those pinned ahead start (both epoch
    seconds).
    """

    submitted: Mapping[str, int] = field(default_factory=dict)
    starts: Mapping[str, float] = field(default_factory=dict)


class Journal(JournalFile):
    """Appends to the journal, and answers `slurm-het why`.

    `write` and `ask` do at once what a Keeper does beside. Other questions raise what UNREADABLE
    lists, unless they say otherwise.
    """

    def write(self, entry: Callable[[Journal], object]) -> None:
        """Write something: see Keeper.write."""
        entry(self)

    async def ask(self, question: Callable[[Journal], T], otherwise: T, patience: float = 0.0) -> T:
        """The answer: see Keeper.ask."""
        del patience
        return self.answer(question, otherwise)

    def answer(self, question: Callable[[Journal], T], otherwise: T) -> T:
        """The answer; `otherwise` if the journal cannot be read, which is said."""
        try:
            return question(self)
        except UNREADABLE as error:
            self.complain(error)
            return otherwise

    async def written(self) -> bool:
        """Whether all of it is written: see Keeper.written."""
        return not self.trouble

    def prune(self, now: float, most_bytes: int = MOST_BYTES, keep_days: int = KEEP_DAYS) -> bool:
        """Forget a piece of what is too old or too much; returns whether there may be more."""
        more = False
        with self.writing() as db:
            note_day(db, now)
            more = forget(db, now, most_bytes, keep_days)
        if more or self.trouble:
            return more
        try:
            return give_back(self.db)
        except UNREADABLE as error:
            self.complain(error)
            return False

    def since(self, days: float) -> float:
        """The time since which hetd ran on so many days; 0: it has not, as far as is known."""
        return since(self.db, days)

    def record_jobs(self, jobs: Iterable[tuple[Job, Classification | None]]) -> None:
        """Keep whose jobs are, what they are classified as, and what they asked before that was
        rewritten. Without a class they are plain Slurm's to place."""
        nothing: dict[str, Any] = {}
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO job (key, submitted, user, classification, restarts)"
                " VALUES (?, ?, ?, ?, ?)",
                [
                    (job.key, job.submit_time, job.user,
                     json.dumps((asdict(what) if what else nothing) | _asked(job)), job.restarts)
                    for job, what in jobs
                ],
            )  # fmt: skip

    def known(self, jobs: Iterable[Job]) -> set[int]:
        """The ids of those jobs that were recorded, or the arrays that they are tasks of."""
        by_name: dict[tuple[str, int], set[int]] = {}
        for job in jobs:
            for name in {job.key, str(job.array_job_id or job.id)}:
                by_name.setdefault((name, job.submit_time), set()).add(job.id)
        rows = self.db.execute(
            "SELECT key, submitted FROM job WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps([key for key, _ in by_name]),),
        ).fetchall()
        return set().union(*(by_name.get(row, ()) for row in rows))

    def record_ends(self, ends: Iterable[JobEnd]) -> None:
        """Keep how jobs ended."""
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO job_end (key, submitted, time, job_end)"
                " VALUES (?, ?, ?, ?)",
                [(e.key, e.submitted, float(e.ended), json.dumps(asdict(e))) for e in ends],
            )

    def record_trials(self, trials: Iterable[Trial]) -> None:
        """Keep how programs fared; drop those of whom there is nothing to know any longer."""
        kept, gone = list[Trial](), list[Trial]()
        for trial in trials:
            (kept if trial.well or trial.failures else gone).append(trial)
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*trial[:-1], json.dumps(trial.peaks)) for trial in kept],
            )
            db.executemany(
                "DELETE FROM trial WHERE user = ? AND program = ? AND vendor = ?",
                [(t.user, t.program, t.vendor) for t in gone],
            )

    def trials(self, since: float) -> list[Trial]:
        """How programs have fared since then, oldest first."""
        rows = self.db.execute(
            "SELECT user, program, vendor, time, well, failures, submitted, job, peaks"
            " FROM trial WHERE time >= ? ORDER BY time DESC LIMIT ?", (since, MOST_TRIALS),
        ).fetchall()  # fmt: skip
        read = [(*row[:-1], json.loads(row[-1])) for row in reversed(rows)]
        return [msgspec.convert(row, Trial, strict=False) for row in read]

    def record_paces(self, paces: Iterable[Pace]) -> None:
        """Keep how long programs ran; drop those of which there is nothing to know any longer."""
        latest = {pace[:4]: pace for pace in paces}  # of one that was dropped and is back, the last
        kept = [pace for pace in latest.values() if pace.runs]
        gone = [pace for pace in latest.values() if not pace.runs]
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO pace (user, program, type, devices, time, job, runs)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(*pace[:-1], json.dumps(pace.runs)) for pace in kept],
            )
            db.executemany(
                "DELETE FROM pace WHERE user = ? AND program = ? AND type = ? AND devices = ?",
                [pace[:4] for pace in gone],
            )

    def paces(self, since: float) -> list[Pace]:
        """How long programs ran whose last run ended since then, oldest first."""
        rows = self.db.execute(
            "SELECT user, program, type, devices, time, job, runs FROM pace WHERE time >= ?"
            " ORDER BY time DESC LIMIT ?", (since, MOST_PACES),
        ).fetchall()  # fmt: skip
        read = _PAST_RUNS.decode
        return [Pace._make((*row[:-1], read(row[-1]))) for row in reversed(rows)]

    def record_demands(self, now: float, demands: Iterable[tuple[str, TaskProfile, float]]) -> None:
        """Keep what tasks ask (key, demand, time limit in minutes); a task that waits, once, with
        the time when it was first seen: who comes anew is told apart from who waits still."""
        with self.writing() as db:
            db.executemany(
                "INSERT INTO demand (key, time, demand, minutes) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (key, demand) DO UPDATE SET minutes = excluded.minutes",
                [(key, now, json.dumps(demand), minutes) for key, demand, minutes in demands],
            )

    def add_demands(self, now: float, minutes: Mapping[TaskProfile, float]) -> None:
        """Add to what tasks have asked in this hour, by demand; nobody asks which they were."""
        hour = f"hour {int(now // 3600)}"  # no task's key: many jobs are few rows
        with self.writing() as db:
            db.executemany(
                "INSERT INTO demand (key, time, demand, minutes) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (key, demand) DO UPDATE"
                " SET minutes = minutes + excluded.minutes, time = excluded.time",
                [(hour, now, json.dumps(demand), time) for demand, time in minutes.items()],
            )

    def last_added(self) -> float:
        """When something was last added to an hour's demands; 0 if never."""
        last = "SELECT MAX(time) FROM demand WHERE key GLOB ?"
        row = self.db.execute(last, (ADDED,)).fetchone()
        return float(row[0] or 0.0)

    def past(self, since: float, now: float) -> Past:
        """What tasks have asked since then, and held."""
        return read_past(self.db, since, now)

    def demands_of(self, keys: Iterable[str]) -> dict[str, TaskProfile]:
        """What these tasks asked last, as far as it is known."""
        rows = self.db.execute(
            "SELECT key, demand FROM demand WHERE key IN (SELECT value FROM json_each(?))"
            " ORDER BY time", (json.dumps(sorted(keys)),),
        ).fetchall()  # fmt: skip
        return {key: msgspec.json.decode(text, type=TaskProfile) for key, text in rows}

    def record_plan(
        self, now: float, seconds: float, tasks: int, plan: Plan, beside: Planning = Planning()
    ) -> None:
        """Keep a cycle and its placements, in one transaction, before any of it is applied."""
        rows = [
            (p.key, json.dumps(asdict(p) | {"start": beside.starts.get(p.key, 0.0)}),
             beside.submitted.get(p.key, 0))
            for p in plan.placements
        ]  # fmt: skip
        with self.writing() as db:
            cursor = db.execute(
                "INSERT INTO cycle (time, seconds, solve_seconds, status, gap, objective, bound,"
                " tasks, placed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (now, seconds, plan.seconds, plan.status, plan.gap, plan.objective, plan.bound,
                 tasks, len(plan.placements)),
            )  # fmt: skip
            db.executemany(
                "INSERT INTO placement (cycle, time, key, placement, submitted)"
                " VALUES (?, ?, ?, ?, ?)",
                [(cursor.lastrowid, now, *row) for row in rows],
            )

    def record_outcomes(
        self,
        now: float,
        outcomes: Iterable[tuple[str, str, str]],
        submitted: Mapping[str, int] = NOBODY,
    ) -> None:
        """Keep (key, event, detail) triples. `submitted`: when the jobs were, as far as Slurm tells
        it; else it is the job that was planned last under that key."""
        with self.writing() as db:
            db.executemany(
                "INSERT INTO outcome (time, key, event, detail, submitted) VALUES (?1, ?2, ?3, ?4,"
                " COALESCE(?5, (SELECT submitted FROM placement WHERE key = ?2"
                " ORDER BY rowid DESC LIMIT 1), 0))",
                [(now, key, event, detail, submitted.get(key)) for key, event, detail in outcomes],
            )

    def record_told(
        self,
        now: float,
        starts: Iterable[tuple[str, int, float]],
        void: Iterable[tuple[str, int]] = (),
    ) -> None:
        """Keep when jobs are told to start: (key, submitted, start). Of each the first time and the
        last one are kept. Of those in `void` that have not started nothing is."""
        with self.writing() as db:
            db.executemany("DELETE FROM told WHERE key = ? AND submitted = ? AND started = 0", void)
            db.executemany(
                "INSERT INTO told VALUES (?1, ?2, ?3, ?4, ?3, ?4, 0) ON CONFLICT (key, submitted)"
                " DO UPDATE SET last_time = excluded.time, last = excluded.last WHERE started = 0",
                [(key, submitted, now, start) for key, submitted, start in starts],
            )

    def record_starts(self, starts: Iterable[tuple[str, int, float]]) -> None:
        """Keep when jobs started that were told a time: (key, submitted, start)."""
        with self.writing() as db:
            db.executemany(
                "UPDATE told SET started = ?3 WHERE key = ?1 AND submitted = ?2 AND started = 0",
                [(key, submitted, start) for key, submitted, start in starts],
            )

    def told_starts(self) -> list[ToldStart]:
        """The told times of those that started last."""
        rows = self.db.execute(
            "SELECT time, first, last_time, last, started FROM told WHERE started > 0"
            " ORDER BY started DESC LIMIT ?", (MOST_TOLD,),
        ).fetchall()  # fmt: skip
        return [ToldStart(*row) for row in rows]

    def history(self, key: str) -> History:
        """All there is of a job or an array. Raises HetError when the journal cannot be read."""
        try:
            return read_history(self.db, key)
        except UNREADABLE as error:
            raise self.unreadable(error) from error

    def placement_of(self, key: str) -> Placement | None:
        """The newest placement planned for a job."""
        return placement_of(self.db, key)

    def last_plan(self, job: Job) -> Planned | None:
        """What was last planned for a job; None also where we did not write it."""
        row = newest_plan(self.db, job)
        if not row:
            return None
        try:
            data = json.loads(row)
            return Planned(msgspec.convert(data, Placement), float(data.get("start", 0.0)))
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
            self.complain(error)
            return None

    def last_plans(self, jobs: Iterable[Job]) -> dict[tuple[str, int], Planned | None]:
        """What was last planned for jobs, by key and submit time."""
        return {(job.key, job.submit_time): self.last_plan(job) for job in jobs}

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
