"""First-fit by priority: the plan when no solver answers, and what a solver starts from."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Set

from slurm_het.core.assignment.problem import PRequest, Problem, PSlot, SlotChoice, Solution

Starts = Mapping[int, tuple[SlotChoice, ...]]


def greedy(problem: Problem) -> Solution:
    """Start tasks in priority order, each on the feasible choice with the highest Σ w."""
    return complete(problem, {})


def complete(problem: Problem, starts: Starts, only: Set[int] | None = None) -> Solution:
    """Keep `starts` (a feasible choice) and start what still fits beside it, by priority.

    `only` these tasks, if given.
    """
    room = Remaining(problem)
    for t, choices in starts.items():
        room.take(problem.request(t), choices)
    done = dict(starts)
    choosers: dict[int, _Chooser] = {}
    for t, task in enumerate(problem.tasks):
        if t in done or (only is not None and t not in only):
            continue
        if (chooser := choosers.get(task.request)) is None:
            chooser = choosers[task.request] = _Chooser(problem.requests[task.request], room)
        if fit := chooser.choose():
            room.take(chooser.request, fit)
            done[t] = fit
    done = dict(sorted(done.items()))
    return Solution(starts=done, status="greedy", objective=value(problem, done))


def value(problem: Problem, starts: Starts) -> float:
    """Σ w·x of the choices."""
    total = 0.0
    for t, choices in starts.items():
        weights = problem.weights[problem.request(t).weights]
        total += sum(weights[problem.devices[j].state] for c in choices for j in c.devices)
    return total


class Remaining:
    """What is still free while tasks are put somewhere one by one.

    `fresh[s]` are the nodes of state s that nothing was put on, the first one last; `touched` are
    all others, in the order in which they were first used.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.cpus = [node.cpus for node in problem.nodes]
        self.memory_mib = [node.memory_mib for node in problem.nodes]
        self.free_gib: dict[int, int] = {}  # free, of the devices of the nodes looked at
        self.whole: dict[int, bool] = {}
        self.fresh: dict[int, list[int]] = {}
        for n in range(len(problem.nodes) - 1, -1, -1):
            self.fresh.setdefault(problem.nodes[n].state, []).append(n)
        self.touched: list[int] = []
        self._worth: dict[tuple[int, int, int], float | None] = {}

    def open(self, n: int) -> tuple[int, ...]:
        """The devices of node n, which are in `free_gib` and `whole` from now on.

        On a large cluster few ever are.
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
        """Σ w of those devices; None if the slot does not fit on the node."""
        devices = self.devices(request, slot, n)
        return None if devices is None else self._sum(request, devices)

    def fresh_worth(self, request: PRequest, slot: PSlot, s: int) -> float | None:
        """The same for an unused node of a state; remembered, since many requests ask it."""
        if not (fresh := self.fresh[s]):
            return None
        key = (request.weights, slot.devices, s)
        if key not in self._worth:
            self._worth[key] = self._unused(request, slot.devices, fresh[-1])
        return self._worth[key]

    def _unused(self, request: PRequest, count: int, n: int) -> float | None:
        """`worth` of a node that nothing was put on."""
        weights, devices = self.problem.weights[request.weights], self.problem.devices
        worth = [
            weights[state]
            for j in self.problem.nodes[n].devices
            if (state := devices[j].state) in weights
        ]
        if len(worth) < count:
            return None
        return sum(worth if len(worth) == count else sorted(worth, reverse=True)[:count])

    def _sum(self, request: PRequest, devices: tuple[int, ...]) -> float:
        weights, all_devices = self.problem.weights[request.weights], self.problem.devices
        return sum([weights[all_devices[j].state] for j in devices])


class _Chooser:
    """The best choice for one request, again and again while room is taken.

    One slot: the groups do not matter, any candidate will do. Equal slots share a ranking.
    """

    def __init__(self, request: PRequest, room: Remaining) -> None:
        self.request = request
        self.room = room
        several = len(request.slots) > 1
        self.groups = (
            request.groups
            if several or not request.groups
            else (frozenset().union(*request.groups),)
        )
        self.rankings: dict[tuple[int, int], _Ranking] = {}
        self.dead = False

    def choose(self) -> tuple[SlotChoice, ...] | None:
        """The best choice over the groups, or None: then no such task fits any more."""
        if self.dead:
            return None
        best: tuple[float, tuple[SlotChoice, ...]] | None = None
        for g in range(len(self.groups)):
            option = self._in_group(g)
            if option and (best is None or option[0] > best[0]):
                best = option
        self.dead = best is None
        return best[1] if best else None

    def _in_group(self, g: int) -> tuple[float, tuple[SlotChoice, ...]] | None:
        slots = self.request.slots
        chosen: dict[int, SlotChoice] = {}
        total = 0.0
        for k in sorted(range(len(slots)), key=lambda k: -slots[k].devices):
            taken = {choice.node for choice in chosen.values()}
            found = self._ranking(g, slots.index(slots[k])).best(taken)
            if found is None:
                return None
            worth, n = found
            devices = self.room.devices(self.request, slots[k], n)
            chosen[k] = SlotChoice(n, devices or ())
            total += worth
        return total, tuple(chosen[k] for k in range(len(slots)))

    def _ranking(self, g: int, k: int) -> _Ranking:
        if (g, k) not in self.rankings:
            slot = self.request.slots[k]
            self.rankings[g, k] = _Ranking(self.request, slot, self.groups[g], self.room)
        return self.rankings[g, k]


class _Ranking:
    """The nodes for one slot, best first: unused ones by state, used ones in a heap.

    Taking resources only ever lowers what a node is worth, so stale values are enough: the best
    used node is valued anew and either confirmed or sunk.
    """

    def __init__(
        self, request: PRequest, slot: PSlot, group: frozenset[int], room: Remaining
    ) -> None:
        self.request, self.slot, self.room = request, slot, room
        self.states: list[tuple[float, int]] = []
        self.group = group
        for s in group & slot.need.keys() & room.fresh.keys():
            worth = room.fresh_worth(request, slot, s)
            if worth is not None:
                self.states.append((-worth, s))
        self.states.sort(reverse=True)  # the best is last
        self.unused = {s: worth for worth, s in self.states}
        self.heap: list[tuple[float, int]] = []
        self.seen = 0

    def best(self, taken: set[int]) -> tuple[float, int] | None:
        """The worth and the node of the best place outside `taken`."""
        self._catch_up()
        fresh = self._best_fresh(taken)
        aside: list[tuple[float, int]] = []
        found: tuple[float, int] | None = None
        while self.heap and found is None and (fresh is None or self.heap[0] <= fresh):
            stale = heapq.heappop(self.heap)
            worth = self.room.worth(self.request, self.slot, stale[1])
            if worth is None:
                continue
            entry = (-worth, stale[1])
            if entry > stale:
                heapq.heappush(self.heap, entry)
                continue
            aside.append(entry)
            if entry[1] not in taken:
                found = entry
        for entry in aside:
            heapq.heappush(self.heap, entry)
        found = found or fresh
        return (-found[0], found[1]) if found else None

    def _best_fresh(self, taken: set[int]) -> tuple[float, int] | None:
        while self.states and not self.room.fresh[self.states[-1][1]]:
            self.states.pop()
        for worth, s in reversed(self.states):
            for n in reversed(self.room.fresh[s]):
                if n not in taken:
                    return worth, n
        return None

    def _catch_up(self) -> None:
        nodes = self.room.problem.nodes
        for n in self.room.touched[self.seen :]:
            s = nodes[n].state
            if s in self.slot.need and s in self.group:
                heapq.heappush(self.heap, (self.unused.get(s, -float("inf")), n))
        self.seen = len(self.room.touched)
