"""First-fit by priority: the plan when no solver answers, and what a solver starts from."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Set

from slurm_het.core.assignment.problem import PRequest, Problem, PSlot, SlotChoice, Solution

Starts = Mapping[int, tuple[SlotChoice, ...]]
"""By task that starts (its index), a choice per slot."""


def greedy(problem: Problem) -> Solution:
    """Start tasks in priority order, each on the feasible choice with the highest Σ w."""
    return complete(problem, {})


def complete(problem: Problem, starts: Starts, only: Set[int] | None = None) -> Solution:
    """Keep `starts`, which must be feasible, and start what still fits beside it, by priority.

    With `only`, no other tasks than these are started.
    """
    remaining = Remaining(problem)
    for t, choices in starts.items():
        remaining.take(problem.request(t), choices)
    started = dict(starts)
    spent = problem.spent(started)
    choosers: dict[int, _Chooser] = {}
    for t, task in enumerate(problem.tasks):
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
    """Σ w·x of the choices, and Σ v·h where groups are worth something."""
    total = 0.0
    for t, choices in starts.items():
        request = problem.request(t)
        weights = problem.weights[request.weights]
        total += sum(weights[problem.devices[j].state] for c in choices for j in c.devices)
        if request.worths:
            states = {problem.nodes[choice.node].state for choice in choices}
            total += request.worths[request.best_group(states)]
    return total


class Remaining:
    """What is still free while tasks are put somewhere one by one.

    `cpus` and `memory_mib` are by node. `free_gib` and `whole` (whether it may be taken whole) are
    by device, of the nodes that were looked at: see `open`. `fresh[s]` are the nodes of state s
    that nothing was put on, the first one last; `touched` are all others, in the order in which
    they were first used.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.cpus = [node.cpus for node in problem.nodes]
        self.memory_mib = [node.memory_mib for node in problem.nodes]
        self.free_gib: dict[int, int] = {}
        self.whole: dict[int, bool] = {}
        self.fresh: dict[int, list[int]] = {}
        for n in range(len(problem.nodes) - 1, -1, -1):
            self.fresh.setdefault(problem.nodes[n].state, []).append(n)
        self.touched: list[int] = []
        # What a fresh node is worth: by the table of weights, the number of devices, its state.
        self._fresh_worth: dict[tuple[int, int, int], float | None] = {}

    def open(self, n: int) -> tuple[int, ...]:
        """The devices of node n; from now on they are in `free_gib` and `whole`.

        Of a large cluster few nodes are ever looked at.
        """
        mine = self.problem.nodes[n].devices
        if mine and mine[0] not in self.free_gib:
            for j in mine:
                device = self.problem.devices[j]
                self.free_gib[j] = device.free_gib
                self.whole[j] = device.whole
        return mine

    def take(self, request: PRequest, choices: tuple[SlotChoice, ...]) -> None:
        """Put a task where `choices` says."""
        for slot, choice in zip(request.slots, choices, strict=True):
            n = choice.node
            state = self.problem.nodes[n].state
            if n in (fresh := self.fresh[state]):
                fresh.remove(n)
                self.touched.append(n)
            need = slot.need[state]
            self.cpus[n] -= need.cpus
            self.memory_mib[n] -= need.memory_mib
            self.open(n)
            for j in choice.devices:
                self.whole[j] = False
                self.free_gib[j] -= request.memory_gib or self.free_gib[j]

    def holds(self, slot: PSlot, n: int) -> bool:
        """Whether node n has the CPUs and host memory for a slot."""
        return slot.need[self.problem.nodes[n].state].fits(self.cpus[n], self.memory_mib[n])

    def serving(self, request: PRequest, n: int) -> list[int]:
        """The devices of node n that can still serve a request, in their order."""
        mine, asked, devices = self.open(n), request.memory_gib, self.problem.devices
        weights = self.problem.weights[request.weights]
        if asked:
            free_gib = self.free_gib
            return [j for j in mine if free_gib[j] >= asked and devices[j].state in weights]
        whole = self.whole
        return [j for j in mine if whole[j] and devices[j].state in weights]

    def devices(self, request: PRequest, slot: PSlot, n: int) -> tuple[int, ...] | None:
        """The devices of node n with the highest weights, or None if the slot does not fit."""
        if not self.holds(slot, n):
            return None
        serving = self.serving(request, n)
        if len(serving) < slot.devices:
            return None
        if len(serving) > 1:
            weights, devices = self.problem.weights[request.weights], self.problem.devices
            serving.sort(key=lambda j: -weights[devices[j].state])
        return tuple(serving[: slot.devices])

    def worth(self, request: PRequest, slot: PSlot, n: int) -> float | None:
        """What node n is worth to a slot: Σ w of those devices. None if the slot does not fit."""
        devices = self.devices(request, slot, n)
        if devices is None:
            return None
        weights, all_devices = self.problem.weights[request.weights], self.problem.devices
        return sum([weights[all_devices[j].state] for j in devices])

    def fresh_worth(self, request: PRequest, slot: PSlot, s: int) -> float | None:
        """What a fresh node of a state is worth to a slot. None if the slot does not fit.

        It is remembered, since many requests ask it.
        """
        if not (fresh := self.fresh[s]):
            return None
        key = (request.weights, slot.devices, s)
        if key not in self._fresh_worth:
            self._fresh_worth[key] = self._alone(request, slot.devices, fresh[-1])
        return self._fresh_worth[key]

    def _alone(self, request: PRequest, count: int, n: int) -> float | None:
        weights, devices = self.problem.weights[request.weights], self.problem.devices
        worth = [
            weights[state]
            for j in self.problem.nodes[n].devices
            if (state := devices[j].state) in weights
        ]
        if len(worth) < count:
            return None
        return sum(worth if len(worth) == count else sorted(worth, reverse=True)[:count])


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

    Taking resources only ever lowers what a node is worth, so stale values are enough: the best
    used node is valued anew and either confirmed or sunk. Entries are (-worth, state or node).
    """

    def __init__(
        self, request: PRequest, slot: PSlot, group: frozenset[int], remaining: Remaining
    ) -> None:
        self.request, self.slot, self.group, self.remaining = request, slot, group, remaining
        self.states: list[tuple[float, int]] = []  # of the fresh nodes, the best is last
        for s in group & slot.need.keys() & remaining.fresh.keys():
            worth = remaining.fresh_worth(request, slot, s)
            if worth is not None:
                self.states.append((-worth, s))
        self.states.sort(reverse=True)
        self.when_fresh = {s: entry for entry, s in self.states}
        self.used: list[tuple[float, int]] = []  # a heap
        self.caught_up = 0  # how many of the touched nodes are in it, or were

    def best(self, taken: set[int]) -> tuple[float, int] | None:
        """The worth and the node of the best place outside `taken`; of equal ones a used node's, so
        that others stay whole."""
        self._catch_up()
        fresh = self._best_fresh(taken)
        confirmed: list[tuple[float, int]] = []
        best: tuple[float, int] | None = None
        while self.used and best is None and (fresh is None or self.used[0][0] <= fresh[0]):
            stale = heapq.heappop(self.used)
            worth = self.remaining.worth(self.request, self.slot, stale[1])
            if worth is None:
                continue
            entry = (-worth, stale[1])
            if entry > stale:
                heapq.heappush(self.used, entry)
                continue
            confirmed.append(entry)
            if entry[1] not in taken:
                best = entry
        for entry in confirmed:
            heapq.heappush(self.used, entry)
        best = best or fresh
        return (-best[0], best[1]) if best else None

    def _best_fresh(self, taken: set[int]) -> tuple[float, int] | None:
        fresh = self.remaining.fresh
        while self.states and not fresh[self.states[-1][1]]:
            self.states.pop()
        for worth, s in reversed(self.states):
            for n in reversed(fresh[s]):
                if n not in taken:
                    return worth, n
        return None

    def _catch_up(self) -> None:
        nodes = self.remaining.problem.nodes
        for n in self.remaining.touched[self.caught_up :]:
            s = nodes[n].state
            if s in self.slot.need and s in self.group:
                heapq.heappush(self.used, (self.when_fresh.get(s, -float("inf")), n))
        self.caught_up = len(self.remaining.touched)
