"""When a job would start if it asked for something else: the cycle, asked again with that.

Nothing is changed; all else is held as the snapshot has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.fit import could_ever_start
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.reading import read_job
from slurm_het.core.jobs.readings import Readings
from slurm_het.core.model import Job, Placement, Plan, Task
from slurm_het.core.planner.proposal import Prepared, decide
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reasons import TellTime
from slurm_het.core.reasons.codes import Waits
from slurm_het.core.reservations import expected
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.look_ahead import soonest_start
from slurm_het.core.reservations.reservation import Reservation, turn_of
from slurm_het.core.views.job_rows import as_planned
from slurm_het.core.views.starts import given_places, started_by, starts_of
from slurm_het.core.views.waiting import Remembered, Whys
from slurm_het.core.worth.forecast import Forecast


@dataclass(frozen=True, slots=True)
class Foreseen:
    """When a job starts at the latest, and where.

    `start` are epoch seconds: the snapshot's own for a job that starts in the next plan; None where
    no time is known, or it is not planned at all. `at_limit`: a limit of the site holds it back.
    """

    start: float | None = None
    placement: Placement | None = None
    at_limit: bool = False

    def sooner_than(self, other: Foreseen, seconds: float) -> bool:
        """Whether this start is known, and so many seconds before the other."""
        if self.start is None:
            return False
        return other.start is None or self.start <= other.start - seconds


class WhatIf:
    """Asks about one waiting job, or one that nobody has submitted yet.

    `prepared` is what the next plan would be made from, with the job or without; `readings` what
    the jobs in it were read as.
    """

    def __init__(
        self, prepared: Prepared, job: Job, limits: Limits, readings: Readings | None = None
    ) -> None:
        self.prepared, self.policy, self.limits = prepared, prepared.policy, limits
        self.job = as_gated(job, self.policy)
        self.pinned = self.job is not job
        kept = tuple(one for one in prepared.snapshot.jobs if one.id != job.id)
        self._is_in = len(kept) < len(prepared.snapshot.jobs)
        self._others = replace(prepared.snapshot, jobs=kept)
        self._readings = readings or Readings()

    @property
    def now(self) -> float:
        """The snapshot's time, epoch seconds."""
        return self._others.time

    def as_it_is(self) -> Foreseen:
        """When it starts if nothing changes: the same time as het-squeue --start tells."""
        foreseen = self.foresee(self.job)
        if foreseen.start == self.now or not (self._is_in and self.pinned):
            return foreseen
        told = starts_of(self.prepared).get(self.job.key)
        later = told and told.start > self.now
        return Foreseen(told.start, told.placement) if told and later else foreseen

    def foresee(self, job: Job) -> Foreseen:
        """When it starts if it is this record: the whole cycle says so."""
        known = job is self.job and self._is_in and not self.pinned
        prepared = self.prepared if known else self._prepared(job)
        task = next((t for t in prepared.queue.tasks if t.job_id == job.id), None)
        if task is None or task.key in prepared.held:
            return Foreseen(at_limit=task is not None)
        plan = decide(prepared, Forecast(), greedy)
        if at_once := next((p for p in plan.placements if p.key == task.key), None):
            return Foreseen(self.now, at_once)
        kept = next((r for r in prepared.ahead.reserve if r.task.key == task.key), None)
        then = self._told(task, plan) or kept if known else kept or self._then(task, plan, prepared)
        # Who has room now, and no place in the plan, is held back by what no look ahead knows.
        later = then and then.start > self.now
        return Foreseen(then.start, then.placement) if then and later else Foreseen()

    def _told(self, task: Task, plan: Plan) -> Reservation | None:
        """Its place beside those that start by the plan, and those before it."""
        mine, queue = turn_of(task), self.prepared.queue.tasks
        until = [one for one in queue if turn_of(one) < mine or one.key == task.key]
        if len(until) > expected.MOST:
            return None
        axis = self.prepared.ahead.axis.copy()
        made = given_places(self.prepared, until, axis, plan).get(task.key)
        return made if made and made.start < math.inf else None

    def waits(self, job: Job, at: TellTime) -> Waits:
        """Why it does not start at once if it is this record."""
        return Whys(self._prepared(job), Remembered(answers=True), at).waits(job)

    def is_hopeless(self) -> bool:
        """Whether no nodes could hold it, whatever runs, and if all were up."""
        task, room = read_job(self.job, self.facts).outcome, self.without.inventory
        up = {name: replace(node, usable=True) for name, node in room.nodes.items()}
        return isinstance(task, Task) and not could_ever_start(task, replace(room, nodes=up))

    def estimate(self, job: Job) -> float | None:
        """The same start, found on the look ahead alone: cheap, and not yet proved."""
        outcome = read_job(job, self.facts).outcome
        made = soonest_start(self._ahead, outcome) if isinstance(outcome, Task) else None
        return made.start if made else None

    def _then(self, task: Task, plan: Plan, prepared: Prepared) -> Reservation | None:
        """The same of a task that is not in the queue; not known where too many are before it."""
        if len(self._before) > expected.MOST:
            return None
        axis = self._ahead.copy()
        for started in started_by(plan, prepared):
            if turn_of(started.task) > self._turn:
                axis.take(started)
        made = soonest_start(axis, task)
        return made if made and made.start < math.inf else None

    def _prepared(self, *job: Job) -> Prepared:
        snapshot = replace(self._others, jobs=(*self._others.jobs, *job))
        return as_planned(snapshot, self.policy, self.limits, self._readings)

    @cached_property
    def without(self) -> Prepared:
        """What is prepared without the job."""
        return self._prepared() if self._is_in else self.prepared

    @cached_property
    def _before(self) -> tuple[Task, ...]:
        """The tasks that are to get their places before it."""
        queue = self.without.queue.tasks
        return tuple(task for task in queue if turn_of(task) < self._turn)

    @property
    def _turn(self) -> tuple[int, int]:
        return -self.job.priority, self.job.id

    @cached_property
    def facts(self) -> ClusterFacts:
        """What every record is held against."""
        return ClusterFacts.of(self.without.snapshot, self.without.inventory, self.policy)

    @cached_property
    def _ahead(self) -> Axis:
        """What is free when, once all those before it have their places: first those that start in
        the next plan."""
        axis = self.without.ahead.axis.copy()
        given_places(self.without, self._before, axis, before=self._turn)
        return axis


def as_gated(job: Job, policy: Policy) -> Job:
    """The record of a waiting job as it is in the gate, also of one that is pinned ahead: what
    changes it, or frees other nodes sooner, takes it back there."""
    if job.partition == policy.intake_partition or not job.req_nodes:
        return job
    return replace(
        job, partition=policy.intake_partition, req_nodes="", reason="None",
        priority=max(1, job.priority),
    )  # fmt: skip
