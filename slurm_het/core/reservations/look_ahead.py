"""What is done for tasks that cannot start now: where jobs may come past the gate, the first ones
of a pool are pinned ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from slurm_het.core.cluster.fit import could_ever_start, could_start, waits_for_a_leaf
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.lots import spread
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.model import Snapshot, Task
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reasons import All, Kept, NotLookedAt, Reason
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.in_vain import InVain, affordable
from slurm_het.core.reservations.reservation import (
    Reservation,
    coming_free,
    keep_free,
    with_pins,
)
from slurm_het.core.reservations.unbound import Limited, Unbound
from slurm_het.core.reservations.whole_nodes import keep_whole

WORTH_MOVING = 5.0, 60.0
"""A pin is taken back if it could start earlier on other nodes, or a task of higher priority on its
own, by a quarter of the wait; by at least and at most so many seconds."""
EXPLAINED = 200
"""For so many different requests it is found out whether only kept nodes hold them back. Each costs
some milliseconds on a large cluster."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What to do about the tasks that cannot start now.

    - `reserve`: new reservations;
    - `move`: the keys of pins to take back, and why;
    - `tasks`: the tasks that may start now, kept off the nodes that are kept for others;
    - `kept`: by key of a task that only these nodes hold back, or those that Slurm's reservations
      close to it, which they are and for whom;
    - `reservations`: all for whom nodes are kept, `reserve` among them;
    - `axis`: what is free when, nothing of it given to them yet.
    """

    reserve: tuple[Reservation, ...]
    move: dict[str, str]
    tasks: tuple[Task, ...]
    kept: dict[str, Reason]
    reservations: tuple[Reservation, ...]
    axis: Axis


def look_ahead(
    snapshot: Snapshot,
    room: Inventory,
    tasks: tuple[Task, ...],
    pins: tuple[Pin, ...],
    policy: Policy,
    limits: Limits,
    at_limit: tuple[Limited, ...] = (),
) -> Outlook:
    """Decide for whom nodes are kept, and which.

    `pins` are the tasks that are released and not seen running yet, `tasks` those that may be
    planned now, in Slurm's priority order; `room` is what is free beside the released ones.
    `at_limit` are the tasks that a limit holds back which running jobs use.
    """
    now = snapshot.time
    standing = _standing(pins, room)
    coming = coming_free(snapshot, policy)
    closings = Closings.of(snapshot, room)
    # What is closed now may be open then. What one of Slurm's reservations has is nobody else's:
    # its jobs need none of ours.
    tasks_then, tasks = tasks, closings.keep_off(tasks, room)
    # A large task waits for those, too, that were pinned ahead and start now: one comes after the
    # other. Of what is released afresh the next look tells more.
    due = with_pins(coming, (pin for pin in pins if pin.due), room, now)
    patient = [t for t in tasks_then if limits.keeps_for(t, now) and not t.reservation]
    places = _places(pools_with_side_doors(snapshot, room, policy), limits, standing)
    look = _Look(
        Axis(room, due, now, closings.opens), standing, closings,
        Unbound.of(snapshot, at_limit, due), _ending(snapshot), places,
    )  # fmt: skip
    new = reserve_first(patient, places, look.blocked, look.soonest, affordable(len(room.nodes)))
    taken = frozenset(name for made in new for name in made.placement.nodes)
    move = {r.task.key: why for r in standing if (why := look.why_move(r, taken, patient))}
    pinned = tuple(filter(look.may_be_pinned, new))
    others = _without(tasks, pinned)
    # Where they will start then: until the next look pins them there, others are kept off.
    instead = (look.soonest(r.task, taken) for r in standing if r.task.key in move)
    reservations = (*standing, *new, *filter(None, instead))
    unreserved = keep_free(others, reservations, room, now)
    kept_off, owners = keep_whole(unreserved, room, coming)
    steps = _steps((others, unreserved, kept_off), reservations, owners)
    axis = look.axis.giving_back(with_pins(coming, pins, room, now))
    kept = _kept(steps, room) | closings.held_back(tasks_then, tasks, room)
    return Outlook(pinned, move, kept_off, kept, reservations, axis)


@dataclass(frozen=True, slots=True)
class _Look:
    """What is free when, what is kept already, and what Slurm's reservations close."""

    axis: Axis
    standing: Sequence[Reservation]
    closings: Closings
    unbound: Unbound
    ending: frozenset[str]
    places: Mapping[str, int]

    def blocked(self, task: Task) -> bool:
        """Whether a task cannot start now, and could if nothing ran."""
        room = self.axis.room
        (now,) = self.closings.keep_off((task,), room)
        if could_start(now, room) or waits_for_a_leaf(now, room) or spread(now, room) is not now:
            return False
        return could_ever_start(task, room)

    def may_be_pinned(self, made: Reservation) -> bool:
        """Whether its task is pinned to the nodes; else they are only kept for it.

        A Slurm that forgets sharers would start a whole-device job beside them. And who is pinned
        to nodes that a reservation of Slurm's closes keeps those below him off them, also who ends
        in time. For nodes that another user has alone he waits as for any that are busy. Where what
        ends may free one of higher priority of a limit, that one goes first: a pin would not wait.
        """
        if self.unbound.first(made.task, made.placement.nodes):
            return False
        room = self.axis.room
        (now,) = replace(self.closings, owners={}).keep_off((made.task,), room)
        closed = not now.exc_nodes.isdisjoint(made.placement.nodes)
        return not closed and not _would_start_beside_sharers(made, room)

    def soonest(
        self, task: Task, taken: frozenset[str] = frozenset(), but: Collection[str] = ()
    ) -> Reservation | None:
        """The soonest start of a task, beside what is reserved for others and those nodes.

        What is reserved for the keys of `but` counts as free.
        """
        mine = {task.key, *but}
        kept = {n for r in self.standing if r.task.key not in mine for n in r.placement.nodes}
        elsewhere = task.off(taken.union(kept))
        made = soonest_start(self.axis, elsewhere)
        return made and replace(made, task=task)

    def why_move(self, held: Reservation, taken: frozenset[str], tasks: Iterable[Task]) -> str:
        """Why a task is not to stay where it is pinned; '' if it is. See the next ones."""
        if waits_for_a_leaf(held.task, self.own_room(held)):
            return "it waits to be under one leaf switch"  # and keeps nobody off until then
        if self.is_sooner_elsewhere(held, taken):
            return "other nodes are free sooner"
        if rival := self.rival_of(held, tasks):
            return f"job {rival.key}, of higher priority, is to start there"
        if rival := self.unbound.first(held.task, held.placement.nodes):
            return f"job {rival.key}, of higher priority, waits for a limit that is held there"
        return ""

    def own_room(self, held: Reservation) -> Inventory:
        """What is free on the nodes that are kept for it."""
        return _only(self.axis.room, held.placement.nodes)

    def is_sooner_elsewhere(self, held: Reservation, taken: frozenset[str]) -> bool:
        """Whether the task would have room much sooner if one or more of its nodes were others.

        Not those that others get now: they would take turns.
        """
        axis = self.axis
        room = self.own_room(held)
        (now,) = self.closings.keep_off((held.task,), axis.room)
        if could_start(now, room):
            return False  # Slurm starts it at its next pass
        there = soonest_start(Axis(room, axis.coming, axis.now, axis.opens), held.task)
        sooner = self.soonest(held.task, taken)
        if there is None:  # somebody without a time limit has got there first
            return sooner is not None
        least, most = WORTH_MOVING
        coming = (one for name in held.placement.nodes for one in axis.coming.get(name, ()))
        guessed = any(one.key in self.ending for one in coming)
        if sooner and guessed and sooner.start > axis.now:
            least = most  # else it would move to and fro
        return sooner is not None and self.is_much_sooner(sooner, there, least)

    def is_much_sooner(
        self, one: Reservation, other: Reservation, least: float = WORTH_MOVING[0]
    ) -> bool:
        """Whether one start is so much sooner than another that a pin is moved for it."""
        most = WORTH_MOVING[1]
        wait = other.start - self.axis.now
        return other.start - one.start > min(most, max(least, wait / 4))

    def rival_of(self, held: Reservation, tasks: Iterable[Task]) -> Task | None:
        """The first blocked task of higher priority that would start much sooner in its place."""
        own, pool = {held.task.key}, held.placement.partition
        in_vain = InVain(affordable(len(self.axis.room.nodes)))
        if self.places.get(pool, 0) < 0:
            return None  # another pin in its place would come back at the next look
        for task in tasks:
            if task.priority <= held.task.priority:
                break
            if in_vain.enough_like(task):
                continue
            if pool not in task.pools or not self.blocked(task) or task in in_vain:
                continue
            there, beside = self.soonest(task, but=own), self.soonest(task)
            if there and (not beside or self.is_much_sooner(there, beside)):
                return task
            in_vain.add(task)
        return None


