"""Gated jobs that the hook did not prepare: those that we cannot plan, and strays."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.asked import Anew, adoption
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.mark import MARK
from slurm_het.core.jobs.outdated import brought_up_to_date
from slurm_het.core.jobs.pool_defaults import limit_given_back, time_limit_text
from slurm_het.core.jobs.pools import whats_there
from slurm_het.core.jobs.reading import Handover, suits_anew
from slurm_het.core.jobs.request import TRES_FIELDS, handed_over, users_features
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.planner.pins import moved_away
from slurm_het.core.planner.proposal import MOST_STRAYS, Memory, Observed, Prepared
from slurm_het.core.planner.updates import return_fields
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import MovedAway, PlacedBySlurm, RefusesNodes
from slurm_het.daemon.outcomes import journal_outcomes
from slurm_het.daemon.trials import TrialKeeper
from slurm_het.errors import HetError, SlurmBusyError, SlurmError
from slurm_het.journal import Records
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.intake")
MAX_AT_ONCE = MOST_STRAYS
MOST_TRIES = 3
"""So often in a row an update may fail for which slurmctld was not just too busy."""


def _starts_never(job: Job) -> bool:
    """Whether it is one of ours that cannot be met, in a pool that is none of ours any more."""
    return MARK in job.admin_comment and job.reason == "BadConstraints"


def _asks(job: Job) -> tuple[str, ...]:
    """What its user can change of what it is classified by."""
    texts = (getattr(job, field) for field in TRES_FIELDS)
    return (job.features, job.comment, job.account, job.name, job.reservation, *texts)


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
        self.pools = frozenset(pool.partition for pool in policy.pools)
        self._kept: dict[str, tuple[str, str]] = {}
        self._left: dict[str, Pin] = {}  # of those that slurmctld had no time for
        self._asked: dict[int, tuple[str, ...]] = {}  # by those not adopted, and what was there
        self._failed = Counter[int]()

    async def hand_over(self, prepared: Prepared, now: float, ticks: float) -> None:
        """Give plain Slurm the gated jobs that are not ours to plan: the gate would hold them."""
        queue = prepared.queue
        due = [  # who just came back, and is given up, waits no longer
            key
            for key, one in queue.handovers.items()
            if isinstance(one.why, RefusesNodes) or self.memory.pins.may_try(key, ticks)
        ][:MAX_AT_ONCE]
        jobs = {job.key: job for job in prepared.snapshot.jobs}
        outcomes = await asyncio.gather(
            *(self._hand_over_one(jobs[k], queue.handovers[k], ticks) for k in due)
        )
        journal_outcomes(self.journal, now, outcomes, prepared.snapshot)

    async def _hand_over_one(self, job: Job, handover: Handover, ticks: float) -> Outcome:
        key, why = job.key, str(PlacedBySlurm(handover.why))
        fields = {"Partition": ",".join(handover.partitions)}
        if handover.features is not None:
            fields["Features"] = handover.features
        left = replace(job, features=fields.get("Features", job.features))
        fields["AdminComment"] = handed_over(left, why)
        fields |= limit_given_back(job)
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
        """Take our pin off jobs that were moved to a pool where it can never be met, and what is
        ours off those that were moved out of our pools."""
        left, self._left = {**self._left, **observed.left}, {}
        self._forget_who_left(observed)
        self._adopt_again(observed)
        here = [job for job in observed.snapshot.jobs if job.key in self.memory.passing]
        jobs = [job for job in observed.snapshot.jobs if job.partition in self.pools]
        moved = [job for job in jobs if moved_away(job, observed.inventory)]
        outcomes = await asyncio.gather(
            *(self._send_on(job, self.memory.passing[job.key]) for job in here[:MAX_AT_ONCE]),
            *(self._unbind_one(job) for job in moved[:MAX_AT_ONCE]),
            *(
                self._let_go(job, left.get(job.key))
                for job in self._outside(observed, left)[:MAX_AT_ONCE]
            ),
        )
        journal_outcomes(self.journal, now, outcomes, observed.snapshot)

    def _forget_who_left(self, observed: Observed) -> None:
        """Those that are not in the intake any more, wherever they went."""
        gated = [job for job in observed.snapshot.jobs if is_gated(job, self.policy)]
        for key in self.memory.passing.keys() - {job.key for job in gated}:
            del self.memory.passing[key]
        for number in self._failed.keys() - {job.id for job in gated}:
            del self._failed[number]

    async def _send_on(self, job: Job, fields: dict[str, str]) -> Outcome:
        """Out of the intake again; at a later look where slurmctld has no time."""
        self.memory.passing[job.key] = fields
        partition = fields["Partition"]
        try:
            await self.slurm.update_job(job.own_key, fields)
        except SlurmBusyError as error:
            return Outcome(job.key, Event.BUSY, error.message)
        except SlurmError as error:
            del self.memory.passing[job.key]  # it is planned as any other, in place of never
            return Outcome(job.key, Event.REFUSED, error.message)
        log.info("job %s was moved to %s: what was ours is taken off", job.key, partition)
        return Outcome(job.key, Event.HANDED_OVER, str(PlacedBySlurm(MovedAway(partition))))

    def _outside(self, observed: Observed, left: Mapping[str, Pin]) -> list[Job]:
        """Those that wait in a partition that is none of ours, with a pin or Features of ours;
        `left` has the pins."""
        ours, others = self.policy.partitions, self.policy.others
        given = ours.union(p.partition for p in (*self.policy.spanning, *others))  # handed over to
        outside = [
            job
            for job in observed.snapshot.jobs
            if job.state == "PENDING"
            and not (ours if _starts_never(job) else given).issuperset(job.partition.split(","))
            and (job.key in left or self._own(job) != job.features)
        ]
        before, self._kept = self._kept, {}
        for job in outside:
            if before.get(job.key) == (now := (job.partition, job.features)):
                self._kept[job.key] = now
        return [job for job in outside if job.key not in self._kept]

    def _own(self, job: Job) -> str:
        """The Features that its user wrote."""
        own = users_features(job, self.pools)
        return job.features if own is None else own

    async def _let_go(self, job: Job, pin: Pin | None) -> Outcome:
        """Through the intake where it is to lose its pin, or has priority 0 for what it could not
        meet: Slurm restores that then. Features alone Slurm refuses once it has started."""
        fields = {"Features": self._own(job), **limit_given_back(job)}
        detour = return_fields(self.policy, pin)
        try:
            if pin or (job.reason == "BadConstraints" and not job.req_nodes):
                await self.slurm.update_job(job.key, detour)
                return await self._send_on(job, {**fields, "Partition": job.partition})
            await self.slurm.update_job(job.own_key, fields)
        except SlurmBusyError as error:
            if pin:
                self._left[job.key] = pin  # once more
            return Outcome(job.key, Event.BUSY, error.message)
        except SlurmError as error:
            self._kept[job.key] = job.partition, job.features  # not again as it is
            return Outcome(job.key, Event.REFUSED, error.message)
        log.info("job %s was moved to %s: what was ours is taken off", job.key, job.partition)
        return Outcome(job.key, Event.HANDED_OVER, str(PlacedBySlurm(MovedAway(job.partition))))

    async def _unbind_one(self, job: Job) -> Outcome:
        """Through the intake, so that each update names another partition and guards itself."""
        features = self._own(job) or job.partition
        fields = {"Features": features, "Partition": job.partition, **limit_given_back(job)}
        try:
            await self.slurm.update_job(job.key, return_fields(self.policy))
        except SlurmError as error:
            return Outcome(job.key, Event.REFUSED, error.message)
        return await self._send_on(job, fields)

    async def adopt(self, prepared: Prepared) -> None:
        """Classify gated jobs that the hook could not (it was cut off, or came later), and anew
        those that have changed since, or whose pools have; bring those up to date that were
        admitted for other nodes than there are.

        They are planned from the next snapshot on.
        """
        strays = [job for job in prepared.snapshot.jobs if job.id in prepared.strays]
        if not strays:
            return
        facts = ClusterFacts.of(prepared.snapshot, prepared.inventory, self.policy)
        await asyncio.gather(*(self._adopt_one(job, facts) for job in strays[:MAX_AT_ONCE]))

    def _adopt_again(self, observed: Observed) -> None:
        """Whose record says something else since he was not adopted, or beside other nodes, is
        looked at once more."""
        known, self._asked = self._asked, {}
        there = whats_there(observed.inventory, self.policy) if known else ""
        for job in observed.snapshot.jobs if known else ():
            if job.id in known and known[job.id] != (there, *_asks(job)):
                self.memory.not_adopted.discard(job.id)
            elif job.id in known:
                self._asked[job.id] = known[job.id]

    async def _adopt_one(self, job: Job, facts: ClusterFacts) -> None:
        try:
            suits_of = partial(suits_anew, facts=facts)
            fields = brought_up_to_date(job, self.policy, facts.inventory, suits_of)
            if fields is None:
                anew = Anew(job, await self.slurm.batch_script(job.id))
                known, suits = self.trials.known, suits_of(job)
                fields = adoption(anew, self.policy, facts.inventory, known, suits)
            # Not by its id: of an array that is all its tasks, those that run too.
            await self.slurm.update_job(job.own_key, fields)
        except SlurmBusyError:
            pass  # it is a stray in the next cycle too
        except HetError as error:
            self._failed[job.id] += 1
            if isinstance(error, SlurmError) and self._failed[job.id] < MOST_TRIES:
                return  # slurmctld may just have been slow
            log.warning("job %d is not adopted: %s", job.id, error.message)
            self.memory.not_adopted.add(job.id)
            there = whats_there(facts.inventory, self.policy)
            self._asked[job.id] = (there, *_asks(job))
        self._failed.pop(job.id, None)
