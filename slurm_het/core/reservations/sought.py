"""Room on one node: as it is from time to time, and when it would do for a task to its end."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from slurm_het.core.cluster.fit import has_room, serving
from slurm_het.core.model import Node, Slot, Task


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


_Places = tuple[int, ...]
"""Where on a node a slot has room: the devices that have it for a share, which stays where it is,
or ANYWHERE. Devices that are taken whole do for each other."""
ANYWHERE: _Places = (0,)

Known = dict[int, tuple[Node, _Places]]
"""Where nodes as they are at some time have room for a request: by their identity, which costs less
than to look again; kept with it, so that no other gets the same."""


class RoomSought(NamedTuple):
    """What room is sought for: one of a task's slots, for so many seconds, before `until`.

    `like` is the same for all that ask for the same.
    """

    task: Task
    slot: Slot
    seconds: float
    until: float
    like: Hashable
    known: Known

    def places(self, one: Stretch) -> _Places:
        """Where a node has room then."""
        task, slot, node = self.task, self.slot, one.node
        if not (one.gib >= task.memory_gib if task.takes_share else one.empty >= slot.devices):
            return ()
        found = self.known.get(id(node))
        if found is None:
            found = self.known[id(node)] = node, self._look(node)
        return found[1]

    def _look(self, node: Node) -> _Places:
        """The same: a node that is as in the last cycle knows."""
        known = node.once("room", dict[Hashable, _Places])
        found = known.get(self.like)
        if found is None:
            if len(known) >= MOST_REQUESTS:
                known.clear()
            there = serving(self.task, node) if self.task.takes_share else ANYWHERE
            found = known[self.like] = there if has_room(self.task, self.slot, node) else ()
        return found


MOST_REQUESTS = 64
"""Of so many a node remembers where it has room."""


def stretch_of(start: float, node: Node) -> Stretch:
    """The node as it is from then on."""
    empty = sum(device.empty for device in node.devices)
    return Stretch(start, node, empty, max((d.free_gib for d in node.devices), default=0))


def rooms(sought: RoomSought, line: Sequence[Stretch]) -> Iterator[Window]:
    """When a node has room for a slot to the task's end, be it open or not, before `until`."""
    return (_of_share if sought.task.takes_share else _of_whole)(sought, line)


def _of_whole(sought: RoomSought, line: Sequence[Stretch]) -> Iterator[Window]:
    """Of whole devices it needs as many at any time, whichever."""
    first: float | None = None
    for one in line:
        if first is None and one.start >= sought.until:
            return
        if sought.places(one):
            first = one.start if first is None else first
        elif first is not None:
            yield Window(first, one.start - sought.seconds)
            first = None
    if first is not None:
        yield Window(first, math.inf)


def _of_share(sought: RoomSought, line: Sequence[Stretch]) -> Iterator[Window]:
    """A share needs room all the time on the device that it is given when it starts then."""
    for n, one in enumerate(line):
        if one.start >= sought.until:
            return
        if not sought.places(one):
            continue
        until, following = until_of(sought, line[n:]), line[n + 1 : n + 2]
        last = math.nextafter(following[0].start, 0.0) if following else math.inf
        if until < math.inf:
            last = min(last, until - sought.seconds)
        yield Window(one.start, last)


def until_of(sought: RoomSought, line: Sequence[Stretch]) -> float:
    """Until when there is room, from the first stretch on; 0 if there is none then. Of a share it
    is room on one device: Slurm gives it the first that has some."""
    first = sought.places(line[0])[:1]
    left = (one.start for one in line[1:] if first[0] not in sought.places(one))
    return next(left, math.inf) if first else 0.0