def pools_with_side_doors(snapshot: Snapshot, room: Inventory, policy: Policy) -> frozenset[str]:
    """The pools on whose nodes Slurm may start jobs that do not come through the gate.

    Nobody is pinned ahead in the others: what starts there is in the plan, which delays nobody who
    is protected, and for a pin Slurm's backfill would keep its nodes as a whole.
    """
    pools = {pool.partition for pool in policy.pools}
    up = {p.name for p in snapshot.partitions if p.state == "UP" and not p.root_only}
    doors = up - policy.partitions
    return room.partitions_beside(doors) & pools


def idle_beside_doors(snapshot: Snapshot, room: Inventory, policy: Policy) -> bool:
    """Whether devices are free that jobs may take which do not come through the gate."""
    pools = pools_with_side_doors(snapshot, room, policy)
    return bool(pools) and any(
        state.node.usable
        and not pools.isdisjoint(state.node.partitions)
        and any(device.free_gib for device in state.node.devices)
        for state in room.grid.states
    )


def _places(pools: Iterable[str], limits: Limits, standing: Iterable[Reservation]) -> Counter[str]:
    """For how many more of each pool nodes are kept; below 0 where they are for too many."""
    places = Counter(dict.fromkeys(pools, limits.reservations))
    places.subtract(held.placement.partition for held in standing)
    return places


