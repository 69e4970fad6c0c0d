"""hetd: wires Slurm, the hook's socket, the solver and the journal around the planning cycle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import click

from slurm_het.aside import Aside
from slurm_het.config import load_config
from slurm_het.core.capacity import Capacity
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.gate import GateEvent, GateState
from slurm_het.daemon.asks import Asks
from slurm_het.daemon.control import Caller, ControlRequest, ControlServer
from slurm_het.daemon.cycle import Cycle
from slurm_het.daemon.doors import Doors
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.health import MAX_BACKOFF, Health
from slurm_het.daemon.hook_process import HookChild
from slurm_het.daemon.last_words import last_words
from slurm_het.daemon.lease import Lease
from slurm_het.daemon.logs import say_os_errors, set_up_logging
from slurm_het.daemon.notify import Watcher, notify, opened_by, stuck_seconds, tell_watchdog
from slurm_het.daemon.page import PageTimer
from slurm_het.daemon.records import SharedRecords, history_of
from slurm_het.daemon.reload import read_again
from slurm_het.daemon.sides import Sides
from slurm_het.daemon.status import of_cycle, of_shadow
from slurm_het.daemon.telemetry import Telemetry
from slurm_het.daemon.tidying import Tidying
from slurm_het.daemon.wakes import Wakes
from slurm_het.errors import CannotRunError, HetError, LeadError, SlurmError
from slurm_het.journal import Keeper
from slurm_het.settings import Config
from slurm_het.sizes import limit_mib
from slurm_het.slurm.backend import client_of
from slurm_het.solve.worker import solver_of

log = logging.getLogger("hetd")
# A released job starts at Slurm's next pass; look once it should have.
RELEASE_WAKE = 1.0
ALARM_LEAST = 0.2  # clocks differ: look again and again, but not all the time
NOTHING_CHANGED = "no pool is in plan: nothing is changed for jobs"
LEASE_SECONDS = 0.5
LOOK_SECONDS = 0.5


def _health(config: Config) -> Health:
    planner = config.planner
    return Health(planner.fail_open_seconds, 2 * planner.retry_seconds)


class Daemon:
    """The resident process. `run` returns after SIGTERM; any bug ends it, which opens the gate."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.slurm = client_of(config.slurm)
        self.solver = solver_of(config.planner)
        self.sides = Sides(config, self.slurm, self.solver, self._check_lead)
        self.lease = Lease(config.paths.state_dir)
        self.leading: bool | None = None  # None: not known yet
        self.telemetry = Telemetry(config.telemetry, lambda: self.cycle.recorded)
        self._get_to_know_cycle()
        self.turn = asyncio.Lock()  # a cycle's, or that of a user who asks
        self.asks = self._new_asks()
        self.wakes = Wakes(config.paths.event_socket, config.planner.settle_seconds)
        self.hook = HookChild(config, self.wakes.admitted, self.wakes.stop.set)
        self.hook.trials, self.telemetry.wake = self.cycle.trials, self.wakes.wake
        self.control = ControlServer(config.paths.control_socket, config.operators, self._control)
        self.records = SharedRecords(self.slurm)
        self.doors = Doors(self.hook, self.control, self.wakes)
        self._reload = False  # whether SIGHUP came
        self._reading = Aside("configuration")
        self.started = time.time()
        self._cycle_began = self._planned_at = time.monotonic()
        self._planning = False
        self.health = _health(config)
        self.watcher = Watcher(opened_by(config))
        self.tidying = Tidying()
        self.page = PageTimer(lambda: self.config, self._pauses)
        self._unable: HetError | None = None

    @property
    def cycle(self) -> Cycle:
        """The cycle that goes first: of the pools in plan, or of those in shadow if none is."""
        return self.sides.cycle

    @property
    def gate(self) -> Gate:
        """Its gate."""
        return self.sides.gate

    @property
    def journal(self) -> Keeper:
        """Its journal."""
        return self.sides.journal

    async def run(self) -> None:
        """Get ready, take the lead, close the gate, plan until told to stop, open the gate."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(say_os_errors)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.wakes.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_reload)
        beside: list[asyncio.Task[None]] = []
        try:
            await self._get_ready()
            self.telemetry.start()
            beside += [
                asyncio.create_task(
                    tell_watchdog(
                        self.watcher, self._last_progress, lambda: stuck_seconds(self.config)
                    )
                ),
                *map(asyncio.create_task, (self._open_in_time(), self.page.run())),
                asyncio.create_task(self.doors.watch(self._offered)),
                asyncio.create_task(self.slurm.controllers.watch(self.control.path.parent)),
            ]
            await self._stand_by()
            beside.append(asyncio.create_task(self.sides.run_beside(self.wakes.stop)))
            await self._cycles()
        finally:
            for task in beside:
                task.cancel()
            notify("STOPPING=1")
            await self.hook.stop()
            await self.control.stop()
            self.wakes.close()
            await self._give_up_the_lead()
            await self.telemetry.stop()
            await self.sides.stop()
            self.solver.close()
            self.sides.close()

    async def _get_ready(self) -> None:
        await self.sides.begin()
        await asyncio.to_thread(self.solver.warm)
        await self.cycle.look()
        await self.cycle.trials.look()
        await self.control.start()
        await self.hook.start(self.cycle.inventory, self.cycle.capacity)
        self.wakes.listen()

    async def _stand_by(self) -> None:
        """Wait for the lead. Until then answer the hook (slurmctld may be here); update nothing."""
        looked = time.monotonic()
        while not self.wakes.stop.is_set() and not await self.lease.taken():
            if self.leading is None:
                self.leading = False
                self.sides.note(leads=False)
                log.info("standing by: another hetd leads (%s)", self.lease.path)
                notify("READY=1\nSTATUS=standing by")
            await asyncio.sleep(LEASE_SECONDS)
            await self._reload_if_told()
            self._cycle_began = time.monotonic()
            if self._cycle_began - looked > self.config.planner.poll_seconds:
                looked = self._cycle_began
                with contextlib.suppress(SlurmError):  # an older inventory serves the hook as well
                    await self.cycle.look()
                    await self.hook.update(self.cycle.inventory, self.cycle.capacity)
                self.tidying.look(self._cycle_began)
        if not self.wakes.stop.is_set():
            self.leading = True
            self.sides.note(leads=True)  # whoever led before may have left it closed
            log.info("leading: this hetd holds %s", self.lease.path)

    def _offered(self) -> tuple[Inventory, Capacity]:
        return self.cycle.inventory, self.cycle.capacity

    def _told_to_reload(self) -> None:
        self._reload = True
        self.wakes.wake()

    async def _reload_if_told(self) -> None:
        """Take over what het.yaml says now, as a hetd that starts would; or say why not."""
        if not self._reload:
            return
        self._reload = False
        try:
            config = await read_again(self.config, self._reading)
        except HetError as error:
            log.error("SIGHUP: the configuration stays as it was: %s", " ".join(str(error).split()))
            return
        await self.sides.leave(config, leads=self.leading is True)
        await self.telemetry.use(config.telemetry)
        known = self._offered()
        self._use(config)
        try:
            await self.cycle.look()
            await self.cycle.trials.look()
            known = self._offered()
        except HetError as error:  # the next cycle says more
            log.error("SIGHUP: %s", error.message)
        try:
            await self.hook.again(*known)
        except HetError as error:  # a look at the hook's socket says more
            log.error("SIGHUP: %s", error.message)
        log.info("SIGHUP: %s is read anew, and counts from now on", config.source)

    def _use(self, config: Config) -> None:
        self.config = self.hook.config = config
        planner = config.planner
        self.solver.use(planner.solver, planner.gap, rearrange=planner.rearrange)
        self.wakes.settle_seconds = planner.settle_seconds
        self.journal.keep_days = planner.keep_days
        self.control.operators = config.operators
        self.health = _health(config)
        self.sides.use(config)
        self._get_to_know_cycle()
        self.hook.trials = self.cycle.trials
        self.asks = self._new_asks()
        self.tidying.all_soon()  # what was replaced is old, and in loops

    def _new_asks(self) -> Asks:
        cycle, policy = self.cycle, self.config.policy
        return Asks(self.slurm, policy, cycle.releaser, cycle.trials, self.turn)

    def _get_to_know_cycle(self) -> None:
        """Give new cycles what they learn from others."""
        self.cycle.placed = lambda: self.hook.placed
        for cycle in filter(None, (self.cycle, self.sides.beside)):
            cycle.devices = self.telemetry

    async def _give_up_the_lead(self) -> None:
        if self.leading:
            await self.sides.give_up()
        await self.lease.released()

    async def _open_in_time(self) -> None:
        """Open the gate once cycles have failed for too long, whatever the present one waits for.

        Where this hetd itself cannot, it ends: its supervisor can.
        """
        while not self.wakes.stop.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            if self.leading and self.health.failing(time.monotonic()) and not self.gate.opened:
                await self.gate.heed(GateEvent.FAILING)
                if isinstance(self.sides.refusal, CannotRunError):
                    self._unable = self.sides.refusal
                    self.wakes.stop.set()

    async def _cycles(self) -> None:
        while not self.wakes.stop.is_set():
            self.wakes.begin()
            await self._reload_if_told()
            self._cycle_began = time.monotonic()
            await self.sides.open_what_is_left()
            await self.sides.free_the_pinned()
            if await self._cycle():
                self.wakes.wake()
            if not self.health.failures and self.gate.state in {GateState.CLOSED, GateState.OPEN}:
                notify("READY=1\nSTATUS=leading")
            took = time.monotonic() - self._cycle_began
            self.tidying.look(self._cycle_began)
            await self.wakes.wait(self._pause(), took)
        if self._unable:
            raise self._unable

    async def _cycle(self) -> bool:
        """Run one cycle, and tell the gate if it fails; whether another may find more at once."""
        try:
            more = await self._plan()
            self.control.mark()
            self.wakes.raced = self.cycle.raced
            await self.hook.update(self.cycle.inventory, self.cycle.capacity, self.cycle.openings)
        except SlurmError as error:
            self.health.failed(self._cycle_began)
            log.error("cycle given up: %s", error.message)
            if not self.health.failing(time.monotonic()):
                await self.gate.heed(GateEvent.LOST)
            return False
        self.health.worked(self.cycle.happened, time.monotonic())
        if why := self.health.useless(time.monotonic()):
            raise HetError(why, "see what slurmctld's log says of them; is hetd's user SlurmUser?")
        return more

    async def _plan(self) -> bool:
        """Run the cycle, once users who ask have had their turn."""
        self._planning = True
        try:
            async with self.turn:
                return await self.cycle.run()
        finally:
            self._planning, self._planned_at = False, time.monotonic()

    def _pause(self) -> float:
        poll, failures = self.config.planner.poll_seconds, self.health.failures
        starting = self.cycle.pins.starting() and not failures
        pause = min(RELEASE_WAKE, poll) if starting else poll
        if self.cycle.alarm and not failures:
            pause = min(pause, max(ALARM_LEAST, self.cycle.alarm - time.time()))
        return min(MAX_BACKOFF, pause * 2.0 ** min(failures, 8))

    def _pauses(self) -> bool:
        return self.leading is True and not self._planning

    def _last_progress(self) -> float:
        # A cycle that makes many slow calls of Slurm does not hang as long as each is answered, nor
        # one that waits for a user's. Beside it their calls do not tell that cycles come to an end.
        calls = self.slurm.answered if self._planning or not self.leading else 0.0
        return max(self._cycle_began, self._planned_at, calls)

    async def _check_lead(self) -> None:
        try:
            await self.lease.checked()
        except LeadError:
            self.leading = False
            # Maybe another one leads: then it closes the gate again, which our supervisor opens.
            raise

    async def _control(self, request: ControlRequest, caller: Caller) -> dict[str, Any]:
        if request.op == "history":
            return await history_of(request.job, self.journal, caller)
        if request.op == "devices":
            return self.telemetry.told()
        if request.op == "records":
            return {"records": await self.records.told(caller)}
        if request.op == "learned":
            user = caller.speaks_for(request.user)
            return self.cycle.paces.told(user) | self.cycle.trials.told(user)
        if request.op == "reasons":
            return {"reasons": await self.cycle.own_reasons(caller.name)}
        if request.op == "status":
            async with self.cycle.thinking:
                return self._status(caller)
        if request.op == "ask":
            if self.leading is not True or not self.config.plans:
                why = "this hetd does not plan now" if self.config.plans else NOTHING_CHANGED
                raise HetError(why, "try again in a moment; docs/modes.md")
            made = await self.asks.ask(request.job, request.words, caller)
            self.wakes.wake()
            return made
        if request.op == "memory":
            async with self.cycle.thinking:
                return self.cycle.told()
        if request.op == "bypass":
            log.info("bypass %s, by %s", "on" if request.on else "off", caller.name or caller.uid)
            await self.gate.keep_bypass(on=request.on)
        self.wakes.wake()
        return {}

    def _troubles(self) -> list[str]:
        """What the operator has to know while it lasts, a sentence each, and nothing of jobs."""
        journal = self.journal.trouble
        found = (
            self.sides.trouble if self.leading is not False else "",
            self.health.told(time.monotonic()),
            self.doors.trouble,
            self.watcher.trouble,
            self.telemetry.trouble,
            self.page.trouble,
            f"the journal {self.journal.path} is off: {journal}" if journal else "",
        )
        return [sentence for sentence in found if sentence]

    def _status(self, caller: Caller) -> dict[str, Any]:
        """The state of hetd, and why jobs wait: all jobs for admins, their own for users."""
        return {
            "gate": self.sides.gate_state, "leading": self.leading, "bypass": self.gate.bypass,
            "config": str(self.config.source.absolute() if self.config.source else ""),
            "pid": os.getpid(), "supervised": "NOTIFY_SOCKET" in os.environ,
            "uptime": round(time.time() - self.started, 1),
            "troubles": self._troubles(), "telemetry": self.telemetry.status(),
            "memory_max_mib": limit_mib(), "journal_waited": round(self.journal.waited, 3),
            **(of_cycle(self.cycle, caller) if self.config.plans else {}),
            "modes": {pool.partition: pool.mode for pool in self.config.policy.pools},
            "shadow": of_shadow(self.sides.shadowed, caller),
        }  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="The configuration (het.yaml).")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def main(config: Path | None, verbose: bool) -> None:
    """The slurm-het daemon: plans gated jobs and releases them onto their nodes.

    \b
    Example:
      hetd --config /etc/slurm-het/het.yaml
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is listened for
    os.umask(0o077)  # the journal says whose jobs did what
    set_up_logging(verbose=verbose)
    with last_words("hetd"):
        asyncio.run(Daemon(load_config(config)).run())


if __name__ == "__main__":
    main()
