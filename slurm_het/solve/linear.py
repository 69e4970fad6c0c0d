"""Solves the linear program behind the quotas, with python-mip."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import mip

from slurm_het.core.assignment.linear_program import (
    LinearProgram,
)
from slurm_het.solve.pooled.model import SolverName


def solve_program(
    program: LinearProgram, seconds: float, solver: SolverName = "highs"
) -> tuple[float, ...] | None:
    """The columns' values at the optimum; None if it is not there within `seconds`."""
    model = mip.Model(sense=mip.MAXIMIZE, solver_name=solver.upper())
    model.verbose = 0
    rows: dict[int, tuple[list[Any], list[float]]] = defaultdict(lambda: ([], []))
    variables = []
    for column in program.columns:
        x = model.add_var(lb=0.0, ub=min(column.upper, mip.INF), obj=column.gain)
        variables.append(x)
        for row, factor in column.terms.items():
            rows[row][0].append(x)
            rows[row][1].append(factor)
    for row, (of, by) in rows.items():
        model.add_constr(mip.LinExpr(of, by, -program.limits[row], "<"))
    status = model.optimize(max_seconds=seconds)
    if status != mip.OptimizationStatus.OPTIMAL:
        return None
    return tuple(float(x.x) for x in variables)
