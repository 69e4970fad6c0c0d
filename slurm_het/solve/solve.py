"""The assignment as a MIP: which formulation is solved, and the whole model as text."""

from __future__ import annotations

from dataclasses import replace

from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.solve.detailed.model import Detailed, variables
from slurm_het.solve.mip_model import SolverName, usable
from slurm_het.solve.pooled.expand import together
from slurm_het.solve.pooled.formulation import Pooled
from slurm_het.solve.search import ANYBODY, DEFAULT_GAP, Asker, Search

DETAILED_MOST = 20_000
"""Variables up to which the reference formulation is solved: beyond, it proves little in time."""
DUMPED_LEVELS = 50  # 2^49 … 1 is as far as the weights of one objective stay exact

LP_HEADER = """\
\\ y(t)        = 1: task t starts now
\\ h(t,g)      = 1: task t uses its g-th group of nodes (only where several slots must agree)
\\ z(t,k,n)    = 1: slot k of task t is on node n
\\ x(t,k,i,n#p) = 1: the i-th device requested in slot k is the device at position p of node n
\\ start, slot, within, once, place, apart: the shape of a task; same: identical tasks in order
\\ mem(n#p): GiB of a device; cpu(n), host(n): CPUs and host memory (MiB) of a node
\\ The objective is the first level: the tasks that start, in priority order (the first {levels}
\\ by powers of two). The second level, with every y fixed, is the sum of w*x:
"""


def solve(
    problem: Problem,
    seconds: float,
    solver: SolverName = "highs",
    gap: float = DEFAULT_GAP,
    asker: Asker = ANYBODY,
) -> Solution:
    """The best plan found within `seconds`, building models included; it is always feasible.

    `gap` as in Search. Who asks hears of each plan that is better than the one before, the
    first-fit plan not included.
    """

    def tidy(solution: Solution) -> Solution:
        if solution.status == "greedy" or problem.prices:  # first-fit, or the prices, have done so
            return solution
        return replace(solution, starts=together(problem, solution.starts))

    def tell(found: Solution) -> None:
        asker.tell(tidy(found))

    formulation = (Detailed if variables(problem) <= DETAILED_MOST else Pooled)(problem, solver)
    return tidy(Search(problem, seconds, formulation, gap, asker._replace(tell=tell)).run())


def dump_lp(problem: Problem) -> str:
    """The whole model as LP text, with comments that name the symbols and the second level."""
    header = LP_HEADER.format(levels=DUMPED_LEVELS)
    formulation = Detailed(problem, usable("highs"))
    able = formulation.able()
    if not able:
        return header + "\\ no task can start\n"
    form = formulation.model(able)
    form.maximise_starts(able[:DUMPED_LEVELS])
    terms = [f"\\ {w:+g} {form.model.name(x)}\n" for x, w in zip(*form.weights(), strict=True)]
    return header + "".join(terms) + form.model.lp_text()
