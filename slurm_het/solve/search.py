"""The lexicographic search: which tasks start, level by level, then the best sum of weights.

The levels are solved one after the other, on models that hold only the tasks still in question:

1. First-fit gives the best plan so far. Tasks before the first that it leaves out need no proof.
2. If everything could start by a rough count, all y are fixed to 1 and sum w·x is maximised.
3. Otherwise the next CHUNK undecided tasks are weighted by powers of two, which is exactly
   lexicographic. Later tasks are left out: their start only takes resources away. What this level
   starts is fixed; what it does not start is refused, and so are later identical tasks. First-fit
   fills up behind each level, so that many levels are decided without a solve.
4. The last level maximises sum w·x over the tasks that start.

Where the problem has prices, what a placement costs depends on the others on its node, and the last
level is first-fit's by these: see `arranged`.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from slurm_het.core.assignment.first_fit import Starts, arranged, complete, greedy, value
from slurm_het.core.assignment.problem import Problem, Solution, violations
from slurm_het.settings import PlannerSettings

log = logging.getLogger(__name__)

DEFAULT_GAP = PlannerSettings().gap
CHUNK = 16  # 2^15 … 1: far enough from the solvers' tolerances to stay exact
ALL_SHARE = 0.4  # of the time left, for the attempt to start everything
STARTS_SHARE = 0.7  # of all the time, for the levels of starts together: the last must get its turn
LEVEL_SHARE = 0.5  # of what is left of that, for one level


class OutOfTimeError(Exception):
    """The deadline passed before a solve could begin."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one solve said: who starts where (None: nothing found), and what is proven of it.

    `proven`: nothing is better, within the gap. No sum of weights is above `bound`.
    """

    starts: Starts | None
    proven: bool
    bound: float


class Model(Protocol):
    """One model: some tasks may start, some must, the others do not."""

    def maximise_weights(self) -> None:
        """Make sum w·x the objective."""

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""

    def start_from(self, starts: Starts) -> None:
        """Hand the solver a feasible plan to improve."""

    def optimise(self, seconds: float, gap: float, gap_abs: float) -> Answer:
        """Solve for at most so long; raises OutOfTimeError if there is no time at all."""


class Formulation(Protocol):
    """A way to write the problem as models."""

    def able(self, deadline: float) -> list[int]:
        """The tasks that could start if they were alone; raises OutOfTimeError."""

    def model(self, tasks: Sequence[int], fixed: Sequence[int], deadline: float) -> Model:
        """The model in which `tasks` may start and those in `fixed` must; raises OutOfTimeError."""


Tell = Callable[[Solution], None]
"""Hears of each better solution as it is found."""


def tell_nobody(_: Solution) -> None:
    """The last one is enough."""


class Asker(NamedTuple):
    """Who asks for a plan: how he is told, and first-fit's plan where he has it already."""

    tell: Tell = tell_nobody
    first: Solution | None = None


ANYBODY = Asker()


