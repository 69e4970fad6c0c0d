"""The intake is set DOWN once more, for what any update of a partition has Slurm do.

It sums up anew what is in use. And it looks at its queue, which it does not by itself after a job
that ends while its EpilogSlurmctld, ours or a site's, still runs: docs/facts.md, "With an
EpilogSlurmctld". Only by such a look does Slurm see that a dependency is over, and it tells nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from slurm_het.core.cluster.inventory import devices_lost
from slurm_het.core.jobs.task_pools import awaited_in, is_gated
from slurm_het.core.jobs.waits import Awaited, NotOver
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.syntax import hostlist
from slurm_het.daemon.gate import Gate

log = logging.getLogger("hetd.cycle")
RECOUNT_SECONDS = 30.0  # where one recount did not help, another right after it will not either
LOOK_LEAST = 0.5  # slurmctld's loop looks at its queue once a second, or seldomer


class OnceMore:
    """To be told of each cycle. `ticks` are seconds of a clock that never goes back."""

    def __init__(self, gate: Gate, ticks: Callable[[], float]) -> None:
        self.gate, self.ticks = gate, ticks
        self._counted = float("-inf")
        self._holding = frozenset[str]()
        self._awaited: dict[int, Job] = {}  # there, and one in the gate depends on it
        self._over: dict[int, tuple[Job, float]] = {}  # gone, since when; Slurm has not looked yet
        self.due: float | None = None
        """When a dependency may be over (epoch seconds): half a second after Slurm is made to look,
        then whenever it has taken twice as long."""

    async def count(self, snapshot: Snapshot) -> None:
        """Have devices counted that Slurm takes for used, and no job holds."""
        lost = devices_lost(snapshot)
        if lost and self.ticks() >= self._counted + RECOUNT_SECONDS:
            log.warning(
                "Slurm counts devices of %s as used, but no job holds them: the intake is set DOWN"
                " once more, so that Slurm counts anew", hostlist.fold(lost),
            )  # fmt: skip
            self._counted = self.ticks()
            await self.gate.repeat()

    async def look(self, prepared: Prepared, *, updated: bool) -> None:
        """Have Slurm look at its queue after a job's end, if somebody waits there: a job pinned
        ahead, one in line, another's; or one in the gate depends on it. Where a job was `updated`
        in this cycle it does so."""
        holding = frozenset(job.key for job in prepared.snapshot.jobs if job.holds_nodes)
        ended, self._holding = self._holding - holding, holding
        waits = prepared.line.pools or any(pin.start for pin in prepared.pins)
        freed = self._see_who_is_awaited(prepared)
        if ((ended and waits) or freed) and not updated:
            await self.gate.repeat()
        ages = [self.ticks() - since for _, since in self._over.values()]
        self.due = prepared.snapshot.time + max(LOOK_LEAST, min(ages)) if ages else None

    def _see_who_is_awaited(self, prepared: Prepared) -> bool:
        """Whether an awaited job is gone since the last look, and somebody who depends on it may
        start now: nobody else that he waits for is there."""
        snapshot, policy = prepared.snapshot, prepared.policy
        jobs = [job for job in snapshot.jobs if not job.finished]
        awaited = awaited_in(snapshot, policy)
        # Of an array that is waited for as a whole the last task counts.
        here = {job.id for job in jobs}
        here |= awaited.whole.intersection(job.array_job_id for job in jobs)
        gone = {
            id: job
            for id, job in self._awaited.items()
            if here.isdisjoint((id, job.array_job_id)) and job in awaited
        }
        if gone:
            there = NotOver.of(jobs)
            free = Awaited.by(j for j in jobs if is_gated(j, policy) and not there.keep(j))
            gone = {id: job for id, job in gone.items() if job in free}
        self._over = {id: known for id, known in self._over.items() if known[0] in awaited}
        self._over |= {id: (job, self.ticks()) for id, job in gone.items()}
        self._awaited = {job.id: job for job in jobs if job in awaited}
        return bool(gone)
