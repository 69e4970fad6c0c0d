"""First-fit by priority: the plan when no solver answers, and what a solver starts from."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence, Set
from operator import attrgetter

from slurm_het.core.assignment.problem import PRequest, Problem, PSlot, SlotChoice, Solution
from slurm_het.core.assignment.remaining import Remaining

Starts = Mapping[int, tuple[SlotChoice, ...]]
"""By task that starts (its index), a choice per slot."""


TRIES = 3
"""How often those that found no place are put first, and all the others anew."""


def greedy(problem: Problem) -> Solution:
    """Start tasks in priority order, each on the feasible choice with the highest Σ w.

    Where the problem has prices, that is the choice that costs the least.
    """
    return complete(problem, {})


def arranged(problem: Problem, wanted: Set[int], before: Set[int]) -> Starts | None:
    """The `wanted` tasks first-fit, all of them; None if that finds no place for one.

    Those that were not among the ones placed `before` go first, then any that still find none.
    """
    first = [t for t in wanted if t not in before]
    for _ in range(TRIES):
        order = [*first, *(t for t in sorted(wanted) if t not in first)]
        starts = complete(problem, {}, order=order).starts
        if len(starts) == len(order):
            return starts
        first = [*(t for t in order if t not in starts), *first]
        first = list(dict.fromkeys(first))
    return None


def complete(
    problem: Problem,
    starts: Starts,
    only: Set[int] | None = None,
    order: Sequence[int] | None = None,
) -> Solution:
    """Keep `starts`, which must be feasible, and start what still fits beside it, by priority.

    With `only`, no other tasks than these are started; with an `order`, these in that order.
    """
    remaining = Remaining(problem)
    for t, choices in starts.items():
        remaining.take(problem.request(t), choices)
    started = dict(starts)
    spent = problem.spent(started)
    choosers: dict[int, _Chooser] = {}
    for t in range(len(problem.tasks)) if order is None else order:
        task = problem.tasks[t]
        if t in started or (only is not None and t not in only):
            continue
        if any(spent[b] + use > problem.budgets[b].left for b, use in task.uses):
            continue
        if (chooser := choosers.get(task.request)) is None:
            chooser = _Chooser(problem.requests[task.request], remaining)
            choosers[task.request] = chooser
        if best := chooser.choose():
            remaining.take(chooser.request, best)
            spent.update(dict(task.uses))
            started[t] = best
    started = dict(sorted(started.items()))
    return Solution(starts=started, status="greedy", objective=value(problem, started))


def value(problem: Problem, starts: Starts) -> float:
    """Σ w·x of the choices, and Σ v·h where groups are worth something.

    With prices minus what the choices cost by these, one after the other in priority order: the
    plan of the highest value leaves the most valuable cluster.
    """
    total = 0.0
    remaining = Remaining(problem) if problem.prices else None
    for t, choices in sorted(starts.items()):
        request = problem.request(t)
        weights = problem.weights[request.weights]
        total += sum(weights[problem.devices[j].state] for c in choices for j in c.devices)
        if request.worths:
            states = {problem.nodes[choice.node].state for choice in choices}
            total += request.worths[request.best_group(states)]
        if remaining:
            for slot, choice in zip(request.slots, choices, strict=True):
                total -= remaining.cost(request, slot, choice)
            remaining.take(request, choices)
    return total


class _Chooser:
    """Finds the best choice for one request, again and again while less and less remains.

    With one slot the groups do not matter: any candidate will do. Equal slots share a ranking.
    """

    def __init__(self, request: PRequest, remaining: Remaining) -> None:
        self.request = request
        self.remaining = remaining
        several = len(request.slots) > 1
        self.groups = (
            request.groups
            if several or not request.groups
            else (frozenset().union(*request.groups),)
        )
        self.rankings: dict[tuple[int, int], _Ranking] = {}
        self.exhausted = False

    def choose(self) -> tuple[SlotChoice, ...] | None:
        """The best choice over the groups, or None: then no such task fits any more."""
        if self.exhausted:
            return None
        best: tuple[float, tuple[SlotChoice, ...]] | None = None
        for g in range(len(self.groups)):
            option = self._in_group(g)
            if option and (best is None or option[0] > best[0]):
                best = option
        self.exhausted = best is None
        return best[1] if best else None

    def _in_group(self, g: int) -> tuple[float, tuple[SlotChoice, ...]] | None:
        """The best choice within a group and its worth: the largest slots choose first."""
        slots = self.request.slots
        chosen: dict[int, SlotChoice] = {}
        total = self.request.worths[g] if self.request.worths else 0.0
        for k in sorted(range(len(slots)), key=lambda k: -slots[k].devices):
            taken = {choice.node for choice in chosen.values()}
            best = self._ranking(g, slots.index(slots[k])).best(taken)
            if best is None:
                return None
            worth, n = best
            devices = self.remaining.devices(self.request, slots[k], n)
            chosen[k] = SlotChoice(n, devices or ())
            total += worth
        return total, tuple(chosen[k] for k in range(len(slots)))

    def _ranking(self, g: int, k: int) -> _Ranking:
        if (g, k) not in self.rankings:
            slot = self.request.slots[k]
            self.rankings[g, k] = _Ranking(self.request, slot, self.groups[g], self.remaining)
        return self.rankings[g, k]


class _Ranking:
    """The nodes for one slot, best first: fresh ones by state, used ones in a heap.

    Without prices, taking resources only ever lowers what a node is worth, so stale values are
    enough: the best used node is valued anew and either confirmed or sunk. With prices a used node
    may be worth more, so each is valued at once. Entries are (-worth, state or node, version).
    """

    def __init__(
        self, request: PRequest, slot: PSlot, group: frozenset[int], remaining: Remaining
    ) -> None:
        self.request, self.slot, self.group, self.remaining = request, slot, group, remaining
        self.states: list[tuple[float, int]] = []  # of the fresh nodes, the best is last
        self.when_fresh: dict[int, float] = {}
        states = group & slot.need.keys() & remaining.fresh.keys()
        self.groups = sorted(  # of states whose worth is not known yet, the best is last
            remaining.fresh_groups(request, slot, states), key=attrgetter("most")
        )
        self.used: list[tuple[float, int, int]] = []  # a heap
        self.caught_up = 0  # how many of the touched nodes are in it, or were

    def best(self, taken: set[int]) -> tuple[float, int] | None:
        """The worth and the node of the best place outside `taken`; of equal ones a used node's, so
        that others stay whole."""
        fresh = self._best_fresh(taken)
        self._catch_up()
        confirmed: list[tuple[float, int, int]] = []
        best: tuple[float, int] | None = None
        version = self.remaining.version
        while self.used and best is None and (fresh is None or self.used[0][0] <= fresh[0]):
            stale = heapq.heappop(self.used)
            if stale[2] != version[stale[1]]:
                continue
            worth = self.remaining.worth(self.request, self.slot, stale[1])
            if worth is None:
                continue
            entry = (-worth, *stale[1:])
            if entry > stale:
                heapq.heappush(self.used, entry)
                continue
            confirmed.append(entry)
            if entry[1] not in taken:
                best = entry[:2]
        for entry in confirmed:
            heapq.heappush(self.used, entry)
        best = best or fresh
        return (-best[0], best[1]) if best else None

    def _best_fresh(self, taken: set[int]) -> tuple[float, int] | None:
        while True:
            best = self._best_known(taken)
            if not self.groups or (best and -best[0] > self.groups[-1].most):
                return best
            for worth, s in self.remaining.fresh_worths(self.request, self.slot, self.groups.pop()):
                self.states.append((-worth, s))
                self.when_fresh[s] = -worth
            self.states.sort(reverse=True)

    def _best_known(self, taken: set[int]) -> tuple[float, int] | None:
        """The best fresh node of the states whose worth is known."""
        fresh = self.remaining.fresh
        while self.states and not fresh[self.states[-1][1]]:
            self.states.pop()
        for worth, s in reversed(self.states):
            for n in reversed(fresh[s]):
                if n not in taken:
                    return worth, n
        return None

    def _catch_up(self) -> None:
        remaining, nodes = self.remaining, self.remaining.problem.nodes
        for n in dict.fromkeys(remaining.touched[self.caught_up :]):
            s = nodes[n].state
            if s not in self.slot.need or s not in self.group:
                continue
            bound = self.when_fresh.get(s, -float("inf"))
            if remaining.problem.prices:
                worth = remaining.worth(self.request, self.slot, n)
                if worth is None:
                    continue
                bound = -worth
            heapq.heappush(self.used, (bound, n, remaining.version[n]))
        self.caught_up = len(remaining.touched)