class Search:
    """One search: the best feasible starts so far, and what is proven about them.

    `gap` is how far from its bound (a share of it) the sum of weights may be when the search ends;
    the starts are exact.
    """

    def __init__(
        self,
        problem: Problem,
        seconds: float,
        formulation: Formulation,
        gap: float,
        asker: Asker = ANYBODY,
    ) -> None:
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        self.starts_deadline = self.began + seconds * STARTS_SHARE
        self.problem = problem
        self.formulation = formulation
        self.gap = gap
        self.tell = asker.tell
        self.first_fit = asker.first or greedy(problem)
        self.best: Starts = self.first_fit.starts
        self.able: list[int] = []  # the tasks that could start alone
        self.improved = False  # whether the best plan is not first-fit's any more
        self.levels_proven = False
        self.last: Answer | None = None  # of the last level

    def run(self) -> Solution:
        """Search until everything is proven or the deadline."""
        try:
            able = self.formulation.able(self.deadline)
            short = self.problem.budgets
            self.able = [t for t in able if not short or not self.problem.overspent([t])]
            if self.problem.prices and len(self.best) == len(self.able):
                return self._solution()
            if not self._everything():
                self.levels_proven = self._levels()
                if not self.problem.prices:
                    self._last_level()
        except OutOfTimeError:
            log.info("the deadline passed: the best feasible plan so far is used")
        return self._solution()

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _accept(self, starts: Starts | None) -> bool:
        """Make a solver's plan the best one if it is feasible: rounding may have broken it."""
        if starts is None:
            return False
        if broken := violations(self.problem, Solution(starts=dict(starts))):
            log.warning("the solver's answer is infeasible and not used: %s", broken[0])
            return False
        if self.problem.prices:
            starts = arranged(self.problem, starts.keys(), self.best.keys()) or starts
        self.best = starts
        self.improved = True
        self.tell(self._solution())
        return True

    def _model(self, tasks: Sequence[int], fixed: Sequence[int]) -> Model:
        return self.formulation.model(tasks, fixed, self.deadline)

    def _everything(self) -> bool:
        if len(self.best) == len(self.able) or not self._may_all_start():
            return False
        model = self._model(self.able, self.able)
        model.maximise_weights()
        answer = model.optimise(self._left() * ALL_SHARE, self.gap, 1e-6)
        if not self._accept(answer.starts):
            return False
        self.levels_proven = True
        self.last = answer
        return answer.proven

    def _may_all_start(self) -> bool:
        """Whether it is worth trying to start everything: by the budgets, and by a rough count of
        GiB and CPUs."""
        if self.problem.overspent(self.able):
            return False
        gib = cpus = 0
        smallest = min((d.memory_gib for d in self.problem.devices if d.whole), default=0)
        for r, count in Counter(self.problem.tasks[t].request for t in self.able).items():
            request = self.problem.requests[r]
            devices = sum(slot.devices for slot in request.slots)
            gib += count * devices * (request.memory_gib or smallest)
            least = (min(need.cpus for need in slot.need.values()) for slot in request.slots)
            cpus += count * sum(least)
        free = sum(device.free_gib for device in self.problem.devices)
        return gib <= free and cpus <= sum(node.cpus for node in self.problem.nodes)

    def _levels(self) -> bool:
        """Decide the starts, and say whether all of them are proven."""
        kind_of = [self.problem.kind(t) for t in range(len(self.problem.tasks))]
        refused: set[tuple[object, ...]] = set()  # kinds
        fixed: list[int] = []
        queue = list(self.able)
        proven = True
        while queue:
            if queue[0] in self.best:
                fixed.append(queue.pop(0))
                continue
            queue = [t for t in queue if kind_of[t] not in refused or t in self.best]
            chunk, queue = queue[:CHUNK], queue[CHUNK:]
            if chunk and time.monotonic() > self.starts_deadline:
                return False
            if chunk:
                proven &= self._level(fixed, chunk)
            fixed += [t for t in chunk if t in self.best]
            refused |= {kind_of[t] for t in chunk if t not in self.best}
        return proven

    def _level(self, fixed: list[int], chunk: list[int]) -> bool:
        """Decide which of a chunk start beside the fixed ones; whether that is proven."""
        tasks = [*fixed, *chunk]
        model = self._model(tasks, fixed)
        model.maximise_starts(chunk)
        model.start_from(self.best)
        # Objectives are whole numbers here: less than 1 from the bound is proven.
        seconds = max(0.05, (self.starts_deadline - time.monotonic()) * LEVEL_SHARE)
        answer = model.optimise(min(self._left(), seconds), 0.0, 0.5)
        if answer.starts is None:
            return False
        new = [t in answer.starts for t in chunk]
        if new == [t in self.best for t in chunk]:
            return answer.proven
        if new < [t in self.best for t in chunk]:
            return False
        return self._accept(complete(self.problem, answer.starts).starts) and answer.proven

    def _last_level(self) -> None:
        tasks = list(self.best)
        if not tasks:
            self.last = Answer(starts={}, proven=True, bound=0.0)
            return
        model = self._model(tasks, tasks)
        model.maximise_weights()
        model.start_from(self.best)
        answer = model.optimise(self._left(), self.gap, 1e-6)
        if answer.starts is None:
            return
        if value(self.problem, answer.starts) < value(self.problem, self.best):
            self.last = replace(answer, proven=False)
        elif self._accept(answer.starts):
            self.last = answer

    def _solution(self) -> Solution:
        seconds = time.monotonic() - self.began
        if self.last is None and not self.improved:
            return replace(self.first_fit, seconds=seconds)
        objective = value(self.problem, self.best)
        bound = min(self._loose_bound(), self.last.bound if self.last else math.inf)
        # Prices are no part of Σ w·x: where they say where, nothing is proven of it.
        bound = objective if self.problem.prices else max(bound, objective)
        proven = self.levels_proven and self.last is not None and self.last.proven
        return Solution(
            starts=dict(sorted(self.best.items())),
            status="optimal" if proven else "incumbent",
            objective=objective,
            bound=bound,
            gap=(bound - objective) / max(abs(objective), 1e-9) if bound > objective else 0.0,
            seconds=seconds,
        )

    def _loose_bound(self) -> float:
        """What the tasks that start are worth if each is on the devices it likes best."""
        total = 0.0
        for r, count in Counter(self.problem.tasks[t].request for t in self.best).items():
            request = self.problem.requests[r]
            best = max(self.problem.weights[request.weights].values())
            total += count * best * sum(slot.devices for slot in request.slots)
            total += count * max(request.worths, default=0.0)
        return total
