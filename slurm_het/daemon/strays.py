"""Gated jobs that the hook did not prepare: those that we cannot plan, and strays."""

from __future__ import annotations

import asyncio
import logging

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.asked import Anew, adoption
from slurm_het.core.jobs.mark import (
    HANDED_OVER,
    MAX_COMMENT,
    decode_comment,
    in_place,
    without_mark,
)
from slurm_het.core.jobs.reading import Handover
from slurm_het.core.jobs.request import from_marked
from slurm_het.core.model import Job
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.planner.pins import moved_away
from slurm_het.core.planner.proposal import Memory, Observed, Prepared
from slurm_het.core.planner.updates import return_fields, time_limit_text
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import MovedAway, PlacedBySlurm
from slurm_het.daemon.outcomes import journal_outcomes
from slurm_het.daemon.trials import TrialKeeper
from slurm_het.errors import HetError, SlurmBusyError, SlurmError
from slurm_het.journal import Records
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.intake")
MAX_AT_ONCE = 50


class Strays:
    """Hands over what plain Slurm places, and classifies what came past the hook."""

    def __init__(
        self,
        slurm: SlurmClient,
        policy: Policy,
        memory: Memory,
        journal: Records,
        trials: TrialKeeper,
    ) -> None:
        self.slurm, self.policy, self.trials = slurm, policy, trials
        self.memory, self.journal = memory, journal

    async def hand_over(self, prepared: Prepared, now: float, ticks: float) -> None:
        """Give plain Slurm the gated jobs that are not ours to plan: the gate would hold them."""
        queue = prepared.queue
        due = [k for k in queue.handovers if self.memory.pins.may_try(k, ticks)][:MAX_AT_ONCE]
        jobs = {job.key: job for job in prepared.snapshot.jobs}
        outcomes = await asyncio.gather(
            *(self._hand_over_one(jobs[k], queue.handovers[k], ticks) for k in due)
        )
        journal_outcomes(self.journal, now, outcomes, prepared.snapshot)

    async def _hand_over_one(self, job: Job, handover: Handover, ticks: float) -> Outcome:
        key, why = job.key, str(PlacedBySlurm(handover.why))
        told = f"{HANDED_OVER}{without_mark(why)}"[:MAX_COMMENT]
        fields = {
            "Partition": ",".join(handover.partitions),
            "AdminComment": in_place(job.admin_comment, told),
        }
        for minutes in handover.time_limits:
            fields["TimeLimit"] = time_limit_text(minutes)
        # Not by its key: for the rest of an array that would be the tasks that are pinned, too.
        own_key = job.own_key if job.unsplit else key
        try:
            await self.slurm.update_job(own_key, fields)
        except SlurmBusyError as error:
            return Outcome(key, Event.BUSY, error.message)
        except SlurmError as error:
            self.memory.pins.take_back(key, error.message[-120:], ticks)
            return Outcome(key, Event.REFUSED, error.message)
        log.info("job %s goes to plain Slurm: %s", key, handover.why)
        return Outcome(key, Event.HANDED_OVER, why)

    async def unbind(self, observed: Observed, now: float) -> None:
        """Take our pin off jobs that were moved to a pool where it can never be met.

        Through the intake, so that each update names another partition and guards itself.
        """
        pools = {p.partition for p in self.policy.pools}
        jobs = [job for job in observed.snapshot.jobs if job.partition in pools]
        moved = [job for job in jobs if moved_away(job, observed.inventory)]
        outcomes = await asyncio.gather(*(self._unbind_one(job) for job in moved[:MAX_AT_ONCE]))
        journal_outcomes(self.journal, now, outcomes, observed.snapshot)

    async def _unbind_one(self, job: Job) -> Outcome:
        mark = decode_comment(job.admin_comment)
        features = (from_marked(job, mark).features if mark else "") or job.partition
        try:
            await self.slurm.update_job(job.key, return_fields(self.policy))
            fields = {"Features": features, "Partition": job.partition}
            await self.slurm.update_job(job.key, fields)
        except SlurmError as error:
            return Outcome(job.key, Event.REFUSED, error.message)
        log.info("job %s was moved to %s: its pin is taken off", job.key, job.partition)
        return Outcome(job.key, Event.HANDED_OVER, str(PlacedBySlurm(MovedAway(job.partition))))

    async def adopt(self, prepared: Prepared) -> None:
        """Classify gated jobs that the hook could not (it was cut off, or came later), and anew
        those whose users have changed what they ask for since.

        They are planned from the next snapshot on.
        """
        strays = [job for job in prepared.snapshot.jobs if job.id in prepared.strays]
        inventory = prepared.inventory
        await asyncio.gather(*(self._adopt_one(job, inventory) for job in strays[:MAX_AT_ONCE]))

    async def _adopt_one(self, job: Job, inventory: Inventory) -> None:
        script = await self.slurm.batch_script(job.id)
        anew = Anew(job, script)
        try:
            fields = adoption(anew, self.policy, inventory, self.trials.known)
            # Not by its id: of an array that is all its tasks, those that run too.
            await self.slurm.update_job(job.own_key, fields)
        except SlurmBusyError:
            pass  # it is a stray in the next cycle too
        except HetError as error:
            log.warning("job %d is not adopted: %s", job.id, error.message)
            self.memory.not_adopted.add(job.id)
