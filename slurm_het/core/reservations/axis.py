"""The time axis: what is free on each node from now on, as jobs end and waiting ones are placed.

A job that runs gives back what it holds at its end, at the latest. A task that is placed takes its
devices, CPUs and memory from its start until its time limit, and one without a limit for ever; or
for as long as it probably runs, if the axis is to go by that.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from heapq import heapify, heappop, heappush, nsmallest
from itertools import pairwise
from typing import NamedTuple

from slurm_het.core.cluster.fit import (
    fitting_states,
    grid_for,
    groups_of,
    need,
    serving,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import close, take
from slurm_het.core.model import Node, Slot, Task
from slurm_het.core.reservations.in_vain import InVain, Lasts, affordable, seconds_of
from slurm_het.core.reservations.reservation import (
    ComingFree,
    Reservation,
    as_they_end,
    placement_on,
)
from slurm_het.core.reservations.sought import (
    Known,
    RoomSought,
    Stretch,
    Window,
    rooms,
    stretch_of,
    until_of,
)


class _Able(NamedTuple):
    """A node that can start one kind of a task's slots (its number), and when."""

    window: Window
    name: str
    kind: int


Opens = Callable[[Task, Sequence[str], float], float | None]
"""When nodes are open to a task to its end, that time (epoch seconds) or later; None is never.
Several are when each of them is."""


def always(_task: Task, _nodes: Sequence[str], start: float) -> float:
    """Nodes that are open to everybody at any time."""
    return start


class Axis:
    """The free room from `now` on (epoch seconds).

    `room` is what is free now, and `coming` what is given back later, by node. What else decides
    when nodes may be used is for `opens` to say, and how long tasks run for `lasts`.
    """

    def __init__(
        self,
        room: Inventory,
        coming: Mapping[str, tuple[ComingFree, ...]],
        now: float,
        opens: Opens = always,
        lasts: Lasts = seconds_of,
    ) -> None:
        self.room, self.coming, self.now, self.opens = room, coming, now, opens
        self.lasts, self.in_vain = lasts, InVain(affordable(len(room.nodes)), lasts)
        self._lines: dict[str, list[Stretch]] = {}
        self._groups: dict[Task, tuple[tuple[str, ...], ...]] = {}
        self._begun: dict[Task, dict[float, float]] = {}
        self._room: dict[Hashable, Known] = {}

    def copy(self) -> Axis:
        """Another one with the same places taken."""
        other = Axis(self.room, self.coming, self.now, self.opens, self.lasts)
        other._lines, other._groups = dict(self._lines), self._groups
        other._room = self._room
        other.in_vain = self.in_vain.copy()
        other._begun = {request: dict(starts) for request, starts in self._begun.items()}
        return other

    def giving_back(
        self, coming: Mapping[str, tuple[ComingFree, ...]], lasts: Lasts = seconds_of
    ) -> Axis:
        """Another one where that is given back, and no place is taken yet."""
        other = Axis(self.room, coming, self.now, self.opens, lasts)
        same = (name for name in self._lines if self.coming.get(name) is coming.get(name))
        other._lines, other._groups = {n: self._lines[n] for n in same}, self._groups
        other._room = self._room
        return other

    def room_until(self, task: Task, name: str) -> float:
        """Until when a node has room for a task, from now on; 0: it has none now.

        For whichever of the task's slots that it has room for now.
        """
        line = self._line(name)
        untils = (until_of(self._sought(task, slot), line) for slot in set(task.slots))
        return min(filter(None, untils), default=0.0)

    def soonest(self, task: Task) -> Reservation | None:
        """The soonest start of a task, and where; None if it never has room, as far as is known."""
        if task in self.in_vain:
            return None
        # Room only gets less, as places are taken: who asks the same, for as long or longer, starts
        # no sooner than those before him.
        begun, seconds = self._begun.setdefault(task.request, {}), self.lasts(task)
        not_before = max((at for n, at in begun.items() if n <= seconds), default=self.now)
        made = self._search(task, math.inf, not_before)
        if made is None:
            self.in_vain.add(task)
        else:
            begun[seconds] = made.start
        return made

    def at_once(self, task: Task) -> Reservation | None:
        """Where a task has room from now on to its end; None if it has not."""
        soon = math.nextafter(self.now, math.inf)
        return self._search(task, soon, self.now) if task not in self.in_vain else None

    def _search(self, task: Task, until: float, enough: float) -> Reservation | None:
        """The soonest start before `until`, or one that is soon `enough`."""
        best: tuple[float, tuple[str, ...]] | None = None
        search = self._first if len(task.slots) == 1 else self._together
        for group in self._groups_of(task):
            best = search(task, group, best[0] if best else until, enough) or best
            if best and best[0] <= enough:
                break
        if best is None:
            return None
        start, names = best
        nodes = [self._at(name, start) for name in names]
        return Reservation(task, placement_on(task, nodes), start)

    def take(self, made: Reservation, *, whole_nodes: bool = False) -> None:
        """Give the task its place. With `whole_nodes` nobody else has room beside it."""
        task, start = made.task, made.start
        end = start + self.lasts(task)
        for n, (name, slot) in enumerate(zip(made.placement.nodes, task.slots, strict=False)):
            if name in self.room.nodes:
                line = _cut(_cut(self._line(name), start), end)
                there = [one.node for one in line if start <= one.start < end]
                known = task.takes_share or start <= self.now
                mine = made.placement.devices[n] if known else ()
                taken = map(close, there) if whole_nodes else _held(there, task, slot, mine)
                self._lines[name] = [
                    stretch_of(one.start, next(taken)) if start <= one.start < end else one
                    for one in line
                ]

    def _first(
        self, task: Task, names: Iterable[str], until: float, enough: float
    ) -> tuple[float, tuple[str, ...]] | None:
        """The first start on one of the nodes, or one that is soon enough, and which."""
        sought, best = self._sought(task, task.slots[0], until), None
        for name in names:
            if window := next(self._windows(sought, name), None):
                sought, best = sought._replace(until=window.first), name
                if window.first <= enough:
                    break
        return (sought.until, (best,)) if best else None

    def _together(
        self, task: Task, names: Collection[str], until: float, _enough: float
    ) -> tuple[float, tuple[str, ...]] | None:
        """The first start on as many of the nodes as the task needs, and which."""
        kinds = sorted(dict.fromkeys(task.slots), key=_size, reverse=True)
        sought = [self._sought(task, slot, until) for slot in kinds]
        coming = [
            _Able(window, name, kind)
            for kind, one in enumerate(sought)
            for name in names
            for window in self._windows(one, name)
        ]
        heapify(coming)
        lasts, over = sorted(one.window.last for one in coming), 0
        able: list[_Able] = []
        while coming and coming[0].window.first < until:
            at = coming[0].window.first
            while coming and coming[0].window.first == at:
                able.append(heappop(coming))
            if lasts[over] < at:
                over = bisect_left(lasts, at)
                able = [one for one in able if one.window.last >= at]
            while chosen := _latest(able, task.slots, kinds):
                if self.opens(task, chosen, at) == at:
                    return at, chosen
                # A window says when there is room, and a node may shut before that ends.
                shut = {name for name in chosen if self.opens(task, (name,), at) != at}
                for one in [one for one in able if one.name in shut]:
                    room = one.window._replace(first=at)
                    for later in self._open(sought[one.kind], one.name, room):
                        heappush(coming, one._replace(window=later))
                able = [one for one in able if one.name not in shut]
        return None

    def _windows(self, sought: RoomSought, name: str) -> Iterator[Window]:
        """When a node has room for the slot to the task's end, as far as before `until`."""
        for room in rooms(sought, self._line(name)):
            yield from self._open(sought, name, room)

    def _open(self, sought: RoomSought, name: str, room: Window) -> Iterator[Window]:
        """What is left of a window where the node is open to the task."""
        if room.first > room.last:
            return
        first = self.opens(sought.task, (name,), room.first)
        if first is not None and first <= room.last and first < sought.until:
            yield Window(first, room.last)

    def _sought(self, task: Task, slot: Slot, until: float = math.inf) -> RoomSought:
        like = (task.request, slot) if any(other != slot for other in task.slots) else task.request
        known = self._room.setdefault(like, {})
        return RoomSought(task, slot, self.lasts(task), until, like, known)

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
            node, coming = self.room.nodes[name], self.coming.get(name, ())
            empty, gib, later = node.once("line", partial(_as_they_end, node, coming), coming)
            self._lines[name] = [Stretch(self.now, node, empty, gib)]
            self._lines[name] += [one._replace(start=max(self.now, one.start)) for one in later]
        return self._lines[name]

    def _at(self, name: str, when: float) -> Node:
        return next(one.node for one in reversed(self._line(name)) if one.start <= when)


