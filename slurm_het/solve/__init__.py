"""Solvers of the assignment problem, behind one protocol."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from slurm_het.core.problem import Problem, Solution

if TYPE_CHECKING:  # the worker starts without it
    from slurm_het.core.plan import Solve


class Solver(Protocol):
    """Answers a problem with a feasible solution, always, within about `seconds`."""

    def solve(self, problem: Problem, seconds: float) -> Solution:
        """The best solution found; its status says what is proven about it."""
        ...

    def close(self) -> None:
        """Release what the solver holds (processes, pipes)."""
        ...


AFTERWARDS = 0.1  # share of the time allowed that plan() keeps for what follows the solver
PER_BUILDING = 1 / 3  # or of the time that it took to build the problem, if that is more


def within(solver: Solver, seconds: float) -> Solve:
    """A `solve` for one call of plan(), begun now: the plan is to be there `seconds` from now.

    Building the problem counts, and so does checking and explaining the plan afterwards. It is
    late by more than 10 % only where those two and first-fit alone take longer.
    """
    began = time.monotonic()

    def solve(problem: Problem) -> Solution:
        used = time.monotonic() - began
        left = seconds - used - max(seconds * AFTERWARDS, used * PER_BUILDING)
        return solver.solve(problem, max(left, 0.0))

    return solve
