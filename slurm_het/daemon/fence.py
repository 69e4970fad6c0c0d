"""The fence between those who share a device: it tells who takes more than its share, and ends that
job after a warning where the site says so; never another one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from slurm_het.core.cluster.overruns import Overrun, Use, overruns
from slurm_het.core.model import Snapshot
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.policy import Policy
from slurm_het.errors import SlurmError
from slurm_het.settings import TelemetrySettings
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.fence")


@dataclass
class _Case:
    """An overrun: since when samples show it, and when its user was warned."""

    since: float
    warned: float | None = None


class Fence:
    """Sees overruns come and go, from cycle to cycle. `ticks` are seconds that never go back."""

    def __init__(
        self,
        settings: TelemetrySettings,
        policy: Policy,
        slurm: SlurmClient,
        ticks: Callable[[], float],
    ) -> None:
        self.settings, self.policy, self.slurm, self.ticks = settings, policy, slurm, ticks
        self._cases: dict[tuple[int, str, int], _Case] = {}

    async def look(self, snapshot: Snapshot, uses: Iterable[Use]) -> list[Outcome]:
        """Warn and end whom it is time for; returns what is new."""
        if self.settings.fence == "off" or not (uses := list(uses)):
            self._cases.clear()
            return []
        jobs = {job.id: job for job in snapshot.jobs}
        over = {(o.use.job, o.use.node, o.use.index): o for o in overruns(uses, jobs, self.policy)}
        self._cases = {key: case for key, case in self._cases.items() if key in over}
        outcomes: list[Outcome] = []
        for key, overrun in over.items():
            case = self._cases.setdefault(key, _Case(overrun.use.taken))
            if case.warned is None:
                if overrun.use.taken - case.since >= self.settings.steady_seconds:
                    case.warned = overrun.use.taken
                    outcomes.append(await self._warn(overrun))
            elif self._is_time(case, overrun):
                outcomes += await self._end(overrun)
        return outcomes

    def _is_time(self, case: _Case, overrun: Overrun) -> bool:
        """Whether a sample after the time to mend it still shows the overrun."""
        until = (case.warned or 0.0) + self.settings.fence_seconds
        return self.settings.fence == "end" and overrun.use.taken >= until

    async def _warn(self, overrun: Overrun) -> Outcome:
        then = ""
        if self.settings.fence == "end":
            then = f"; if it still has in {self.settings.fence_seconds:g} s, it is ended"
        log.warning("job %s of %s %s%s", overrun.job.key, overrun.job.user, overrun.text, then)
        try:
            await self.slurm.tell_job(overrun.job.id, f"slurm-het: this job {overrun.text}{then}")
        except SlurmError as error:  # it has nobody who listens
            log.info("job %s was not told: %s", overrun.job.key, error.message)
        return Outcome(overrun.job.key, Event.OVERRUNS, overrun.text + then)

    async def _end(self, overrun: Overrun) -> list[Outcome]:
        try:
            await self.slurm.end_job(overrun.job.key)
        except SlurmError as error:
            log.error("job %s is not ended: %s", overrun.job.key, error.message)
            return []
        log.warning("job %s is ended: it %s", overrun.job.key, overrun.text)
        return [Outcome(overrun.job.key, Event.ENDED, f"it {overrun.text}")]
