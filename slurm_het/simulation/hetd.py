"""slurm-het on a simulated Slurm: the hook's answer, and hetd's own cycle in simulated time.

The cycle is the daemon's (slurm_het.daemon.cycle): the three verbs, the releases, the take-backs,
the journal, with the production settings. Only when it runs is told here, as daemon/app.py and
daemon/wakes.py have it, but that

- a look and its updates take LOOK_SECONDS in all. So the burst of those who end settles for
  `settle_seconds`, not for as long as the last cycle took, and the pause after it is that long;
- where nothing has changed since the last look hetd looks each `LookPace.idle` seconds, not each
  5 s, and as seldom as the LookPace says;
- a flood is waited out even where others may take what is idle (`Wakes.raced`), and nobody sits
  before a terminal;
- what hetd leaves to threads is done at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.admission import Admitted, Verdict, admit_message
from slurm_het.core.model import Job, Snapshot
from slurm_het.daemon.app import ALARM_LEAST, RELEASE_WAKE
from slurm_het.daemon.clocks import Clocks
from slurm_het.daemon.cycle import Cycle
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.wakes import FLOOD, FLOOD_SECONDS
from slurm_het.errors import SlurmError
from slurm_het.journal import Journal
from slurm_het.opener import Holds
from slurm_het.simulation.jobs import JobRun
from slurm_het.simulation.records import EPOCH, SimulatedRecords
from slurm_het.simulation.slurm import Slurm
from slurm_het.solve import Solver

READ_SECONDS, LOOK_SECONDS = 0.05, 0.2
"""Until it has read Slurm's records, and until its updates are made: who comes after the one waits
until after the other. On a real 24.11 the first update comes 0.1 to 0.2 s after a job's end."""
SUBMIT_SECONDS = 0.02
"""So long takes each submission of those that come at one time."""
MOST_AT_ONCE = 50
"""So many cycles may follow each other without a pause: more is a fault of hetd's."""

MOST_ADMITTED = 10_000
"""So many answers of the hook are kept: who asks the same gets the same."""


@dataclass(frozen=True, slots=True)
class LookPace:
    """How often hetd looks: at least so many seconds after the last time, unless a plan goes on;
    and after `idle` where nothing has happened. If it `rests`, it does not while nobody waits, nor
    for the start of what it has released before anything has changed.

    With looks that it has `saved` up, so many at most, it looks at once, as it really does: each
    costs one, and one more comes in `least` seconds. It is never in debt: no look is later than
    `least` seconds after the last one. And a plan goes on only where its window was full: of other
    looks that follow at once, one in seventy finds anybody a place.
    """

    least: float = 0.0
    idle: float = 60.0
    rests: bool = False
    saved: int = 0


USUAL = LookPace()


class SimulatedSlurm:
    """What hetd's cycle needs of Slurm (slurm_het.slurm.SlurmClient)."""

    def __init__(self, slurm: Slurm) -> None:
        self.slurm = slurm
        self.records = SimulatedRecords(slurm)

    async def snapshot(self) -> Snapshot:
        """All jobs, nodes and partitions, now."""
        return self.records.snapshot()

    async def ended_jobs(self, ids: Collection[int] = ()) -> tuple[Job, ...]:
        """How these ended, or all that have: what hetd learns of run times it learns here too."""
        there = self.slurm.jobs
        runs = (there[job] for job in ids) if ids else there.values()
        return tuple(self.records.ended(run) for run in runs if run.state == "COMPLETED")

    async def update_job(self, key: str, fields: Mapping[str, str]) -> None:
        """As scontrol update."""
        if said := self.slurm.update(self.slurm.jobs[int(key.rpartition("_")[2])], dict(fields)):
            raise SlurmError(said)

    async def tell_job(self, job_id: int, text: str) -> None:
        """Nobody reads it here."""

    async def end_job(self, key: str) -> None:
        """No job here takes more than its share."""

    async def requeue_job(self, key: str) -> None:
        """No job here dies of its share."""

    async def partition_of(self, _key: str) -> str:
        """Not told: here no update is without effect."""
        return ""

    async def set_partition_state(self, partition: str, state: str) -> None:
        """Open or close the gate."""
        self.slurm.open_or_shut(partition, state == "UP")

    async def batch_script(self, job_id: int) -> str:
        """The job's script."""
        return self.slurm.jobs[job_id].spec.script


