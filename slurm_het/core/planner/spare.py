"""What the prices kept free where they decided, as facts: see core/reasons/spared.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from slurm_het.core.assignment.prices import NodePrices
from slurm_het.core.assignment.problem import PRequest, Problem, SlotChoice, Solution
from slurm_het.core.assignment.remaining import Remaining
from slurm_het.core.planner.build_problem import Built
from slurm_het.core.reasons import Spared
from slurm_het.core.worth.forecast import Forecast

Places = Counter[int]
"""How many protected places of each kind, by its index in the prices."""
WORTH_TELLING = 0.05
"""A place whose price is less, in devices, is nothing that one speaks of."""
LOOKED_AT = 8
"""So many states of nodes are looked at for what a task might have taken instead."""


def spared(built: Built, solution: Solution) -> dict[str, Spared]:
    """By key of a task that starts, the protected places that the prices kept, or else gave away.

    They kept some where the task would have been as well off on nodes that have them: without the
    price it might be there now. Of several kinds of places those that cost most are told.
    """
    prices, expected = built.problem.prices, built.site.forecast
    if prices is None:
        return {}
    walk, found = _Walk(built.problem, prices), dict[str, Spared]()
    if not walk.told:
        return found
    for t, choices in sorted(solution.starts.items()):
        took = walk.lost(t, choices)
        kind = walk.kept(t, choices, took)
        if kind is None:
            kind = walk.dearest(walk.of_larger(t, took))
        walk.take(t, choices, took)
        if kind is not None:
            found[built.tasks[t].key] = _fact(walk.left[kind], took[kind], kind, expected)
    return found


class _Other(NamedTuple):
    """Where a slot might be instead: what that is worth beside the prices, and the places lost."""

    worth: float
    lost: Places


class _Walk:
    """The placements of a plan one after the other. `left` are the protected places, by kind."""

    def __init__(self, problem: Problem, prices: NodePrices) -> None:
        self.problem, self.remaining = problem, Remaining(problem)
        self.prices, self.left = prices, list(prices.left)
        self.told = {k for k, price in enumerate(prices.scarce) if price >= WORTH_TELLING}
        self._others: dict[tuple[int, int, int], _Other | None] = {}

    def take(self, t: int, choices: tuple[SlotChoice, ...], took: Places) -> None:
        """Go on to the next: this one is placed."""
        self.remaining.take(self.problem.request(t), choices)
        for kind, count in took.items():
            self.left[kind] -= count

    def lost(self, t: int, choices: tuple[SlotChoice, ...]) -> Places:
        """The places that a placement takes, by kind."""
        request, lost = self.problem.request(t), Places()
        for slot, choice in zip(request.slots, choices, strict=True):
            lost.update(dict(self.remaining.places_lost(request, slot, choice)))
        return lost

    def dearest(self, places: Places) -> int | None:
        """The kind of those places that are worth most together, if that is worth telling."""
        scarce = self.prices.scarce
        worth = {kind: scarce[kind] * places[kind] for kind in self.told & places.keys()}
        return max(worth, key=lambda kind: worth[kind], default=None)

    def of_larger(self, t: int, places: Places) -> Places:
        """Those of the places that are not for tasks like this one, or smaller ones."""
        request = self.problem.request(t)
        most = 0 if request.memory_gib else max(slot.devices for slot in request.slots)
        protected = self.prices.prices.protected
        return Places({k: count for k, count in places.items() if protected[k].devices > most})

    def kept(self, t: int, choices: tuple[SlotChoice, ...], took: Places) -> int | None:
        """The kind of places that the task did not take, though but for the price it might."""
        request, spared = self.problem.request(t), Places()
        for k, choice in enumerate(choices):
            least = self._worth(request, choice)
            for other in self._instead(t, k):
                if other.worth >= least:
                    spared |= other.lost
        return self.dearest(spared - took)

    def _worth(self, request: PRequest, choice: SlotChoice) -> float:
        """What a choice is worth beside the prices."""
        weights = self.problem.weights[request.weights]
        return sum(weights[self.problem.devices[j].state] for j in choice.devices)

    def _instead(self, t: int, k: int) -> Iterator[_Other]:
        """Where else slot k fits on nodes that hold such places and that nothing was put on yet.

        All such nodes of a state are alike, and so are tasks of one request.
        """
        number, fresh = self.problem.tasks[t].request, self.remaining.fresh
        need = self.problem.request(t).slots[k].need
        holding = self._holding
        for s in islice((s for s in need if s in holding and fresh[s]), LOOKED_AT):
            key = number, k, s
            if key not in self._others:
                self._others[key] = self._other(t, k, fresh[s][-1])
            if other := self._others[key]:
                yield other

    def _other(self, t: int, k: int, n: int) -> _Other | None:
        request = self.problem.request(t)
        slot = request.slots[k]
        devices = self.remaining.devices(request, slot, n)
        if devices is None:
            return None
        choice = SlotChoice(n, devices)
        lost = Places(dict(self.remaining.places_lost(request, slot, choice)))
        return _Other(self._worth(request, choice), lost)

    @cached_property
    def _holding(self) -> frozenset[int]:
        """The states of which a fresh node holds places of which is told."""
        fresh = self.remaining.fresh.items()
        held = ((s, self.remaining.places_held(there[-1])) for s, there in fresh if there)
        return frozenset(s for s, places in held if any(places[kind] for kind in self.told))


def _fact(left: int, took: int, kind: int, expected: Forecast) -> Spared:
    appraisal = expected.appraisal
    if appraisal is None:
        raise ValueError("places are protected by prices alone")
    places, rare = appraisal.prices.protected[kind], appraisal.rare[kind]
    classes = [appraisal.classes[table] for table in places.tables]
    return Spared(
        max(0, left), took, places.devices, tuple(sorted({one.type for one in classes})),
        all(one.per_node == places.devices for one in classes),
        sum(expected.tasks.get(profile, 0.0) for profile in rare.profiles), expected.until,
    )  # fmt: skip
