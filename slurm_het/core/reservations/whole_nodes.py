"""Whole devices and shares on nodes where they cannot be side by side (Node.forgets_sharers).

Such a node gives out no whole device while it has sharers. If shares keep coming it never does: a
task for whole devices would then wait until a reservation keeps a node free for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slurm_het.core.cluster.fit import (
    could_ever_start,
    could_start,
    groups_of,
    holds_when_empty,
    misfit,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Node, Task
from slurm_het.core.reservations.reservation import ComingFree, soonest

LOOKED_AT_MOST = 32
"""For so many different requests that cannot start a node is sought. Some never find one, and each
costs 10 ms with 1,250 nodes."""


def keep_whole(
    tasks: Iterable[Task], room: Inventory, coming: Mapping[str, tuple[ComingFree, ...]]
) -> tuple[tuple[Task, ...], dict[str, str]]:
    """The tasks, with shares kept off one node of each pool where a task waits for whole devices.

    It is the node with the fewest sharers of those that could ever hold the task; one whose jobs
    will end (`coming`) comes first. A node without sharers is a good choice: no share gets in when
    its jobs end. (To empty a node of its sharers instead made all jobs wait longer, in
    simulations.) Shares with priority over the task may still go there. Also returns, by node, the
    key of the task that it is kept for.
    """
    nodes = [node for node in room.nodes.values() if _mixes(node) and node.usable]
    if not nodes:
        return tuple(tasks), {}
    open_pools = {pool for node in nodes for pool in node.partitions}
    looked_at: set[Task] = set()
    blocked = 0
    owners: dict[str, str] = {}
    kept_off: list[Task] = []
    for task in tasks:
        if task.takes_share:
            task = task.off(frozenset(owners))
        kept_off.append(task)
        if task.takes_share or open_pools.isdisjoint(task.pools):
            continue
        request = task.request
        if request in looked_at:
            continue
        looked_at.add(request)
        if could_start(task, room):
            continue
        blocked += 1
        able = [n for n in _able(task, room) if _mixes(n)] if could_ever_start(task, room) else []
        for pool in open_pools.intersection(task.pools):
            choices = [node for node in able if pool in node.partitions]
            if choices:
                open_pools.remove(pool)
                kept = min(choices, key=lambda node: _rank(task, node, coming))
                owners[kept.name] = task.key
        if blocked == LOOKED_AT_MOST:
            open_pools.clear()
    return tuple(kept_off), owners


def _mixes(node: Node) -> bool:
    """Whether whole devices and shares could come side by side on a node, and must not."""
    return node.forgets_sharers and node.has_shards


def _able(task: Task, room: Inventory) -> tuple[Node, ...]:
    """The nodes that could be some of the task's nodes if nothing else ran."""
    nodes = tuple(room.nodes.values())
    holding = [
        n for n, node in enumerate(nodes) if not misfit(task, node) and holds_when_empty(task, node)
    ]
    groups = groups_of(task, nodes, holding)
    large = frozenset[int]().union(*(group for group in groups if len(group) >= len(task.slots)))
    return tuple(nodes[n] for n in sorted(large))


def _rank(
    task: Task, node: Node, coming: Mapping[str, tuple[ComingFree, ...]]
) -> tuple[bool, int, str]:
    there = coming.get(node.name, ())
    never = all(soonest(task, slot, node, there, now=0.0) is None for slot in set(task.slots))
    return never, sum(len(device.holders) for device in node.devices if device.in_shares), node.name
