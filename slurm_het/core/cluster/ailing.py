"""Devices that are not what Slurm takes them for: fuller than it knows, or not to be used.

Slurm knows what it has given away. What a dead job's process or a stranger still has, and a card
that has fallen off its bus, the devices themselves tell. Of two numbers the larger one counts, once
it has been there for longer than a moment: a job that has just started, or ended, is no stranger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slurm_het.core.measured import MIB, Measured
from slurm_het.core.model import Device, Node

MOST_BASE = 0.1  # of a device's memory: what more is in use on an idle one is somebody's


@dataclass(frozen=True, slots=True)
class Sample:
    """What one device said at one time. `place`: its place among the node's devices of its vendor.

    `foreign_mib` is what processes of no job of Slurm's have of it; None is not known.
    """

    place: int
    vendor: str
    used_mib: int | None = None
    total_mib: int | None = None
    foreign_mib: int | None = None
    trouble: str = ""
    model: str = ""


def with_measured(node: Node, measured: Iterable[Measured]) -> Node:
    """The node with what ails its devices; itself if nothing does."""
    ailing = {m.index: m for m in measured if m.ails}
    if not ailing:
        return node
    devices = tuple(
        _with(device, ailing[device.index]) if device.index in ailing else device
        for device in node.devices
    )
    return replace(node, devices=devices, ailing=any(map(ails, devices)))


def _with(device: Device, measured: Measured) -> Device:
    if measured.trouble:
        return replace(device, excess_gib=device.memory_gib, trouble=measured.trouble)
    if device.holders and not device.in_shares:
        return device  # all of it is given away
    return replace(device, excess_gib=min(device.memory_gib, measured.excess_gib))


def ails(device: Device) -> bool:
    """Whether the device is not what Slurm takes it for."""
    return bool(device.excess_gib or device.trouble)


def what_ails(device: Device) -> str:
    """Why the device is not what Slurm takes it for, in words; '' if it is."""
    if device.trouble:
        return device.trouble
    if not device.excess_gib:
        return ""
    return f"{device.excess_gib} GiB in use beyond the {device.occupied_gib} that Slurm gave away"


def devices_of(samples: Iterable[Sample], node: Node) -> list[tuple[Sample, Device]]:
    """Each sample with the device of the node that it is of, as far as there is one.

    Slurm counts all devices of a node, each driver those of its vendor. Where a node has devices of
    one vendor only, what the vendor is called does not matter.
    """
    by_vendor: dict[str, list[Device]] = {}
    for device in node.devices:
        by_vendor.setdefault(device.vendor, []).append(device)
    samples = tuple(samples)
    alone = len(by_vendor) == 1 and len({sample.vendor for sample in samples}) == 1
    found = []
    for sample in samples:
        there = node.devices if alone else by_vendor.get(sample.vendor, ())
        if 0 <= sample.place < len(there):
            found.append((sample, there[sample.place]))
    return found


@dataclass(slots=True)
class _Rise:
    """How an excess came up: the least of it (GiB) since `first`, and what counts of it by now."""

    first: float
    least: int
    counts: int = 0


@dataclass
class Excesses:
    """Follows what the devices say, and tells what counts of it. Times in seconds that never go
    back.

    An excess of no more than `tolerance_gib` is none. It rises once samples have shown it for
    `steady_seconds`, and Slurm's records of that time agree; it falls at once.
    """

    tolerance_gib: int
    steady_seconds: float
    base_mib: Mapping[str, int] = field(default_factory=dict)
    _rises: dict[tuple[str, int], _Rise] = field(default_factory=dict)

    def see(
        self, node: Node, samples: Sequence[Sample], taken: float, recorded: float
    ) -> tuple[Measured, ...]:
        """What counts by samples `taken` then, on a node that Slurm `recorded` so at its time."""
        return tuple(
            self._measured(sample, device, taken, recorded)
            for sample, device in devices_of(samples, node)
        )

    def forget(self, name: str, devices: int) -> None:
        """What a node said is too old."""
        for index in range(devices):
            self._rises.pop((name, index), None)

    def _measured(self, sample: Sample, device: Device, taken: float, recorded: float) -> Measured:
        counts = self._counting(device, self._excess(sample, device), taken, recorded)
        used, total = sample.used_mib, sample.total_mib
        return Measured(
            device.index,
            None if used is None else -(-used // MIB),
            None if total is None else round(total / MIB),
            counts,
            sample.trouble,
            sample.model,
        )

    def _excess(self, sample: Sample, device: Device) -> int:
        if sample.used_mib is None or (device.holders and not device.in_shares):
            return 0
        own = self.base_mib.get(device.type, 0)
        beyond = -(-max(0, sample.used_mib - own) // MIB) - device.occupied_gib
        foreign = -(-(sample.foreign_mib or 0) // MIB)
        excess = max(beyond, foreign)
        return excess if excess > self.tolerance_gib else 0

    def _counting(self, device: Device, excess: int, taken: float, recorded: float) -> int:
        key = device.node, device.index
        if not excess:
            self._rises.pop(key, None)
            return 0
        rise = self._rises.setdefault(key, _Rise(taken, excess))
        rise.least = min(rise.least, excess)
        rise.counts = min(rise.counts, excess)
        if taken - rise.first >= self.steady_seconds and recorded >= rise.first:
            rise.counts = max(rise.counts, rise.least)
            rise.first, rise.least = taken, excess
        return rise.counts


def base_of(seen: Iterable[tuple[Sample, Device]]) -> dict[str, int]:
    """By device type, the MiB that an idle device has in use for itself: the least that one has.

    Some have gigabytes (an Ascend 910B three or four). More than MOST_BASE of one is somebody's.
    """
    base: dict[str, int] = {}
    for sample, device in seen:
        if sample.used_mib is not None and not device.holders and not sample.trouble:
            base[device.type] = min(sample.used_mib, base.get(device.type, sample.used_mib))
            most = int(MOST_BASE * device.memory_gib * MIB)
            base[device.type] = min(base[device.type], most)
    return base
