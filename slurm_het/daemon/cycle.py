"""hetd's cycle: observe, prepare, expect, decide, apply, record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.prices import Prices
from slurm_het.core.capacity import UNKNOWN
from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.gate import GateOrder, GateState
from slurm_het.core.jobs.mark import MARK, mark_of_sent
from slurm_het.core.jobs.paces import speeds_of
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Classification, Job, Plan, Snapshot
from slurm_het.core.planner.alarm import next_change
from slurm_het.core.planner.at_once import Openings, openings_of
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import (
    Memory,
    Observed,
    Prepared,
    TakeBack,
    decide,
    learn,
    observe,
    prepare,
)
from slurm_het.core.reasons.codes import code_of
from slurm_het.core.reservations.look_ahead import idle_beside_doors
from slurm_het.core.worth.forecast import Forecast
from slurm_het.daemon.clocks import Clocks
from slurm_het.daemon.endings import Endings
from slurm_het.daemon.expectation import Expectation
from slurm_het.daemon.fence import Fence
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.last_plans import LastPlans
from slurm_het.daemon.once_more import OnceMore
from slurm_het.daemon.outcomes import journal_outcomes, submitted_of
from slurm_het.daemon.own_reasons import OwnReasons
from slurm_het.daemon.paces import PaceKeeper
from slurm_het.daemon.release import Releaser
from slurm_het.daemon.retries import Retries
from slurm_het.daemon.start_times import StartTimes
from slurm_het.daemon.strays import Strays
from slurm_het.daemon.telemetry import Devices, Recorded, Silent
from slurm_het.daemon.told import tell
from slurm_het.daemon.trials import TrialKeeper
from slurm_het.daemon.waits_log import WaitsLog
from slurm_het.journal import Planning, Records
from slurm_het.settings import Config
from slurm_het.slurm import SlurmClient
from slurm_het.solve import Deadline, Solver
from slurm_het.times import local_time

log = logging.getLogger("hetd.cycle")

CheckLead = Callable[[], Awaitable[None]]
NOTHING: Mapping[str, float] = {}
T = TypeVar("T")
PRICE_SECONDS = 30.0  # for finding prices, beside the cycles; with less it is fewer rounds


async def _alone() -> None:
    """The check of a hetd that shares its Slurm with no other: it always leads."""


@dataclass
class Report:
    """What the last cycle did, for the control socket; `waiting`, `users`, `codes` by job key."""

    time: float = 0.0
    seconds: float = 0.0
    status: str = ""
    gap: float = 0.0
    tasks: int = 0
    placed: int = 0
    waiting: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)


class Cycle:
    """One object per daemon; `run` is one cycle. Raises SlurmError when Slurm does not answer.

    `check_lead` raises LeadError once another hetd plans; it is called before each set of updates.
    """

    raced = False
    """Whether others may take what is idle before those in the gate."""

    def __init__(
        self,
        config: Config,
        slurm: SlurmClient,
        gate: Gate,
        journal: Records,
        solver: Solver,
        clocks: Clocks = Clocks(),  # noqa: B008  # frozen
        check_lead: CheckLead = _alone,
    ) -> None:
        self.check_lead = check_lead
        self.config, self.policy = config, config.policy
        self.slurm, self.gate, self.journal, self.solver = slurm, gate, journal, solver
        self.clock, self.ticks = clocks.wall, clocks.ticks
        self.pins = Pins(config.planner.grace_seconds, config.planner.retry_seconds)
        self.memory = Memory(self.pins)
        self.releaser = Releaser(slurm, config.policy, self.pins, self.ticks)
        self.trials = TrialKeeper(config.policy, journal, clocks.ticks)
        self.paces = PaceKeeper(config.policy, journal, clocks.ticks)
        self.strays = Strays(slurm, config.policy, self.memory, journal, self.trials)
        self.endings = Endings(slurm, config.policy, journal, self.ticks)
        self.endings.heard = self._heard
        self.retries = Retries(config.telemetry, config.policy, slurm, journal)
        self.last_plans = LastPlans(journal, config.policy)
        self.thinking = asyncio.Lock()  # held while the memory changes
        self.start_times = StartTimes(journal, self.ticks, self.thinking.locked)
        self.inventory, self.capacity = Inventory({}), UNKNOWN
        self.openings: Openings | None = None  # what the last cycle left for interactive jobs
        self.is_asked = True  # whether anybody wants to hear of openings, starts and reasons
        self.placed: Callable[[], int] = lambda: 0  # how many of them the hook has given nodes
        self.devices: Devices = Silent()
        self.endings.peak_of = lambda job: self.devices.peak_of(job)
        self.fence = Fence(config.telemetry, config.policy, slurm, self.ticks)
        self.recorded = Recorded(self.inventory, float("-inf"))
        self.reasons = OwnReasons()
        self.waits_log = WaitsLog(self.ticks, self.thinking.locked)
        self.report = Report()
        self.happened: list[tuple[Outcome, str]] = []  # of the last cycle, with the job's user
        self.counted: Counter[Event] = Counter()  # what happened since it is there
        self.alarm: float | None = None  # when to look again at the latest; of the clock
        self._warned: set[str] = set()
        self._journaled: dict[int, tuple[Job, tuple[str, int, bool]]] = {}
        self._expectation = Expectation(journal, config, clocks, self._price)
        self.once_more = OnceMore(gate, clocks.ticks)
        self._at_once: set[int] = set()

    async def run(self) -> bool:
        """Run one cycle; returns whether another may find more to do at once."""
        began = time.perf_counter()
        self.happened, self.alarm = [], None
        left, self.openings = self.openings, None
        since, placed = self.ticks(), self.placed()
        observed = await self._observe()
        back = await self._settle(observed)
        await self.gate.look()
        if await self.gate.heed(self.gate.read(observed.snapshot)) is not GateOrder.PLAN:
            return await self._not_now()
        if back:  # or others would get their places, before they can be planned anew
            return True
        await self.once_more.count(observed.snapshot)
        prepared = await self._think(
            lambda: prepare(observed, self.config.planner.limits, self.memory, self.ticks())
        )
        await self._see_to_the_queue(prepared)
        expected = await self._expect(prepared)
        decided = await self._think(lambda: self._decide(prepared, expected))
        self._record(prepared, decided, time.perf_counter() - began)
        await self.journal.written()
        await self.check_lead()
        gives = decided.placements or prepared.ahead.reserve or prepared.way.evictions
        if gives and self.placed() > placed:  # on nodes that this plan takes for free, maybe
            self.openings = left
            return True
        moved, released = await self._apply(prepared, decided)
        self.alarm = min(filter(None, (next_change(prepared), self.once_more.due)), default=None)
        self.raced = idle_beside_doors(prepared.snapshot, prepared.room, prepared.policy)
        if self.is_asked:
            self.openings = openings_of(prepared, self.pins.pins.values(), since)
            self.start_times.tell(prepared, decided, self.memory.paces)
            returned = {key: (one.reason, one.times) for key, one in self.pins.returned.items()}
            self.waits_log.tell(prepared, replace(self.reasons.known, returned=returned))
        return moved or self._more(prepared, released)

    async def _think(self, work: Callable[[], T]) -> T:
        """Do what may take long, for it works on what users wrote, beside the loop that feeds the
        watchdog and answers."""
        async with self.thinking:
            return await asyncio.to_thread(work)

    async def look(self) -> None:
        """Take the inventory from Slurm, and change nothing. Raises SlurmError."""
        memory = Memory(Pins(0, 0))
        self._take_over(observe(await self.slurm.snapshot(), self.policy, memory, self.ticks()))

    async def stop(self) -> None:
        """Ask and tell no more."""
        await self.endings.stop()
        await self.start_times.stop()
        await self.waits_log.stop()

    async def own_reasons(self, user: str) -> dict[str, tuple[str, str]]:
        """Why a user's jobs wait after the last plan: code and sentence by key."""
        return await self.reasons.of(user, self.thinking.locked)

    def told(self) -> dict[str, Any]:
        """What the next cycle begins from, in addition to Slurm's records: see daemon/told.py."""
        return tell(self.memory, self.ticks(), self._expectation.latest)

    async def _observe(self) -> Observed:
        ticks = self.ticks()
        snapshot = replace(await self.slurm.snapshot(), measured=self.devices.measured())
        last_plan = await self.last_plans.of(snapshot)
        observed = await self._think(
            lambda: observe(snapshot, self.policy, self.memory, self.ticks(), last_plan)
        )
        self._take_over(observed)
        self.recorded = Recorded(observed.inventory, ticks)
        for key in observed.recovered:
            log.info("job %s is pinned and waits: it was released before, or requeued", key)
        await self.check_lead()
        return observed

    def _take_over(self, observed: Observed) -> None:
        self.inventory = observed.inventory
        self.capacity = capacity_of(observed.snapshot, self.policy)
        for warning in set(observed.inventory.warnings) - self._warned:
            log.warning("%s", warning)
        self._warned = set(observed.inventory.warnings)

    async def _settle(self, observed: Observed) -> bool:
        """Journal the jobs that started or ended; take back those that did not start in time.

        Returns whether some of those are due at once: nothing speaks against other nodes.
        """
        await self.trials.look()
        await self.paces.look()
        self.memory.paces = self.paces.known
        self.endings.see(observed.snapshot)
        self.start_times.see(observed.snapshot)
        returned = await self.releaser.take_back(observed.take_back)
        over = await self.fence.look(observed.snapshot, self.devices.uses())
        outgrew = await self.retries.choose(observed.snapshot)
        self._note(observed.snapshot, [*observed.outcomes, *returned, *over, *outgrew])
        self._note(observed.snapshot, await self.retries.give())
        await self.strays.unbind(observed, self.clock())
        blameless = {due.key for due in observed.take_back if not due.penalty}
        return _came_back(outcome for outcome in returned if outcome.key in blameless)

    def _heard(self, ended: list[Job], peaks: Mapping[int, int]) -> None:
        self.start_times.heard(ended)
        self.trials.heard(ended, self.inventory, peaks)
        self.paces.heard(ended, self.inventory)
        self.retries.heard(ended, peaks, self.inventory)

    async def _not_now(self) -> bool:
        """Do what is left when the gate says not to plan; returns whether to look again at once,
        because that may change."""
        if self.gate.bypass:  # plain Slurm may have better nodes for what is pinned ahead
            ahead = [TakeBack(p.task.key, "bypass is on", penalty=False) for p in self.pins.ahead()]
            await self.releaser.take_back(ahead)
            self.start_times.withdraw()
        return self.gate.state in {GateState.CLOSING, GateState.RECOVERING}

    async def _see_to_the_queue(self, prepared: Prepared) -> None:
        """Journal whose jobs are gated, and their classes; hand over jobs that are not ours;
        classify those that came past the hook."""
        if new := self._not_journaled(prepared):
            self.journal.write(lambda journal: journal.record_jobs(new))
        self._see_who_came_at_once(prepared.snapshot)
        await self.strays.hand_over(prepared, self.clock(), self.ticks())
        await self.strays.adopt(prepared)

    def _not_journaled(self, prepared: Prepared) -> list[tuple[Job, Classification | None]]:
        """The gated jobs that are not journaled as they are now, with their classes."""
        classified, before = prepared.queue.classifications, self._journaled
        self._journaled = {}
        new: list[tuple[Job, Classification | None]] = []
        for job in prepared.snapshot.jobs:
            known = before.get(job.id)
            if known and known[0] is job:  # most are as they were in the last cycle
                self._journaled[job.id] = known
            elif (what := classified.get(job.label)) or is_gated(job, self.policy):
                told = job.key, job.submit_time, MARK in job.admin_comment
                self._journaled[job.id] = job, told
                if not known or known[1] != told:
                    new.append((job, what))
        return new

    def _see_who_came_at_once(self, snapshot: Snapshot) -> None:
        """Journal the interactive jobs that did not wait in the gate."""
        here = {job.id: mark for job in snapshot.jobs if (mark := mark_of_sent(job, "at once"))}
        new = [job for job in snapshot.jobs if job.id in here.keys() - self._at_once]
        self._at_once = set(here)
        if new:
            known = [(job, here[job.id].classification) for job in new]
            self.journal.write(lambda journal: journal.record_jobs(known))
            detail = "it was given its nodes when it was submitted"
            came = [Outcome(job.key, Event.AT_ONCE, detail) for job in new]
            journal_outcomes(self.journal, self.clock(), came, snapshot)

    async def _expect(self, prepared: Prepared) -> Forecast:
        jobs = prepared.snapshot.jobs
        expected = await self._expectation.of(prepared.queue.tasks, jobs, prepared.room)
        return replace(expected, speeds=speeds_of(prepared.window, self.memory.paces))

    def _price(self, fluid: Fluid) -> Prices | None:
        return self.solver.price(fluid, PRICE_SECONDS)

    def _decide(self, prepared: Prepared, expected: Forecast) -> Plan:
        deadline = Deadline(self.solver, self.config.planner.deadline_seconds)
        decided = decide(prepared, expected, deadline.solve, deadline.hurry)
        learn(self.memory, prepared, decided)
        if decided.refused:
            log.error(
                "the solver's plan was refused, first-fit's is used: %s; please report this",
                decided.refused,
            )
        if decided.left_out:
            log.warning(
                "%d of %d jobs were not looked at: the plan's time (%g s) was up; raise"
                " planner.deadline_seconds or lower planner.window_tasks",
                decided.left_out, len(prepared.window), deadline.seconds,
            )  # fmt: skip
        return decided

    def _record(self, prepared: Prepared, decided: Plan, seconds: float) -> None:
        """Journal the plan before any of it is applied: if hetd dies halfway, it reads it back."""
        now, tasks = self.clock(), len(prepared.ahead.tasks) + prepared.queue.unlisted
        reserved, evictions = prepared.ahead.reserve, prepared.way.evictions
        if evictions:
            preempting = Plan(tuple(made.placement for made in evictions), status="preempting")
            self._journal_plan(prepared, preempting, 0.0)
        if reserved:
            starts = {r.task.key: r.start for r in reserved}
            ahead = Plan(tuple(r.placement for r in reserved), status="reserved")
            self._journal_plan(prepared, ahead, 0.0, starts)
        waits, kept, held = prepared.way.waits, prepared.ahead.kept, prepared.held
        reasons = {**decided.waiting, **kept, **waits, **held}
        waiting = {key: reason.told(local_time) for key, reason in reasons.items()}
        released = [pin.task for pin in prepared.pins]
        users = {task.key: task.user for task in (*prepared.queue.tasks, *released)}
        self.report = Report(
            now, seconds, decided.status, decided.gap, tasks, len(decided.placements),
            waiting, users, {key: code_of(reason) for key, reason in reasons.items()},
        )  # fmt: skip
        self.reasons.planned(prepared, waiting, self.report.codes)
        if decided.placements or decided.status == "refused":
            self._journal_plan(prepared, decided, seconds)
            log.info(
                "planned %d of %d tasks in %.0f ms (%s, gap %.2f %%)",
                len(decided.placements), tasks, seconds * 1e3, decided.status,
                decided.gap * 100,
            )  # fmt: skip

    def _journal_plan(
        self, prepared: Prepared, plan: Plan, seconds: float, starts: Mapping[str, float] = NOTHING
    ) -> None:
        now, tasks = self.clock(), len(prepared.ahead.tasks) + prepared.queue.unlisted
        planned = {placement.key for placement in plan.placements}
        beside = Planning(submitted_of(planned, prepared.snapshot), starts)
        self.last_plans.made(plan, beside)
        self.journal.write(lambda journal: journal.record_plan(now, seconds, tasks, plan, beside))

    async def _apply(self, prepared: Prepared, decided: Plan) -> tuple[bool, list[Outcome]]:
        """Update the jobs that the plan moves.

        Returns whether some are back in the gate, and what became of the releases.
        """
        why = dict.fromkeys(prepared.way.move, "there is room for it sooner") | prepared.ahead.move
        moves = [TakeBack(key, reason, penalty=False) for key, reason in why.items()]
        outcomes = await self.releaser.take_back(moves)
        moved = _came_back(outcomes)
        outcomes += await self.releaser.line_up(prepared)
        outcomes += await self.releaser.reserve(prepared)
        released = await self.releaser.preempt(prepared)
        released += await self.releaser.release(decided, prepared)
        await self.once_more.look(prepared, updated=bool(outcomes or released))
        self._note(prepared.snapshot, [*outcomes, *released])
        return moved, released

    def _note(self, snapshot: Snapshot, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            journal_outcomes(self.journal, self.clock(), outcomes, snapshot)
            users = {job.key: job.user for job in snapshot.jobs}
            self.happened += [(outcome, users.get(outcome.key, "")) for outcome in outcomes]
            self.counted.update(outcome.event for outcome in outcomes)

    def _more(self, prepared: Prepared, outcomes: list[Outcome]) -> bool:
        released = sum(outcome.event is Event.RELEASED for outcome in outcomes)
        left = len(prepared.ahead.tasks) > released
        full = released == self.config.planner.window_tasks
        return bool(prepared.strays) or (released > 0 and (left or full))


def _came_back(outcomes: Iterable[Outcome]) -> bool:
    return any(outcome.event is Event.RETURNED for outcome in outcomes)
