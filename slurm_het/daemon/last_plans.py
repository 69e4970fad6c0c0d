"""What was last planned for jobs: the journal is asked once for each, beside the event loop."""

from __future__ import annotations

from collections.abc import Mapping

from slurm_het.core.model import Job, Plan, Snapshot
from slurm_het.core.planner.repairs import LastPlan, Planned, may_ask_for_plan
from slurm_het.core.policy import Policy
from slurm_het.journal import Planning, Records

Name = tuple[str, int]  # a job's key and submit time: ids come again


class LastPlans:
    """Remembers the last plans of the jobs of the newest snapshot that may be asked for."""

    def __init__(self, journal: Records, policy: Policy) -> None:
        self.journal, self.policy = journal, policy
        self._known: dict[Name, Planned | None] = {}

    async def of(self, snapshot: Snapshot) -> LastPlan:
        """What tells the last plans of these jobs; None where the journal does not, in time."""
        asked = {_name(job): job for job in snapshot.jobs if may_ask_for_plan(job, self.policy)}
        if unknown := [job for name, job in asked.items() if name not in self._known]:
            nothing: Mapping[Name, Planned | None] = {}
            self._known |= await self.journal.ask(lambda j: j.last_plans(unknown), nothing)
        self._known = {name: last for name, last in self._known.items() if name in asked}
        known = self._known
        return lambda job: known.get(_name(job))

    def made(self, plan: Plan, beside: Planning) -> None:
        """Remember a plan that is being journaled."""
        for placement in plan.placements:
            name = placement.key, beside.submitted.get(placement.key, 0)
            self._known[name] = Planned(placement, beside.starts.get(placement.key, 0.0))


def _name(job: Job) -> Name:
    return job.key, job.submit_time
