"""Slurm's own reservations: which nodes they close to a task, at what times, and whom they draw in.
So do nodes that another user has alone, until his jobs end.

Slurm starts no job on a node where its time limit reaches into somebody else's reservation. Without
--reservation nobody gets in, but for the users of a MAGNETIC one. A job of a reservation gets its
nodes alone, while it lasts; of a FLEX one earlier and elsewhere too.
(reservation.c's job_test_resv, the same on 22.05, 24.11 and 26.05 in what is said here.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from slurm_het.core.cluster.fit import could_start, fitting_states, grid_for
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.model import Job, Partition, Snapshot, Task
from slurm_het.core.reasons import Closed, LeftOut, OpensLater, Reason
from slurm_het.core.reservations.access import lets_in, may_use
from slurm_het.core.reservations.occurrences import is_open, occurrence
from slurm_het.core.reservations.owned import Owners, owners_of
from slurm_het.core.site_limits import NONE_ABOVE, Parents
from slurm_het.core.slurm_reservation import ReservationRecord

STARTS_WITHIN = 5.0
"""Slurm starts a released task so many seconds later at most: it must end in time all the same."""
FORWARD = 10
"""So many reservations are waited for, one after the other; Slurm looks no further either."""


def can_plan_inside(record: ReservationRecord) -> bool:
    """Whether jobs of the reservation can be planned: which cores or devices it has of its nodes is
    not known, nor do jobs get into one whose time never comes."""
    return bool(record.nodes) and not record.partial and "TIME_FLOAT" not in record.flags


def inside_of(record: ReservationRecord, inventory: Inventory) -> frozenset[tuple[str, str]]:
    """The partitions and device types (pairs of them) that jobs of the reservation can be given;
    none if they cannot be planned."""
    if not can_plan_inside(record):
        return frozenset()
    anywhere = record.flags & {"FLEX", "ANY_NODES"}
    names = inventory.nodes if anywhere else record.nodes
    nodes = (inventory.nodes[name] for name in names if name in inventory.nodes)
    return frozenset(
        (partition, device.type)
        for node in nodes
        for partition in node.partitions
        if lets_in(record.partitions, {partition})
        for device in node.devices
    )


def inside_named(name: str, inventory: Inventory) -> frozenset[tuple[str, str]]:
    """`inside_of` the reservation of that name; none if there is no such."""
    return next((inside_of(r, inventory) for r in inventory.reservations if r.name == name),
                frozenset())  # fmt: skip


def magnets_of(
    job: Job, records: Iterable[ReservationRecord], parents: Parents = NONE_ABOVE
) -> tuple[str, ...]:
    """The MAGNETIC reservations that draw in a job without --reservation."""
    return tuple(
        r.name
        for r in records
        if "MAGNETIC" in r.flags and can_plan_inside(r) and may_use(job, r, parents)
    )  # fmt: skip


class _Kind(NamedTuple):
    """All of a task that bears on what is closed to it; without `seconds` it may last for ever.

    `gets_whole`: the nodes that it gets as a whole, for one of its pools is EXCLUSIVE.
    """

    seconds: float | None
    whole_nodes: bool
    inside: str
    gets_whole: frozenset[str] = frozenset()


_Records = tuple[ReservationRecord, ...]


@dataclass(frozen=True)
class Closings:
    """The reservations of a snapshot. Times are epoch seconds.

    `names` are all accelerator nodes, `whole` by pool those that its jobs get as a whole; `owners`
    have theirs to themselves.
    """

    now: float
    records: _Records = ()
    names: frozenset[str] = frozenset()
    whole: Mapping[str, frozenset[str]] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    owners: Owners = field(default_factory=dict)
    _known: dict[tuple[_Kind, float], tuple[frozenset[str], _Records]] = field(default_factory=dict)
    _sets: dict[tuple[object, ...], frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, inventory: Inventory) -> Closings:
        """Those of a snapshot."""
        nodes = inventory.nodes.values()
        exclusive = frozenset[str]().union(*(node.exclusive_in for node in nodes))
        return cls(
            snapshot.time,
            snapshot.reservations,
            frozenset(node.name for node in nodes),
            {
                pool: frozenset(n.name for n in nodes if pool in n.exclusive_in)
                for pool in exclusive
            },
            {partition.name: partition for partition in snapshot.partitions},
            owners_of(snapshot),
        )

    def keep_off(self, tasks: tuple[Task, ...], room: Inventory) -> tuple[Task, ...]:
        """The tasks, each kept off the nodes that are closed to it now.

        One that a reservation draws in is kept inside while there is room for it.
        """
        if not (self.records or self.owners or any(task.reservation for task in tasks)):
            return tasks
        left: dict[str, int] = {}
        return tuple(self._keep_off(task, room, left) for task in tasks)

    def _keep_off(self, task: Task, room: Inventory, left: dict[str, int]) -> Task:
        """`left` are the empty devices of reservations that nobody before it was drawn in to."""
        for record in self._drawn_to(task):
            closed = self._closed_now(task, record.name, within=True)
            inside = task.off(closed | self._others(task.user))
            free = left.setdefault(record.name, _free_devices(record, room))
            wanted = 0 if task.takes_share else sum(slot.devices for slot in task.slots)
            if wanted <= free and could_start(inside, room):
                left[record.name] -= wanted
                return inside
        closed = self._closed_now(task, task.reservation)
        return task.off(closed | self._others(task.user) if self.owners else closed)

    def _others(self, user: str) -> frozenset[str]:
        """The nodes that other users have alone now."""
        key = "owners", user
        if key not in self._sets:
            theirs = (name for name, owner in self.owners.items() if owner.user != user)
            self._sets[key] = frozenset(theirs)
        return self._sets[key]

    def _drawn_to(self, task: Task) -> Iterator[ReservationRecord]:
        """The reservations that draw it in now: its own if that is FLEX, and the MAGNETIC ones that
        are FLEX or in which it would end in time."""
        for record in self.records if task.reservation or task.magnets else ():
            mine = record.name == task.reservation and "FLEX" in record.flags
            ends = self.now + (self._seconds(task) or float("inf"))
            in_time = "FLEX" in record.flags or (record.start <= self.now and ends <= record.end)
            if mine or (record.name in task.magnets and in_time):
                yield record

    def _closed_now(self, task: Task, inside: str, *, within: bool = False) -> frozenset[str]:
        closed = self._closed(self._kind(task, inside), self.now)
        own = self._named(inside)
        return closed | self.names.difference(own.nodes) if within and own else closed

    def _kind(self, task: Task, inside: str) -> _Kind:
        whole = (self.whole[pool] for pool in task.pools if pool in self.whole)
        return _Kind(self._seconds(task), task.exclusive, inside, frozenset[str]().union(*whole))

    def _seconds(self, task: Task) -> float | None:
        """How long it may run: its limit, else that of the pools that it may use."""
        minutes = task.minutes
        if minutes is None:
            pools = [self.partitions[pool].max_minutes for pool in task.pools
                     if pool in self.partitions]  # fmt: skip
            limits = [limit for limit in pools if limit is not None]
            minutes = max(limits) if limits and len(limits) == len(pools) else None
        return None if minutes is None else minutes * 60 + STARTS_WITHIN

    def _closed(self, kind: _Kind, start: float) -> frozenset[str]:
        """The nodes on which such a task must not start then."""
        return self._at(kind, start)[0]

    def _at(self, kind: _Kind, start: float) -> tuple[frozenset[str], _Records]:
        """The same, and the reservations that others have and it would reach into."""
        if (kind, start) not in self._known:
            self._known[kind, start] = self._work_out(kind, start)
        return self._known[kind, start]

    def _work_out(self, kind: _Kind, start: float) -> tuple[frozenset[str], _Records]:
        own = self._named(kind.inside)
        if kind.inside and (own is None or not is_open(own, start)):
            return self.names, ()
        reached = self._reached(kind, start, self.records)
        # Of a thousand time limits most reach into the same ones: one set for all of these.
        same = kind.whole_nodes, kind.gets_whole, kind.inside, *(record.name for record in reached)
        if same not in self._sets:
            self._sets[same] = self._closed_by(kind, own, reached)
        return self._sets[same], reached

    def _reached(self, kind: _Kind, start: float, records: Iterable[ReservationRecord]) -> _Records:
        own = self._named(kind.inside)
        return tuple(
            record
            for record in records
            if record is not own
            and not (own and _ignores(own, record))
            and self._reaches_into(record, kind, start)
        )

    def _closed_by(
        self, kind: _Kind, own: ReservationRecord | None, reached: _Records
    ) -> frozenset[str]:
        closed: set[str] = set()
        if own and not own.flags & {"FLEX", "ANY_NODES"}:
            closed |= self.names.difference(own.nodes)
        for record in reached:
            if not record.partial or (kind.whole_nodes and own is None):
                closed.update(record.nodes)
            elif own is None:  # a part of a node is taken: none gets all of it
                closed |= kind.gets_whole.intersection(record.nodes)
        return frozenset(closed)

    @cached_property
    def _by_name(self) -> dict[str, ReservationRecord]:
        return {record.name: record for record in reversed(self.records)}

    @cached_property
    def _by_node(self) -> dict[str, _Records]:
        by_node: dict[str, list[ReservationRecord]] = {}
        for record in self.records:
            for name in record.nodes:
                by_node.setdefault(name, []).append(record)
        return {name: tuple(there) for name, there in by_node.items()}

    def _named(self, name: str) -> ReservationRecord | None:
        return self._by_name.get(name) if name else None

    def _reaches_into(self, record: ReservationRecord, kind: _Kind, start: float) -> bool:
        begin, _ = self._next(record, start)
        end = float("inf") if kind.seconds is None else start + kind.seconds
        return begin is not None and begin < end

    def _next(self, record: ReservationRecord, at: float) -> tuple[float | None, float]:
        """The first time, of those to come, that the reservation ends after `at`: from, to."""
        if "TIME_FLOAT" in record.flags:  # always as far ahead
            return record.start + at - self.now, record.end + at - self.now
        return occurrence(record, at)

    # --- ahead ---------------------------------------------------------------------------------

    def opens(self, task: Task, nodes: Sequence[str], start: float) -> float | None:
        """When the task can start on all these nodes, from `start` on; None if that is never, or
        far ahead."""
        owners = (self.owners[name] for name in nodes if name in self.owners)
        until = max((o.until for o in owners if o.user != task.user), default=start)
        return None if until == math.inf else self._opens(task, nodes, max(start, until))

    def _opens(self, task: Task, nodes: Sequence[str], start: float) -> float | None:
        """The same as far as reservations go."""
        if not self.records:
            return None if task.reservation else start
        kind, there = self._kind(task, task.reservation), self._bearing_on(nodes)
        own = self._named(kind.inside)
        for _ in range(FORWARD):
            if kind.inside and (own is None or not is_open(own, start)):
                begin = occurrence(own, start)[0] if own else None
                later = begin if begin is not None and begin > start else None
            else:
                reached = self._reached(kind, start, there)
                if not self._shuts(kind, own, reached, nodes):
                    return start
                changes = (r for r in reached if "TIME_FLOAT" not in r.flags)
                later = min((self._next(record, start)[1] for record in changes), default=None)
            if later is None:
                return None
            start = later
        return None

    def _bearing_on(self, nodes: Sequence[str]) -> Iterable[ReservationRecord]:
        """The reservations that have any of the nodes."""
        if len(nodes) == 1:
            return self._by_node.get(nodes[0], ())
        there = (record for name in nodes for record in self._by_node.get(name, ()))
        return {record.name: record for record in there}.values()

    def _shuts(
        self,
        kind: _Kind,
        own: ReservationRecord | None,
        reached: _Records,
        nodes: Sequence[str],
    ) -> bool:
        """Whether any of the nodes is closed to such a task by those that it would reach into."""
        if own is None:
            if any(not record.partial or kind.whole_nodes for record in reached):
                return True
            given_whole = kind.gets_whole.intersection(nodes) if reached else ()
            return any(r in self._by_node.get(name, ()) for name in given_whole for r in reached)
        flexible = own.flags & {"FLEX", "ANY_NODES"}
        outside = not flexible and any(own not in self._by_node.get(name, ()) for name in nodes)
        return outside or any(not record.partial for record in reached)

    def shut(self, pin: Pin) -> Reason | None:
        """Why a released task cannot start where and when it was to; None if it can."""
        start = max(self.now, pin.start)
        task, nodes = pin.task, pin.placement.nodes
        if task.magnets or self._opens(task, nodes, start) == start:
            return None
        if waits := self._not_yet(task):
            return replace(waits, begin=None)
        why = self._why(task, nodes, start)
        if why is None:  # an admin has given it other nodes, or Slurm has, for some that broke
            return LeftOut(task.reservation, tuple(nodes))
        return replace(why, begin=None)

    # --- why -----------------------------------------------------------------------------------

    def held_back(
        self, before: Iterable[Task], after: Iterable[Task], room: Inventory
    ) -> dict[str, Reason]:
        """By key of a task that could start now but for what is closed to it: the reason.

        `after` are the same tasks, kept off.
        """
        known: dict[tuple[Task, _Kind], Reason | None] = {}
        out: dict[str, Reason] = {}
        for task, kept_off in zip(before, after, strict=True):
            if task is kept_off:
                continue
            key = task.request, self._kind(task, task.reservation)
            if key not in known:
                known[key] = self._held_back(task, kept_off, room)
            if why := known[key]:
                out[task.key] = why
        return out

    def _held_back(self, task: Task, kept_off: Task, room: Inventory) -> Reason | None:
        waits = self._not_yet(task)
        if waits or could_start(kept_off, room) or not could_start(task, room):
            return waits
        if task.reservation:
            return None
        grid = grid_for(task, room)
        fits = {name for s in fitting_states(task, grid) for name in grid.states[s].names}
        return self._why(task, fits & kept_off.exc_nodes - task.exc_nodes, self.now)

    def _not_yet(self, task: Task) -> OpensLater | None:
        own = self._named(task.reservation)
        if not task.reservation or (own and is_open(own, self.now)):
            return None
        begin = occurrence(own, self.now)[0] if own else None
        return OpensLater(task.reservation, begin)

    def _why(self, task: Task, nodes: Iterable[str], start: float) -> Closed | None:
        """The first reservation of others that closes some of the nodes to a task that were to
        start then."""
        kind = self._kind(task, task.reservation)
        closed, reached = self._at(kind, start)
        wanted = closed.intersection(nodes)
        times = (
            (begin, record)
            for record in reached
            if not wanted.isdisjoint(record.nodes)
            and (begin := self._next(record, start)[0]) is not None
        )
        begin, first = min(times, key=lambda pair: pair[0], default=(0.0, None))
        if first is None:
            return None
        minutes = None if kind.seconds is None else int(kind.seconds // 60)
        on = tuple(sorted(wanted.intersection(first.nodes)))
        return Closed(first.name, on, minutes, begin if begin > start else None)


def _free_devices(record: ReservationRecord, room: Inventory) -> int:
    nodes = (room.nodes[name] for name in record.nodes if name in room.nodes)
    return sum(device.empty for node in nodes for device in node.devices)


def _ignores(own: ReservationRecord, other: ReservationRecord) -> bool:
    """Whether jobs of `own` may use the nodes that `other` has too."""
    return "MAINT" in own.flags or ("OVERLAP" in own.flags and "MAINT" not in other.flags)
