"""The planning cycle: poll the task pools, solve, rewrite and release, observe."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from slurm_het.config import Config
from slurm_het.core.inventory import Inventory, take_inventory
from slurm_het.core.model import Job, Placement, Plan, Snapshot, Task
from slurm_het.core.plan import plan, select
from slurm_het.core.problem import Problem, Solution
from slurm_het.core.queue import TaskPools, display_key, fill_task_pools, is_gated
from slurm_het.core.reserve import reserve
from slurm_het.core.rewrite import MARK, admit, release_fields, return_fields, sent_by
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.pins import Pins
from slurm_het.daemon.store import Journal
from slurm_het.errors import SlurmBusyError, SlurmError
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.cycle")
MAX_ADOPTIONS = 50

Solve = Callable[[Problem], Solution]


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
    """One object per daemon; `run` is one cycle. Raises SlurmError when Slurm does not answer."""

    def __init__(
        self,
        config: Config,
        slurm: SlurmClient,
        gate: Gate,
        journal: Journal,
        solve: Solve,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config, self.policy = config, config.policy
        self.slurm, self.gate, self.journal = slurm, gate, journal
        self.solve, self.clock = solve, clock
        self.pins = Pins(config.planner.grace_seconds, config.planner.retry_seconds)
        self.inventory = Inventory({})
        self.report = Report()
        self._warned: set[str] = set()
        self._seen: set[tuple[str, int]] = set()
        self._refused: set[int] = set()

    async def run(self) -> bool:
        """One cycle; returns whether another may find more to do at once."""
        began = time.perf_counter()
        snapshot = await self.slurm.snapshot()
        self.inventory = self._take_inventory(snapshot)
        await self._settle_pins(snapshot)
        if not await self._gate_is_closed(snapshot):
            return False
        adopted = await self._adopt(snapshot)
        tasks = self._due_tasks(snapshot)
        room = reserve(self.inventory, self.pins.pins.values())
        window = select(room, tasks, self.config.planner.window_tasks)
        made = await asyncio.to_thread(plan, room, window, self.policy, self.solve)
        self._record(made, len(tasks), time.perf_counter() - began)
        released = await self._release(made, window, snapshot)
        return adopted or (released > 0 and len(tasks) > released)

    async def start(self) -> None:
        """Rebuild from Slurm's truth: what was released before and has not started."""
        snapshot = await self.slurm.snapshot()
        self.inventory = self._take_inventory(snapshot)
        self.gate.read(snapshot)
        recovered = self.pins.recover(snapshot, self.inventory, self.policy, self.clock())
        if recovered:
            log.info("found %d released jobs that wait to start", len(recovered))

    def _take_inventory(self, snapshot: Snapshot) -> Inventory:
        inventory = take_inventory(snapshot, self.policy)
        for warning in set(inventory.warnings) - self._warned:
            log.warning("%s", warning)
        self._warned = set(inventory.warnings)
        return inventory

    async def _gate_is_closed(self, snapshot: Snapshot) -> bool:
        """Keep the gate as it should be; False while plain Slurm schedules."""
        state = self.gate.read(snapshot)
        if self.gate.bypass:
            if state == "closed":
                await self.gate.open("bypass is on")
            return False
        if state == "open":
            # Jobs that plain Slurm just started are in the next snapshot: plan from that one.
            await self.gate.close()
            return True
        return state == "closed"

    async def _settle_pins(self, snapshot: Snapshot) -> None:
        """Note what started; take back what did not within the grace time."""
        now = self.clock()
        outcomes = self.pins.observe(snapshot, self.policy)
        jobs = {job.key: job for job in snapshot.jobs}
        for pin in self.pins.late(now):
            job = jobs.get(pin.task.key)
            reason = job.reason if job else "unknown"
            outcomes.append(await self._take_back(pin.task.key, reason, now))
        self.journal.record_outcomes(now, outcomes)

    async def _take_back(self, key: str, reason: str, now: float) -> tuple[str, str, str]:
        try:
            await self.slurm.update_job(key, return_fields(self.policy))
        except SlurmError as error:
            self.pins.pins.pop(key, None)  # it started meanwhile, or the next snapshot tells
            return key, "kept", error.message
        self.pins.take_back(key, reason, now)
        log.info("job %s did not start in time (%s): back in the gate", key, reason)
        return key, "returned", reason

    async def _adopt(self, snapshot: Snapshot) -> bool:
        """Classify gated jobs that the hook could not (it was cut off, or came later)."""
        strays = [
            job
            for job in snapshot.jobs
            if is_gated(job, self.policy)
            and MARK not in job.admin_comment
            and job.id not in self._refused
        ]
        for job in strays[:MAX_ADOPTIONS]:
            admission = admit(
                sent_by(job, await self.slurm.batch_script(job.id)), self.policy, self.inventory
            )
            fields = {
                "AdminComment": admission.fields.get("admin_comment", ""),
                "Features": admission.fields.get("features", ""),
            }
            try:
                if admission.action != "admit":
                    raise SlurmError(admission.why)
                await self.slurm.update_job(str(job.id), {k: v for k, v in fields.items() if v})
            except SlurmError as error:
                log.warning("job %d is not adopted: %s", job.id, error.message)
                self._refused.add(job.id)
        return bool(strays)

    def _due_tasks(self, snapshot: Snapshot) -> tuple[Task, ...]:
        queue = fill_task_pools(snapshot, self.inventory, self.policy)
        self._record_jobs(snapshot, queue)
        return self.pins.due(queue.tasks, self.clock())

    def _record_jobs(self, snapshot: Snapshot, queue: TaskPools) -> None:
        """Journal the classification of every gated job, once."""
        for job in snapshot.jobs:
            key = display_key(job)
            what = queue.classifications.get(key)
            mark = (job.key, job.submit_time)
            if what and mark not in self._seen:
                self._seen.add(mark)
                self.journal.record_job(job.key, job.submit_time, job.user, what)

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
        self, placement: Placement, task: Task, job: Job | None
    ) -> tuple[str, str, str]:
        key = placement.key
        if job is None:
            return key, "refused", "not in the snapshot"
        self.pins.add(task, placement, self.clock())
        try:
            await self.slurm.update_job(key, release_fields(placement, job))
        except SlurmBusyError as error:
            self.pins.pins.pop(key, None)  # the job did nothing wrong: it is due again at once
            return key, "busy", error.message
        except SlurmError as error:
            self.pins.take_back(key, error.message[-120:], self.clock())
            log.info("job %s was not released: %s", key, error.message)
            return key, "refused", error.message
        return key, "released", f"{placement.partition} {','.join(placement.nodes)}"
