"""Who holds what: a device, and a node, when a job has started on it and when it has ended."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from slurm_het.core.assignment.problem import Need
from slurm_het.core.model import Device, Node, Task


def taken_whole(device: Device, key: str) -> Device:
    """The device once a job has all of it."""
    return _held(device, device.memory_gib, (*device.holders, key), False)


def shared_by(device: Device, key: str, gib: int) -> Device:
    """The device once a job has so many GiB of it. What another holds whole stays whole."""
    occupied = min(device.memory_gib, device.occupied_gib + gib)
    shared = device.in_shares or not device.holders
    return _held(device, occupied, (*device.holders, key), shared)


def taken_by(device: Device, task: Task) -> Device:
    """The device once a task has its share of it, or all of it."""
    if task.takes_share:
        return shared_by(device, task.key, task.memory_gib)
    return taken_whole(device, task.key)


def without(device: Device, key: str) -> Device:
    """The device once that job has ended."""
    if key not in device.holders:
        return device
    left = tuple(holder for holder in device.holders if holder != key)
    # What each sharer holds is not kept apart: an equal part is a fair guess.
    occupied = device.occupied_gib * len(left) // len(device.holders)
    return _held(device, occupied, left, device.in_shares and bool(left))


def close(node: Node) -> Node:
    """The node while nobody gets anything of it."""
    return replace(node, held_exclusively=True, idle=False)


def emptied(node: Node) -> Node:
    """The node once all its jobs have ended."""
    return replace(
        node,
        cpus_free=node.cpus,
        cpu_caps=tuple(cap._replace(free=cap.most) for cap in node.cpu_caps),
        memory_free_mib=node.memory_mib,
        devices=tuple(_held(device, 0, (), False) for device in node.devices),
        idle=True,
        held_exclusively=False,
        promised_whole=False,
    )


def _held(device: Device, occupied_gib: int, holders: tuple[str, ...], shared: bool) -> Device:
    return Device(  # several times faster than replace(), and there are thousands
        device.node, device.index, device.type, device.vendor, device.memory_gib,
        occupied_gib, holders, device.gres, shared, device.excess_gib, device.trouble,
    )  # fmt: skip


def take(node: Node, task: Task, indexes: Collection[int], needs: Need | None) -> Node:
    """The node with the task on these of its devices (their indexes), once it has what it needs.

    Without `needs` it may not start yet (see fit.need). It takes all CPUs then: it starts when
    others end, and until then nobody else is to start beside it.
    """
    cpus, memory_mib = needs or (node.cpus_free, 0)
    return replace(
        node,
        promised_whole=node.promised_whole or not task.takes_share,
        cpus_free=max(0, node.cpus_free - cpus),
        cpu_caps=tuple(
            cap._replace(free=max(0, cap.free - cpus)) if cap.pool in task.pools else cap
            for cap in node.cpu_caps
        ),
        memory_free_mib=max(0, node.memory_free_mib - memory_mib),
        devices=tuple(taken_by(d, task) if d.index in indexes else d for d in node.devices),
        idle=False,
        held_exclusively=node.held_exclusively or task.exclusive,
    )


def promise(node: Node, task: Task) -> Node:
    """The node once a task is released to it, before the task has taken anything."""
    return node if task.takes_share else replace(node, promised_whole=True)


def give_back(node: Node, key: str, cpus: int, memory_mib: int | None) -> Node:
    """The node once that job has ended, which has so many CPUs and so much host memory there.

    None is all of the memory (--mem=0).
    """
    devices = tuple(without(device, key) for device in node.devices)
    idle = not any(device.holders for device in devices)
    cpus_free = min(node.cpus, node.cpus_free + cpus)
    given_mib = node.memory_mib if memory_mib is None else memory_mib
    return replace(
        node,
        cpus_free=cpus_free,
        # In which of the pools it was is not known here: in each, at best.
        cpu_caps=tuple(c._replace(free=min(c.most, c.free + cpus)) for c in node.cpu_caps),
        memory_free_mib=min(node.memory_mib, node.memory_free_mib + given_mib),
        devices=devices,
        idle=idle and cpus_free == node.cpus,
        held_exclusively=node.held_exclusively and not idle,
    )
