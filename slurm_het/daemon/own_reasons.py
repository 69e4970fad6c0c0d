"""Why a user's jobs wait, in the gate or at their nodes, told to one from whom Slurm hides the jobs
of others: he cannot find it out by himself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile

from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.planner.build_problem import Hurry
from slurm_het.core.planner.proposal import Prepared
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


def _found(prepared: Prepared, known: Remembered, user: str, hurry: Hurry) -> Told:
    whys, policy = Whys(prepared, known, local_time), prepared.policy
    slurms = SlurmsWhys(prepared, known, local_time)
    own = [job for job in prepared.snapshot.jobs if job.user == user and job.state == "PENDING"]
    found: Told = {}
    for job in takewhile(lambda _: not hurry(), islice(own, MOST)):
        if is_gated(job, policy):
            if task := whys.tasks.get(job.id):
                found[task.key] = whys.waits(job)
        elif is_pinned(job):
            found[pin_name(job)] = slurms.waits(job)
    return found
