"""Gives jobs that died of their share's size another chance with a larger one, once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.larger import asks_for_retry, larger_share, retry_fields
from slurm_het.core.measured import MIB
from slurm_het.core.model import Job
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.policy import Policy
from slurm_het.errors import SlurmBusyError, SlurmError
from slurm_het.settings import TelemetrySettings
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.retries")
AT_ONCE = 8  # in one cycle
MOST_TRIES = 10  # of an update, while Slurm is busy


class Retry(NamedTuple):
    """A job that is to run again: with which share, what it had, and whether it waits by now."""

    job: Job
    larger: str
    had: str
    requeued: bool = False
    tries: int = 0


class Retries:
    """Those that are due: the next cycle requeues them. Slurm counts restarts, so a job that was
    requeued, by whomever, is none of them."""

    def __init__(self, settings: TelemetrySettings, policy: Policy, slurm: SlurmClient) -> None:
        self.settings, self.policy, self.slurm = settings, policy, slurm
        self._due: list[Retry] = []

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
                self._due.append(Retry(job, larger, had))

    async def give(self) -> list[Outcome]:
        """Requeue some of those that are due."""
        some, self._due = self._due[:AT_ONCE], self._due[AT_ONCE:]
        outcomes = [await self._give_one(retry) for retry in some]
        return [outcome for outcome in outcomes if outcome]

    async def _give_one(self, retry: Retry) -> Outcome | None:
        job, larger, had, requeued, tries = retry
        fields = retry_fields(job, larger, f"{larger}: {had}", self.policy)
        if not fields or not (requeued or await self._wanted(job)):
            return None
        try:
            # It begins in two minutes at the soonest, so that the update comes first.
            if not requeued:
                await self.slurm.requeue_job(job.key)
                requeued = True
            await self.slurm.update_job(job.key, fields)
        except SlurmError as error:  # --no-requeue says that it is not to be
            if requeued and isinstance(error, SlurmBusyError) and tries < MOST_TRIES:
                self._due.append(Retry(job, larger, had, True, tries + 1))
                return None
            return Outcome(job.key, Event.REFUSED, f"another run with {larger}: {error.message}")
        log.info("job %s of %s runs once more, with %s: %s", job.key, job.user, larger, had)
        return Outcome(job.key, Event.RESUBMITTED, f"with {larger}: {had}")

    async def _wanted(self, job: Job) -> bool:
        if self.settings.resubmit == "always":
            return True
        return asks_for_retry(await self.slurm.batch_script(job.id), job.comment)
