"""Solves the linear programs behind the bounds."""

from __future__ import annotations

from collections import defaultdict

from bench.linear_program import LinearProgram
from slurm_het.solve.mip_model import MipModel, SolverName, Variable


def solve_program(
    program: LinearProgram, seconds: float, solver: SolverName = "highs"
) -> tuple[float, ...] | None:
    """The columns' values at the optimum; None if it is not there within `seconds`."""
    model = MipModel(solver)
    rows: dict[int, tuple[list[Variable], list[float]]] = defaultdict(lambda: ([], []))
    variables = []
    for column in program.columns:
        x = model.variable(upper=column.upper, whole=False, gain=column.gain)
        variables.append(x)
        for row, factor in column.terms.items():
            rows[row][0].append(x)
            rows[row][1].append(factor)
    for row, (of, by) in rows.items():
        model.row(of, by, "<", program.limits[row])
    if not model.solve(seconds, 0.0, 0.0).proven:
        return None
    return tuple(float(x) for x in model.values(variables))
