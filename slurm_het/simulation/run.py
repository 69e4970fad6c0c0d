"""Both sides in simulated time: events in their order, and who ran when."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from slurm_het.simulation.backfill import BackfillPasses
from slurm_het.simulation.hetd import USUAL, Hetd, LookPace
from slurm_het.simulation.jobs import JobRun, JobSpec
from slurm_het.simulation.slurm import Settings, Slurm
from slurm_het.simulation.world import World, each_of
from slurm_het.solve import Solver

NEVER = float("inf")


@dataclass(frozen=True)
class SideOutcome:
    """What became of the jobs on one side: device-seconds in use within the time, how many
    jobs started, and for each job when (None: never)."""

    busy: float
    starts: dict[int, float | None]
    where: dict[int, tuple[str, ...]]
    cycles: int = 0

    @property
    def started(self) -> int:
        """How many jobs started."""
        return sum(start is not None for start in self.starts.values())


class Watch(Protocol):
    """Who looks on: `due` says when next."""

    due: float

    def look(self, slurm: Slurm) -> None:
        """Look now."""


@dataclass
class Side:
    """A simulated Slurm, with hetd or without."""

    world: World
    settings: Settings
    hetd: Hetd | None = None
    watch: Watch | None = None
    slurm: Slurm = field(init=False)
    _ends: list[tuple[float, int]] = field(default_factory=list)
    _cancels: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slurm = self.hetd.slurm if self.hetd else Slurm(self.world, self.settings)
        self.backfill = BackfillPasses(self.slurm)

    def run(self) -> SideOutcome:
        """All of it, to the scenario's end."""
        slurm, hetd, seconds = self.slurm, self.hetd, self.world.seconds
        jobs = sorted(self.world.jobs, key=lambda job: (-job.at, -job.id))
        happens = sorted(self._changes(), reverse=True)
        while True:
            slurm.now = self._next(
                jobs[-1].at if jobs else NEVER, happens[-1] if happens else NEVER
            )
            if slurm.now >= seconds or (self.watch and not jobs and not slurm.pending):
                return self._outcome(seconds)  # nobody waits any more: nothing more is decided
            freed, came = False, 0
            while happens and happens[-1] <= slurm.now:
                happens.pop()
                self._reservations()
                freed = True
            while self._ends and self._ends[0][0] <= slurm.now:
                slurm.finish(slurm.running[heapq.heappop(self._ends)[1]])
                freed = True
            while self._cancels and self._cancels[0][0] <= slurm.now:
                freed = self._cancel(heapq.heappop(self._cancels)[1]) or freed
            while jobs and jobs[-1].at <= slurm.now:
                self._come(jobs.pop())
                came += 1
            if hetd and (freed or came):
                hetd.wake(came, freed=freed)
            if hetd and hetd.next_look <= slurm.now:
                hetd.look()
            if slurm.sched_due <= slurm.now:
                self._note(slurm.schedule())
            if self._backfill_due() <= slurm.now:
                self._note(self.backfill.run())
            if self.watch and self.watch.due <= slurm.now:
                self.watch.look(slurm)

    def _come(self, spec: JobSpec) -> None:
        """A job is submitted."""
        by_hook = self.hetd and not spec.on
        come = self.slurm.submit(spec, self.hetd.admit if self.hetd and by_hook else None)
        self._note([come] if come.where else [])
        if spec.until < NEVER:
            heapq.heappush(self._cancels, (spec.until, spec.id))

    def _cancel(self, job_id: int) -> bool:
        """A user cancels a job; whether it was waiting (one that runs ends of itself then)."""
        run = self.slurm.pending.get(job_id)
        if run:
            self.slurm.withdraw(run)
        return run is not None

    def _backfill_due(self) -> float:
        """Backfill looks each second whether it has work, once its interval is over."""
        if not self.backfill.wanted():
            return NEVER
        return max(self.backfill.due, float(int(self.slurm.changed) + 1))

    def _next(self, *others: float) -> float:
        return min(
            *others,
            self._ends[0][0] if self._ends else NEVER,
            self.slurm.sched_due,
            self._backfill_due(),
            self.hetd.next_look if self.hetd else NEVER,
            self.watch.due if self.watch else NEVER,
        )

    def _note(self, started: Iterable[JobRun]) -> None:
        for run in started:
            heapq.heappush(self._ends, (run.end, run.spec.id))

    def _changes(self) -> list[float]:
        """When reservations are made, begin and end."""
        return [t for at, one in self.world.kept for t in (at, one.start, one.end)]

    def _reservations(self) -> None:
        made = [one for at, one in self.world.kept if at <= self.slurm.now]
        self.slurm.kept = [one for one in made if one.end > self.slurm.now]
        self.slurm.touch()

    def _outcome(self, seconds: float) -> SideOutcome:
        busy = 0.0
        for run in self.slurm.jobs.values():
            if run.where:
                busy += devices_of(run.spec, self.world) * (min(run.end, seconds) - run.start)
        starts = {job.id: None for job in self.world.jobs} | {
            run.spec.id: run.start if run.where else None for run in self.slurm.jobs.values()
        }
        where = {run.spec.id: tuple(run.where) for run in self.slurm.jobs.values() if run.where}
        return SideOutcome(busy, starts, where, self.hetd.cycles if self.hetd else 0)


def devices_of(job: JobSpec, world: World) -> float:
    """How many devices a job takes of all its nodes."""
    return job.nodes * each_of(job.ask, world.hosts)


def plain(world: World, settings: Settings, watch: Watch | None = None) -> SideOutcome:
    """The jobs under plain Slurm."""
    return Side(world, settings, watch=watch).run()


def ours(
    world: World,
    settings: Settings,
    solver: Solver,
    watch: Watch | None = None,
    pace: LookPace = USUAL,
) -> SideOutcome:
    """The jobs with slurm-het."""
    with tempfile.TemporaryDirectory(prefix="het-") as directory:
        hetd = Hetd(Slurm(world, settings), solver, Path(directory), pace)
        try:
            return Side(world, settings, hetd, watch=watch).run()
        finally:
            hetd.close()
