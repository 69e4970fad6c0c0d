"""When waiting jobs are told to start, and how good that has been: found beside the cycles."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from slurm_het.core.jobs.paces import Paces
from slurm_het.core.model import Job, Plan, Snapshot
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.views.accuracy import Accuracy, accuracy_of
from slurm_het.core.views.likely import likely_starts
from slurm_het.core.views.starts import waiting_starts
from slurm_het.daemon.beside import Beside
from slurm_het.daemon.outcomes import submitted_of
from slurm_het.journal import Records

log = logging.getLogger("hetd.start_times")
SAME_SECONDS = 1.0  # a time that moves by less is no other
QUESTION_SECONDS = 5.0
NEVER = float("-inf")
NO_PACES = Paces()


class StartTimes(Beside):
    """Keeps in the journal what `het-squeue --start` tells of the jobs that wait after a plan, and
    when they do start.

    What was told of a job that its user holds since then says nothing, and is taken back.
    """

    def __init__(
        self, journal: Records, ticks: Callable[[], float], busy: Callable[[], bool]
    ) -> None:
        super().__init__(ticks, busy)
        self.journal = journal
        self.accuracy = Accuracy()
        self.likely: dict[str, float] = {}  # by key, when jobs probably start: see views/likely.py
        self._told: dict[tuple[str, int], float] = {}
        self._first_look = True

    def see(self, snapshot: Snapshot) -> None:
        """Journal which of those that were told a time have started.

        Whom the hetd before this one told, nobody here knows: the first look is for all that run.
        """
        told = {key for key, _ in self._told}
        runs = (job for job in snapshot.jobs if job.holds_nodes)
        self.heard(job for job in runs if self._first_look or job.key in told)
        self._first_look = False

    def heard(self, jobs: Iterable[Job]) -> None:
        """The same of jobs that nobody may have seen running."""
        starts = [(j.key, j.submit_time, float(j.start_time)) for j in jobs if j.nodes]
        for key, submitted, _ in starts:
            self._told.pop((key, submitted), None)
        if starts:
            self.journal.write(lambda journal: journal.record_starts(starts))

    def withdraw(self) -> None:
        """Take back what was told of all that wait: an admin has opened the gate."""
        void, self._told = list(self._told), {}
        if void:
            self.journal.write(lambda journal: journal.record_told(0.0, (), void))

    def status(self) -> dict[str, Any]:
        """How good the told times were, for the control socket."""
        return asdict(self.accuracy)

    def tell(self, prepared: Prepared, plan: Plan, paces: Paces = NO_PACES) -> None:
        """Begin to work out when those start that wait after this plan, if it is time for that."""
        self.begin(lambda: self._tell(prepared, plan, paces))

    async def _tell(self, prepared: Prepared, plan: Plan, paces: Paces) -> None:
        try:
            found, likely = await self.find(
                lambda: (
                    waiting_starts(prepared, plan, self.in_the_way),
                    likely_starts(prepared, paces, self.in_the_way),
                )
            )
        except Exception:
            log.exception("no start times could be worked out; please report this")
            return
        self.likely = {k: min(at, found[k]) for k, at in likely.items() if k in found}
        self._keep(prepared, found)
        told = await self.journal.ask(lambda kept: kept.told_starts(), None, QUESTION_SECONDS)
        if told is not None:
            self.accuracy = accuracy_of(told)

    def _keep(self, prepared: Prepared, found: Mapping[str, float]) -> None:
        """Journal what is new of it, and take back what was told of those that wait no more."""
        snapshot = prepared.snapshot
        submitted = submitted_of(found.keys(), snapshot)
        told = {(key, submitted[key]): at for key, at in found.items() if key in submitted}
        new = [
            (*name, at)
            for name, at in told.items()
            if abs(at - self._told.get(name, NEVER)) > SAME_SECONDS
        ]
        waits = {task.key for task in prepared.queue.tasks} | {p.task.key for p in prepared.pins}
        held = {job.key for job in snapshot.jobs if job.state == "PENDING"} - waits
        void = [name for name in self._told if name[0] in held]
        self._told = {name: at for name, at in (self._told | told).items() if name[0] in waits}
        if new or void:
            self.journal.write(lambda journal: journal.record_told(snapshot.time, new, void))
