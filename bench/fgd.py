"""What others do with openb, from their papers' descriptions, on a cluster kept as counted states.

A policy is a cost of one way to put a job on a node, `(before, after) → number`; the cheapest
wins. Costs are cached per state and shape. As in the authors' scheduler, scores are whole numbers
and ties are drawn: for FGD that is worth about a point on the default trace, so we keep to it.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache

from slurm_het.core.cluster.gaps import (
    Free,
    NodeModel,
    Shape,
    options,
)
from slurm_het.core.worth.fragmentation import Measure, Mix

Cost = Callable[[Free, Free], float]
Move = tuple[Free, Free]
"""The state of the node that is taken, and its state afterwards."""


class Chooser:
    """The cheapest way to put a shape on a node in some state, by a cost that never changes.

    Ties are drawn from `rng`, each node being as likely; without one the state seen first wins.
    """

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self.known: dict[Shape, dict[Free, tuple[float, Free] | None]] = {}

    def best(
        self, states: Mapping[Free, int], shape: Shape, rng: random.Random | None = None
    ) -> Move | None:
        """The best move, or None if the shape fits nowhere."""
        known = self.known.setdefault(shape, {})
        found: list[Move] = []
        least = math.inf
        for free in states:
            try:
                choice = known[free]
            except KeyError:
                choice = known[free] = self._choice(free, shape)
            if choice is None or choice[0] > least:
                continue
            if choice[0] < least:
                least = choice[0]
                found = [(free, choice[1])]
            elif rng is not None:
                found.append((free, choice[1]))
        if rng is None or len(found) < 2:
            return found[0] if found else None
        return rng.choices(found, [states[before] for before, _ in found])[0]

    def _choice(self, free: Free, shape: Shape) -> tuple[float, Free] | None:
        ways = [(self.cost(free, after), after) for after in options(free, shape)]
        return min(ways, key=lambda way: way[0], default=None)


class Cluster:
    """How many nodes are in each state."""

    def __init__(self, nodes: Mapping[NodeModel, int]) -> None:
        self.states: Counter[Free] = Counter()
        for model, count in nodes.items():
            self.states[model.empty()] += count

    def move(self, before: Free, after: Free) -> None:
        """One node's state changes."""
        self.states[before] -= 1
        if not self.states[before]:
            del self.states[before]
        self.states[after] += 1


class OneByOne:
    """Places each pod as it comes, at the least cost, and drops what fits nowhere."""

    def __init__(self, nodes: Mapping[NodeModel, int], chooser: Chooser, seed: int) -> None:
        self.cluster = Cluster(nodes)
        self.chooser = chooser
        self.rng = random.Random(seed)

    def window(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        """The pods placed, by index, and how."""
        moves = ((i, self._place(pod)) for i, pod in enumerate(pods))
        return [(i, move) for i, move in moves if move]

    def _place(self, pod: Shape) -> Move | None:
        move = self.chooser.best(self.cluster.states, pod, self.rng)
        if move:
            self.cluster.move(*move)
        return move


def fragmentation_cost(mix: Mix) -> Cost:
    """Exact increase of the expected fragmentation, in thousandths of a device."""

    @cache
    def measure(model: str) -> Measure:
        return Measure(model, mix)

    @cache
    def of(free: Free) -> float:
        return measure(free.model).of(free)

    return lambda before, after: of(after) - of(before)


def fgd(mix: Mix) -> Cost:
    """Fragmentation gradient descent (Weng et al., USENIX ATC'23).

    The increase of the expected fragmentation, squeezed to 0..100 points; host memory decides
    what fits, but the paper's fragmentation does not look at it.
    """
    blind: dict[Shape, float] = {}
    for shape, share in mix.items():
        known = shape._replace(memory_mib=0)
        blind[known] = blind.get(known, 0.0) + share
    increase = fragmentation_cost(blind)

    def cost(before: Free, after: Free) -> float:
        return -int(100 / (1 + math.exp(increase(before, after) / 1000)))

    return cost


def best_fit(_: Mix) -> Cost:
    """Least CPUs and devices left over, in shares of the largest node's, 0..100 points."""

    def cost(_: Free, after: Free) -> float:
        return -int(100 * (1 - after.cpus / 128_000 / 2 - sum(after.gaps) / 8000 / 2))

    return cost
