"""The cycles that a configuration asks for: of the pools in plan, and of those in shadow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.gate import GateEvent, GateState
from slurm_het.core.planner.pins import where_planned
from slurm_het.core.planner.proposal import TakeBack
from slurm_het.core.planner.repairs import Planned
from slurm_het.core.planner.switch import Move, as_submitted, sent_elsewhere
from slurm_het.daemon.cycle import CheckLead, Cycle
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.logs import in_shadow
from slurm_het.daemon.shadow import ShadowCycle
from slurm_het.errors import HetError, SlurmBusyError, SlurmError
from slurm_het.journal import Keeper
from slurm_het.opener import Holds
from slurm_het.settings import Config
from slurm_het.slurm import SlurmClient
from slurm_het.slurm.backend import client_of
from slurm_het.solve.worker import WorkerSolver, solver_of

log = logging.getLogger("hetd.cycle")
TAKE_BACK_SECONDS = 2.0
"""So long the gate waits for who is taken back at hetd's end. Its supervisor waits for 5 s."""


class Sides:
    """Makes the cycles anew for each configuration: Slurm and the journals tell them all.

    Where no pool is in plan, the cycle of those in shadow is the only one, and the gate is moved
    once at most: if slurm-het has left it closed, it is opened.
    """

    def __init__(
        self, config: Config, slurm: SlurmClient, solver: WorkerSolver, check_lead: CheckLead
    ) -> None:
        self.slurm, self.solver, self.check_lead = slurm, solver, check_lead
        # Shadow's own, beside plan: it is not to delay that, nor to answer for it to the watchdog.
        self._own_solver: WorkerSolver | None = None
        self._own_slurm: SlurmClient | None = None
        paths = config.paths
        intake, note = config.policy.intake_partition, Holds(paths.control_socket.parent)
        self._gate = Gate(slurm, intake, paths.state_dir, note)
        self._journals: dict[Path, Keeper] = {}
        self._freed = False  # whether it has looked for whom another configuration has pinned
        self.use(config)

    def use(self, config: Config) -> None:
        """Make the cycles of a configuration."""
        self.config = config
        self.planned = self._planned(config.planned) if config.plans else None
        shadowed = config.shadowed if config.policy.shadowed.pools or not config.plans else None
        self.shadowed = self._shadowed(shadowed) if shadowed else None

    @property
    def cycle(self) -> Cycle:
        """The one that the hook, the users who ask and the views go by."""
        cycle = self.planned or self.shadowed
        assert cycle  # noqa: S101 - there is one of them
        return cycle

    @property
    def beside(self) -> ShadowCycle | None:
        """Shadow's, where another one goes first."""
        return self.shadowed if self.planned else None

    @property
    def gate(self) -> Gate:
        """The gate of `cycle`: in shadow that of the book."""
        return self.cycle.gate

    @property
    def gate_state(self) -> GateState:
        """That of the real gate; where no pool is in plan, as the intake was last seen."""
        if self.planned:
            return self._gate.state
        return GateState.CLOSED if self._intake in {"DOWN", "INACTIVE"} else GateState.OPEN

    @property
    def refusal(self) -> SlurmError | None:
        """Why the real gate could not be opened, at the last try."""
        return self._gate.refusal

    @property
    def trouble(self) -> str:
        """What is wrong with the real gate, in a sentence, or ''."""
        if self.refusal:
            return f"the gate cannot be opened: {self.refusal.message}"
        if not self.planned and self._intake == "DOWN":
            name = self._gate.partition
            todo = f"scontrol update PartitionName={name} State=UP"
            return f"the intake {name} is DOWN, and no pool is in plan: its jobs wait ({todo})"
        return ""

    @property
    def _intake(self) -> str:
        return self.shadowed.shadow.intake if self.shadowed else ""

    @property
    def journal(self) -> Keeper:
        """The journal of `cycle`."""
        paths = self.config.paths
        return self._journal(paths.journal if self.planned else paths.shadow_journal)

    async def begin(self) -> None:
        """Where no pool is in plan and nobody has noted anything since this host's boot: note that
        nothing is held closed. Else a hetd that fails before it leads has its gate opened."""
        if self.planned or self._gate.holds.read("?") != "?":
            return
        if not await self._gate.left_closed():
            self._gate.note(held=False)

    def note(self, *, leads: bool) -> None:
        """Note that this hetd may hold the gate closed, or stands by. In shadow the leader opens
        what the note names: it stays."""
        if self.planned or not leads:
            self._gate.note(held=leads)

    async def open_what_is_left(self) -> None:
        """Where no pool is in plan: open the gate if slurm-het has closed it, for Slurm may have
        refused that before, or a hetd that planned may have ended."""
        if not self.planned and await self._gate.left_closed():
            await self._gate.heed(GateEvent.STOP)

    async def give_up(self) -> None:
        """Open the gate at this hetd's end, once those are taken back that it has sent to nodes and
        that do not run yet: nobody would give them others, whatever becomes of these."""
        if self.planned:
            pins = [pin for pin in self.planned.pins.pins.values() if not pin.in_line]
            try:
                async with asyncio.timeout(TAKE_BACK_SECONDS):
                    await self._take_back(self.planned, pins, "hetd ends")
            except TimeoutError:
                log.error("not all of %d jobs are taken back: slurmctld is too slow", len(pins))
            await self._gate.heed(GateEvent.STOP)
        await self.open_what_is_left()

    @staticmethod
    async def _take_back(planned: Cycle, pins: Iterable[Pin], why: str) -> None:
        back = [TakeBack(pin.task.key, why, penalty=False) for pin in pins]
        await planned.releaser.take_back(back)

    async def free_the_pinned(self) -> None:
        """Once: make those again what their users submitted whom a hetd with another configuration
        has pinned where none is in plan now, and that do not run yet."""
        if self._freed:
            return
        try:
            policy = self.config.policy.planned
            if jobs := sent_elsewhere(await self.slurm.snapshot(), policy):
                journal = self._journal(self.config.paths.journal)
                nothing: Mapping[tuple[str, int], Planned | None] = {}
                known = await journal.ask(lambda j: j.last_plans(jobs), nothing)
                last = {job.key: known.get((job.key, job.submit_time)) for job in jobs}
                ours = [job for job in jobs if where_planned(job, last[job.key])]
                await self.check_lead()
                moves = (self._free(as_submitted(job, policy)) for job in ours)
                done = await asyncio.gather(*moves, return_exceptions=True)
                for failed in filter(None, done):
                    raise failed
        except SlurmError as error:  # in the next cycle
            log.error("not looked for jobs that are pinned in other partitions: %s", error.message)
        else:
            self._freed = True

    async def _free(self, move: Move) -> None:
        key, partition = move.job.key, move.job.partition
        try:
            for fields in move.updates:
                await self.slurm.update_job(move.key, fields)
        except SlurmBusyError:
            raise
        except SlurmError as error:
            log.warning("job %s stays pinned in %s: %s", key, partition, error.message)
        else:
            log.info("job %s is pinned no more: %s is not in plan", key, partition)

    async def run_beside(self, stop: asyncio.Event) -> None:
        """Run shadow's cycles beside the others, which wait for none of them, whatever befalls."""
        while not stop.is_set():
            if beside := self.beside:
                try:
                    await beside.run()
                except HetError as error:
                    with in_shadow():
                        log.error("cycle given up: %s", error.message)
                except Exception:
                    with in_shadow():
                        log.exception("cycle given up; please report this")
            await asyncio.sleep(self.config.planner.poll_seconds)

    async def leave(self, new: Config, *, leads: bool) -> None:
        """End what of the present cycles does not go on with a new configuration.

        Who was released in a pool that leaves plan, and has not started, is taken back. Where none
        is left in plan the gate opens. Who does not lead moves nothing.
        """
        await self.stop()
        if not self.planned or not leads:
            return
        policy = new.policy.planned
        pins = self.planned.pins.pins.values()
        gone = [pin for pin in pins if not policy.pool(pin.placement.partition)]
        await self._take_back(self.planned, gone, "its pool is not in plan any more")
        if not new.plans:
            await self._gate.heed(GateEvent.STOP)

    async def stop(self) -> None:
        """End their work beside the cycles."""
        for cycle in filter(None, (self.planned, self.shadowed)):
            await cycle.stop()

    def close(self) -> None:
        """Close the journals, and what solves for shadow alone."""
        if self._own_solver:
            self._own_solver.close()
        for journal in self._journals.values():
            journal.close()

    def _planned(self, config: Config) -> Cycle:
        journal = self._journal(config.paths.journal)
        return Cycle(
            config, self.slurm, self._gate, journal, self.solver, check_lead=self.check_lead
        )

    def _shadowed(self, config: Config) -> ShadowCycle:
        slurm, solver = self.slurm, self.solver
        if self.planned:
            slurm = self._own_slurm = self._own_slurm or client_of(config.slurm)
            planner = config.planner
            solver = self._own_solver = self._own_solver or solver_of(planner)
            solver.use(planner.solver, planner.gap, rearrange=planner.rearrange)
        made = ShadowCycle(config, slurm, self._journal(config.paths.journal), solver)
        if not self.planned:  # beside plan, that one looks: two at once get in each other's way
            made.check_lead = self.check_lead
        return made

    def _journal(self, path: Path) -> Keeper:
        if path not in self._journals:
            self._journals[path] = Keeper(path, self.config.planner.keep_days)
        return self._journals[path]
