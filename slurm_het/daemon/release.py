"""The updates that release jobs onto their nodes and take them back; each guards itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.gres_choice import original_gres, rewritten_gres
from slurm_het.core.jobs.layout import nodes_before
from slurm_het.core.model import Job, Placement, Plan, Task
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Prepared, TakeBack
from slurm_het.core.planner.slurms_line import in_line, line_fields
from slurm_het.core.planner.updates import gres_fields, release_fields, return_fields, spread_fields
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import few
from slurm_het.core.reservations.victims import Eviction
from slurm_het.core.syntax import hostlist
from slurm_het.errors import SlurmBusyError, SlurmError
from slurm_het.slurm import SlurmClient
from slurm_het.times import local_time

log = logging.getLogger("hetd.release")
NO_EFFECT = "did not move the job"
IN_VAIN = ("in the intake again", NO_EFFECT)
"""Why jobs came back, which may mean that updates have no effect: then Slurm is asked at once."""
REASON_MOST = 120  # characters of Slurm's words that are remembered of a refusal: their end


class Releaser:
    """Applies plans to jobs, and keeps the pins. `ticks` are seconds that never go back."""

    def __init__(
        self, slurm: SlurmClient, policy: Policy, pins: Pins, ticks: Callable[[], float]
    ) -> None:
        self.slurm, self.policy, self.pins, self.ticks = slurm, policy, pins, ticks

    async def release(self, plan: Plan, prepared: Prepared) -> list[Outcome]:
        """Send each task of the window to the nodes it is placed on."""
        tasks = {task.key: task for task in prepared.window}
        jobs = {job.id: job for job in prepared.snapshot.jobs}
        made = [(p, plan.as_placed(tasks[p.key], p)) for p in plan.placements]
        return await asyncio.gather(*(self._release(p, t, jobs.get(t.job_id)) for p, t in made))

    async def reserve(self, prepared: Prepared) -> list[Outcome]:
        """Pin the tasks that nodes are kept for ahead: Slurm's backfill protects them there."""
        jobs = {job.id: job for job in prepared.snapshot.jobs}
        outcomes = []
        for made in prepared.ahead.reserve:
            job = jobs.get(made.task.job_id)
            outcome = await self._release(made.placement, made.task, job, made.start)
            if outcome.event is Event.RELEASED:
                detail = f"{outcome.detail}, by {local_time(made.start)} at the latest"
                log.info("job %s is pinned ahead: %s", outcome.key, detail)
                outcome = Outcome(outcome.key, Event.RESERVED, detail)
            outcomes.append(outcome)
        return outcomes

    async def line_up(self, prepared: Prepared) -> list[Outcome]:
        """Put tasks into Slurm's own line: it places them."""
        jobs = {job.id: job for job in prepared.snapshot.jobs}

        async def join(task: Task) -> Outcome:
            job = jobs.get(task.job_id)
            fields = line_fields(task, job) if job else {}
            if not fields:
                return Outcome(task.key, Event.REFUSED, "it cannot be put into Slurm's line")
            self.pins.add(task, in_line(task), self.ticks())
            detail = f"{fields['Partition']}, in Slurm's line: others wait for its nodes too"
            return await self._send(task.key, fields) or Outcome(task.key, Event.RELEASED, detail)

        return await asyncio.gather(*map(join, prepared.line.joins))

    async def preempt(self, prepared: Prepared) -> list[Outcome]:
        """Pin the tasks that may preempt to the nodes where Slurm is to make room for them."""
        jobs = {job.id: job for job in prepared.snapshot.jobs}

        async def pin(made: Eviction) -> Outcome:
            outcome = await self._release(made.placement, made.task, jobs.get(made.task.job_id))
            self.pins.await_room(outcome.key, made.victims, made.patience)
            if outcome.event is not Event.RELEASED:
                return outcome
            detail = f"{outcome.detail}, once Slurm has preempted {few(made.victims)}"
            log.info("job %s is pinned: %s", outcome.key, detail)
            return outcome._replace(detail=detail)

        return await asyncio.gather(*map(pin, prepared.way.evictions))

    async def take_back(self, due: Iterable[TakeBack]) -> list[Outcome]:
        """Return jobs to the gate, side by side: each may have to be tried again for seconds."""
        outcomes = await asyncio.gather(*map(self._take_back, due))
        for key, event, reason in outcomes:
            if event is Event.RETURNED:
                log.info("job %s is back in the gate: %s", key, reason)
        return outcomes

    async def _take_back(self, due: TakeBack) -> Outcome:
        key, reason, penalty, refused = due
        pin = self.pins.pins.get(key)
        fields = return_fields(self.policy, pin)
        try:
            await self.slurm.update_job(key, fields)
        except SlurmError as error:
            if refused:  # it is not where the pin says: not again at once
                words = error.message[-REASON_MOST:]
                self.pins.take_back(key, words, self.ticks(), refused=True)
            else:
                self.pins.stays(key, self.ticks())
            return Outcome(key, Event.KEPT, error.message)
        if penalty:
            self.pins.take_back(key, reason, self.ticks(), refused=refused)
        else:
            self.pins.pins.pop(key, None)
        return Outcome(key, Event.RETURNED, reason)

    async def _release(
        self, placement: Placement, task: Task, job: Job | None, start: float = 0.0
    ) -> Outcome:
        key = placement.key
        if job is None:
            return Outcome(key, Event.REFUSED, "not in the snapshot")
        wanted = rewritten_gres(task, placement)
        fields = release_fields(placement, job, wanted, task.time_limits)
        fields |= spread_fields(task, job)
        before = nodes_before(job, len(placement.nodes)) if "NumNodes" in fields else ""
        own = frozenset(hostlist.expand_readable(job.exc_nodes))
        comment = fields.get("AdminComment", job.admin_comment)
        back = gres_fields(comment, original_gres(task)) if wanted else {}
        self.pins.pins[key] = Pin(
            task, placement, self.ticks(), start, before, own_exc_nodes=own, gives_back=back
        )
        where = f"{placement.partition} {','.join(placement.nodes)}"
        detail = f"{where} as {wanted}" if wanted else where
        return await self._send(key, fields) or Outcome(key, Event.RELEASED, detail)

    async def _send(self, key: str, fields: dict[str, str]) -> Outcome | None:
        """Send the update that releases a pinned job; the outcome if Slurm did not take it."""
        try:
            await self.slurm.update_job(key, fields)
            if await self._in_vain(key):
                raise SlurmError(f"Slurm took the update and {NO_EFFECT} out of the intake")
        except SlurmBusyError as error:
            self.pins.pins.pop(key, None)  # the job did nothing wrong: it is due again at once
            return Outcome(key, Event.BUSY, error.message)
        except SlurmError as error:
            log.warning("job %s was not released: %s", key, error.message)
            # Refused is not undone: 22.05 has moved the job then, newer ones keep the node list.
            words = error.message[-REASON_MOST:]
            await self._take_back(TakeBack(key, words, penalty=True, refused=True))
            return Outcome(key, Event.REFUSED, error.message)
        return None

    async def _in_vain(self, key: str) -> bool:
        """Whether an update that Slurm has just taken did nothing. Asked where a job came back: its
        user may have moved it, but hardly within milliseconds, each time."""
        back = any(
            word in known.reason for known in self.pins.returned.values() for word in IN_VAIN
        )
        return back and await self.slurm.partition_of(key) == self.policy.intake_partition
