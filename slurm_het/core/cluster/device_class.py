"""Classes of devices: all that the weights know of a device but what is free."""

from __future__ import annotations

from typing import NamedTuple

from slurm_het.core.model import Device, Node


class DeviceClass(NamedTuple):
    """Devices of one type and memory in the same partitions, on nodes of one size.

    `cpus`, `memory_mib` and `per_node` are those of a whole node, its devices all counted.
    """

    type: str
    memory_gib: int
    partitions: tuple[str, ...]
    cpus: int
    memory_mib: int
    per_node: int


def device_class_of(device: Device, node: Node) -> DeviceClass:
    """The class of a device on its node."""
    return DeviceClass(
        device.type, device.memory_gib, node.partitions, node.cpus, node.memory_mib,
        len(node.devices),
    )  # fmt: skip
