"""The devices that a node is configured with, by its Gres; who holds them is told elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from slurm_het.core.catalog import DeviceType, model_of
from slurm_het.core.cluster.uses import read_gres
from slurm_het.core.model import Device, NodeRecord
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.gres import Gres


def bare_devices(record: NodeRecord, policy: Policy, warnings: list[str]) -> tuple[Device, ...]:
    """The devices that a node is configured with, numbered as Slurm numbers them, all empty."""
    items = read_gres(record.gres, f"node {record.name}", warnings)
    whole = [g for g in items if policy.is_whole(g.name)]
    shares = _gib_of_each(whole, [g for g in items if policy.is_share(g.name)])
    devices: list[Device] = []
    for item in whole:
        model = _device_type(item, record.partitions, policy, warnings)
        asked_as = f"{item.name}:{item.type}" if item.type else item.name
        for _ in range(min(item.count, gres.MAX_INDEX)):
            memory = shares[item.type or ""] or model.memory_gib
            devices.append(
                Device(
                    record.name,
                    len(devices),
                    model.name,
                    model.vendor,
                    max(1, memory),
                    gres=asked_as,
                )
            )
    return tuple(devices)


def _gib_of_each(whole: Sequence[Gres], shared: Sequence[Gres]) -> dict[str, int]:
    """By type of the whole devices, how many shards each has, one a GiB; 0 if it has none.

    Shards of a type are that type's (shard:a100:80); those without are spread over the others.
    """
    counts, shards = Counter[str](), Counter[str]()
    for item in whole:
        counts[item.type or ""] += item.count
    for item in shared:
        shards[item.type if item.type in counts and item.type else ""] += item.count
    others = sum(count for name, count in counts.items() if not (name and shards[name]))
    spread = shards[""] // others if others else 0
    return {
        name: shards[name] // count if name and shards[name] else spread
        for name, count in counts.items()
        if count
    }


def _device_type(
    item: Gres, partitions: Iterable[str], policy: Policy, warnings: list[str]
) -> DeviceType:
    """The type of a device. One that nobody describes is its GRES name's vendor's, or its pool's.

    How much memory it has is then not known: 1 GiB here, so that it counts as taken when it is, and
    is given to no job that asks for memory.
    """
    name = model_of(item.type or item.name, policy.types)
    if known := policy.types.get(name):
        return known
    pools = {p.vendors for p in (*policy.pools, *policy.others) if p.partition in partitions}
    vendors = policy.gres[item.name].vendors or (pools.pop() if len(pools) == 1 else ())
    warnings.append(f"type {name!r} is in no catalogue: describe it under types:")
    return DeviceType(name, vendors[0] if len(vendors) == 1 else "unknown", 1)
