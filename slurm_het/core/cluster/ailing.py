"""Devices that are not what Slurm takes them for: fuller than it knows, or not to be used.

Slurm knows what it has given away. What a dead job's process or a stranger still has, and a card
that has fallen off its bus, the devices themselves tell. Of two numbers the larger one counts, once
it has been there for longer than a moment: a job that has just started, or ended, is no stranger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from slurm_het.core.measured import MIB, OF_NODE, Measured
from slurm_het.core.model import Device, Node

MOST_BASE = 0.1  # of a device's memory: what more is in use on an idle one is somebody's


@dataclass(frozen=True, slots=True)
class SlurmPlace:
    """Which of Slurm's devices one is, by its slurmd: the index among the `of` of a GRES name."""

    gres: str
    index: int
    of: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What one device said at one time. `place`: its place among the node's devices of its vendor,
    as its driver counts them; `slurm`: as Slurm does, None if nothing tells it.

    `foreign_mib` is what processes of no job of Slurm's have of it; None is not known. `lag`: it
    may be so many seconds older than it says.
    """

    place: int
    vendor: str
    used_mib: int | None = None
    total_mib: int | None = None
    foreign_mib: int | None = None
    trouble: str = ""
    model: str = ""
    slurm: SlurmPlace | None = None
    lag: float = 0.0


def with_measured(node: Node, measured: Iterable[Measured]) -> Node:
    """The node with what ails its devices; itself if nothing does."""
    ailing = {m.index: m for m in measured if m.ails and not m.of_node}
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


def what_ails_node(measured: Iterable[Measured]) -> str:
    """What is wrong on a node with devices of which nobody tells which of Slurm's they are."""
    rows = [m for m in measured if m.of_node]
    beyond = sum(m.excess_gib for m in rows)
    said = [f"{beyond} GiB in use beyond what Slurm gave away"] if beyond else []
    said += dict.fromkeys(m.trouble for m in rows if m.trouble)
    return f"which of its devices is not known: {', '.join(said)}" if said else ""


def devices_of(samples: Sequence[Sample], node: Node) -> list[tuple[Sample, Device]]:
    """Each sample with the device of the node that it is of, as far as that is known: by slurmd's
    word, if it has as many as the node has; or because there is one alone.
    """
    by_name: dict[str, list[Device]] = {}
    for device in node.devices:
        by_name.setdefault(device.gres.partition(":")[0], []).append(device)
    found = []
    for sample in samples:
        there = by_name.get(sample.slurm.gres, []) if sample.slurm else []
        if sample.slurm and len(there) == sample.slurm.of and 0 <= sample.slurm.index < len(there):
            found.append((sample, there[sample.slurm.index]))
    if len(samples) == len(node.devices) == 1:
        return [(samples[0], node.devices[0])]
    return found


@dataclass(slots=True)
class _Rise:
    """How an excess came up: the least of it (GiB) since `first`, and what counts of it by now."""

    first: float
    least: int
    counts: int = 0


class _Seen(NamedTuple):
    """When samples were taken, of when Slurm's records are, and for how long an excess is to show
    before it counts. Seconds."""

    taken: float
    recorded: float
    steady: float


