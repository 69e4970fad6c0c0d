"""Which devices Slurm will take on the planned nodes, so that the plan says what will be true.

Of the devices on a node Slurm takes the free ones with the lowest indexes, and for a share the
first that has room (measured on 22.05). A plan is released in priority order. If Slurm's choice
leaves no room for a later task on the same node, that task waits for the next cycle.

Where a request leaves the number on each node open (--gpus, --gpus-per-task), Slurm deals out lots:
one device, or those of a task (Task.lot). Each node gets as many as it has free, in the order of
slurm.conf, and each of the others one lot at least (22.05, 24.11 and 26.05: nine devices on two
nodes of eight are eight and one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slurm_het.core.cluster.fit import has_room, need, serving
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.lots import most_lots, of_lots
from slurm_het.core.cluster.occupancy import take
from slurm_het.core.cluster.placement import placement_of
from slurm_het.core.model import Node, Placement, Slot, Task
from slurm_het.core.reasons import Reason, SlurmsOrder


def pick_devices(
    inventory: Inventory, placements: Iterable[Placement], tasks: Mapping[str, Task]
) -> tuple[list[Placement], dict[str, Reason]]:
    """The placements with the devices that Slurm takes; by key, why one has lost its room."""
    nodes = dict(inventory.nodes)  # as what was placed before leaves them
    order = {name: n for n, name in enumerate(nodes)}
    placed: list[Placement] = []
    dropped: dict[str, Reason] = {}
    for placement in placements:
        task = tasks[placement.key]
        there = [nodes[name] for name in placement.nodes]
        slots = _dealt(task, there, order)
        if not all(has_room(task, slot, node) for slot, node in zip(slots, there, strict=True)):
            dropped[placement.key] = SlurmsOrder()
            continue
        picks = [
            (node.name, serving(task, node)[: slot.devices])
            for node, slot in zip(there, slots, strict=True)
        ]
        for node, slot, (name, indexes) in zip(there, slots, picks, strict=True):
            nodes[name] = take(node, task, indexes, need(task, slot, node))
        placed.append(placement_of(task, placement.partition, picks, nodes, placement.terms))
    return placed, dropped


def _dealt(task: Task, nodes: list[Node], order: Mapping[str, int]) -> list[Slot]:
    """What Slurm gives the task on each of these nodes, by the `order` of slurm.conf."""
    if not task.lot or len(nodes) == 1:
        return list(task.slots)
    most = [most_lots(task, slot, node) for slot, node in zip(task.slots, nodes, strict=True)]
    lots = [1] * len(nodes)
    left = sum(slot.devices for slot in task.slots) // task.lot - len(nodes)
    for i in sorted(range(len(nodes)), key=lambda i: order[nodes[i].name]):
        more = min(most[i] - 1, left)
        lots[i] += more
        left -= more
    if left or min(most) < 1:
        return list(task.slots)
    return [of_lots(task, slot, n) for slot, n in zip(task.slots, lots, strict=True)]
