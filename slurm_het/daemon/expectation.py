"""Which jobs to expect: those given in the configuration, else learned from those that came."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Job, Node, Task
from slurm_het.core.worth.forecast import Forecast, Price, appraised, forecast, given, learned
from slurm_het.core.worth.pricing import Appraisal, free_devices, usable
from slurm_het.core.worth.profiles import TaskProfile, profile_beside, profile_of
from slurm_het.core.worth.rates import Past
from slurm_het.daemon.clocks import Clocks
from slurm_het.journal import Records
from slurm_het.settings import Config

log = logging.getLogger("hetd.expectation")

DAY = 86400.0
RENEW_SECONDS = 300.0
QUESTION_SECONDS = 120.0  # so long the journal may take to tell what came in days
WAIT_SECONDS = 0.3  # so long a cycle waits for that; after AGAIN_SECONDS one looks again
AGAIN_SECONDS = 5.0
PRICES_SECONDS = 30.0  # prices are found so far apart at least
MOVED = 0.05  # part of all devices: prices are found anew once so much has started or ended
YOUNG = 0.25  # a young journal is asked again once it is older by so much of its age
DEFAULT_MINUTES = 60.0  # of a job without a time limit


@dataclass(frozen=True)
class Priced:
    """For what the last prices were found: what was expected, what was free, and when."""

    weights: Mapping[TaskProfile, float] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    at: float = float("-inf")

    @classmethod
    def of(cls, expected: Forecast, inventory: Inventory, now: float) -> Priced:
        """As it is now."""
        return cls(expected.weights, _free(inventory), now)

    def due(self, expected: Forecast, inventory: Inventory, now: float) -> bool:
        """Whether they should be found anew."""
        if not expected or now < self.at + PRICES_SECONDS:
            return False
        if expected.weights is not self.weights:
            return True
        now_free = _free(inventory)
        names = {*now_free, *self.free}
        moved = sum(abs(now_free.get(n, 0.0) - self.free.get(n, 0.0)) for n in names)
        return moved >= MOVED * max(1, sum(len(node.devices) for node in inventory.nodes.values()))


def _free(inventory: Inventory) -> dict[str, float]:
    """How many devices are free, by name of the node."""
    return {
        name: free_devices([state]) / state.count
        for state in usable(inventory.grid)
        for name in state.names
    }


def holders_on(node: Node) -> frozenset[str]:
    """The keys of the jobs that hold its devices."""
    return node.once("holders", lambda: frozenset(k for d in node.devices for k in d.holders))


class Expectation:
    """Journals what jobs ask for, and makes a forecast from that every RENEW_SECONDS, while the
    journal is young more often.

    Its prices are found beside the cycles: `price` may take seconds, and runs in a thread. They
    are found anew with the forecast, and when much has started or ended since. The weights and
    the appraisal of what hetd `told`, if it did, replace what would be learned.
    """

    def __init__(
        self,
        journal: Records,
        config: Config,
        clocks: Clocks,
        price: Price,
        told: Forecast | None = None,
    ) -> None:
        self.price = price
        self._told = told
        named = forecast(given(config.policy)) if config.policy.expected_jobs else None
        self._given = named or told
        self.journal, self.policy = journal, config.policy
        self.days = config.planner.learn_days
        self.clock, self.ticks = clocks.wall, clocks.ticks
        self._forecast = Forecast()
        self._renew_at = 0.0
        self._pricing: asyncio.Task[Appraisal | None] | None = None
        self._priced = Priced()
        self._asked: set[str] = set()
        self._demands: dict[str, TaskProfile] = {}  # of the tasks that wait, and of those that run
        self._question: asyncio.Task[Past | None] | None = None
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
            await self._renew()
        if self._told:
            return replace(self._forecast, appraisal=self._told.appraisal)
        await self._see_to_prices(inventory)
        return self._forecast

    async def settled(self, expected: Forecast) -> Forecast:
        """The same with the prices that are being found, however long that takes."""
        found = await self._pricing if self._pricing else None
        return replace(expected, appraisal=found) if found else expected

    async def _see_to_prices(self, inventory: Inventory) -> None:
        """Take over the prices that are found, and have them found anew when it is time.

        The first ones are worth a short wait, once.
        """
        if self._pricing is None and self._priced.due(self._forecast, inventory, self.ticks()):
            self._priced = Priced.of(self._forecast, inventory, self.ticks())
            self._pricing = asyncio.create_task(self._find(inventory))
            if self._forecast.appraisal is None:
                await asyncio.wait({self._pricing}, timeout=WAIT_SECONDS)
        if self._pricing and self._pricing.done():
            # Cancelled by the end of a loop in which it was asked, it is without an answer.
            found = None if self._pricing.cancelled() else self._pricing.result()
            self._pricing = None
            if found:
                self._forecast = replace(self._forecast, appraisal=found)

    async def _find(self, inventory: Inventory) -> Appraisal | None:
        """The prices; None without any. A cycle must not fail for want of them."""
        try:
            found = await asyncio.to_thread(appraised, self._forecast, inventory.grid, self.price)
        except Exception:
            log.exception("no prices could be found, the ones before are used; please report this")
            return None
        return found.appraisal

    async def _renew(self) -> None:
        """Make the forecast anew. Where the journal is long the answer comes later, for a cycle
        to come; until then what was expected before is."""
        if self._given is not None:
            renewed = self._given
        else:
            now = self.clock()
            if self._question is None:
                await self.journal.written()  # what was learned just now counts
                since = now - self.days * DAY
                ask = self.journal.ask(lambda j: j.past(since, now), None, QUESTION_SECONDS)
                self._question = asyncio.create_task(ask)
            await asyncio.wait({self._question}, timeout=WAIT_SECONDS)
            if not self._question.done():
                self._renew_at = self.ticks() + AGAIN_SECONDS
                return
            question, self._question = self._question, None
            if (past := question.result()) is None:
                return
            renewed = learned(past, now)
            soon = max(AGAIN_SECONDS, YOUNG * (now - past.first))
            self._renew_at = min(self._renew_at, self.ticks() + soon)
        self._forecast = replace(renewed, appraisal=self._forecast.appraisal)

    @property
    def latest(self) -> Forecast:
        """The forecast that was made last, with the prices that were found last."""
        return self._forecast

    async def _learn(self, waiting: dict[str, Task], inventory: Inventory) -> None:
        """Journal what new tasks ask for. What running ones asked for, the journal tells."""
        new = {key: profile_of(waiting[key]) for key in waiting.keys() - self._demands.keys()}
        if new:
            now = self.clock()
            asked = [(k, d, waiting[k].minutes or DEFAULT_MINUTES) for k, d in new.items()]
            self.journal.write(lambda journal: journal.record_demands(now, asked))
        holders = set[str]().union(*map(holders_on, inventory.nodes.values()))
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
