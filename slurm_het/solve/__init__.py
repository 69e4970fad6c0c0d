"""Solvers of the assignment problem, behind one protocol."""

from __future__ import annotations

from typing import Protocol

from slurm_het.core.problem import Problem, Solution


class Solver(Protocol):
    """Answers a problem with a feasible solution, always, within about `seconds`."""

    def solve(self, problem: Problem, seconds: float) -> Solution:
        """The best solution found; its status says what is proven about it."""
        ...

    def close(self) -> None:
        """Release what the solver holds (processes, pipes)."""
        ...