def _as_they_end(node: Node, coming: Sequence[ComingFree]) -> tuple[int, int, list[Stretch]]:
    """What a node has empty and free now (see Stretch), and how it is as the jobs there end.

    The node itself is not in it: it would be kept with the node, and neither would ever be freed.
    """
    now = stretch_of(0.0, node)
    return now.empty, now.gib, [stretch_of(*then) for then in as_they_end(node, coming)]


def _size(slot: Slot) -> tuple[int, int, int]:
    return slot.devices, slot.cpus, slot.memory_mib


def _latest(able: Sequence[_Able], slots: Sequence[Slot], kinds: Sequence[Slot]) -> tuple[str, ...]:
    """The nodes for the slots, of those that are able to start one: those that come last.

    What is free before is of use to others until then. None where they are too few. `kinds` are the
    distinct slots, the largest first: who has room for that has room for the others.
    """
    if len(able) < len(slots):
        return ()
    chosen: dict[str, int] = {}
    for kind, slot in enumerate(kinds):
        places = [n for n, other in enumerate(slots) if other == slot]
        free = (one for one in able if one.kind == kind and one.name not in chosen)
        last = nsmallest(len(places), free, key=lambda one: (-one.window.first, one.name))
        if len(last) < len(places):
            return ()
        chosen.update((one.name, n) for one, n in zip(sorted(last), places, strict=True))
    return tuple(sorted(chosen, key=chosen.__getitem__))


def _cut(line: list[Stretch], at: float) -> list[Stretch]:
    """The same line, and a stretch of it starts at that time, unless it is before them all."""
    for n, (one, following) in enumerate(pairwise([*line, None])):
        if one and one.start < at and (following is None or at < following.start) and at < math.inf:
            return [*line[: n + 1], one._replace(start=at), *line[n + 1 :]]
    return line


def _held(there: Sequence[Node], task: Task, slot: Slot, mine: tuple[int, ...]) -> Iterator[Node]:
    """A node at one time after the other while the task is there: on the devices `mine`, or on
    others that it can have all the time; else on what there is each time.

    Whole ones are the last where shares may be, for Slurm gives shares the first ones.
    """
    free = [serving(task, node) for node in there]
    if not task.takes_share and any(node.has_shards for node in there):
        free = [now[::-1] for now in free]
    throughout = [i for i in free[0] if all(i in later for later in free)] if free else []
    if not mine or not set(mine).issubset(throughout):
        mine = tuple(throughout[: slot.devices]) if len(throughout) >= slot.devices else ()
    for node, now in zip(there, free, strict=True):
        yield take(node, task, mine or now[: slot.devices], need(task, slot, node))
