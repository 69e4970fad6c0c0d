"""What a slot may choose in the pooled formulation, and what it takes of the cluster there.

Nodes and devices in one state are counts here; formulation.py has the formulation. A slot chooses a
place: nodes of one state, and how many devices of which states on one of them. A choice says which
slot, too: the program has a variable for each choice, the number of such slots that go there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from slurm_het.core.assignment.problem import Problem
from slurm_het.solve.search import OutOfTimeError

MOST_MIXES = 24  # ways to take a slot's devices on a node with devices in several states


class Place(NamedTuple):
    """Where a slot may go: nodes of a state, and the devices it takes on one of them.

    `devices` are (state of devices, how many); `worth` is their Σ w.
    """

    worth: float
    state: int
    devices: tuple[tuple[int, int], ...]


class Choice(NamedTuple):
    """A slot of a request goes to a place, and its task is in a group.

    `slot` is the index of the first one that is equal: equal slots choose alike.
    """

    request: int
    group: int
    slot: int
    place: Place


Resource = tuple[str, int, int]
"""Something of which there is only so much: what it is, of nodes in which state, of devices in
which state (-1 if it is none of a device). It may be:

- cpus, memory, gib: all that such nodes (such devices) have free;
- half cpus, half memory, half gib: a slot (a device that it takes) which needs more than half of
  what one node (one device) has free. Two of them do not fit on one;
