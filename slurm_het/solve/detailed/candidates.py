"""Which variables the reference formulation needs, and what they are called in a dumped model.

Each of these reductions keeps the optimum:

- A node is a candidate only if it has enough devices that can serve the request, a group only if
  each slot has a node in it. Anything else would break a constraint by itself. A task without a
  node cannot start.
- The devices of one slot on one node are interchangeable (w and r do not depend on i). They are
  numbered by position: the i-th of d requested on m candidates is one of i … m-d+i.
- h is needed only where several slots must agree on one of several groups.
- A row that cannot be exceeded even if every candidate took its share is left out.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass

from slurm_het.core.assignment.problem import PRequest, Problem, PSlot


@dataclass(frozen=True, slots=True)
class Candidates:
    """Where tasks of a request may start: by slot the nodes with their candidate devices, which are
    ordered by position; and the groups that are left, with what each is worth."""

    slots: tuple[dict[int, tuple[int, ...]], ...]
    groups: tuple[frozenset[int], ...]
    worths: tuple[float, ...]

    @property
    def grouped(self) -> bool:
        """Whether the slots must agree on a group, or are worth something in one."""
        return len(self.slots) > 1 and (len(self.groups) > 1 or any(self.worths))

    def best_group(self, nodes: Set[int]) -> int:
        """The group that is worth most, of those that have all these nodes."""
        able = (g for g, group in enumerate(self.groups) if nodes <= group)
        return max(able, key=lambda g: self.worths[g])


def candidates_for(problem: Problem, request: PRequest) -> Candidates | None:
    """Where a task of a request may start if it is alone; None if it cannot start at all."""
    slots = [
        {
            n: devices
            for n, node in enumerate(problem.nodes)
            if node.state in slot.need
            and (devices := _on_node(problem, request, slot, n)) is not None
        }
        for slot in request.slots
    ]
    worths = {
        group: worth
        for group, worth in _groups(problem, request).items()
        if all(not group.isdisjoint(slot) for slot in slots)
        and len(group.intersection(*[set().union(*slots)])) >= len(slots)
    }
    if not worths:
        return None
    allowed = frozenset().union(*worths)
    kept = tuple({n: d for n, d in slot.items() if n in allowed} for slot in slots)
    return Candidates(kept, tuple(worths), tuple(worths.values()))


def _groups(problem: Problem, request: PRequest) -> dict[frozenset[int], float]:
    """The groups as sets of nodes, each once, and what they are worth."""
    worths: dict[frozenset[int], float] = {}
    values = request.worths or (0.0,) * len(request.groups)
    for group, worth in zip(request.groups, values, strict=True):
        nodes = _nodes_in(problem, group)
        worths[nodes] = max(worth, worths.get(nodes, worth))
    return worths


def _nodes_in(problem: Problem, states: frozenset[int]) -> frozenset[int]:
    return frozenset(n for n, node in enumerate(problem.nodes) if node.state in states)


def _on_node(problem: Problem, request: PRequest, slot: PSlot, n: int) -> tuple[int, ...] | None:
    weights = problem.weights[request.weights]
    serving = [j for j in problem.nodes[n].devices if problem.devices[j].state in weights]
    serving.sort(key=lambda j: problem.devices[j].position)
    return tuple(serving) if len(serving) >= slot.devices else None


def numbered(devices: tuple[int, ...], i: int, asked: int) -> tuple[int, ...]:
    """The candidates for the i-th of `asked` devices when they are numbered by position."""
    return devices[i : len(devices) - asked + i + 1]


class Names:
    """What tasks, nodes and devices are called in a model: any reader of LP files accepts it.

    Names in LP files may hold letters, digits and ``( ) , . ; ~ # _`` but no brackets, colons or
    minus signs, whatever the keys contain; hence ``x(123_4,0,1,nv1#3)``. Two keys never share a
    name.
    """

    def __init__(self, problem: Problem) -> None:
        self.tasks = _distinct([task.key for task in problem.tasks])
        self.nodes = _distinct([node.name for node in problem.nodes])
        self.devices = [
            f"{self.nodes[device.node]}#{device.position}" for device in problem.devices
        ]
        if len(set(self.devices)) < len(self.devices):
            self.devices = [f"{name}.{j}" for j, name in enumerate(self.devices)]


def _distinct(keys: list[str]) -> list[str]:
    names: list[str] = []
    used: set[str] = set()
    for at, key in enumerate(keys):
        name = re.sub(r"[^A-Za-z0-9_.]", "~", key)[:64] or "~"
        if name in used:
            name = f"{name};{at}"
        used.add(name)
        names.append(name)
    return names
