"""Which jobs to expect: those given in the configuration, else learned from those that came."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Job, Task
from slurm_het.core.worth.forecast import Forecast, forecast, given
from slurm_het.core.worth.full_cluster import Relax, held_on, with_parts
from slurm_het.core.worth.profiles import TaskProfile, profile_beside, profile_of
from slurm_het.daemon.clocks import Clocks
from slurm_het.journal import Records
from slurm_het.settings import Config

DAY = 86400.0
RENEW_SECONDS = 300.0
QUESTION_SECONDS = 120.0  # so long the journal may take to tell what came in days
WAIT_SECONDS = 0.3  # so long a cycle waits for that; after AGAIN_SECONDS one looks again
AGAIN_SECONDS = 5.0
DEFAULT_MINUTES = 60.0  # of a job without a time limit


class Expectation:
    """Journals what jobs ask for, and makes a forecast from that every RENEW_SECONDS.

    `relax` may take long: it runs in a thread. `weights`, if given, replace what would be learned.
    """

    def __init__(
        self,
        journal: Records,
        config: Config,
        clocks: Clocks,
        relax: Relax,
        weights: Mapping[TaskProfile, float] | None = None,
    ) -> None:
        self.relax = relax
        self._given = given(config.policy) if config.policy.expected_jobs else weights
        self.journal, self.policy = journal, config.policy
        self.days = config.planner.learn_days
        self.clock, self.ticks = clocks.wall, clocks.ticks
        self._forecast = Forecast()
        self._renew_at = 0.0
        self._asked: set[str] = set()
        self._demands: dict[str, TaskProfile] = {}  # of the tasks that wait, and of those that run
        self._question: asyncio.Task[dict[TaskProfile, float] | None] | None = None
        self._beside: set[str] | None = None  # the running jobs without devices, once journaled

    async def of(
        self, tasks: Iterable[Task], jobs: Iterable[Job], inventory: Inventory
    ) -> Forecast:
        """The forecast at this moment; empty if nothing is to be expected.

        `tasks` are those that wait; `jobs` are all that Slurm has.
        """
        if not self.days and not self.policy.expected_jobs:
            return self._forecast
        await self._learn({task.key: task for task in tasks}, inventory)
        await self._learn_beside(jobs, inventory)
        if self.ticks() >= self._renew_at:
            self._renew_at = self.ticks() + RENEW_SECONDS
            await self._renew(inventory)
        return self._forecast.now(held_on(inventory, self._demands))

    async def _renew(self, inventory: Inventory) -> None:
        """Make the forecast anew. Where the journal is long the answer comes later, for a cycle
        to come; until then what was expected before is."""
        if self._given is not None:
            weights = self._given
        else:
            if self._question is None:
                await self.journal.written()  # what was learned just now counts
                since = self.clock() - self.days * DAY
                ask = self.journal.ask(lambda j: j.demands(since), None, QUESTION_SECONDS)
                self._question = asyncio.create_task(ask)
            await asyncio.wait({self._question}, timeout=WAIT_SECONDS)
            if not self._question.done():
                self._renew_at = self.ticks() + AGAIN_SECONDS
                return
            question, self._question = self._question, None
            if (answer := question.result()) is None:
                return
            weights = answer
        renewed = forecast(weights, inventory)
        self._forecast = await asyncio.to_thread(with_parts, renewed, self.relax)

    @property
    def weights(self) -> Mapping[TaskProfile, float]:
        """The weights of the forecast that was made last: see Forecast.weights."""
        return self._forecast.weights

    async def _learn(self, waiting: dict[str, Task], inventory: Inventory) -> None:
        """Journal what new tasks ask for. What running ones asked for, the journal tells."""
        new = {key: profile_of(waiting[key]) for key in waiting.keys() - self._demands.keys()}
        if new:
            now = self.clock()
            asked = [(k, d, waiting[k].minutes or DEFAULT_MINUTES) for k, d in new.items()]
            self.journal.write(lambda journal: journal.record_demands(now, asked))
        holders = {key for device in inventory.devices() for key in device.holders}
        known = self._demands | new
        unknown = holders - known.keys() - self._asked
        if unknown:
            answer = await self.journal.ask(lambda j: j.demands_of(unknown), None)
            known |= answer or {}
            if answer is not None:
                self._asked |= unknown
        self._asked &= holders - known.keys()  # jobs that never were in the gate
        self._demands = {k: d for k, d in known.items() if k in holders or k in waiting}

    async def _learn_beside(self, jobs: Iterable[Job], inventory: Inventory) -> None:
        """Journal jobs without devices on nodes that have some, when they are first seen running.

        Such jobs are never in the gate, but take CPUs that tasks need. Those that already ran when
        the last one was added to the journal are in it: hetd saw them before it was restarted.
        """
        # 22.05 does not say what devices a COMPLETING job has.
        beside = (j for j in jobs if j.holds_nodes and j.state != "COMPLETING")
        running = {job.key: job for job in beside if not any(job.gres_detail)}
        if self._beside is None:
            before = await self.journal.ask(lambda journal: journal.last_added(), 0.0)
            self._beside = {key for key, job in running.items() if 0 < job.start_time <= before}
        minutes: dict[TaskProfile, float] = {}
        for key in running.keys() - self._beside:
            job = running[key]
            if demand := profile_beside(job, inventory, self.policy):
                asked = job.time_limit_minutes or DEFAULT_MINUTES
                minutes[demand] = minutes.get(demand, 0.0) + asked
        self._beside = set(running)
        if minutes:
            now = self.clock()
            self.journal.write(lambda journal: journal.add_demands(now, minutes))