@dataclass
class Excesses:
    """Follows what the devices say, and tells what counts of it. Times in seconds that never go
    back.

    An excess of no more than `tolerance_gib` is none. It rises once samples have shown it for
    `steady_seconds` and their lag, and Slurm's records of that time agree; it falls at once.
    """

    tolerance_gib: int
    steady_seconds: float
    base_mib: Mapping[str, int] = field(default_factory=dict)
    _rises: dict[tuple[str, int], _Rise] = field(default_factory=dict)
    _asked: set[tuple[str, int]] = field(default_factory=set)

    def see(
        self, node: Node, samples: Sequence[Sample], taken: float, recorded: float
    ) -> tuple[Measured, ...]:
        """What counts by samples `taken` then, on a node that Slurm `recorded` so at its time."""
        lag = max((sample.lag for sample in samples), default=0.0)
        seen = _Seen(taken, recorded, self.steady_seconds + lag)
        self._asked.clear()
        placed = devices_of(samples, node)
        rows = [self._measured(sample, device, seen) for sample, device in placed]
        if not placed:
            rows += self._of_each(samples, node, seen)
            rows += self._of_node(samples, node, seen)
        elif len(placed) < len(node.devices):  # one of the others may be Slurm's, or none of them
            known = {id(sample) for sample, _ in placed}
            rows += [_unplaced(s) for s in samples if id(s) not in known and s.trouble]
        # What was not measured now is not known to have lasted.
        for key in [key for key in self._rises if key[0] == node.name and key not in self._asked]:
            del self._rises[key]
        return tuple(rows)

    def forget(self, name: str) -> None:
        """What a node said is too old."""
        for key in [key for key in self._rises if key[0] == name]:
            del self._rises[key]

    def _of_each(self, samples: Sequence[Sample], node: Node, seen: _Seen) -> Iterator[Measured]:
        """What is true of each of Slurm's devices, whichever of the samples is its own."""
        if len(samples) != len(node.devices):
            return
        trouble = samples[0].trouble if all(sample.trouble for sample in samples) else ""
        for device in node.devices:
            least = min(self._excess(sample, device) for sample in samples)
            counts = self._counting((node.name, device.index), least, seen)
            if counts or trouble:
                yield Measured(device.index, excess_gib=counts, trouble=trouble)

    def _of_node(self, samples: Sequence[Sample], node: Node, seen: _Seen) -> Iterator[Measured]:
        """What the devices say, and what all of them together have beyond what Slurm gave away."""
        used = sum(-(-(sample.used_mib or 0) // MIB) for sample in samples)
        foreign = sum(-(-(sample.foreign_mib or 0) // MIB) for sample in samples)
        excess = max(used - sum(device.occupied_gib for device in node.devices), foreign)
        if excess <= self.tolerance_gib * len(samples):
            excess = 0
        counts = self._counting((node.name, OF_NODE), excess, seen)
        for sample in samples:
            yield replace(_unplaced(sample), excess_gib=counts)
            counts = 0

    def _measured(self, sample: Sample, device: Device, seen: _Seen) -> Measured:
        key = device.node, device.index
        counts = self._counting(key, self._excess(sample, device), seen)
        return replace(_unplaced(sample), index=device.index, excess_gib=counts)

    def _excess(self, sample: Sample, device: Device) -> int:
        if sample.used_mib is None or (device.holders and not device.in_shares):
            return 0
        own = self.base_mib.get(device.type, 0)
        beyond = -(-max(0, sample.used_mib - own) // MIB) - device.occupied_gib
        foreign = -(-(sample.foreign_mib or 0) // MIB)
        excess = max(beyond, foreign)
        return excess if excess > self.tolerance_gib else 0

    def _counting(self, key: tuple[str, int], excess: int, seen: _Seen) -> int:
        self._asked.add(key)
        if not excess:
            self._rises.pop(key, None)
            return 0
        rise = self._rises.setdefault(key, _Rise(seen.taken, excess))
        rise.least = min(rise.least, excess)
        rise.counts = min(rise.counts, excess)
        if seen.taken - rise.first >= seen.steady and seen.recorded >= rise.first:
            rise.counts = max(rise.counts, rise.least)
            rise.first, rise.least = seen.taken, excess
        return rise.counts


def _unplaced(sample: Sample) -> Measured:
    """What a sample says, of a device of which nothing tells which of Slurm's it is."""
    used, total = sample.used_mib, sample.total_mib
    return Measured(
        OF_NODE,
        None if used is None else -(-used // MIB),
        None if total is None else round(total / MIB),
        trouble=sample.trouble,
        model=sample.model,
    )


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
