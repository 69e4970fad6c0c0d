"""How jobs ended: learned from Slurm while it remembers them, and journaled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from slurm_het.core.jobs.ending import end_of
from slurm_het.core.jobs.mark import MARK
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.policy import Policy
from slurm_het.errors import SlurmError
from slurm_het.journal import Records
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.endings")
PAUSE_SECONDS = 5.0  # between two questions; Slurm remembers a job for MinJobAge, 300 s by default
Peaks = Mapping[int, int]
"""By job id, the most MiB that it was seen to take of one device."""
MAX_IDS = 1000  # in one question; of more jobs, all that ended are asked for


class Endings:
    """Sees our jobs go, and asks Slurm how they ended. `ticks` are seconds that never go back.

    22.05 lists jobs that ended beside the others; newer ones leave them out at once, so that those
    that are gone are asked for, many in one call, beside the cycle. The first question is for all
    that ended, for this hetd has not seen them go. What Slurm has forgotten stays unknown.
    """

    def __init__(
        self, slurm: SlurmClient, policy: Policy, journal: Records, ticks: Callable[[], float]
    ) -> None:
        self.slurm, self.policy, self.journal, self.ticks = slurm, policy, journal, ticks
        self.heard: Callable[[list[Job], Peaks], None] = lambda *_: None  # of those that ended
        self.peak_of: Callable[[Job], int] = lambda _job: 0  # MiB, as its devices tell
        self._ours: set[int] = set()  # the ids of the jobs that are seen
        self._arrays: set[int] = set()  # those of their arrays: tasks are split off any time
        self._gone: set[int] = set()  # of those that are to be asked for
        self._all = True
        self._ask_at = float("-inf")
        self._question: asyncio.Task[None] | None = None

    def see(self, snapshot: Snapshot) -> None:
        """Journal the ends that a snapshot shows, and begin to ask for those that it does not."""
        self._journal(job for job in snapshot.jobs if job.finished and self._was_ours(job))
        here = {job.id for job in snapshot.jobs}
        there = [job for job in snapshot.jobs if not job.finished and self._is_ours(job)]
        ours = {job.id for job in there}
        self._gone = (self._gone | (self._ours - here)) - ours
        self._ours, self._arrays = ours, {job.array_job_id for job in there if job.array_job_id}
        waits = bool(self._gone) or self._all
        if waits and not self._asking() and self.ticks() >= self._ask_at:
            self._ask_at = self.ticks() + PAUSE_SECONDS
            self._question = asyncio.create_task(self._ask())

    def _asking(self) -> bool:
        """Whether a question is on its way. Raises what a bug in it raised: that ends hetd."""
        if self._question and self._question.done() and not self._question.cancelled():
            self._question.result()
        return self._question is not None and not self._question.done()

    async def settled(self) -> None:
        """Wait for the answer to what is being asked."""
        if self._question:
            await self._question

    async def stop(self) -> None:
        """Ask no more."""
        if self._question:
            self._question.cancel()
            await asyncio.gather(self._question, return_exceptions=True)

    def _was_ours(self, job: Job) -> bool:
        return job.id in self._ours or job.array_job_id in self._arrays

    def _is_ours(self, job: Job) -> bool:
        return self._was_ours(job) or MARK in job.admin_comment or is_gated(job, self.policy)

    async def _ask(self) -> None:
        asked, everything = self._gone, self._all or len(self._gone) > MAX_IDS
        try:
            jobs = await self.slurm.ended_jobs(() if everything else asked)
        except SlurmError as error:
            log.info("how %d of our jobs ended is asked again: %s", len(asked), error.message)
            return
        self._all = False
        self._gone = self._gone - asked
        marked = {job.id for job in jobs if MARK in job.admin_comment}
        unmarked = [job for job in jobs if job.id not in asked | marked]
        journaled = await self._journaled(unmarked)
        self._journal(job for job in jobs if job.id in asked | marked | journaled)
        if forgotten := asked - {job.id for job in jobs}:
            log.info("Slurm has forgotten how %d of our jobs ended", len(forgotten))

    async def _journaled(self, jobs: list[Job]) -> set[int]:
        """The ids of those that were in the gate before this hetd: another program may have written
        its own over our mark (jobstats does, after the end)."""
        nothing: set[int] = set()
        return await self.journal.ask(lambda kept: kept.known(jobs), nothing) if jobs else nothing

    def _journal(self, jobs: Iterable[Job]) -> None:
        ended = [(job, end) for job in jobs if (end := end_of(job))]
        if ended:
            peaks = {job.id: peak for job, _ in ended if (peak := self.peak_of(job))}
            ends = [replace(end, peak_mib=peaks.get(job.id, 0)) for job, end in ended]
            self.journal.write(lambda journal: journal.record_ends(ends))
            self.heard([job for job, _ in ended], peaks)
