"""What is done for tasks that cannot start now: the first ones of each pool are pinned ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.model import Snapshot, Task
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reasons import All, Kept, NotLookedAt, Reason
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.reservation import (
    ComingFree,
    Reservation,
    coming_free,
    keep_free,
    reserve_ahead,
)
from slurm_het.core.reservations.whole_nodes import keep_whole

WORTH_MOVING = 60.0
"""A pin is taken back if it could start so many seconds earlier on other nodes."""
EXPLAINED = 200
"""For so many different requests it is found out whether only kept nodes hold them back. Each costs
some milliseconds on a large cluster."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What to do about the tasks that cannot start now.

    - `reserve`: new reservations;
    - `move`: keys of pins to take back, as other nodes have room for them sooner;
    - `tasks`: the tasks that may start now, kept off the nodes that are kept for others;
    - `kept`: by key of a task that only these nodes hold back, or those that Slurm's reservations
      close to it, which they are and for whom.
    """

    reserve: tuple[Reservation, ...]
    move: tuple[str, ...]
    tasks: tuple[Task, ...]
    kept: dict[str, Reason]


def look_ahead(
    snapshot: Snapshot,
    room: Inventory,
    tasks: tuple[Task, ...],
    pins: tuple[Pin, ...],
    policy: Policy,
    limits: Limits,
) -> Outlook:
    """Decide for whom nodes are kept, and which.

    `pins` are the tasks that are pinned ahead, `tasks` those that may be planned now, in Slurm's
    priority order; `room` is what is free beside the released ones.
    """
    now = snapshot.time
    standing = [Reservation(p.task, p.placement, p.start) for p in pins]
    coming = coming_free(snapshot, policy)
    closings = Closings.of(snapshot, room)
    tasks_then, tasks = tasks, closings.keep_off(tasks, room)
    move = tuple(r.task.key for r in standing if _sooner_elsewhere(r, room, coming, closings))
    taken = {pool for r in standing for pool in r.task.pools}
    reserved_nodes = frozenset(name for r in standing for name in r.placement.nodes)
    new: list[Reservation] = []
    patient = tuple(t for t in tasks if t.since + limits.reserve_after_seconds <= now)
    then = {task.key: task for task in tasks_then}  # what is closed now may be open then
    for task in _blocked(patient, room, taken, policy, limits.reservations):
        elsewhere = replace(then[task.key], exc_nodes=then[task.key].exc_nodes | reserved_nodes)
        reservation = reserve_ahead(elsewhere, room, coming, now, closings)
        if reservation and reservation.start > now:
            new.append(replace(reservation, task=then[task.key]))
            reserved_nodes |= set(reservation.placement.nodes)
    # A Slurm that forgets sharers would start a pinned whole-device job beside them. There the
    # nodes are only kept, and nobody is pinned.
    pinned = tuple(r for r in new if not _would_start_beside_sharers(r, room))
    pinned_keys = {r.task.key for r in pinned}
    others = tuple(t for t in tasks if t.key not in pinned_keys)
    reservations = [*standing, *new]
    unreserved = keep_free(others, reservations, room, now)
    kept_off, owners = keep_whole(unreserved, room, coming)
    reserved_for = {name: (r.task.key, r.start) for r in reservations for name in r.placement.nodes}
    whole_for = {name: (key, 0.0) for name, key in owners.items()}
    steps = (_Step(others, unreserved, reserved_for), _Step(unreserved, kept_off, whole_for))
    closed = closings.held_back(tasks_then, tasks, room)
    return Outlook(pinned, move, kept_off, _kept(steps, room) | closed)


def _would_start_beside_sharers(reservation: Reservation, room: Inventory) -> bool:
    nodes = (room.nodes[name] for name in reservation.placement.nodes)
    return any(node.closed_to(shares=reservation.task.takes_share) for node in nodes)


def _blocked(
    tasks: tuple[Task, ...], room: Inventory, taken: set[str], policy: Policy, per_pool: int
) -> tuple[Task, ...]:
    """The tasks to reserve for. It ends when every pool has its reservations.

    What one of Slurm's reservations has is nobody else's: its jobs need none of ours.
    """
    blocked: list[str] = []
    open_pools = {p.partition for p in policy.pools} - taken
    for task in tasks if per_pool else ():
        if not open_pools:
            break
        if task.reservation or not set(task.pools) <= open_pools:
            continue
        if not could_start(task, room):
            blocked.append(task.key)
            if per_pool == 1:
                open_pools -= set(task.pools)
    return first_blocked(tasks, blocked, taken, per_pool)


def first_blocked(
    tasks: Iterable[Task], blocked: Iterable[str], taken: set[str], per_pool: int
) -> tuple[Task, ...]:
    """The tasks to reserve for: in order, the first `per_pool` blocked ones of each pool.

    Pools in `taken` have their reservations already. A task of several pools counts in each.
    """
    keys = set(blocked)
    used: dict[str, int] = dict.fromkeys(taken, per_pool)
    chosen: list[Task] = []
    for task in tasks:
        if task.key in keys and all(used.get(pool, 0) < per_pool for pool in task.pools):
            chosen.append(task)
            for pool in task.pools:
                used[pool] = used.get(pool, 0) + 1
    return tuple(chosen)


def _sooner_elsewhere(
    held: Reservation,
    room: Inventory,
    coming: dict[str, tuple[ComingFree, ...]],
    closings: Closings,
) -> bool:
    """Whether the task would have room much sooner if one or more of its nodes were others."""
    names = held.placement.nodes
    own_nodes = replace(room, nodes={n: node for n, node in room.nodes.items() if n in names})
    if could_start(closings.keep_off((held.task,), room)[0], own_nodes):
        return False  # Slurm starts it at its next pass
    sooner = reserve_ahead(held.task, room, coming, closings.now, closings)
    return sooner is not None and sooner.start < held.start - WORTH_MOVING


class _Step(NamedTuple):
    """The tasks before and after a step that keeps some of them off nodes.

    `owners` says, by node, for whom it is kept and until when.
    """

    before: tuple[Task, ...]
    after: tuple[Task, ...]
    owners: dict[str, tuple[str, float]]


def _kept(steps: Sequence[_Step], room: Inventory) -> dict[str, Reason]:
    """By key of a task that only kept nodes hold back: which they are, and for whom."""
    looked_at: set[Task] = set()
    out: dict[str, Reason] = {}
    for i, (before, after) in enumerate(zip(steps[0].before, steps[-1].after, strict=True)):
        if before.exc_nodes == after.exc_nodes:
            continue
        if len(looked_at) < EXPLAINED:
            looked_at.add(after.request)
        if after.request not in looked_at:
            out[before.key] = NotLookedAt()
        elif not could_start(after, room) and could_start(before, room):
            kept = tuple(one for step in steps for one in _reasons(step, i))
            out[before.key] = kept[0] if len(kept) == 1 else All(kept)
    return out


def _reasons(step: _Step, i: int) -> Iterator[Kept]:
    nodes = sorted(step.after[i].exc_nodes - step.before[i].exc_nodes)
    for owner in dict.fromkeys(step.owners[name] for name in nodes):
        yield Kept(tuple(name for name in nodes if step.owners[name] == owner), *owner)
