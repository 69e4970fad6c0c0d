"""The planning cycle: poll the task pools, solve, rewrite and release, observe."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

from slurm_het.config import Config
from slurm_het.core.assignment.linear_program import (
    LinearProgram,
)
from slurm_het.core.cluster.fit import (
    could_start,
)
from slurm_het.core.cluster.inventory import Inventory, devices_lost, take_inventory
from slurm_het.core.cluster.pinned import reserve
from slurm_het.core.gate import GateOrder, GateState
from slurm_het.core.jobs.gres_choice import original_gres, rewritten_gres
from slurm_het.core.jobs.mark import (
    MARK,
)
from slurm_het.core.jobs.task_pools import (
    Readings,
    TaskPools,
    display_key,
    fill_task_pools,
    is_gated,
)
from slurm_het.core.model import Job, Placement, Plan, Snapshot, Task
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.plan import (
    plan,
    select,
)
from slurm_het.core.planner.updates import (
    release_fields,
    return_fields,
)
from slurm_het.core.reservations.look_ahead import look_ahead
from slurm_het.core.syntax import hostlist
from slurm_het.core.worth.forecast import Forecast
from slurm_het.core.worth.full_cluster import Relax
from slurm_het.daemon.expectation import Expectation
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.strays import Intake
from slurm_het.errors import HetError, SlurmBusyError, SlurmError
from slurm_het.journal import Journal
from slurm_het.slurm import SlurmClient
from slurm_het.solve import Deadline

log = logging.getLogger("hetd.cycle")

CheckLead = Callable[[], Awaitable[None]]
RECOUNT_SECONDS = 30.0  # what a count has not set right, the next one at once will not either


async def _alone() -> None:
    """For a hetd that shares its Slurm with no other."""


def _names(job: Job) -> tuple[str, ...]:
    """Its nodes; none if they cannot be read, which take_inventory tells."""
    try:
        return hostlist.expand(job.nodes)
    except HetError:
        return ()


def no_plan(_: LinearProgram) -> None:
    """Without a solver of linear programs the weights go by what is simple to say."""


@dataclass
class Report:
    """What the last cycle did, for the control socket."""

    time: float = 0.0
    seconds: float = 0.0
    status: str = ""
    gap: float = 0.0
    tasks: int = 0
    placed: int = 0
    waiting: dict[str, str] = field(default_factory=dict)


class Cycle:
    """One object per daemon; `run` is one cycle. Raises SlurmError when Slurm does not answer.

    `clock` is the wall's, in which Slurm tells times; `ticks` never goes back and measures how long
    something waits. `deadline` is made anew as each plan begins. `check_lead` raises LeadError once
    another hetd plans; it is asked before anything is updated.
    """

    def __init__(
        self,
        config: Config,
        slurm: SlurmClient,
        gate: Gate,
        journal: Journal,
        deadline: Callable[[], Deadline],
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        check_lead: CheckLead = _alone,
        relax: Relax = no_plan,
    ) -> None:
        self.check_lead = check_lead
        self.config, self.policy = config, config.policy
        self.slurm, self.gate, self.journal = slurm, gate, journal
        self.deadline, self.clock, self.ticks = deadline, clock, ticks
        self.pins = Pins(config.planner.grace_seconds, config.planner.retry_seconds)
        self.intake = Intake(slurm, config.policy, self.pins, journal)
        self.inventory = Inventory({})
        self.report = Report()
        self._warned: set[str] = set()
        self._journaled: set[tuple[str, int]] = set()
        self._expectation = Expectation(journal, config, clock, ticks, relax)
        self._holding: dict[int, dict[str, str]] = {}  # by job, its GRES by node
        self._readings = Readings()
        self._counted = float("-inf")
        self._in_vain: set[str] = set()

    async def run(self) -> bool:
        """One cycle; returns whether another may find more to do at once."""
        began = time.perf_counter()
        snapshot = self._without_leftovers(self._with_details(await self.slurm.snapshot()))
        self.inventory = self._take_inventory(snapshot)
        await self.check_lead()
        await self._settle_pins(snapshot)
        await self.intake.unbind(snapshot, self.inventory, self.clock())
        if await self.gate.heed(self.gate.read(snapshot)) is not GateOrder.PLAN:
            return await self._not_now()
        await self._have_devices_counted(snapshot)
        window_tasks = self.config.planner.window_tasks
        queue = fill_task_pools(
            snapshot, self.inventory, self.policy, limit=window_tasks, readings=self._readings
        )
        self._record_jobs(snapshot, queue)
        await self.intake.hand_over(queue, self.clock(), self.ticks())
        strays = await self.intake.adopt(snapshot, queue, self.inventory)
        room = reserve(self.inventory, self.pins.pins.values())
        due = self.pins.due(queue.tasks, self.ticks(), partial(could_start, inventory=room))
        tasks = tuple(t for t in due if t.job_id not in strays)
        tasks, kept = await self._look_ahead(snapshot, room, tasks)
        window = select(room, tasks, window_tasks)
        expected = await self._expectation.of(queue.tasks, snapshot.jobs, room)
        made = await asyncio.to_thread(self._plan, room, window, expected)
        made = replace(made, waiting=made.waiting | kept)
        self._record(made, len(tasks) + queue.unlisted, time.perf_counter() - began)
        await self.check_lead()
        released = await self._release(made, window, snapshot)
        more = len(tasks) > released or released == window_tasks
        return bool(strays) or (released > 0 and more)

    def _plan(self, room: Inventory, window: tuple[Task, ...], expected: Forecast) -> Plan:
        until = self.deadline()
        # Who was looked at in vain, while others were not, comes after them for once.
        window = tuple(sorted(window, key=lambda task: task.key in self._in_vain))
        made = plan(room, window, self.policy, until.solve, expected, until.hurry)
        in_vain = made.left_out and not made.placements
        self._in_vain = {t.key for t in window[: -made.left_out]} if in_vain else set()
        if made.left_out:
            log.warning("%d of %d jobs were not looked at: their plan's time (%g s) was up; raise"
                        " planner.deadline_seconds or lower planner.window_tasks",
                        made.left_out, len(window), until.seconds)  # fmt: skip
        return made

    async def _have_devices_counted(self, snapshot: Snapshot) -> None:
        lost = devices_lost(snapshot)
        if lost and self.ticks() >= self._counted + RECOUNT_SECONDS:
            names = hostlist.fold(lost)
            log.warning("Slurm takes devices of %s for used, and no job holds them: the intake is"
                        " set DOWN once more, then Slurm counts anew", names)  # fmt: skip
            self._counted = self.ticks()
            await self.gate.repeat()

    async def look(self) -> None:
        """Learn from Slurm what there is, and touch nothing. Raises SlurmError."""
        snapshot = await self.slurm.snapshot()
        self.inventory = self._take_inventory(snapshot)

    def _with_details(self, snapshot: Snapshot) -> Snapshot:
        """22.05 prints no GRES details of a COMPLETING job, whose devices are not free yet, and
        leaves out the nodes that are done with it."""
        jobs = []
        for job in snapshot.jobs:
            before = self._holding.get(job.id)
            if before and job.holds_nodes and not job.gres_detail:
                names = _names(job)
                if all(name in before for name in names):
                    job = replace(job, gres_detail=tuple(before[name] for name in names))
            jobs.append(job)
        self._holding = {
            job.id: dict(zip(_names(job), job.gres_detail, strict=False))
            for job in jobs
            if job.holds_nodes and job.gres_detail
        }
        return replace(snapshot, jobs=tuple(jobs))

    def _without_leftovers(self, snapshot: Snapshot) -> Snapshot:
        """Gated jobs with a node list of ours as if they had none: the next release replaces it.

        24.11 and 26.05 keep the node list of an update that they refuse; hetd clears it, unless it
        ends before that. A list that its user wrote is another than the one last planned.
        """

        def cleared(job: Job) -> Job:
            if not (job.req_nodes and is_gated(job, self.policy) and MARK in job.admin_comment):
                return job
            last = self.journal.last_plan(job.key)
            ours = last and set(last.placement.nodes) == set(hostlist.expand(job.req_nodes))
            return replace(job, req_nodes="") if ours else job

        return replace(snapshot, jobs=tuple(map(cleared, snapshot.jobs)))

    def _take_inventory(self, snapshot: Snapshot) -> Inventory:
        inventory = take_inventory(snapshot, self.policy)
        for warning in set(inventory.warnings) - self._warned:
            log.warning("%s", warning)
        self._warned = set(inventory.warnings)
        return inventory

    async def _not_now(self) -> bool:
        """The gate says not to plan; whether to look again at once, because that may change."""
        if self.gate.bypass:
            for pin in self.pins.ahead():  # plain Slurm may have better nodes for it
                await self._take_back(pin.task.key, "bypass is on", penalty=False)
        return self.gate.state in {GateState.CLOSING, GateState.RECOVERING}

    async def _settle_pins(self, snapshot: Snapshot) -> None:
        """Note what started; take back what did not within the grace time."""
        now = self.clock()
        outcomes = self.pins.observe(snapshot, self.policy, self.ticks())
        found = self.pins.recover(snapshot, self.inventory, self.policy, self.journal.last_plan)
        for pin in found:
            log.info("job %s is pinned and waits: released before, or requeued", pin.task.key)
            self.pins.add(pin.task, pin.placement, self.ticks(), pin.start)
        jobs = {job.key: job for job in snapshot.jobs}
        ending = {key for key, job in jobs.items() if job.state == "COMPLETING"}
        stranded = {k: w for k, w in self.pins.stranded(self.inventory).items() if k not in ending}
        late = {p.task.key: jobs.get(p.task.key) for p in self.pins.late(self.ticks(), now)}
        late = {key: job for key, job in late.items() if key not in stranded}
        # Side by side: each may have to try again (versions.TRANSIENT), and the watchdog counts.
        outcomes += await asyncio.gather(
            *(self._take_back(k, job.reason if job else "unknown") for k, job in late.items()),
            *(self._take_back(k, why, penalty=False) for k, why in stranded.items()),
        )
        self.journal.record_outcomes(now, outcomes)

    async def _take_back(
        self, key: str, reason: str, *, penalty: bool = True
    ) -> tuple[str, str, str]:
        pin = self.pins.pins.get(key)
        wanted = original_gres(pin.task, pin.placement) if pin else ""
        fields = return_fields(self.policy, pin.nodes_min if pin else 0, wanted)
        try:
            await self.slurm.update_job(key, fields)
        except SlurmError as error:
            self.pins.pins.pop(key, None)  # it started meanwhile, or the next snapshot tells
            return key, "kept", error.message
        if penalty:
            self.pins.take_back(key, reason, self.ticks())
        else:
            self.pins.pins.pop(key, None)
        log.info("job %s is back in the gate: %s", key, reason)
        return key, "returned", reason

    def _record_jobs(self, snapshot: Snapshot, queue: TaskPools) -> None:
        """Journal the classification of every gated job, once."""
        gated = {
            (job.key, job.submit_time): (job.user, queue.classifications[key])
            for job in snapshot.jobs
            if (key := display_key(job)) in queue.classifications
        }
        self.journal.record_jobs((*mark, *gated[mark]) for mark in gated.keys() - self._journaled)
        self._journaled = set(gated)

    def _record(self, made: Plan, tasks: int, seconds: float) -> None:
        now = self.clock()
        self.report = Report(
            now, seconds, made.status, made.gap, tasks, len(made.placements), made.waiting
        )
        if made.placements or made.status == "refused":
            self.journal.record_plan(now, seconds, tasks, made)
            log.info(
                "planned %d of %d tasks in %.0f ms (%s, gap %.2f %%)",
                len(made.placements), tasks, seconds * 1e3, made.status, made.gap * 100,
            )  # fmt: skip

    async def _look_ahead(
        self, snapshot: Snapshot, room: Inventory, tasks: tuple[Task, ...]
    ) -> tuple[tuple[Task, ...], dict[str, str]]:
        """Pin the first blocked task of each pool to what frees up soonest.

        Returns the tasks, kept off what is reserved, and for whom those wait that only this
        holds back.
        """
        now, planner = self.clock(), self.config.planner
        view = look_ahead(
            snapshot, room, tasks, self.pins.ahead(), self.policy, planner.reservations,
            planner.reserve_after_seconds,
        )  # fmt: skip
        outcomes = [await self._take_back(key, "other nodes are free sooner", penalty=False)
                    for key in view.move]  # fmt: skip
        if view.reserve:
            placed = tuple(made.placement for made in view.reserve)
            starts = {made.task.key: made.start for made in view.reserve}
            self.journal.record_plan(now, 0.0, len(tasks), Plan(placed, status="reserved"), starts)
        jobs = {job.id: job for job in snapshot.jobs}
        for made in view.reserve:
            job = jobs.get(made.task.job_id)
            key, event, detail = await self._release_one(made.placement, made.task, job, made.start)
            if event == "released":
                by = time.strftime("%H:%M:%S", time.localtime(made.start))
                event, detail = "reserved", f"{detail}, by {by} at the latest"
                log.info("job %s is pinned ahead: %s", key, detail)
            outcomes.append((key, event, detail))
        self.journal.record_outcomes(now, outcomes)
        return view.tasks, view.kept

    async def _release(self, made: Plan, window: tuple[Task, ...], snapshot: Snapshot) -> int:
        """Apply the plan; each update guards itself. Returns how many tasks were released."""
        tasks = {task.key: task for task in window}
        jobs = {job.id: job for job in snapshot.jobs}
        results = await asyncio.gather(
            *(self._release_one(p, tasks[p.key], jobs.get(tasks[p.key].job_id))
              for p in made.placements)
        )  # fmt: skip
        self.journal.record_outcomes(self.clock(), results)
        return sum(event == "released" for _, event, _ in results)

    async def _release_one(
        self, placement: Placement, task: Task, job: Job | None, start: float = 0.0
    ) -> tuple[str, str, str]:
        key = placement.key
        if job is None:
            return key, "refused", "not in the snapshot"
        wanted = rewritten_gres(task, placement)
        fields = release_fields(placement, job, wanted)
        raised = fields.get("NumNodes", str(job.nodes_min)) != str(job.nodes_min)
        self.pins.add(task, placement, self.ticks(), start, job.nodes_min if raised else 0)
        try:
            await self.slurm.update_job(key, fields)
        except SlurmBusyError as error:
            self.pins.pins.pop(key, None)  # the job did nothing wrong: it is due again at once
            return key, "busy", error.message
        except SlurmError as error:
            log.info("job %s was not released: %s", key, error.message)
            # Refused is not undone: 22.05 has moved the job then, newer ones keep the node list.
            await self._take_back(key, error.message[-120:])
            return key, "refused", error.message
        where = f"{placement.partition} {','.join(placement.nodes)}"
        return key, "released", f"{where} as {wanted}" if wanted else where
