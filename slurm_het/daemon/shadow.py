"""The cycle of pools in shadow: hetd's own, on a Slurm that it cannot write to. docs/modes.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.gate import GateEvent, GateOrder
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.planner.proposal import Observed, TakeBack
from slurm_het.core.planner.shadow import TAKEN, overtaken
from slurm_het.core.reservations.look_ahead import at_hand
from slurm_het.core.syntax import hostlist
from slurm_het.daemon.clocks import Clocks
from slurm_het.daemon.cycle import Cycle
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.logs import in_shadow
from slurm_het.journal import Records
from slurm_het.opener import Holds
from slurm_het.settings import Config
from slurm_het.slurm import SlurmClient
from slurm_het.slurm.shadow import ShadowSlurm
from slurm_het.solve import Solver

FOREVER = 1e9  # seconds: when plain Slurm starts a job says nothing of its nodes
DUE = "the nodes that it was pinned to ahead are free"
OVER = "its time limit would be over: it would have ended"


class ShadowGate(Gate):
    """The gate of the book; whoever moves it, its lines say so. Notes are of the real one alone."""

    async def heed(self, event: GateEvent) -> GateOrder:
        """Take the step."""
        with in_shadow():
            return await super().heed(event)

    def note(self, *, held: bool) -> None:
        """Note nothing."""

    async def _flag(self, *, closed: bool) -> None:
        """Note nothing."""


class ShadowCycle(Cycle):
    """Decides about the pools in shadow, journals that, and counts what came of it."""

    def __init__(
        self, config: Config, real: SlurmClient, journal: Records, solver: Solver,
        clocks: Clocks = Clocks(),  # noqa: B008  # frozen
    ) -> None:  # fmt: skip
        patient = replace(config, planner=replace(config.planner, grace_seconds=FOREVER))
        self.shadow = ShadowSlurm(real, config.policy)
        paths = config.paths
        note = Holds(paths.control_socket.parent)
        gate = ShadowGate(self.shadow, config.policy.intake_partition, paths.state_dir, note)
        super().__init__(patient, self.shadow, gate, journal, solver, clocks)
        self.shadow.trials = lambda: self.trials.known

    async def run(self) -> bool:
        """One cycle; whatever is logged meanwhile says that it is shadow's."""
        with in_shadow():
            more = await super().run()
        self.openings = None  # the hook is not to give nodes to anybody
        return more

    async def _observe(self) -> Observed:
        observed = await super()._observe()
        ticks = self.ticks()
        self._start_who_has_room(observed, ticks)
        self._end_who_is_over(observed, ticks)
        lost = overtaken(self.pins.pins.values(), observed.inventory)
        known = {due.key for due in observed.take_back}
        taken = tuple(TakeBack(key, TAKEN, penalty=False) for key in lost if key not in known)
        return replace(observed, take_back=(*observed.take_back, *taken))

    def _start_who_has_room(self, observed: Observed, ticks: float) -> None:
        """Who was pinned ahead would be started by Slurm once its nodes are free."""
        pins = tuple(self.pins.pins.values())
        due = [pin for pin in at_hand(pins, observed.snapshot, observed.inventory) if pin.due]
        for pin in due:
            self.pins.pins[pin.task.key] = replace(pin, due=False, since=ticks)
        self._note(observed.snapshot, [Outcome(pin.task.key, Event.DUE, DUE) for pin in due])

    def _end_who_is_over(self, observed: Observed, ticks: float) -> None:
        """Let the time pass of those that would have started."""
        limits = {job.key: job.time_limit_minutes for job in observed.snapshot.jobs}
        over = []
        for key, pin in list(self.pins.pins.items()):
            minutes = limits.get(key)
            if pin.start or pin.in_line or minutes is None:
                continue
            left = minutes - (ticks - pin.since) / 60
            if left > 0:
                task = replace(pin.task, minutes=math.ceil(left))
                self.pins.pins[key] = replace(pin, task=task)
            else:
                del self.pins.pins[key]
                self.shadow.book.end(key)
                over.append(Outcome(key, Event.GONE, OVER))
        self._note(observed.snapshot, over)

    def would(self) -> Mapping[str, str]:
        """By job, where it would run, or why it would wait; each begins with the mode."""
        mode = "/".join(sorted({pool.mode for pool in self.policy.pools}))
        waits = dict.fromkeys(self.report.users, f"{mode}: would wait")
        waits |= {key: f"{mode}: would wait: {why}" for key, why in self.report.waiting.items()}
        return waits | {key: self._would(pin) for key, pin in self.pins.pins.items()}

    def _would(self, pin: Pin) -> str:
        made = pin.placement
        pool = self.policy.pool(made.partition)
        mode = pool.mode if pool else "shadow"
        if pin.in_line:
            return f"{mode}: would stand in Slurm's line in {made.partition}"
        where = f"{hostlist.fold(made.nodes)} in {made.partition}"
        return f"{mode}: would {'wait for' if pin.start else 'run on'} {where}"
