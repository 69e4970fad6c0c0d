"""The MIP in a process of its own, which can be killed: a solver's time limit is only a request.

Parent and worker exchange msgpack frames over the worker's stdin and stdout. In asyncio code call
`asyncio.to_thread(worker.solve, problem, seconds)`: it waits on a pipe and holds no other lock.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.prices import Prices
from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.pipes import FrameError, LateError, Pipes, own_pipes
from slurm_het.settings import PlannerSettings
from slurm_het.solve.search import DEFAULT_GAP, Asker

if TYPE_CHECKING:
    from slurm_het.solve.mip_model import SolverName

log = logging.getLogger(__name__)

SHORTEST = 0.1  # seconds; with less time the worker is not asked: it could only repeat first-fit
LATE = 0.05  # share of the time allowed by which a worker may be late before its answer is dropped
PATIENCE = 3.0  # seconds after which a late worker is killed; to start another takes one of CPU
IN_TIME = 0.92  # share of the time given to the solver: it overruns by a little on large models

FAILURES = (FrameError, OSError, msgspec.MsgspecError)  # of the worker, or of what it sends

KILLED_SECONDS = 1.0  # what a killed one is waited for: no plan is late for one that cannot end
NICENESS = 10  # solving may wait; slurmctld and the hook's answers may not


class SolveRequest(msgspec.Struct, frozen=True, tag=True):
    """Asks the worker to solve a problem. `gap` as in Search; to `rearrange`: see columns.py.

    The answer is due at `until`, by time.monotonic(), which all processes of a machine share.
    `first` is first-fit's plan, where it is known already.
    """

    problem: Problem
    until: float
    gap: float
    rearrange: bool = False
    first: Solution | None = None


class PricesRequest(msgspec.Struct, frozen=True, tag=True):
    """Asks the worker for the prices of a fluid program by then."""

    fluid: Fluid
    until: float


class Reply(msgspec.Struct, frozen=True):
    """The worker's answer: a solution, or a program's prices, or in words why there is neither.

    An empty one says that the worker is ready. With `more` the solution is the best so far, and
    another reply follows.
    """

    solution: Solution | None = None
    prices: Prices | None = None
    failure: str = ""
    more: bool = False


class WorkerSolver:
    """A Solver whose work is done by a child process that is replaced when it fails.

    Whatever happens to the child, `solve` answers: with the best plan it has told of, or the
    first-fit plan, and a warning that says why. Calls from several threads take turns, but none
    waits while it is `pricing`. `gap` and `rearrange` as in a SolveRequest. Of so many times that
    the child was `asked` it left so many `unanswered`: it failed, or was late.
    """

    def __init__(
        self,
        solver: SolverName = "highs",
        gap: float = DEFAULT_GAP,
        start_seconds: float = 20,
        *,
        rearrange: bool = False,
    ) -> None:
        self.solver, self.gap, self.rearrange = solver, gap, rearrange
        self.start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: Pipes | None = None
        self._owing = False  # whether the worker has a reply to give; the first says it is ready
        self._left_alone_until = 0.0
        self._lock = threading.Lock()
        self.pricing = self._closing = False
        self.asked = self.unanswered = 0

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None while there is none."""
        return self._process.pid if self._process else None

    def warm(self) -> bool:
        """Start the worker ahead of the first call, and say whether it is ready in time.

        It has `start_seconds`.
        """
        with self._lock:
            try:
                self._started(time.monotonic() + self.start_seconds)
            except FAILURES as error:
                self._give_up(error)
                return False
            return True

    def solve(self, problem: Problem, seconds: float) -> Solution:
        """The best solution found within `seconds`; at least the first-fit plan, made meanwhile.

        It is there no later than seconds + 10 %, unless first-fit alone takes longer. The first-fit
        plan is the answer while the worker starts, which takes about a second (see `warm`), and
        where there are less than SHORTEST seconds.
        """
        began, first = time.monotonic(), None
        if seconds < SHORTEST or self.pricing:
            return greedy(problem)
        if problem.prices:
            first = greedy(problem)
            all_start = len(first.starts) == len(problem.tasks)
            if all_start and not (self.rearrange and len(problem.tasks) > 1):
                return replace(first, seconds=time.monotonic() - began)
        # The worker is not asked once the time is up, or as good as: it could only be late.
        until = began + seconds - SHORTEST
        left = until - time.monotonic()
        if left <= 0 or not self._lock.acquire(timeout=left):  # prices are being found meanwhile
            return replace(first or greedy(problem), seconds=time.monotonic() - began)
        try:
            return self._by_worker(problem, began, seconds, first)
        finally:
            self._lock.release()

    def _by_worker(
        self, problem: Problem, began: float, seconds: float, first: Solution | None
    ) -> Solution:
        best = first
        try:
            due = began + seconds * IN_TIME
            request = SolveRequest(problem, due, self.gap, self.rearrange, first)
            self._ask(request, began + seconds)
            best, late = first or greedy(problem), began + seconds * (1 + LATE)
            while self._owing:
                best = self._reply(late).solution or best
            return best
        except FAILURES as error:
            self.unanswered += 1
            self._give_up(error)
        return replace(best or greedy(problem), seconds=time.monotonic() - began)

    def price(self, fluid: Fluid, seconds: float) -> Prices | None:
        """The prices of a fluid program; None without any in time.

        A problem that is to be solved meanwhile does not wait for that: its answer is first-fit's.
        """
        until = time.monotonic() + seconds
        with self._lock:
            self.pricing = True
            try:
                self._ask(PricesRequest(fluid, until - seconds * (1 - IN_TIME)), until)
                return self._reply(until + seconds * LATE).prices
            except FAILURES as error:
                if not self._closing:
                    self.unanswered += 1
                    self._give_up(error)
                return None
            finally:
                self.pricing = False

    def use(self, solver: SolverName, gap: float, *, rearrange: bool) -> None:
        """Solve by these from now on."""
        self.gap, self.rearrange = gap, rearrange
        if solver != self.solver:
            self.solver = solver
            self.close()

    def close(self) -> None:
        """End the worker, which may be amid finding prices."""
        self._closing = True
        if self.pricing and (process := self._process):
            process.kill()
        with self._lock:
            self._end()
            self._closing = False

    def _ask(self, request: SolveRequest | PricesRequest, until: float) -> None:
        self.asked += 1
        pipes = self._started(until)
        pipes.send(msgspec.msgpack.encode(request), until)
        self._owing, self._left_alone_until = True, request.until + PATIENCE

    def _started(self, until: float) -> Pipes:
        """The pipes of a worker that is ready: what it owes of before is of no use any more."""
        if self._process and self._process.poll() is not None:
            if self._closing:  # it was ended, and nobody wants another
                raise FrameError("the worker is closed")
            log.warning("the solver's worker ended with %s: started again", self._process.poll())
            self._end()
        pipes = self._pipes or self._start()
        while self._owing:
            self._reply(until)
        return pipes

    def _reply(self, until: float) -> Reply:
        """The worker's next reply."""
        if self._pipes is None:
            raise FrameError("there is no worker")
        over = time.monotonic() > until
        reply = msgspec.msgpack.decode(self._pipes.receive(until), type=Reply)
        self._owing = reply.more
        if reply.failure:
            raise FrameError(reply.failure)
        if over and reply.more:  # who tells more and more is late all the same
            raise LateError("no last answer in time")
        return reply

    def _start(self) -> Pipes:
        self._owing, self._left_alone_until = True, time.monotonic() + self.start_seconds
        command = [sys.executable, "-m", "slurm_het.solve.worker", self.solver]
        # A session of its own keeps a terminal's Ctrl-C away from it.
        self._process = process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        if process.stdin is None or process.stdout is None:
            raise FrameError("the worker has no pipes")
        self._pipes = Pipes(process.stdout.fileno(), process.stdin.fileno())
        return self._pipes

    def _give_up(self, error: Exception) -> None:
        """End the worker, and start another, so that it is ready when it is needed.

        One that is still starting goes on, or short deadlines would never let it. So does one that
        is late, for a while: on a busy machine another would be late again, and has to start first.
        """
        patient = self._owing and time.monotonic() < self._left_alone_until
        if patient and isinstance(error, LateError):
            log.info("the solver's worker is not ready yet, the best plan so far is used")
            return
        log.warning("the solver's worker failed, the best plan so far is used: %s", error)
        self._end()
        try:
            self._start()
        except (FrameError, OSError) as again:
            log.warning("no worker can be started: %s", again)
            self._end()

    def _end(self) -> None:
        process, self._process, self._pipes, self._owing = self._process, None, None, False
        if process:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # it waits for a dead file server
                process.wait(KILLED_SECONDS)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


