"""What is done for tasks that cannot start now: the first of each pool is pinned ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.model import Snapshot, Task
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reasons import All, Kept, NotLookedAt, Reason
from slurm_het.core.reservations.reservation import (
    Ending,
    Reservation,
    endings,
    first_blocked,
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
    - `kept`: by key of a task that only these nodes hold back, which they are and for whom.
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
    now, per_pool = snapshot.time, limits.reservations
    held = [Reservation(p.task, p.placement, p.start) for p in pins]
    coming = endings(snapshot, policy)
    move = tuple(r.task.key for r in held if _sooner_elsewhere(r, room, coming, now))
    taken = {pool for r in held for pool in r.task.pools}
    nodes = frozenset(name for r in held for name in r.placement.nodes)
    new: list[Reservation] = []
    if per_pool:
        patient = tuple(t for t in tasks if t.since + limits.reserve_after_seconds <= now)
        for task in _blocked(patient, room, taken, policy, per_pool):
            free = replace(task, exc_nodes=task.exc_nodes | nodes)
            made = reserve_ahead(free, room, coming, now)
            if made and made.start > now:
                new.append(replace(made, task=task))
                nodes |= set(made.placement.nodes)
    # A Slurm that forgets sharers would start a pinned whole-device job beside them. There the
    # nodes are only kept, and nobody is pinned.
    pinned = tuple(r for r in new if not _would_start_beside_sharers(r, room))
    reserved = {r.task.key for r in pinned}
    rest = tuple(t for t in tasks if t.key not in reserved)
    every = [*held, *new]
    unreserved = keep_free(rest, every, room, now)
    kept_off, owners = keep_whole(unreserved, room, coming)
    reserved_for = {
        name: (made.task.key, made.start) for made in every for name in made.placement.nodes
    }
    whole_for = {name: (key, 0.0) for name, key in owners.items()}
    steps = (_Step(rest, unreserved, reserved_for), _Step(unreserved, kept_off, whole_for))
    return Outlook(pinned, move, kept_off, _kept(steps, room))


def _would_start_beside_sharers(made: Reservation, room: Inventory) -> bool:
    nodes = (room.nodes[name] for name in made.placement.nodes)
    return any(node.closed_to(shares=made.task.takes_share) for node in nodes)


def _blocked(
    tasks: tuple[Task, ...], room: Inventory, taken: set[str], policy: Policy, per_pool: int
) -> tuple[Task, ...]:
    """The tasks to reserve for. It ends when every pool has its reservations."""
    blocked: list[str] = []
    open_pools = {p.partition for p in policy.pools} - taken
    for task in tasks:
        if not open_pools:
            break
        if not set(task.pools) <= open_pools:
            continue
        if not could_start(task, room):
            blocked.append(task.key)
            if per_pool == 1:
                open_pools -= set(task.pools)
    return first_blocked(tasks, blocked, taken, per_pool)


def _sooner_elsewhere(
    held: Reservation, room: Inventory, coming: dict[str, tuple[Ending, ...]], now: float
) -> bool:
    """Whether other nodes, or the same with others, would have room much sooner."""
    pinned = replace(room, nodes={n: v for n, v in room.nodes.items() if n in held.placement.nodes})
    if could_start(held.task, pinned):
        return False  # Slurm starts it at its next pass
    made = reserve_ahead(held.task, room, coming, now)
    return made is not None and made.start < held.start - WORTH_MOVING


class _Step(NamedTuple):
    """The tasks before and after some were kept off nodes; by node, for whom and until when."""

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
