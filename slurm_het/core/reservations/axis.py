"""The time axis: what is free on each node from now on, as jobs end and waiting ones are placed.

A job that runs gives back what it holds at its end, at the latest. A task that is placed takes its
devices, CPUs and memory from its start until its time limit, and one without a limit for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from slurm_het.core.cluster.fit import (
    fitting_states,
    grid_for,
    groups_of,
    has_room,
    need,
    serving,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import close, give_back, take
from slurm_het.core.model import Node, Slot, Task
from slurm_het.core.reservations.reservation import ComingFree, Reservation, placement_on


class Stretch(NamedTuple):
    """A node as it is from `start` (epoch seconds) until its next stretch starts.

    `empty` devices are nobody's, and on one there are `gib` free: what rules most tasks out.
    """

    start: float
    node: Node
    empty: int
    gib: int


class Window(NamedTuple):
    """A task may start at any time of these (epoch seconds), and have room to its end."""

    first: float
    last: float


Opens = Callable[[Task, Sequence[str], float], float | None]
"""When nodes are open to a task to its end, that time (epoch seconds) or later; None is never."""


def always(_task: Task, _nodes: Sequence[str], start: float) -> float:
    """Nodes that are open to everybody at any time."""
    return start


class Axis:
    """The free room from `now` on (epoch seconds).

    `room` is what is free now, and `coming` what is given back later, by node. What else decides
    when nodes may be used is for `opens` to say.
    """

    def __init__(
        self,
        room: Inventory,
        coming: Mapping[str, tuple[ComingFree, ...]],
        now: float,
        opens: Opens = always,
    ) -> None:
        self.room, self.coming, self.now, self.opens = room, coming, now, opens
        self._lines: dict[str, list[Stretch]] = {}
        self._groups: dict[Task, tuple[tuple[str, ...], ...]] = {}

    def copy(self) -> Axis:
        """Another one with the same places taken."""
        other = Axis(self.room, self.coming, self.now, self.opens)
        other._lines, other._groups = dict(self._lines), self._groups
        return other

    def giving_back(self, coming: Mapping[str, tuple[ComingFree, ...]]) -> Axis:
        """Another one where that is given back, and no place is taken yet."""
        other = Axis(self.room, coming, self.now, self.opens)
        same = (name for name in self._lines if self.coming.get(name) is coming.get(name))
        other._lines, other._groups = {n: self._lines[n] for n in same}, self._groups
        return other

    def is_wanted(self, task: Task, name: str) -> bool:
        """Whether a node has room for a task's largest slot now, and not to the task's end."""
        slot, end = task.largest_slot, self.now + _seconds(task)
        first, *later = self._line(name)
        return _has_room(task, slot, first) and not all(
            _has_room(task, slot, one) for one in later if one.start < end
        )

    def soonest(self, task: Task) -> Reservation | None:
        """The soonest start of a task, and where; None if it never has room, as far as is known."""
        count, seconds = len(task.slots), _seconds(task)
        best: tuple[float, tuple[str, ...]] | None = None
        for group in self._groups_of(task):
            until = best[0] if best else math.inf
            if count == 1:
                found = self._first(task, group, seconds, until)
            else:
                found = self._together(task, group, seconds, until)
            best = found or best
        if best is None:
            return None
        start, names = best
        nodes = [self._at(name, start) for name in names]
        return Reservation(task, placement_on(task, nodes), start)

    def take(self, made: Reservation, *, whole_nodes: bool = False) -> None:
        """Give the task its place. With `whole_nodes` nobody else has room beside it."""
        task, start = made.task, made.start
        end = start + _seconds(task)
        for name, slot in zip(made.placement.nodes, task.slots, strict=False):
            if name in self.room.nodes:
                line = _cut(_cut(self._line(name), start), end)
                self._lines[name] = [
                    _stretch(one.start, close(one.node) if whole_nodes else _held(one, task, slot))
                    if start <= one.start < end
                    else one
                    for one in line
                ]

    def _first(
        self, task: Task, names: Iterable[str], seconds: float, until: float
    ) -> tuple[float, tuple[str, ...]] | None:
        """The first start before `until` on one of the nodes, and which."""
        best = None
        for name in names:
            window = next(self._windows(task, name, seconds, until), None)
            if window and window.first < until:
                until, best = window.first, name
                if until <= self.now:
                    break
        return (until, (best,)) if best else None

    def _together(
        self, task: Task, names: Iterable[str], seconds: float, until: float
    ) -> tuple[float, tuple[str, ...]] | None:
        """The first start before `until` on as many of the nodes as the task needs, and which."""
        windows = [(w, n) for n in names for w in self._windows(task, n, seconds, until)]
        steps = sorted(
            [(w.first, 0, 1) for w, _ in windows] + [(w.last, 1, -1) for w, _ in windows]
        )
        counts = accumulate(step for _, _, step in steps)
        wanted = len(task.slots)
        for start in (at for (at, *_), n in zip(steps, counts, strict=True) if n >= wanted):
            able = sorted((w, n) for w, n in windows if w.first <= start <= w.last)[:wanted]
            chosen = tuple(name for _, name in able)
            at = self.opens(task, chosen, start)
            if at is not None and at < until and all(at <= w.last for w, _ in able):
                return at, chosen
        return None

    def _windows(self, task: Task, name: str, seconds: float, until: float) -> Iterator[Window]:
        """When a node has room for any of the task's slots to its end, as far as before `until`."""
        first: float | None = None
        slot = task.largest_slot
        for one in self._line(name):
            if first is None and one.start >= until:
                return
            if _has_room(task, slot, one):
                first = one.start if first is None else first
            elif first is not None:
                yield from self._open(task, name, Window(first, one.start - seconds))
                first = None
        if first is not None:
            yield from self._open(task, name, Window(first, math.inf))

    def _open(self, task: Task, name: str, room: Window) -> Iterator[Window]:
        """What is left of a window where the node is open to the task."""
        first = self.opens(task, (name,), room.first) if room.first <= room.last else None
        if first is not None and first <= room.last:
            yield Window(first, room.last)

    def _groups_of(self, task: Task) -> tuple[tuple[str, ...], ...]:
        """The sets of nodes of which the task uses one, whatever is free there."""
        request = task.request
        if request not in self._groups:
            grid = grid_for(task, self.room)
            nodes = [state.node for state in grid.states]
            groups = groups_of(task, nodes, list(fitting_states(task, grid)))
            self._groups[request] = tuple(
                tuple(n for s in sorted(g) for n in grid.states[s].names if n not in task.exc_nodes)
                for g in groups
            )
        return self._groups[request]

    def _line(self, name: str) -> list[Stretch]:
        if name not in self._lines:
            node = self.room.nodes[name]
            line = [_stretch(self.now, node)]
            for given in self.coming.get(name, ()):
                node = give_back(node, given.key, given.cpus, given.memory_mib)
                line.append(_stretch(max(self.now, given.end), node))
            self._lines[name] = line
        return self._lines[name]

    def _at(self, name: str, when: float) -> Node:
        return next(one.node for one in reversed(self._line(name)) if one.start <= when)


def _seconds(task: Task) -> float:
    return math.inf if task.minutes is None else task.minutes * 60.0


def _stretch(start: float, node: Node) -> Stretch:
    empty = sum(device.empty for device in node.devices)
    return Stretch(start, node, empty, max((d.free_gib for d in node.devices), default=0))


def _cut(line: list[Stretch], at: float) -> list[Stretch]:
    """The same line, and a stretch of it starts at that time, unless it is before them all."""
    for n, (one, following) in enumerate(pairwise([*line, None])):
        if one and one.start < at and (following is None or at < following.start) and at < math.inf:
            return [*line[: n + 1], one._replace(start=at), *line[n + 1 :]]
    return line


def _held(one: Stretch, task: Task, slot: Slot) -> Node:
    indexes = serving(task, one.node)[: slot.devices]
    return take(one.node, task, indexes, need(task, slot, one.node))


def _has_room(task: Task, slot: Slot, one: Stretch) -> bool:
    enough = one.gib >= task.memory_gib if task.takes_share else one.empty >= slot.devices
    return enough and has_room(task, slot, one.node)
