"""Classes of devices: all that the weights know of a device but what is free beside it."""

from __future__ import annotations

from typing import NamedTuple

from slurm_het.core.cluster.gaps import WHOLE, Free
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


class Offer(NamedTuple):
    """One of a node's devices, its class, and what is free of that class on the node."""

    device: Device
    device_class: DeviceClass
    free: Free


def offer_of(device: Device, node: Node) -> Offer:
    """What a device of a node is to the weights."""
    device_class = device_class_of(device, node)
    return Offer(device, device_class, free_on(device_class, node))


def device_class_of(device: Device, node: Node) -> DeviceClass:
    """The class of a device on its node."""
    return DeviceClass(
        device.type, device.memory_gib, node.partitions, node.cpus, node.memory_mib,
        len(node.devices),
    )  # fmt: skip


def free_on(device_class: DeviceClass, node: Node) -> Free:
    """What is free on a node, with the gaps of its devices of one class (thousandths of each)."""
    gib = device_class.memory_gib
    gaps = [  # as `milli` has it; written out, since it is done for every state of nodes
        WHOLE * max(0, gib - d.occupied_gib - d.excess_gib) // gib
        for d in node.devices
        if d.type == device_class.type and d.memory_gib == gib
    ]
    gaps.sort(reverse=True)
    return Free(device_class.type, node.cpus_free, node.memory_free_mib, tuple(gaps))


def milli(gib: int, device_class: DeviceClass) -> int:
    """Thousandths of such a device that so many GiB are, rounded down."""
    return WHOLE * gib // device_class.memory_gib


def milli_up(gib: int, device_class: DeviceClass) -> int:
    """The same rounded up."""
    return -(-WHOLE * gib // device_class.memory_gib)
