"""Why a user's jobs wait, in the gate or at their nodes, told to one from whom Slurm hides the jobs
of others: he cannot find it out by himself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile

from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job
from slurm_het.core.planner.build_problem import Hurry
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.reasons.codes import Waits
from slurm_het.core.views.slurms_whys import SlurmsWhys, is_pinned, pin_name
from slurm_het.core.views.waiting import Remembered, Whys
from slurm_het.times import local_time

MOST = 200
"""Of so many of a user's jobs; each may cost some milliseconds."""
Told = dict[str, tuple[str, str]]


@dataclass
class OwnReasons:
    """The answers to what users ask after a plan; each is found once, and one after the other."""

    prepared: Prepared | None = None
    known: Remembered = Remembered()  # noqa: RUF009 - frozen
    told: dict[str, Told] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def planned(
        self, prepared: Prepared, waiting: Mapping[str, str], codes: Mapping[str, str]
    ) -> None:
        """Answer from that plan from now on: who waits in it, and the codes of that, by key."""
        self.prepared, self.known = prepared, Remembered(True, waiting, codes=codes)
        self.told = {}

    async def of(self, user: str, hurry: Hurry) -> Told:
        """By key of a gated task, code and sentence, as far as is found out until `hurry`."""
        async with self.turn:
            told, prepared = self.told, self.prepared
            if user not in told and prepared and user:
                told[user] = await asyncio.to_thread(_found, prepared, self.known, user, hurry)
            return told.get(user, {})


class Sentences:
    """Why the jobs of a plan wait, as views say it."""

    def __init__(self, prepared: Prepared, known: Remembered) -> None:
        self.jobs = [job for job in prepared.snapshot.jobs if job.state == "PENDING"]
        self._policy, self._blocked = prepared.policy, prepared.queue.blocked
        self._whys = Whys(prepared, known, local_time)
        self._slurms = SlurmsWhys(prepared, known, local_time)

    def name_of(self, job: Job) -> str:
        """What its sentence is known by, '' of a job that is not ours: the key of its task, or its
        label where something speaks against all of its tasks."""
        if not is_gated(job, self._policy):
            return pin_name(job) if is_pinned(job) else ""
        task = self._whys.tasks.get(job.id)
        return task.key if task else job.label if job.label in self._blocked else ""

    def of(self, job: Job) -> Waits:
        """Its code and sentence."""
        return self._whys.waits(job) if is_gated(job, self._policy) else self._slurms.waits(job)


def _found(prepared: Prepared, known: Remembered, user: str, hurry: Hurry) -> Told:
    sentences = Sentences(prepared, known)
    own = [job for job in sentences.jobs if job.user == user]
    found: Told = {}
    for job in takewhile(lambda _: not hurry(), islice(own, MOST)):
        if name := sentences.name_of(job):
            found[name] = sentences.of(job)
    return found
