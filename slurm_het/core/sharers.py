"""Whole devices and shares on nodes where they cannot be side by side (Node.apart).

Such a node gives out no whole device while it has sharers. Where shares keep coming that is always,
so that tasks for whole devices would wait until a reservation keeps a node free for one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from slurm_het.core.build import fits_type, misfit
from slurm_het.core.inventory import Inventory
from slurm_het.core.model import Node, Task
from slurm_het.core.plan import could_start


def keep_whole(tasks: Iterable[Task], room: Inventory) -> tuple[tuple[Task, ...], dict[str, str]]:
    """The tasks, with shares kept off one node of each pool where a task waits for whole devices.

    The node is that with the fewest sharers of those that could ever hold the task; shares with
    priority over it may still go there. Also by node: the task that it is kept for.
    """
    nodes = [node for node in room.nodes.values() if node.apart and node.shared and node.usable]
    if not nodes:
        return tuple(tasks), {}
    open_pools = {pool for node in nodes for pool in node.partitions}
    looked_at: set[Task] = set()
    owners: dict[str, str] = {}
    found: list[Task] = []
    for task in tasks:
        if task.shared and owners:
            task = replace(task, exc_nodes=task.exc_nodes.union(owners))
        found.append(task)
        if task.shared or open_pools.isdisjoint(task.pools):
            continue
        request = task.request
        if request in looked_at:
            continue
        looked_at.add(request)
        if could_start(task, room):
            continue
        for pool in open_pools.intersection(task.pools):
            able = [n for n in nodes if pool in n.partitions and _holds(task, n)]
            if able:
                open_pools.remove(pool)
                owners[min(able, key=lambda n: (_sharers(n), n.name)).name] = task.key
    return tuple(found), owners


def _holds(task: Task, node: Node) -> bool:
    """Whether the node could start a part of the task if nothing else was there."""
    slot = task.largest_slot
    return (
        not misfit(task, node)
        and sum(fits_type(task, d) for d in node.devices) >= slot.devices
        and slot.cpus <= node.cpus
        and slot.memory_mib <= node.memory_mib
    )


def _sharers(node: Node) -> int:
    return sum(len(device.holders) for device in node.devices if device.shared)