def _ending(snapshot: Snapshot) -> frozenset[str]:
    """The jobs that are past their ends: when they are gone is a guess."""
    over = (j for j in snapshot.jobs if j.holds_nodes and 0 < j.last_end <= snapshot.time)
    return frozenset(job.key for job in over)


def soonest_start(axis: Axis, task: Task) -> Reservation | None:
    """The soonest start of a task: under one leaf switch, or once it has waited for that."""
    made = axis.soonest(task)
    if (patience := task.leaf_patience) is not None:
        spread = axis.soonest(replace(task, leaf_patience=None))
        if spread and (made is None or spread.start + patience < made.start):
            return replace(spread, start=spread.start + patience)
    return made


def _would_start_beside_sharers(reservation: Reservation, room: Inventory) -> bool:
    nodes = (room.nodes[name] for name in reservation.placement.nodes)
    return any(node.closed_to(shares=reservation.task.takes_share) for node in nodes)


def at_hand(pins: tuple[Pin, ...], snapshot: Snapshot, inventory: Inventory) -> tuple[Pin, ...]:
    """The pins, as they are by now: one ahead whose nodes have room for it starts at Slurm's next
    pass, and is one as any other. Nobody need be kept off its nodes as a whole."""
    if not any(pin.start for pin in pins):
        return pins
    room, closings = room_beside(inventory, pins), Closings.of(snapshot, inventory)
    return tuple(
        replace(pin, start=0.0, due=True) if pin.start and _has_room(pin, room, closings) else pin
        for pin in pins
    )


def _has_room(pin: Pin, room: Inventory, closings: Closings) -> bool:
    if not all(name in room.nodes for name in pin.placement.nodes):
        return False
    (task,) = closings.keep_off((pin.task,), room)
    return could_start(task, _only(room, pin.placement.nodes))


def _only(room: Inventory, names: Iterable[str]) -> Inventory:
    return replace(room, nodes={name: room.nodes[name] for name in names})