class _AtOnce(ThreadPoolExecutor):
    """What hetd does in threads, so that it answers meanwhile, is done at once: nobody asks."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # whoever asked gets it
            future.set_exception(error)
        return future


class _UnwatchedGate(Gate):
    """The gate of a site whose admin never says bypass."""

    async def look(self) -> None:
        """There is nothing to see."""


class Hetd:
    """The daemon beside a simulated Slurm; `due` is when it looks next."""

    def __init__(
        self, slurm: Slurm, solver: Solver, directory: Path, pace: LookPace = USUAL
    ) -> None:
        self.slurm, self.pace = slurm, pace
        self.config = slurm.world.config
        self.intake = self.config.policy.intake_partition
        slurm.open_or_shut(self.intake, up=False)
        self.client = SimulatedSlurm(slurm)
        self.inventory = take_inventory(self.client.records.snapshot(), self.config.policy)
        self.journal = Journal(directory / "journal.db")
        gate = _UnwatchedGate(self.client, self.intake, directory, Holds(directory))
        clocks = Clocks(lambda: EPOCH + slurm.now, lambda: slurm.now)
        self.cycle = Cycle(self.config, self.client, gate, self.journal, solver, clocks)
        self.cycle.is_asked = False
        self._admitted: dict[tuple[str, ...], Verdict] = {}
        self.runner = asyncio.Runner()
        self.runner.get_loop().set_default_executor(_AtOnce())
        self.due = 0.0
        self.cycles = 0
        self._at_once = 0
        self._looked = 0.0
        self._credit = float(pace.saved)
        self._starting = False
        self._free = 0.0
        self._pause_end = self._settled = self._latest = 0.0
        self._came = 0

    def close(self) -> None:
        """Release what it holds."""
        self.runner.run(self.cycle.endings.stop())
        self.runner.close()
        self.journal.close()

    def admit(self, run: JobRun) -> None:
        """The hook's answer for a job that is submitted."""
        spec = run.spec
        sent = {
            "user_name": spec.user, "account": spec.account, "name": spec.submission,
            "partition": ",".join(spec.partitions), "features": spec.features,
            "tres_per_node": spec.gres, "min_nodes": str(spec.nodes),
            "max_nodes": str(spec.nodes), "script": spec.script, "reservation": spec.reservation,
            "time_limit": str(spec.minutes),
        }  # fmt: skip
        like = tuple(sent.values())
        admission = self._admitted.get(like)
        if admission is None:
            if len(self._admitted) >= MOST_ADMITTED:
                self._admitted.clear()
            admission = admit_message(sent, self.config.policy, self.inventory)
            self._admitted[like] = admission
        if isinstance(admission, Admitted):
            run.partitions = (self.intake,)
            run.features = admission.fields.get("features", run.features)
            run.gres = admission.fields.get("tres_per_node", run.gres)
            run.comment = admission.fields["admin_comment"]

    def wake(self, came: int = 0, *, freed: bool = False) -> None:
        """Something has happened: so many jobs came, or devices may be `freed`. In a flood of jobs
        hetd waits for a pause (`Wakes`), so that it plans together who come together."""
        now, settle = self.slurm.now, self.config.planner.settle_seconds
        if self._looked < self._settled <= now:
            return  # it is about to look
        if now >= self._settled:
            self._pause_end = self._settled = now + settle
            self._came, self._latest = came - 1, now + settle + FLOOD_SECONDS
        else:
            if now >= self._pause_end:
                self._pause_end, self._came = self._settled, 0
            self._came += came
        flood = self._came > FLOOD and not freed
        if flood:
            lasts = max(self._pause_end, now + came * SUBMIT_SECONDS)
            self._settled = min(self._latest, lasts + settle)
        elif freed:
            self._settled = min(self._settled, now + settle)
        looks = self._settled + READ_SECONDS
        self.due = looks if flood else min(self.due, looks)

    @property
    def next_look(self) -> float:
        """When it looks next: soon if something has changed that no event tells of, a start."""
        if self.pace.rests and not self.slurm.pending:
            return float("inf")
        every, due = self.config.planner.poll_seconds, self.due
        since = self.slurm.changed - self._looked
        if since > 0:
            due = min(due, self._looked + every * math.ceil(since / every))
        elif self.pace.rests and self._starting:
            due = max(due, self._looked + every)
        return max(due, self._free, self._settled)

    @property
    def _had_room(self) -> bool:
        """Whether it has planned just now, and more jobs could have been placed in that window."""
        told = self.cycle.report
        return told.time == self.cycle.clock() and told.placed < self.config.planner.window_tasks

    def look(self) -> None:
        """Run one cycle now."""
        self.cycles += 1
        pace, since = self.pace, self.slurm.now - self._looked
        if pace.saved:
            self._credit = max(0.0, min(pace.saved, self._credit + since / pace.least) - 1)
        more = self.runner.run(self.cycle.run()) and not (pace.least and self._had_room)
        self._looked = self.slurm.now
        self._at_once = self._at_once + 1 if more else 0
        if more and self._at_once < MOST_AT_ONCE:
            self.due = self._free = self.slurm.now + LOOK_SECONDS
            return
        wait = max(0.0, 1 - self._credit) if pace.saved else 1.0
        self._free = self.slurm.now + max(LOOK_SECONDS, wait * pace.least)
        self._starting = bool(self.cycle.pins.starting())
        pause = RELEASE_WAKE if self._starting else pace.idle
        if self.cycle.alarm:
            alarm = max(ALARM_LEAST, self.cycle.alarm - EPOCH - self.slurm.now)
            self._starting &= alarm > self.config.planner.poll_seconds
            pause = min(pause, alarm)
        self.due = self.slurm.now + pause
