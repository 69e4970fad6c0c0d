"""Room for jobs that are released but not yet running: Slurm does not count them, we must."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slurm_het.core.cluster.fit import (
    fits_device,
    need,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Device, Node, Placement, Task


@dataclass(frozen=True, slots=True)
class Pin:
    """A released task: what it asked, where it goes, and since when (monotonic seconds).

    `start` (epoch seconds) is 0 for a task that should start at once. A task that is pinned ahead,
    to nodes that are not free yet, starts then at the latest. `nodes_min` is the job's own least
    number of nodes where its release raised it; 0 if it did not, or that is not known any more.
    """

    task: Task
    placement: Placement
    since: float
    start: float = 0.0
    nodes_min: int = 0


def reserve(inventory: Inventory, pins: Iterable[Pin]) -> Inventory:
    """The inventory with the pins' devices, CPUs and host memory taken.

    Pins ahead take nothing: what they wait for is still held by others.
    """
    pins = tuple(pins)
    coming = {name for p in pins if not p.task.shared for name in p.placement.nodes}
    nodes = {n: replace(v, whole_coming=n in coming) for n, v in inventory.nodes.items()}
    for pin in (p for p in pins if not p.start):
        where = zip(pin.placement.nodes, pin.placement.devices, pin.task.slots, strict=False)
        for name, indexes, slot in where:
            node = nodes.get(name)
            if node is None:
                continue
            indexes = _there(pin.task, node, indexes)
            cpus, memory = need(pin.task, slot, node)
            nodes[name] = replace(
                node,
                cpus_free=max(0, node.cpus_free - cpus),
                memory_free_mib=max(0, node.memory_free_mib - memory),
                devices=tuple(_take(d, pin) if d.index in indexes else d for d in node.devices),
                idle=False,
                held_exclusively=node.held_exclusively or pin.task.exclusive,
            )
    return replace(inventory, nodes=nodes)


def _there(task: Task, node: Node, indexes: tuple[int, ...]) -> tuple[int, ...]:
    """The devices, or as many others: of a requeued job they are those of its last start, which may
    be somebody else's by now."""
    free = [d.index for d in node.devices if fits_device(task, d)]
    if set(indexes) <= set(free) or len(free) < len(indexes):
        return indexes
    return tuple(free[: len(indexes)])


def _take(device: Device, pin: Pin) -> Device:
    gib = pin.task.memory_gib if pin.task.shared else device.memory_gib
    return replace(
        device,
        occupied_gib=min(device.memory_gib, device.occupied_gib + gib),
        holders=(*device.holders, pin.task.key),
        shared=pin.task.shared,
    )
