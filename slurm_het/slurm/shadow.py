"""The Slurm of pools in shadow: it reads the real one, and writes into a book."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.trials import NO_TRIALS, Trials
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.planner.shadow import Book, as_submitted
from slurm_het.core.policy import Policy
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.shadow")
MOST_SCRIPTS = 200
"""So many scripts are read between two snapshots: each is a call of Slurm."""


class ShadowSlurm:
    """A SlurmClient. Of the real one it calls what reads, and nothing else: no update, no end."""

    def __init__(self, real: SlurmClient, policy: Policy) -> None:
        self._real, self.policy = real, policy
        self.book = Book(policy)
        self.intake = ""  # the State that it really has; '' before the first snapshot
        self.trials: Callable[[], Trials] = lambda: NO_TRIALS

    async def snapshot(self) -> Snapshot:
        """The real one, with the book over it."""
        snapshot = await self._real.snapshot()
        intake = self.policy.intake_partition
        self.intake = next((p.state for p in snapshot.partitions if p.name == intake), "")
        if new := self.book.unread(snapshot)[:MOST_SCRIPTS]:
            await self._admit(snapshot, new)
        return self.book.over(snapshot)

    async def over_all(self, snapshot: Snapshot) -> Snapshot:
        """One of the real one, with the book over it once all of its jobs are in that."""
        new = self.book.unread(snapshot)
        for first in range(0, len(new), MOST_SCRIPTS):
            await self._admit(snapshot, new[first : first + MOST_SCRIPTS])
        return self.book.over(snapshot)

    async def _admit(self, snapshot: Snapshot, new: Collection[Job]) -> None:
        scripts = await asyncio.gather(*(self._real.batch_script(job.id) for job in new))
        inventory = take_inventory(snapshot, self.policy)
        for job, script in zip(new, scripts, strict=True):
            self.book.admit(job, as_submitted(job, script, self.policy, inventory, self.trials()))

    async def ended_jobs(self, ids: Collection[int] = ()) -> tuple[Job, ...]:
        """The jobs that really ended."""
        return await self._real.ended_jobs(ids)

    async def update_job(self, key: str, fields: Mapping[str, str]) -> None:
        """Write the update into the book."""
        self.book.update(key, fields)

    async def tell_job(self, job_id: int, text: str) -> None:
        """Tell nobody."""
        log.info("job %d would be told: %s", job_id, text)

    async def end_job(self, key: str) -> None:
        """End nothing."""
        log.info("job %s would be ended", key)

    async def requeue_job(self, key: str) -> None:
        """Requeue nothing."""
        log.info("job %s would be requeued", key)

    async def partition_of(self, key: str) -> str:
        """Where the book has it."""
        return self.book.partition_of(key)

    async def set_partition_state(self, partition: str, state: str) -> None:
        """Close or open the book's gate."""
        if partition == self.policy.intake_partition:
            self.book.gate = state

    async def batch_script(self, job_id: int) -> str:
        """The real script."""
        return await self._real.batch_script(job_id)
