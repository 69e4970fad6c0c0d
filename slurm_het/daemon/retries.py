"""Gives jobs that died of their share's size another chance with a larger one, once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.larger import (
    asks_for_retry,
    larger_share,
    outgrew,
    outgrown,
    retry_fields,
)
from slurm_het.core.jobs.mark import MARK, decode_comment
from slurm_het.core.measured import MIB
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.policy import Policy
from slurm_het.errors import SlurmBusyError, SlurmError
from slurm_het.journal import Journal, Records
from slurm_het.settings import TelemetrySettings
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.retries")
AT_ONCE = 8  # in one cycle
MOST_TRIES = 10  # of an update, while Slurm is busy
MOST_ASKED = 100  # jobs, when hetd begins
REMEMBERED_SECONDS = 600.0  # what was begun longer ago is over: ids come again
_EVENTS = {Event.OUTGREW, Event.RESUBMITTED, Event.REFUSED}


class Retry(NamedTuple):
    """A job that is to run again: with which share, what it had, and whether it waits by now."""

    job: Job
    larger: str
    had: str
    requeued: bool = False
    tries: int = 0


class Retries:
    """Those that are due: a cycle chooses some, has the journal say so, and requeues them.

    Slurm counts restarts, so a job that was requeued, by whomever, is none of them. What a hetd
    before this one began, and did not end, the journal tells.
    """

    def __init__(
        self, settings: TelemetrySettings, policy: Policy, slurm: SlurmClient, journal: Records
    ) -> None:
        self.settings, self.policy, self.slurm, self.journal = settings, policy, slurm, journal
        self._due: dict[str, Retry] = {}
        self._chosen: dict[str, Retry] = {}
        self._looked = False

    def heard(self, jobs: Iterable[Job], peaks: Mapping[int, int], inventory: Inventory) -> None:
        """Jobs have ended, with these peaks (MiB) by id."""
        if self.settings.resubmit == "never" or not peaks:
            return
        most = max((there.memory_gib for there in inventory.types.values()), default=0)
        for job in jobs:
            if self.policy.leaves_alone(job.partition):
                continue
            peak = peaks.get(job.id, 0)
            if larger := larger_share(job, peak, most, self.policy):
                had = f"it failed with {peak / MIB:.1f} GiB of a device, of {job.tres_per_node}"
                self._due[job.key] = Retry(job, larger, had)

    async def choose(self, snapshot: Snapshot) -> list[Outcome]:
        """Choose some of those that are due, for `give`."""
        if not self._looked and self.settings.resubmit != "never":
            self._looked = True
            self._chosen |= await self._begun(snapshot)
        some = [self._due.pop(key) for key in list(self._due)[:AT_ONCE]]
        still = await self._still(some) if some else set()
        new = [r for r in some if r.job.key in still and await self._wanted(r.job)]
        self._chosen |= {retry.job.key: retry for retry in new}
        return [Outcome(r.job.key, Event.OUTGREW, outgrew(r.larger, r.had)) for r in new]

    async def _begun(self, snapshot: Snapshot) -> dict[str, Retry]:
        jobs = [j for j in snapshot.jobs if j.state == "PENDING" and j.restarts == 1]
        found = dict[str, Retry]()
        for job in [job for job in jobs if MARK in job.admin_comment][:MOST_ASKED]:
            nothing: list[tuple[float, str, str]] = []
            told = await self.journal.ask(partial(Journal.outcomes_of, key=job.key), nothing)
            last = [entry for entry in told if entry[1] in _EVENTS][-1:]
            for time, event, detail in last:
                if event == Event.OUTGREW and time > snapshot.time - REMEMBERED_SECONDS:
                    larger, had = outgrown(detail, self.policy)
                    found |= {job.key: Retry(job, larger, had, requeued=True)} if larger else {}
        return found

    async def _still(self, due: Iterable[Retry]) -> set[str]:
        """Those that nobody has requeued since they were heard of: `scontrol requeue` of one that
        runs by now would end it."""
        try:
            jobs = await self.slurm.ended_jobs({retry.job.id for retry in due})
        except SlurmError as error:
            log.warning("no job runs once more, for Slurm does not say how it is: %s", error)
            return set()
        return {job.key for job in jobs if job.state == "FAILED" and not job.restarts}

    async def give(self) -> list[Outcome]:
        """Requeue those that were chosen, once the journal says so."""
        if not self._chosen:
            return []
        await self.journal.written()
        chosen, self._chosen = self._chosen, {}
        outcomes = [await self._give_one(retry) for retry in chosen.values()]
        return [outcome for outcome in outcomes if outcome]

    async def _give_one(self, retry: Retry) -> Outcome | None:
        job, larger, had, requeued, tries = retry
        fields = retry_fields(job, larger, f"{larger}: {had}", self.policy)
        try:
            # It begins in two minutes at the soonest, so that the update comes first.
            if not requeued:
                await self.slurm.requeue_job(job.key)
                requeued = True
            await self.slurm.update_job(job.key, fields)
        except SlurmError as error:  # --no-requeue says that it is not to be
            if requeued and isinstance(error, SlurmBusyError) and tries < MOST_TRIES:
                self._chosen[job.key] = Retry(job, larger, had, True, tries + 1)
                return None
            return Outcome(job.key, Event.REFUSED, f"another run with {larger}: {error.message}")
        log.info("job %s of %s runs once more, with %s: %s", job.key, job.user, larger, had)
        return Outcome(job.key, Event.RESUBMITTED, f"with {larger}: {had}")

    async def _wanted(self, job: Job) -> bool:
        if decode_comment(job.admin_comment) is None:
            return False
        if self.settings.resubmit == "always":
            return True
        return asks_for_retry(await self.slurm.batch_script(job.id), job.comment)
