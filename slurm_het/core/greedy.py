"""First-fit by priority: the plan when no solver answers, and what a solver starts from."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from slurm_het.core.problem import Problem, PSlot, PTask, SlotChoice, Solution

Starts = Mapping[int, tuple[SlotChoice, ...]]


def greedy(problem: Problem) -> Solution:
    """Start tasks in priority order, each on the feasible choice with the highest Σ w."""
    return complete(problem, {})


def complete(problem: Problem, starts: Starts) -> Solution:
    """Keep `starts` (a feasible choice) and start what still fits beside it, by priority."""
    free = _Free(problem)
    for t, choices in starts.items():
        free.take(problem.tasks[t], choices)
    done = dict(starts)
    kinds = classes(problem)
    rankings: dict[int, _Ranking] = {}
    for t, task in enumerate(problem.tasks):
        if t in done:
            continue
        ranking = rankings.setdefault(kinds[t], _Ranking(task, free))
        if fit := ranking.choose():
            free.take(task, fit)
            done[t] = fit
    done = dict(sorted(done.items()))
    return Solution(starts=done, status="greedy", objective=value(problem, done))


def value(problem: Problem, starts: Starts) -> float:
    """Σ w·x of the choices."""
    return sum(
        problem.tasks[t].weights[j]
        for t, choices in starts.items()
        for choice in choices
        for j in choice.devices
    )


def classes(problem: Problem) -> list[int]:
    """For each task the index of the first task that asks for exactly the same."""
    seen: dict[tuple[int, ...], list[int]] = {}
    found: list[int] = []
    for t, task in enumerate(problem.tasks):
        rough = (task.memory, len(task.weights), len(task.groups), *(s.devices for s in task.slots))
        same = seen.setdefault(rough, [])
        first = next((o for o in same if _alike(problem.tasks[o], task)), t)
        if first == t:
            same.append(t)
        found.append(first)
    return found


def _alike(one: PTask, other: PTask) -> bool:
    # Tuples compare by identity first: cheap where the tasks share their dictionaries.
    return (one.slots, one.groups, one.weights) == (other.slots, other.groups, other.weights)


class _Free:
    """What is still free while tasks are put somewhere one by one."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.cpus = [node.cpus for node in problem.nodes]
        self.memory = [node.memory for node in problem.nodes]
        self.gib = [device.memory - device.used for device in problem.devices]
        self.whole = [device.whole and not device.used for device in problem.devices]

    def take(self, task: PTask, choices: tuple[SlotChoice, ...]) -> None:
        for slot, choice in zip(task.slots, choices, strict=True):
            cpus, memory = slot.need[choice.node]
            self.cpus[choice.node] -= cpus
            self.memory[choice.node] -= memory
            for j in choice.devices:
                self.whole[j] = False
                self.gib[j] -= task.memory or self.gib[j]

    def devices(self, task: PTask, slot: PSlot, n: int) -> tuple[int, ...] | None:
        """The devices of node n with the highest weights, or None if the slot does not fit."""
        cpus, memory = slot.need[n]
        if (cpus and cpus > self.cpus[n]) or (memory and memory > self.memory[n]):
            return None
        weights, asked = task.weights, task.memory
        if asked:
            gib = self.gib
            fit = [j for j in self.problem.nodes[n].devices if gib[j] >= asked and j in weights]
        else:
            whole = self.whole
            fit = [j for j in self.problem.nodes[n].devices if whole[j] and j in weights]
        if len(fit) < slot.devices:
            return None
        if slot.devices == 1:  # by far the most frequent, and this is the innermost loop
            return (max(fit, key=weights.__getitem__),)
        fit.sort(key=weights.__getitem__, reverse=True)
        return tuple(fit[: slot.devices])


class _Ranking:
    """The nodes for one class of tasks, best first, per group and slot.

    Taking resources only ever lowers what a node is worth, so a heap of stale values is enough:
    the top entry is valued anew and either confirmed or sunk. Equal slots share a heap.
    """

    def __init__(self, task: PTask, free: _Free) -> None:
        self.task = task
        self.free = free
        self.heaps: dict[tuple[int, int], list[tuple[float, int]]] = {}
        self.dead = False

    def choose(self) -> tuple[SlotChoice, ...] | None:
        """The best choice over the groups, or None: then none of its class fits any more."""
        if self.dead:
            return None
        best: tuple[float, tuple[SlotChoice, ...]] | None = None
        for g in range(len(self.task.groups)):
            option = self._in_group(g)
            if option and (best is None or option[0] > best[0]):
                best = option
        self.dead = best is None
        return best[1] if best else None

    def _in_group(self, g: int) -> tuple[float, tuple[SlotChoice, ...]] | None:
        slots = self.task.slots
        chosen: dict[int, SlotChoice] = {}
        total = 0.0
        for k in sorted(range(len(slots)), key=lambda k: -slots[k].devices):
            taken = {choice.node for choice in chosen.values()}
            choice = self._best(g, slots.index(slots[k]), taken)
            if choice is None:
                return None
            chosen[k] = choice
            total += sum(self.task.weights[j] for j in choice.devices)
        return total, tuple(chosen[k] for k in range(len(slots)))

    def _best(self, g: int, k: int, taken: set[int]) -> SlotChoice | None:
        slot = self.task.slots[k]
        if (heap := self.heaps.get((g, k))) is None:
            heap = [(-float("inf"), n) for n in sorted(self.task.groups[g]) if n in slot.need]
            heap = [entry for _, n in heap if (entry := self._entry(slot, n))]
            heapq.heapify(heap)
            self.heaps[g, k] = heap
        aside: list[tuple[float, int]] = []
        found: SlotChoice | None = None
        while heap and found is None:
            stale = heapq.heappop(heap)
            n = stale[1]
            if (entry := self._entry(slot, n)) is None:
                continue
            if entry > stale:
                heapq.heappush(heap, entry)
                continue
            aside.append(entry)
            if n not in taken:
                found = SlotChoice(node=n, devices=self.free.devices(self.task, slot, n) or ())
        for entry in aside:
            heapq.heappush(heap, entry)
        return found

    def _entry(self, slot: PSlot, n: int) -> tuple[float, int] | None:
        devices = self.free.devices(self.task, slot, n)
        if devices is None:
            return None
        return -sum(map(self.task.weights.__getitem__, devices)), n