- half devices: the same for a slot that takes more than half of a node's devices in a state.
"""


class Footprint(NamedTuple):
    """Of a choice: how many such slots there can be at most, and what one of them takes."""

    most: int
    takes: tuple[tuple[Resource, int], ...]


class Pairs(NamedTuple):
    """Nodes that hold at most so many pairs of slots of these (request, group)s."""

    of: tuple[tuple[int, int], ...]
    most: int


@dataclass(frozen=True, slots=True)
class AlikeDevices:
    """Devices in one state: how many are on a node, what is free of each, may each be taken whole.

    `number` is that of the state.
    """

    number: int
    per_node: int
    free_gib: int
    whole: bool


class Choices:
    """The nodes and devices of a problem as counts of states, and what slots may choose of them.

    `nodes` is how many there are, `first` is one of them, `devices` are those of one of them: all
    by state of nodes. `groups` is by request.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.nodes = Counter(node.state for node in problem.nodes)
        self.first = {node.state: node for node in reversed(problem.nodes)}
        self.devices = {s: self._devices(s) for s in self.first}
        self.groups = {
            r: q.groups if len(q.slots) > 1 else (frozenset().union(*q.groups),)
            for r, q in enumerate(problem.requests)
        }
        # Worked out once: every level of the search asks again.
        self._footprints: dict[Choice, Footprint] = {}
        self._places: dict[tuple[int, int, int], list[Place]] = {}
        self._ranked: dict[tuple[int, int, frozenset[int]], list[Place]] = {}

    def _devices(self, s: int) -> tuple[AlikeDevices, ...]:
        mine = [self.problem.devices[j] for j in self.first[s].devices]
        counts = Counter(d.state for d in mine)
        one = {d.state: d for d in mine}
        return tuple(AlikeDevices(k, n, one[k].free_gib, one[k].whole) for k, n in counts.items())

    def able(self, deadline: float) -> list[int]:
        """The tasks that could start if they were alone."""
        able: set[int] = set()
        for r in range(len(self.problem.requests)):
            if time.monotonic() > deadline:
                raise OutOfTimeError
            if any(self._has_places(r, g) for g in range(len(self.groups[r]))):
                able.add(r)
        return [t for t, task in enumerate(self.problem.tasks) if task.request in able]

    def _has_places(self, r: int, g: int) -> bool:
        slots = self.problem.requests[r].slots
        for slot, many in Counter(map(slots.index, slots)).items():
            nodes = 0
            for place in self.of(r, g, slot):
                nodes += self.nodes[place.state]
                if nodes >= many:
                    break
            if nodes < many:
                return False
        return True

    def of(self, r: int, g: int, k: int) -> Iterator[Place]:
        """The places for a slot, the one with the highest Σ w first."""
        request = self.problem.requests[r]
        slot, group = request.slots[k], self.groups[r][g]
        key = (request.weights, slot.devices, group)
        if key not in self._ranked:
            places = [p for s in group for p in self.at(request.weights, slot.devices, s)]
            self._ranked[key] = sorted(places, reverse=True)
        return (p for p in self._ranked[key] if p.state in slot.need)

    def at(self, table: int, count: int, s: int) -> list[Place]:
        """The places for so many devices on a node of one state, best first, by a weight table."""
        key = (table, count, s)
        if key not in self._places:
            weights = self.problem.weights[table]
            fit = [d for d in self.devices[s] if d.number in weights]
            fit.sort(key=lambda d: -weights[d.number])
            self._places[key] = [
                Place(sum(weights[d] * n for d, n in mix), s, mix) for mix in _mixes(fit, count)
            ]
        return self._places[key]

    def footprint(self, choice: Choice) -> Footprint:
        """What a choice takes of the cluster."""
        if choice not in self._footprints:
            self._footprints[choice] = Footprint(self._most(choice), tuple(self._takes(choice)))
        return self._footprints[choice]

    def _most(self, choice: Choice) -> int:
        """How many such slots the nodes of the state could hold if nothing else was there."""
        request, place = self.problem.requests[choice.request], choice.place
        node = self.first[place.state]
        cpus, memory_mib = request.slots[choice.slot].need[place.state]
        limits = [node.cpus // cpus] if cpus else []
        limits += [node.memory_mib // memory_mib] if memory_mib else []
        taken = dict(place.devices)
        for d in self.devices[place.state]:
            if d.number in taken:
                each = d.free_gib // request.memory_gib if request.memory_gib else 1
                limits.append(d.per_node * each // taken[d.number])
        return self.nodes[place.state] * min(limits)

    def _takes(self, choice: Choice) -> Iterator[tuple[Resource, int]]:
        """What one such slot takes, by resource."""
        request, place = self.problem.requests[choice.request], choice.place
        s, node = place.state, self.first[place.state]
        cpus, memory_mib = request.slots[choice.slot].need[s]
        if cpus:
            yield ("cpus", s, -1), cpus
        if memory_mib:
            yield ("memory", s, -1), memory_mib
        if 2 * cpus > node.cpus:
            yield ("half cpus", s, -1), 1
        if 2 * memory_mib > node.memory_mib:
            yield ("half memory", s, -1), 1
        for d in self.devices[s]:
            count = dict(place.devices).get(d.number, 0)
            if count:
                gib = request.memory_gib or d.free_gib
                yield ("gib", s, d.number), count * gib
                if 2 * gib > d.free_gib:
                    yield ("half gib", s, d.number), count
                if 2 * count > d.per_node and 2 * gib > d.free_gib:
                    yield ("half devices", s, d.number), 1

    def limit(self, resource: Resource) -> int:
        """How much of a resource there is."""
        name, s, number = resource
        nodes, node = self.nodes[s], self.first[s]
        match name:
            case "cpus":
                return nodes * node.cpus
            case "memory":
                return nodes * node.memory_mib
            case "gib" | "half gib":
                d = next(d for d in self.devices[s] if d.number == number)
                return nodes * d.per_node * (d.free_gib if name == "gib" else 1)
            case _:
                return nodes

    @cached_property
    def pairs(self) -> list[Pairs]:
        """For each group and size of slot of tasks on several nodes: how many pairs of them fit.

        Without it the LP has half a task on the odd node, and its bound is several per cent above
        what can be reached.
        """
        several = {
            (r, g): (group, min(slot.devices for slot in request.slots))
            for r, request in enumerate(self.problem.requests)
            if len(request.slots) > 1 and not request.memory_gib
            for g, group in enumerate(self.groups[r])
        }
        pairs = []
        for group, size in dict.fromkeys(several.values()):
            of = tuple(key for key, (g, k) in several.items() if k >= size and g <= group)
            slots = sum(self.nodes[s] * (self._whole(s) // size) for s in group)
            pairs.append(Pairs(of, slots // 2))
        return pairs

    def _whole(self, s: int) -> int:
        return sum(d.per_node for d in self.devices[s] if d.whole)


def _mixes(fit: Sequence[AlikeDevices], count: int) -> list[tuple[tuple[int, int], ...]]:
    """The ways to take `count` devices, best first; no more than MOST_MIXES."""
    mixes: list[tuple[tuple[int, int], ...]] = []

    def extend(i: int, left: int, mix: tuple[tuple[int, int], ...]) -> None:
        if len(mixes) == MOST_MIXES:
            return
        if not left:
            mixes.append(mix)
        elif i < len(fit):
            for n in range(min(left, fit[i].per_node), -1, -1):
                extend(i + 1, left - n, (*mix, (fit[i].number, n)) if n else mix)

    extend(0, count, ())
    return mixes
