"""Our policy on openb: quotas per model of nodes, then the price of fragmentation within a model.

It knows what FGD knows, the distribution of shapes, and nothing of the particular future. From
that come the quotas, once, for a demand of `load` times the cluster's devices; and for each model
the mix of shapes to expect there, by which the fragmentation on its nodes is priced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.fgd import Chooser, Cluster, Move, fragmentation_cost
from slurm_het.core.assignment.linear_program import LinearProgram
from slurm_het.core.cluster.gaps import WHOLE, NodeModel, Shape
from slurm_het.core.worth.fragmentation import Mix
from slurm_het.core.worth.relaxation import Relaxation, relaxation, total_free
from slurm_het.solve.linear import solve_program

LP_SECONDS = 120.0


def as_it_is(shape: Shape, _: NodeModel) -> Shape:
    """A pod has the same shape on nodes of every model."""
    return shape


def solved(lp: LinearProgram) -> tuple[float, ...]:
    """The columns' values at the optimum."""
    values = solve_program(lp, LP_SECONDS)
    if values is None:
        raise SystemExit(f"the linear program was not solved in {LP_SECONDS:.0f} s")
    return values


OVERALL = 0.1
"""Share of the site's whole mix in the mix of a model of nodes: others will stray there."""

Use = tuple[Shape, NodeModel]


@dataclass(frozen=True)
class Quotas:
    """`planned[s, k]` jobs of shape s on model k."""

    planned: Mapping[Use, float]

    @classmethod
    def of(cls, lp: Relaxation[Shape], values: Sequence[float]) -> Quotas:
        """The quotas in the values of the relaxation's columns."""
        found = {use: values[i] for use, i in lp.uses.items() if values[i] > 1e-7}
        return cls(found)

    def mix(self, model: NodeModel, overall: Mix) -> Mix:
        """The mix of jobs to expect on nodes of a model: those planned there, and some others."""
        here = {shape: n for (shape, k), n in self.planned.items() if k == model}
        total = sum(here.values())
        stray = OVERALL if total else 1.0
        found = {shape: (1 - stray) * n / total for shape, n in here.items()}
        for shape, share in overall.items():
            found[shape] = found.get(shape, 0.0) + stray * share
        return found


class Ledger:
    """What has come and what was placed, against the quotas."""

    def __init__(self, quotas: Quotas, models: Iterable[NodeModel]) -> None:
        self.quotas = quotas
        self.models = tuple(models)
        self.came: Counter[Shape] = Counter()
        self.placed: Counter[Use] = Counter()
        self.total: Counter[Shape] = Counter()
        self.planned: dict[Shape, float] = {}
        for (shape, _), count in quotas.planned.items():
            self.planned[shape] = self.planned.get(shape, 0.0) + count

    def arrive(self, shape: Shape) -> None:
        """A job of this shape came."""
        self.came[shape] += 1

    def place(self, shape: Shape, model: NodeModel) -> None:
        """A job of this shape was put on a node of this model."""
        self.placed[shape, model] += 1
        self.total[shape] += 1

    def behind(self, shape: Shape, model: NodeModel) -> float:
        """How many jobs the model is behind its part of those that came; negative when ahead."""
        quota, planned = self.quotas.planned.get((shape, model), 0.0), self.planned.get(shape)
        due = quota * self.came[shape] / planned if planned else 0.0
        return due - self.placed[shape, model]

    def order(self, shape: Shape) -> list[NodeModel]:
        """The models, the one furthest behind its quota first; models without one go last."""
        planned = self.quotas.planned
        return sorted(
            self.models,
            key=lambda model: (
                -self.behind(shape, model) - (1e-3 if (shape, model) in planned else 0.0)
            ),
        )

    def wanted(self, shape: Shape) -> bool:
        """Whether the plan has one more of this shape start, now or later.

        What the plan does without is turned down as late as possible: until then it does no harm
        that the jobs still to come could not make good.
        """
        return self.total[shape] < self.planned.get(shape, 0.0) + 1


class FullPlan:
    """The quotas and the prices: the same for every run of a trace."""

    def __init__(self, nodes: Mapping[NodeModel, int], mix: Mix, load: float = 1.0) -> None:
        self.nodes = nodes
        self.load = load
        self.devices = sum(model.devices * count for model, count in nodes.items()) * WHOLE
        mean = sum(share * shape.total for shape, share in mix.items())
        expected = {shape: share * load * self.devices / mean for shape, share in mix.items()}
        free = {model: total_free({model.empty(): count}) for model, count in nodes.items()}
        lp = relaxation(free, expected, as_it_is)
        self.quotas = Quotas.of(lp, solved(lp.program))
        self.choosers = {
            model: Chooser(fragmentation_cost(self.quotas.mix(model, mix))) for model in nodes
        }


class Planned:
    """Places pods by a plan.

    `choosy` turns down pods that the plan does without, so that others of the expected load
    find room; what comes beyond that load takes whatever fits. Otherwise all that fits is placed.
    """

    def __init__(self, plan: FullPlan, *, choosy: bool = False) -> None:
        self.plan = plan
        self.choosy = choosy
        self.clusters = {model: Cluster({model: count}) for model, count in plan.nodes.items()}
        self.ledger = Ledger(plan.quotas, plan.nodes)
        self.full: set[tuple[Shape, NodeModel]] = set()
        self.arrived = 0

    def window(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        """The pods placed, by index, and how. They are looked at as they came: whatever the order
        by size, equal pods beside each other end on nodes that lack the same (1 % worse).
        """
        moves = [(i, self._place(pod)) for i, pod in enumerate(pods)]
        self.arrived += sum(pod.total for pod in pods)
        return [(i, move) for i, move in moves if move]

    def _place(self, pod: Shape) -> Move | None:
        self.ledger.arrive(pod)
        choosy = self.choosy and self.arrived < self.plan.load * self.plan.devices
        if choosy and not self.ledger.wanted(pod):
            return None
        for model in self.ledger.order(pod):
            if (pod, model) in self.full:
                continue
            if choosy and (pod, model) not in self.plan.quotas.planned:
                continue
            cluster = self.clusters[model]
            move = self.plan.choosers[model].best(cluster.states, pod)
            if move:
                cluster.move(*move)
                self.ledger.place(pod, model)
                return move
            self.full.add((pod, model))  # nothing ever leaves
        return None
