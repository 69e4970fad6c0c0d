"""Solvers of the assignment problem, behind one protocol."""

from __future__ import annotations

import time
from typing import Protocol

from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.prices import Prices
from slurm_het.core.assignment.problem import Problem, Solution


class Solver(Protocol):
    """Answers a problem with a feasible solution, always, within about `seconds`."""

    def solve(self, problem: Problem, seconds: float) -> Solution:
        """The best solution found; its status says what is proven about it."""
        ...

    def price(self, fluid: Fluid, seconds: float) -> Prices | None:
        """The prices of a fluid program; None without any in time."""
        ...

    def close(self) -> None:
        """Release what the solver holds (processes, pipes)."""
        ...


BUILDING = 0.25  # share of the time allowed that building the problem may take
# The solver leaves time to check and explain its plan, and to replace a worker that is late. It is
# the largest of these:
AFTERWARDS = 0.1  # share of the time allowed
AFTER_SECONDS = 0.05
PER_BUILDING = 2 / 3  # share of the time that it took to build the problem


class Deadline:
    """The deadline of one plan(), which begins now and is to be done `seconds` from now.

    Building the problem counts, and so does checking and explaining the plan afterwards. Where
    there is no time to build the problem for all tasks, plan() leaves out the last of them.
    """

    def __init__(self, solver: Solver, seconds: float) -> None:
        self.solver, self.seconds = solver, seconds
        self.began = time.monotonic()

    def _used(self) -> float:
        return time.monotonic() - self.began

    def hurry(self) -> bool:
        """Whether building has taken as long as it may."""
        return self._used() > self.seconds * BUILDING

    def solve(self, problem: Problem) -> Solution:
        """The best solution found in the time that is left; the first-fit plan if there is none."""
        used = self._used()
        after = max(self.seconds * AFTERWARDS, AFTER_SECONDS, used * PER_BUILDING)
        return self.solver.solve(problem, max(self.seconds - used - after, 0.0))
