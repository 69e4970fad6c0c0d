"""Why a user's jobs wait, told to one from whom Slurm hides the jobs of others: he cannot find it
out by himself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile

from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.planner.build_problem import Hurry
from slurm_het.core.planner.proposal import Prepared
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
                told[user] = await asyncio.to_thread(
                    _found, Whys(prepared, self.known, local_time), user, hurry
                )
            return told.get(user, {})


def _found(whys: Whys, user: str, hurry: Hurry) -> Told:
    policy = whys.prepared.policy
    jobs = (j for j in whys.prepared.snapshot.jobs if j.user == user and is_gated(j, policy))
    in_time = takewhile(lambda _: not hurry(), islice(jobs, MOST))
    named = ((job, whys.tasks.get(job.id)) for job in in_time)
    found = {task.key: whys.waits(job) for job, task in named if task}
    return {key: (why.code, why.text) for key, why in found.items()}
