"""What to do about tasks that cannot start now: the first of each pool is pinned ahead."""

from __future__ import annotations

from dataclasses import dataclass, replace

from slurm_het.core.ahead import (
    Release,
    Reservation,
    first_blocked,
    keep_free,
    releases,
    reserve_ahead,
)
from slurm_het.core.inventory import Inventory
from slurm_het.core.model import Snapshot, Task
from slurm_het.core.plan import could_start
from slurm_het.core.policy import Policy
from slurm_het.core.reserve import Pin

# A pin that could start this much earlier (seconds) on other nodes is worth taking back.
WORTH_MOVING = 60.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What to do about the tasks that cannot start now.

    `reserve` are new reservations; `move` are pinned keys to take back, since other nodes have
    room for them sooner; `tasks` are the queue's, kept off what is reserved; `kept` says, for a
    task that could start but for that, who it waits for.
    """

    reserve: tuple[Reservation, ...]
    move: tuple[str, ...]
    tasks: tuple[Task, ...]
    kept: dict[str, str]


def look_ahead(
    snapshot: Snapshot,
    room: Inventory,
    tasks: tuple[Task, ...],
    pins: tuple[Pin, ...],
    policy: Policy,
    per_pool: int,
    after: float = 0.0,
) -> Outlook:
    """Decide on reservations. `pins` are the tasks that are pinned ahead; `tasks` are due.

    `per_pool` blocked tasks of each pool get one, if they have been eligible for `after` seconds.
    """
    now = snapshot.time
    held = [Reservation(p.task, p.placement, p.start) for p in pins]
    coming = releases(snapshot, policy)
    move = tuple(r.task.key for r in held if _sooner_elsewhere(r, room, coming, now))
    taken = {pool for r in held for pool in r.task.pools}
    nodes = frozenset(name for r in held for name in r.placement.nodes)
    new: list[Reservation] = []
    if per_pool:
        patient = tuple(t for t in tasks if t.since + after <= now)
        for task in _blocked(patient, room, taken, policy, per_pool):
            free = replace(task, exc_nodes=task.exc_nodes | nodes)
            made = reserve_ahead(free, room, coming, now)
            if made and made.start > now:
                new.append(replace(made, task=task))
                nodes |= set(made.placement.nodes)
    # Where cards are shared, a Slurm that forgets sharers would start a pinned whole-device job
    # beside them: that room is only kept.
    pinned = tuple(r for r in new if not _would_start_beside_sharers(r, room))
    reserved = {r.task.key for r in pinned}
    rest = tuple(t for t in tasks if t.key not in reserved)
    every = [*held, *new]
    kept_off = keep_free(rest, every, room, now)
    return Outlook(pinned, move, kept_off, _kept(rest, kept_off, every, room))


def _would_start_beside_sharers(made: Reservation, room: Inventory) -> bool:
    nodes = (room.nodes[name] for name in made.placement.nodes)
    return any(node.closed_to(shares=made.task.shared) for node in nodes)


def _blocked(
    tasks: tuple[Task, ...], room: Inventory, taken: set[str], policy: Policy, per_pool: int
) -> tuple[Task, ...]:
    """The tasks to reserve for; looks no further than until every pool has its own."""
    known: dict[Task, bool] = {}
    blocked: list[str] = []
    open_pools = {p.partition for p in policy.pools} - taken
    for task in tasks:
        if not open_pools:
            break
        if not set(task.pools) <= open_pools:
            continue
        request = task.request
        if request not in known:
            known[request] = could_start(task, room)
        if not known[request]:
            blocked.append(task.key)
            if per_pool == 1:
                open_pools -= set(task.pools)
    return first_blocked(tasks, blocked, taken, per_pool)


def _sooner_elsewhere(
    held: Reservation, room: Inventory, coming: dict[str, tuple[Release, ...]], now: float
) -> bool:
    """Whether other nodes, or the same with others, would have room much sooner."""
    pinned = replace(room, nodes={n: v for n, v in room.nodes.items() if n in held.placement.nodes})
    if could_start(held.task, pinned):
        return False  # Slurm starts it at its next pass
    made = reserve_ahead(held.task, room, coming, now)
    return made is not None and made.start < held.start - WORTH_MOVING


def _kept(
    tasks: tuple[Task, ...],
    kept_off: tuple[Task, ...],
    reservations: list[Reservation],
    room: Inventory,
) -> dict[str, str]:
    """For the tasks that only reservations hold back: whose, and where."""
    out: dict[str, str] = {}
    for before, after in zip(tasks[:200], kept_off[:200], strict=False):
        nodes = after.exc_nodes - before.exc_nodes
        if nodes and not could_start(after, room) and could_start(before, room):
            owners = [r.task.key for r in reservations if nodes & set(r.placement.nodes)]
            out[before.key] = (
                f"{', '.join(sorted(nodes))} is kept for {', '.join(owners)}, which this job"
                " would outlast"
            )
    return out