def _standing(pins: Iterable[Pin], room: Inventory) -> list[Reservation]:
    """The reservations of the tasks that are pinned ahead, as far as Slurm may start them there."""
    ahead = (pin for pin in pins if pin.start and _stands(pin, room))
    return [Reservation(pin.task, pin.placement, pin.start) for pin in ahead]


def _stands(pin: Pin, room: Inventory) -> bool:
    nodes = map(room.nodes.get, pin.placement.nodes)
    return all(node is not None and node.usable for node in nodes)


def reserve_first(
    tasks: Iterable[Task],
    places: Mapping[str, int],
    blocked: Callable[[Task], bool],
    soonest: Callable[[Task, frozenset[str]], Reservation | None],
    most: int,
) -> list[Reservation]:
    """In order, the first blocked tasks of each pool that can get nodes at some time.

    `places` says for how many of each pool. A task of several pools takes a place in that of its
    nodes, and none where that has none left: to be passed over wherever one of its pools has none
    would let those behind it go first. `soonest` seeks nodes beside those that others have got;
    for `most` tasks of the same pools it may do so in vain.
    """
    left = Counter({pool: count for pool, count in places.items() if count > 0})
    made: list[Reservation] = []
    in_vain = InVain(most)
    nodes = frozenset[str]()
    for task in tasks:
        if not left:
            break
        if in_vain.enough_like(task):
            continue
        if left.keys().isdisjoint(task.pools) or not blocked(task) or task in in_vain:
            continue
        reservation = soonest(task, nodes)
        if reservation is None or reservation.placement.partition not in left:
            in_vain.add(task)
            continue
        made.append(reservation)
        nodes |= set(reservation.placement.nodes)
        left -= Counter([reservation.placement.partition])  # a pool without a place left is gone
    return made


class _Step(NamedTuple):
    """The tasks before and after a step that keeps some of them off nodes.

    `owners` says, by node, for whom it is kept and until when.
    """

    before: tuple[Task, ...]
    after: tuple[Task, ...]
    owners: dict[str, tuple[str, float]]


def _without(tasks: tuple[Task, ...], pinned: Iterable[Reservation]) -> tuple[Task, ...]:
    keys = {reservation.task.key for reservation in pinned}
    return tuple(task for task in tasks if task.key not in keys)


def _steps(
    tasks: tuple[tuple[Task, ...], tuple[Task, ...], tuple[Task, ...]],
    reservations: Iterable[Reservation],
    owners: Mapping[str, str],
) -> tuple[_Step, _Step]:
    """From the tasks before they were kept off the nodes of reservations, after that, and after
    they were kept off those that `owners` have as a whole."""
    before, unreserved, after = tasks
    reserved_for = {name: (r.task.key, r.start) for r in reservations for name in r.placement.nodes}
    whole_for = {name: (key, 0.0) for name, key in owners.items()}
    return _Step(before, unreserved, reserved_for), _Step(unreserved, after, whole_for)


def _kept(steps: Sequence[_Step], room: Inventory) -> dict[str, Reason]:
    """By key of a task that only kept nodes hold back: which they are, and for whom."""
    looked_at: set[Task] = set()
    out: dict[str, Reason] = {}
    known: dict[tuple[frozenset[str], ...], Reason] = {}
    for i, (before, after) in enumerate(zip(steps[0].before, steps[-1].after, strict=True)):
        if before is after or before.exc_nodes == after.exc_nodes:
            continue
        if len(looked_at) < EXPLAINED:
            looked_at.add(after.request)
        if after.request not in looked_at:
            out[before.key] = NotLookedAt()
        elif not could_start(after, room) and could_start(before, room):
            off = before.exc_nodes, *(step.after[i].exc_nodes for step in steps)
            if off not in known:
                kept = tuple(one for step in steps for one in _reasons(step, i))
                known[off] = kept[0] if len(kept) == 1 else All(kept)
            out[before.key] = known[off]
    return out


def _reasons(step: _Step, i: int) -> Iterator[Kept]:
    nodes = sorted(step.after[i].exc_nodes - step.before[i].exc_nodes)
    for owner in dict.fromkeys(step.owners[name] for name in nodes):
        yield Kept(tuple(name for name in nodes if step.owners[name] == owner), *owner)
