"""Our policy on openb: quotas per kind of node, then the price of fragmentation within the kind.

It knows what FGD knows, the distribution of shapes, and nothing of the particular future. From
that come the quotas, once, for a demand of `load` times the cluster's devices; and for each kind
the mix of shapes to expect there, by which the fragmentation on its nodes is priced.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench import openb_lp
from bench.fgd import Chooser, Cluster, Move, fragmentation_cost
from bench.quotas import Ledger, Quotas, relaxation, room
from slurm_het.core.frag import WHOLE, Mix, NodeKind, Shape


class Plan:
    """The quotas and the prices: the same for every run of a trace."""

    def __init__(self, nodes: Mapping[NodeKind, int], mix: Mix, load: float = 1.0) -> None:
        self.nodes = nodes
        self.load = load
        self.devices = sum(kind.devices * count for kind, count in nodes.items()) * WHOLE
        mean = sum(share * shape.total for shape, share in mix.items())
        demand = {shape: share * load * self.devices / mean for shape, share in mix.items()}
        rooms = {kind: room({kind.empty(): count}) for kind, count in nodes.items()}
        lp = relaxation(rooms, demand)
        self.quotas = Quotas.of(lp, openb_lp.solve(lp))
        self.choosers = {
            kind: Chooser(fragmentation_cost(self.quotas.mix(kind, mix))) for kind in nodes
        }


class Planned:
    """Places pods by a plan.

    `choosy` turns down pods that the plan does without, so that others of the expected demand
    find room; what comes beyond that demand takes whatever fits. Otherwise all that fits is placed.
    """

    def __init__(self, plan: Plan, *, choosy: bool = False) -> None:
        self.plan = plan
        self.choosy = choosy
        self.clusters = {kind: Cluster({kind: count}) for kind, count in plan.nodes.items()}
        self.ledger = Ledger(plan.quotas, plan.nodes)
        self.full: set[tuple[Shape, NodeKind]] = set()
        self.arrived = 0

    def window(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        """The pods placed, by index, and how. They are looked at as they came: whatever the order
        by size, pods of one kind beside each other end on nodes that lack the same (1 % worse).
        """
        moves = [(i, self._place(pod)) for i, pod in enumerate(pods)]
        self.arrived += sum(pod.total for pod in pods)
        return [(i, move) for i, move in moves if move]

    def _place(self, pod: Shape) -> Move | None:
        self.ledger.arrive(pod)
        choosy = self.choosy and self.arrived < self.plan.load * self.plan.devices
        if choosy and not self.ledger.wanted(pod):
            return None
        for kind in self.ledger.order(pod):
            if (pod, kind) in self.full:
                continue
            if choosy and (pod, kind) not in self.plan.quotas.planned:
                continue
            cluster = self.clusters[kind]
            move = self.plan.choosers[kind].best(cluster.states, pod)
            if move:
                cluster.move(*move)
                self.ledger.place(pod, kind)
                return move
            self.full.add((pod, kind))  # nothing ever leaves
        return None
