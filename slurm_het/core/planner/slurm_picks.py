"""Which devices Slurm will take on the planned nodes, so that the plan says what will be true.

Measured on 22.05: on a node Slurm takes whole devices by lowest free index, and a share from
the first device by index that has room. A plan is released in priority order; where Slurm's own
choice leaves no room for a later task of the same node, that task waits for the next cycle.

Where a request leaves the number on each node open (--gpus, --gpus-per-task), Slurm deals out lots:
one device, or those of a task (Task.lot). Each node gets as many as it has free, in the order of
slurm.conf, and each of the others one lot at least (22.05, 24.11 and 26.05: nine devices on two
nodes of eight are eight and one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from slurm_het.core.cluster.fit import (
    fits_device,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Device, Node, Placement, Slot, Task
from slurm_het.core.reasons import Reason, SlurmsOrder


def pick_devices(
    inventory: Inventory, placements: Iterable[Placement], tasks: Mapping[str, Task]
) -> tuple[list[Placement], dict[str, Reason]]:
    """The placements with Slurm's own device indexes, and those that lose their room, with why."""
    state: dict[str, list[Device]] = {}  # by node, as what was placed before leaves its devices
    mixed: dict[str, bool] = {}  # by node, whether what this plan starts there shares
    placed: list[Placement] = []
    dropped: dict[str, Reason] = {}
    for placement in placements:
        task = tasks[placement.key]
        is_shared = task.shared
        for node in placement.nodes:
            state.setdefault(node, list(inventory.nodes[node].devices))
        free = [[d for d in state[n] if fits_device(task, d)] for n in placement.nodes]
        counts = _dealt(placement, task, list(map(len, free)), inventory)
        picks = [fits[:count] for fits, count in zip(free, counts, strict=True)]
        clash = any(
            inventory.nodes[node].apart and mixed.get(node, is_shared) != is_shared
            for node in placement.nodes
        )
        if clash or [len(pick) for pick in picks] != counts:
            dropped[placement.key] = SlurmsOrder()
            continue
        mixed |= dict.fromkeys(placement.nodes, is_shared)
        for node, devices in zip(placement.nodes, picks, strict=True):
            gib = placement.memory_gib if is_shared else None
            state[node] = [_take(d, task.key, gib) if d in devices else d for d in state[node]]
        placed.append(
            replace(
                placement,
                devices=tuple(tuple(d.index for d in devices) for devices in picks),
                types=tuple(sorted({d.type for devices in picks for d in devices})),
                memory_gib=placement.memory_gib if is_shared else picks[0][0].memory_gib,
            )
        )
    return placed, dropped


def _dealt(placement: Placement, task: Task, free: list[int], inventory: Inventory) -> list[int]:
    """How many devices Slurm gives the task on each node, of so many that are free for it."""
    planned = list(map(len, placement.devices))
    if not task.lot or len(planned) == 1:
        return planned
    order = {name: n for n, name in enumerate(inventory.nodes)}
    most = [
        min(n // task.lot, _lots_by_cpus(task, slot, inventory.nodes[name]))
        for n, name, slot in zip(free, placement.nodes, task.slots, strict=True)
    ]
    lots = [1] * len(planned)
    left = sum(planned) // task.lot - len(planned)
    for i in sorted(range(len(planned)), key=lambda i: order[placement.nodes[i]]):
        more = min(most[i] - 1, left)
        lots[i] += more
        left -= more
    return planned if left or min(most) < 1 else [n * task.lot for n in lots]


def _lots_by_cpus(task: Task, slot: Slot, node: Node) -> int:
    """For how many lots the node has CPUs with their memory, if each takes as in the slot."""
    cpus = node.cpus_free
    if slot.memory_per_cpu_mib:
        cpus = min(cpus, node.memory_free_mib // slot.memory_per_cpu_mib)
    return cpus * slot.devices // (task.lot * slot.cpus)


def _take(device: Device, key: str, gib: int | None) -> Device:
    occupied = device.memory_gib if gib is None else device.occupied_gib + gib
    return replace(device, occupied_gib=occupied, holders=(*device.holders, key))
