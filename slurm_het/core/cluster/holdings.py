"""Which devices a job holds, and how that is written: `nv[1-2]:0-7;l40s1:2`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.uses import read_gres
from slurm_het.core.model import Device, Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import Gres, format_indexes
from slurm_het.errors import HetError

UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class HeldDevices:
    """So many devices (`count`) on one node; `indexes` is None if Slurm does not say which."""

    node: str
    indexes: tuple[int, ...] | None
    count: int

    def __str__(self) -> str:
        if self.indexes is None:
            return f"{self.node}:{UNKNOWN}" + (f"x{self.count}" if self.count else "")
        return f"{self.node}:{format_indexes(self.indexes)}" if self.indexes else self.node


@dataclass(frozen=True, slots=True)
class Holding:
    """All that a job holds: node by node, GiB of device memory, and the `vendor:type`s."""

    nodes: tuple[HeldDevices, ...] = ()
    memory_gib: int = 0
    types: tuple[str, ...] = ()


def holding_of(job: Job, inventory: Inventory, policy: Policy, warnings: list[str]) -> Holding:
    """What Slurm's GRES details say that the job holds (or held, once it is over)."""
    try:
        names = hostlist.expand(job.nodes)
    except HetError as error:
        warnings.append(f"job {job.key}: {error.message}")
        return Holding((HeldDevices(UNKNOWN, (), 0),))
    held: list[HeldDevices] = []
    types: set[str] = set()
    total = 0
    for position, name in enumerate(names):
        node = inventory.nodes.get(name)
        devices = {d.index: d for d in node.devices} if node else {}
        detail = job.gres_detail[position] if position < len(job.gres_detail) else ""
        odd: list[str] = []
        items = [
            g for g in read_gres(detail, f"job {job.key}", odd) if g.name in policy.gres and g.count
        ]
        held.append(HeldDevices(name, None, 0) if odd else _held(name, items, policy))
        total += sum(_gib(g, devices, policy) for g in items)
        types |= _types(held[-1], devices)
        warnings += odd
    return Holding(tuple(held), total, tuple(sorted(types)))


def _held(name: str, items: Iterable[Gres], policy: Policy) -> HeldDevices:
    indexes: set[int] = set()
    unnumbered = 0
    for item in items:
        at = _at(item)
        indexes.update(at)
        if not at:
            unnumbered += 1 if policy.gres[item.name].shared else item.count
    if unnumbered:
        return HeldDevices(name, None, unnumbered + len(indexes))
    return HeldDevices(name, tuple(sorted(indexes)), len(indexes))


def _at(item: Gres) -> tuple[int, ...]:
    if item.shares is not None:
        return tuple(index for index, (used, _) in enumerate(item.shares) if used != 0)
    return item.indexes or ()


def _gib(item: Gres, devices: dict[int, Device], policy: Policy) -> int:
    if policy.gres[item.name].shared:
        return item.count
    at = _at(item)
    if at:
        return sum(devices[i].memory_gib for i in at if i in devices)
    first = next(iter(devices.values()), None)  # which ones is not said: the first stands for them
    return first.memory_gib * item.count if first else 0


def _types(held: HeldDevices, devices: dict[int, Device]) -> set[str]:
    if held.indexes is None:
        return {f"{d.vendor}:{d.type}" for d in devices.values()} if held.count else set()
    return {f"{devices[i].vendor}:{devices[i].type}" for i in held.indexes if i in devices}


def fold_held(held: Iterable[HeldDevices]) -> str:
    """`nv[1-2]:0-7;nv3:0`: nodes with equal devices together, in the order of the nodes."""
    groups: dict[str, list[str]] = {}
    for item in held:
        groups.setdefault(str(replace(item, node="")), []).append(item.node)
    return ";".join(f"{_fold(names)}{where}" for where, names in groups.items())


def _fold(names: list[str]) -> str:
    return UNKNOWN if UNKNOWN in names else hostlist.fold(names)


def count_text(counts: Iterable[int]) -> str:
    """Devices per node in short: `4` on one node, `2x8` on two, `5+1` uneven."""
    groups: dict[int, int] = {}
    for count in counts:
        groups[count] = groups.get(count, 0) + 1
    return "+".join(str(c) if n == 1 else f"{n}x{c}" for c, n in groups.items() if c)


def held_indexes(job: Job, policy: Policy) -> dict[str, tuple[int, ...]]:
    """The device indexes a running job holds, by node; {} if Slurm does not say (ended jobs)."""
    out: dict[str, tuple[int, ...]] = {}
    for name, text in zip(hostlist.expand_readable(job.nodes), job.gres_detail, strict=False):
        items = (g for g in read_gres(text, job.key, []) if g.name in policy.gres and g.count)
        out[name] = tuple(sorted({index for item in items for index in _at(item)}))
    return out
