"""What others do with openb, from their papers' descriptions, on a cluster kept as counted states.

A policy is a cost of one way to put a job on a node, `(before, after) → number`; the cheapest
wins. Costs are cached per state and shape. As in the authors' scheduler, scores are whole numbers,
and of equal nodes the first wins in an order that is drawn once for a run: without that FGD loses
up to six points where all jobs take shares.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from bench.fragmentation import Measure, Mix
from bench.gaps import (
    Free,
    NodeModel,
    Shape,
    options,
)

COVERED = 0.95
"""Share of all pods that the shapes which FGD expects make up."""

Cost = Callable[[Free, Free], float]
Move = tuple[Free, Free]
"""The state of the node that is taken, and its state afterwards."""


class Chooser:
    """The cheapest way to put a shape on a node in some state, by a cost that never changes."""

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self.known: dict[Shape, dict[Free, tuple[float, Free] | None]] = {}

    def best(self, nodes: Mapping[Free, Sequence[int]], shape: Shape) -> Move | None:
        """The best move, or None if the shape fits nowhere.

        `nodes` are the numbers of the nodes in each state, the lowest first: of equal ones that
        with the lowest number wins.
        """
        known = self.known.setdefault(shape, {})
        found: Move | None = None
        least = math.inf, math.inf
        for free, numbers in nodes.items():
            try:
                choice = known[free]
            except KeyError:
                choice = known[free] = self._choice(free, shape)
            if choice is not None and (choice[0], numbers[0]) < least:
                least = choice[0], numbers[0]
                found = free, choice[1]
        return found

    def _choice(self, free: Free, shape: Shape) -> tuple[float, Free] | None:
        # Of equal devices the tightest, as theirs take the first one, which is filled first.
        ways = [(self.cost(free, after), after) for after in reversed(options(free, shape))]
        return min(ways, key=lambda way: way[0], default=None)


class Cluster:
    """The numbers of the nodes in each state, as heaps; they are in an order drawn by `seed`."""

    def __init__(self, nodes: Mapping[NodeModel, int], seed: int) -> None:
        every = [model.empty() for model, count in nodes.items() for _ in range(count)]
        random.Random(seed).shuffle(every)
        self.nodes: dict[Free, list[int]] = {}
        for number, free in enumerate(every):
            self.nodes.setdefault(free, []).append(number)

    def move(self, before: Free, after: Free) -> None:
        """The first node's state changes."""
        number = heapq.heappop(self.nodes[before])
        if not self.nodes[before]:
            del self.nodes[before]
        heapq.heappush(self.nodes.setdefault(after, []), number)


class OneByOne:
    """Places each pod as it comes, at the least cost, and drops what fits nowhere."""

    def __init__(self, nodes: Mapping[NodeModel, int], chooser: Chooser, seed: int) -> None:
        self.cluster = Cluster(nodes, seed)
        self.chooser = chooser

    def window(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        """The pods placed, by index, and how."""
        moves = ((i, self._place(pod)) for i, pod in enumerate(pods))
        return [(i, move) for i, move in moves if move]

    def _place(self, pod: Shape) -> Move | None:
        move = self.chooser.best(self.cluster.nodes, pod)
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
    what fits, but the paper's fragmentation does not look at it. As theirs it expects the most
    frequent shapes that are COVERED of all: with all of them it is a point better on gpuspec33.
    """
    blind: dict[Shape, float] = {}
    for shape, share in _frequent(mix).items():
        known = shape._replace(memory_mib=0)
        blind[known] = blind.get(known, 0.0) + share
    increase = fragmentation_cost(blind)

    def cost(before: Free, after: Free) -> float:
        return -int(100 / (1 + math.exp(increase(before, after) / 1000)))

    return cost


def _frequent(mix: Mix) -> dict[Shape, float]:
    """The most frequent shapes, until they cover enough."""
    found: dict[Shape, float] = {}
    for shape, share in sorted(mix.items(), key=lambda entry: -entry[1]):
        if sum(found.values()) >= COVERED:
            break
        found[shape] = share
    covered = sum(found.values())
    return {shape: share / covered for shape, share in found.items()}


def best_fit(_: Mix) -> Cost:
    """Least CPUs and devices left over, in shares of the largest node's, 0..100 points."""

    def cost(_: Free, after: Free) -> float:
        return -int(100 * (1 - after.cpus / 128_000 / 2 - sum(after.gaps) / 8000 / 2))

    return cost
