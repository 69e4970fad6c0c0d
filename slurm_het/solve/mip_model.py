"""python-mip and its quirks: the one module that imports it.

A MipModel maximises a linear objective over variables and rows. Variables and rows are handles:
whoever gets one from a model hands it back to that model, and does nothing else with it.
"""

from __future__ import annotations

import gc
import logging
import math
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

if find_spec("cbcbox") is None:  # slurm-het's packages have HiGHS alone: no word of that
    logging.getLogger("mip.cbc").setLevel(logging.CRITICAL)

import mip
from mip.cbc import has_cbc
from mip.highs import has_highs

from slurm_het.errors import pip

log = logging.getLogger(__name__)

SolverName = Literal["highs", "cbc"]
Sense = Literal["<", "="]
Variable: TypeAlias = Any
Row: TypeAlias = Any
K = TypeVar("K")

SHORTEST = 0.01
"""Seconds that a solver is given at least: HiGHS fails on a negative limit."""


class Solved(NamedTuple):
    """How a run of a solver ended.

    `found`: there is a solution to read. `proven`: it is the best one, within the gaps. No solution
    is worth more than `bound`, which is infinite without one.
    """

    found: bool
    proven: bool
    bound: float


class MipModel:
    """One model for one solver."""

    def __init__(self, solver: SolverName) -> None:
        self._model = mip.Model(sense=mip.MAXIMIZE, solver_name=solver.upper())
        self._model.verbose = 0

    def variable(
        self,
        lower: float = 0.0,
        upper: float = math.inf,
        name: str = "",
        *,
        whole: bool = True,
        gain: float = 0.0,
    ) -> Variable:
        """A new variable within these bounds. `gain` is its factor in the objective."""
        var_type = mip.INTEGER if whole else mip.CONTINUOUS
        return self._model.vars.add(name, lower, upper, gain, var_type)

    def row(
        self,
        variables: Collection[Variable],
        factors: Collection[float],
        sense: Sense,
        limit: float,
        name: str = "",
    ) -> Row:
        """A new row: Σ factor·variable is at most the limit, or equals it."""
        if not variables and not self._model.num_cols:
            self.variable(0.0, 0.0, whole=False)  # python-mip gives an empty row the first one
        # The constructor is several times faster than xsum and comparisons of expressions.
        return self._model.constrs.add(mip.LinExpr(variables, factors, -limit, sense), name)

    def column(
        self,
        gain: float,
        rows: Sequence[Row],
        factors: Sequence[float],
        upper: float = math.inf,
    ) -> Variable:
        """A new variable, not whole, in rows that are there already."""
        return self._model.add_var(obj=gain, ub=upper, column=mip.Column(list(rows), list(factors)))

    def limit(self, row: Row, limit: float) -> None:
        """Give a row another limit."""
        row.rhs = limit

    def maximise(self, variables: Collection[Variable], gains: Collection[float]) -> None:
        """Make Σ gain·variable the objective."""
        self._model.objective = mip.LinExpr(variables, gains)

    def maximise_in_order(self, variables: Sequence[Variable]) -> None:
        """Make the variables (0 or 1) the objective, each worth more than all after it."""
        last = len(variables) - 1
        self.maximise(variables, [float(2 ** (last - i)) for i in range(len(variables))])

    def start_from(self, ones: Iterable[Variable]) -> None:
        """Hand the solver a feasible solution to improve: these are 1, all others are 0."""
        chosen = {variable.idx for variable in ones}
        self._model.start = [(v, float(v.idx in chosen)) for v in self._model.vars]

    def solve(self, seconds: float, gap: float, gap_abs: float) -> Solved:
        """Run the solver until the bound is as near as one of the gaps (relative, absolute) says.

        `seconds` is a request: solvers overrun it.
        """
        model = self._model
        model.max_mip_gap, model.max_mip_gap_abs = gap, gap_abs
        if model.solver_name == mip.CBC:
            model.cuts = model.preprocess = 0  # with them CBC overruns its time limit many times
        status = model.optimize(max_seconds=max(SHORTEST, seconds))
        proven = status == mip.OptimizationStatus.OPTIMAL
        found = proven or status == mip.OptimizationStatus.FEASIBLE
        return Solved(found, proven, float(model.objective_bound) if found else math.inf)

    def relax(self, seconds: float) -> float | None:
        """The optimum if no variable need be whole; None if it is not there in time.

        Its values and prices can be read then.
        """
        status = self._model.optimize(max_seconds=max(SHORTEST, seconds), relax=True)
        optimal = status == mip.OptimizationStatus.OPTIMAL
        return float(self._model.objective_value) if optimal else None

    def values(self, variables: Iterable[Variable]) -> list[float]:
        """The variables' values in the solution."""
        return [variable.x for variable in variables]

    def chosen(self, variables: Mapping[K, Variable]) -> list[K]:
        """The keys of those variables (0 or 1) that are 1 in the solution."""
        return [key for key, variable in variables.items() if variable.x > 0.5]

    def prices(self, rows: Mapping[K, Row]) -> dict[K, float]:
        """By how much the optimum of `relax` would grow per unit of each row's limit."""
        return {key: row.pi for key, row in rows.items()}

    def name(self, variable: Variable) -> str:
        """The name that the variable was given."""
        return str(variable.name)

    def lp_text(self) -> str:
        """The model in the LP format."""
        with tempfile.TemporaryDirectory(prefix="slurm-het-") as folder:
            path = Path(folder) / "model.lp"
            self._model.write(str(path))
            return path.read_text(encoding="utf-8")


def usable(solver: SolverName) -> SolverName:
    """The solver, or CBC with a warning where python-mip finds no HiGHS that it can call.

    A release of highspy may hide the C API that python-mip calls (1.16.0 does), and a plan by CBC
    is better than first-fit ones until somebody notices.
    """
    if solver == "highs" and not has_highs:
        log.warning(
            "python-mip finds no HiGHS that it can call, CBC is used;"
            " %s, or `solver: cbc` under `planner:`",
            pip("highspy<1.16"),
        )
        return "cbc"
    if solver == "cbc" and not has_cbc and has_highs:
        log.warning("no CBC is installed, HiGHS is used; remedy: `solver: highs` under `planner:`")
        return "highs"
    return solver


def for_relaxing(solver: SolverName) -> SolverName:
    """The solver to use for `relax` beside this one: CBC prints while it solves an LP."""
    return "highs" if has_highs else solver


def _end_one_model() -> None:
    """Let a model of each solver come and go, before there are any others.

    A model's end calls into its solver's library, and a first call has cffi parse a declaration
    under a lock. Where the collector ended the first model amid another such parsing, the process
    waited for itself for ever (python-mip 2.0.0, cffi 2.1.1).
    """
    for name, there in ((mip.CBC, has_cbc), (mip.HIGHS, has_highs)):
        if there:
            mip.Model(solver_name=name)
    gc.collect()


_end_one_model()
