"""Both sides of a replay, each in a process of its own: plain Slurm's model, and hetd on it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Literal

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.errors import HetError
from slurm_het.replay.renditions import renditions
from slurm_het.replay.site import ReplaySite
from slurm_het.replay.trace import Trace
from slurm_het.replay.usage import Usage, empty_usage
from slurm_het.replay.watch import EVERY, IdleWatch
from slurm_het.simulation import run
from slurm_het.simulation.hetd import LookPace
from slurm_het.simulation.run import SideOutcome
from slurm_het.simulation.world import World, each_of
from slurm_het.solve import Solver
from slurm_het.solve.worker import WorkerSolver

SideName = Literal["plain", "ours"]
SIDES: tuple[SideName, ...] = ("plain", "ours")
MOST_LOOKS = 150_000
"""hetd's cycle on 200 busy nodes takes 20 to 300 ms, by how many wait, and the solver as long: that
is hours. Fewer would tell of another scheduler: where a freed device waits for minutes until hetd
looks, jobs of minutes take twice as long, and the queue grows (docs/replay.md)."""
LOOKS_OF_A_JOB = 3
SAVED_LOOKS = 2_000
IDLE_SECONDS = 600.0
MOST_RENDITIONS = 8
MOST_RUNS = 4_000
"""So many jobs are simulated on a side, in all renditions: in a past of many jobs what decides
about some minutes makes no difference to the mean."""
Progress = Callable[[SideName, float, int], None]
"""Is told the part of the simulated time, 0..1, and how many jobs have started."""


class FirstFitSolver:
    """A Solver that is none."""

    def solve(self, problem: Problem, _seconds: float) -> Solution:
        """The first-fit plan."""
        return greedy(problem)

    def price(self, _fluid: Fluid, _seconds: float) -> None:
        """No prices."""

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much the replay takes: `solver` as in het.yaml, or first-fit; hetd looks at least so many
    simulated seconds after its last look, or as often as MOST_LOOKS allow; and in so many
    `renditions`, or as many as MOST_RUNS allow."""

    solver: Literal["highs", "first-fit"] = "highs"
    look_every: float | None = None
    renditions: int | None = None

    def times(self, trace: Trace) -> int:
        """How often that past is simulated."""
        if self.renditions is not None:
            return self.renditions
        return max(1, min(MOST_RENDITIONS, MOST_RUNS // len(trace.world.jobs)))

    def pace(self, trace: Trace) -> LookPace:
        """How often hetd looks at that past."""
        every = self.look_every
        if every is None:
            few = LOOKS_OF_A_JOB * len(trace.world.jobs) <= MOST_LOOKS
            least = 0.0 if few else trace.world.seconds / MOST_LOOKS
            return LookPace(least, IDLE_SECONDS, rests=True, saved=0 if few else SAVED_LOOKS)
        return LookPace(every, max(IDLE_SECONDS, every), rests=True)


@dataclass(frozen=True, slots=True)
class SideResult:
    """What a side came to in a rendition. `starts` are in the order of the jobs: seconds after the
    begin, None if it never started. Idle device-seconds are as in IdleWatch; what it took: seconds,
    MiB, cycles; and how often its solver was asked, and gave no answer.
    """

    starts: tuple[float | None, ...]
    usage: Usage
    fitted: float
    elsewhere: float
    seconds: float
    mib: int
    cycles: int
    asked: int = 0
    unanswered: int = 0


SideResults = Sequence[SideResult]
"""Of each rendition."""


def run_sides(
    trace: Trace, site: ReplaySite, effort: Effort, tell: Progress
) -> dict[SideName, SideResults]:
    """Run both at the same time, each in all renditions. Raises HetError if one of them dies."""
    context = multiprocessing.get_context("fork")
    pipes: dict[Connection, SideName] = {}
    children = []
    for side in SIDES:
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(side, trace, site, effort, there))
        child.start()
        there.close()
        pipes[here] = side
        children.append(child)
    try:
        return _gathered(pipes, trace, tell)
    finally:
        for child in children:
            if child.is_alive():
                child.terminate()
            child.join(10)
            child.kill()  # Python waits for it at its own end, without a bound


def _gathered(
    pipes: dict[Connection, SideName], trace: Trace, tell: Progress
) -> dict[SideName, SideResults]:
    found: dict[SideName, SideResults] = {}
    while pipes:
        for pipe in wait(list(pipes)):
            assert isinstance(pipe, Connection)  # noqa: S101  # these are what was given
            side = pipes[pipe]
            try:
                got = pipe.recv()
            except EOFError:
                got = HetError(f"the simulation of {side} ended amid it", "is there memory left?")
            if isinstance(got, HetError):
                raise got
            if isinstance(got, list):
                found[side] = got
                del pipes[pipe]
            else:
                tell(side, min(1.0, got[0] / trace.world.seconds), got[1])
    return found


def _child(
    side: SideName, trace: Trace, site: ReplaySite, effort: Effort, pipe: Connection
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # temporary files go
    logging.disable(logging.CRITICAL)
    try:
        pipe.send(_all_of(side, trace, site, effort, pipe))
    except HetError as error:
        pipe.send(error)
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(1)


def _all_of(
    side: SideName, trace: Trace, site: ReplaySite, effort: Effort, pipe: Connection
) -> list[SideResult]:
    traces, found = renditions(trace, effort.times(trace)), list[SideResult]()
    for number, one in enumerate(traces):
        before = number * trace.world.seconds

        def tell(at: float, jobs: int, before: float = before) -> None:
            pipe.send(((before + at) / len(traces), jobs))

        found.append(one_side(side, one, site, effort, tell))
    return found


def one_side(
    side: SideName,
    trace: Trace,
    site: ReplaySite,
    effort: Effort,
    tell: Callable[[float, int], None],
) -> SideResult:
    """Run one of them here."""
    began = time.process_time()
    span = trace.span
    end = span.end - span.begin
    every = min(EVERY, max(1.0, end / 200))
    watch = IdleWatch(span.counted - span.begin, end, tell, every)
    asked = unanswered = 0
    if side == "plain":
        outcome = run.plain(trace.world, site.settings, watch)
    else:
        pace = effort.pace(trace)
        with _solver(effort) as solver:
            outcome = run.ours(_world(trace, effort), site.settings, solver, watch, pace)
            if isinstance(solver, WorkerSolver):
                asked, unanswered = solver.asked, solver.unanswered
    used = resource.getrusage(resource.RUSAGE_SELF)
    return SideResult(
        tuple(outcome.starts[job.id] for job in trace.world.jobs),
        _usage(trace, site, outcome), watch.fitted, watch.elsewhere,
        time.process_time() - began, used.ru_maxrss // 1024, outcome.cycles, asked, unanswered,
    )  # fmt: skip


def _world(trace: Trace, effort: Effort) -> World:
    """The trace's; without prices what is expected is no use, and not learned."""
    if effort.solver != "first-fit":
        return trace.world
    config = trace.world.config
    planner = replace(config.planner, learn_days=0.0)
    return replace(trace.world, config=replace(config, planner=planner))


@contextmanager
def _solver(effort: Effort) -> Iterator[Solver]:
    if effort.solver == "first-fit":
        yield FirstFitSolver()
        return
    worker = WorkerSolver()
    try:
        worker.warm()
        yield worker
    finally:
        worker.close()


def _usage(trace: Trace, site: ReplaySite, outcome: SideOutcome) -> Usage:
    span = trace.span
    usage = empty_usage(site, span.counted - span.begin, span.end - span.begin)
    for job in trace.world.jobs:
        start = outcome.starts[job.id]
        if start is not None:
            end = min(start + job.seconds, job.until)
            usage.add(outcome.where[job.id], each_of(job.ask, site.hosts), start, end)
    return usage