def solver_of(planner: PlannerSettings) -> WorkerSolver:
    """The solver that these settings ask for."""
    return WorkerSolver(planner.solver, planner.gap, rearrange=planner.rearrange)


def main() -> None:
    """Answer requests until the parent closes the pipe or dies."""
    os.nice(NICENESS)
    pipes = own_pipes()
    threading.Thread(target=_die_with_parent, args=(pipes.outgoing,), daemon=True).start()
    # Imported here: the parent imports this module too, and must not load the solvers' libraries.
    from slurm_het.solve.columns import rearrange
    from slurm_het.solve.fluid import solve_fluid
    from slurm_het.solve.mip_model import usable
    from slurm_het.solve.solve import solve

    def better(solution: Solution) -> None:
        pipes.send(msgspec.msgpack.encode(Reply(solution, more=True)))

    solver = usable("cbc" if sys.argv[1:] == ["cbc"] else "highs")
    decoder = msgspec.msgpack.Decoder(SolveRequest | PricesRequest)
    reply, known = Reply(), _KnownPrices()
    gc.freeze()  # what is there now stays
    while True:
        try:
            pipes.send(msgspec.msgpack.encode(reply))
            # A model is a reference loop that holds the solver's memory, of which Python knows
            # nothing: by itself it collects too seldom (20 KiB more with each small plan).
            gc.collect()
            frame = pipes.receive()
        except FrameError:
            return
        try:
            request = decoder.decode(frame)
            left = max(0.0, request.until - time.monotonic())
            if isinstance(request, PricesRequest):
                reply = Reply(prices=solve_fluid(request.fluid, left, solver))
            elif left <= 0:  # whoever asks has first-fit's plan
                reply = Reply()
            else:
                problem = known.put_into(request.problem)
                asker = Asker(better, request.first)
                answer = solve(problem, left, solver, request.gap, asker)
                if request.rearrange:
                    left = max(0.0, request.until - time.monotonic())
                    answer = rearrange(problem, answer, left, solver)
                reply = Reply(solution=answer)
        except Exception:  # noqa: BLE001  # a process boundary: the parent logs it and goes on
            reply = Reply(failure=traceback.format_exc())


class _KnownPrices:
    """The prices of the problem before: what they have worked out holds for the next one."""

    def __init__(self) -> None:
        self._prices: Prices | None = None

    def put_into(self, problem: Problem) -> Problem:
        """The problem, with these where its own say the same."""
        if problem.prices is None:
            return problem
        if problem.prices.prices != self._prices:
            self._prices = problem.prices.prices
        return replace(problem, prices=problem.prices._replace(prices=self._prices))


def _die_with_parent(outgoing: int) -> None:
    """Exit when the parent no longer reads, also amid a solve.

    PR_SET_PDEATHSIG would not do: it fires when the *thread* that started us ends, and the daemon
    starts workers from a pool of threads.
    """
    poll = select.poll()
    poll.register(outgoing, 0)  # only errors, and they mean that the reading end is closed
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
