"""How long programs ran: learned from how jobs ended, and journaled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.paces import Pace, Paces, without_runs
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.journal import Records

QUESTION_SECONDS = 60.0  # so long the journal may take to tell of all paces
WAIT_SECONDS = 0.3  # so long a cycle waits for that
RETRY_SECONDS, FORGET_SECONDS = 60.0, 600.0
MOST_TOLD = 5000  # to one who asks


class PaceKeeper:
    """All paces that count. `ticks` tells seconds that never go back: what is too old is told by
    the days on which hetd ran, so that a clock that jumps makes nothing old.

    Until it is known what the journal has, nothing is learned: that would take its place.
    """

    def __init__(self, policy: Policy, journal: Records, ticks: Callable[[], float]) -> None:
        self.policy, self.journal, self.ticks = policy, journal, ticks
        self.known = Paces()
        self._loaded = False
        self._load_at = self._forget_at = float("-inf")
        self._question: asyncio.Task[list[Pace] | None] | None = None

    async def look(self) -> None:
        """Read what the journal has, once it can be read; forget what is too old."""
        if not self.policy.history_days:
            return
        days = self.policy.history_days
        if not self._loaded:
            await self._load(days)
        if self._loaded and self.ticks() >= self._forget_at:
            self._forget_at = self.ticks() + FORGET_SECONDS
            oldest = await self.journal.ask(lambda kept: kept.since(days), 0.0)
            gone = list(map(without_runs, self.known.older(oldest)))
            for pace in gone:
                self.known.put(pace)
            self._keep(gone)

    async def _load(self, days: float) -> None:
        """Take over what the journal has; where that takes long, in a cycle to come."""
        if self._question is None:
            if self.ticks() < self._load_at:
                return
            self._load_at = self.ticks() + RETRY_SECONDS
            self._question = asyncio.create_task(
                self.journal.ask(lambda kept: kept.paces(kept.since(days)), None, QUESTION_SECONDS)
            )
        await asyncio.wait({self._question}, timeout=WAIT_SECONDS)
        if self._question.done():
            kept, self._question = self._question.result(), None
            if kept is not None:
                self._loaded, self.known = True, Paces(kept)

    def heard(self, jobs: Iterable[Job], inventory: Inventory) -> None:
        """Learn from jobs that ended."""
        if not self._loaded:
            return
        changed: list[Pace] = []
        for job in jobs:
            if pace := self.known.after(job, inventory, self.policy):
                changed += [pace, *self.known.put(pace)]
        self._keep(changed)

    def told(self, user: str | None) -> dict[str, Any]:
        """The newest paces, of one user or of all, for who asks what is learned."""
        newest = self.known.all() if user is None else self.known.of(user)
        return {"paces": newest[-MOST_TOLD:]}

    def _keep(self, changed: list[Pace]) -> None:
        if changed:
            self.journal.write(lambda journal: journal.record_paces(changed))
