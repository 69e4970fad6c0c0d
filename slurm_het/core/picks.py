"""Which devices Slurm will take on the planned nodes, so that the plan says what will be true.

Measured on 22.05: on a node Slurm takes whole devices by lowest free index, and a share from
the first device by index that has room. A plan is released in priority order; where Slurm's own
choice leaves no room for a later task of the same node, that task waits for the next cycle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from slurm_het.core.inventory import Inventory
from slurm_het.core.model import Device, Placement


def pick_devices(
    inventory: Inventory, placements: Iterable[Placement], shared: set[str]
) -> tuple[list[Placement], dict[str, str]]:
    """The placements with Slurm's own device indexes, and those that lose their room, with why."""
    state: dict[str, list[Device]] = {}  # by node, as what was placed before leaves its devices
    mixed: dict[str, bool] = {}  # by node, whether what this plan starts there shares
    placed: list[Placement] = []
    dropped: dict[str, str] = {}
    for placement in placements:
        is_shared = placement.key in shared
        for node in placement.nodes:
            state.setdefault(node, list(inventory.nodes[node].devices))
        picks = [
            _pick(state[node], placement, len(devices), is_shared=is_shared)
            for node, devices in zip(placement.nodes, placement.devices, strict=True)
        ]
        clash = any(
            inventory.nodes[node].apart and mixed.get(node, is_shared) != is_shared
            for node in placement.nodes
        )
        if clash or any(pick is None for pick in picks):
            dropped[placement.key] = "Slurm's order of devices leaves it no room in this cycle"
            continue
        mixed |= dict.fromkeys(placement.nodes, is_shared)
        indexes = tuple(pick for pick in picks if pick is not None)
        for node, taken in zip(placement.nodes, indexes, strict=True):
            gib = placement.memory_gib if is_shared else None
            state[node] = [
                _take(d, placement.key, gib) if d.index in taken else d for d in state[node]
            ]
        placed.append(replace(placement, devices=indexes))
    return placed, dropped


def _pick(
    devices: list[Device], placement: Placement, count: int, *, is_shared: bool
) -> tuple[int, ...] | None:
    if is_shared:
        gib = placement.memory_gib
        fits = [d for d in devices if d.type in placement.types and d.free_gib >= gib]
    else:
        fits = [d for d in devices if d.type in placement.types and d.empty]
    return tuple(d.index for d in fits[:count]) if len(fits) >= count else None


def _take(device: Device, key: str, gib: int | None) -> Device:
    occupied = device.memory_gib if gib is None else device.occupied_gib + gib
    return replace(device, occupied_gib=occupied, holders=(*device.holders, key))
