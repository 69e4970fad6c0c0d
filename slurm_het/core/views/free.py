"""What is free, by pool, type and node: the other half of an operator's question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from slurm_het.core.cluster.ailing import ails, what_ails, what_ails_node
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.measured import Measured
from slurm_het.core.model import Node, Partition
from slurm_het.core.policy import Policy


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """One device: GiB that Slurm has given away, and that are really in use (None: not told).

    `ails`: why it is not what Slurm takes it for, '' if it is.
    """

    index: int
    given_gib: int
    used_gib: int | None = None
    ails: str = ""


@dataclass(frozen=True, slots=True)
class NodeFree:
    """One node: empty devices, and where devices are shared the GiB free on each.

    `devices` are told of where they tell of themselves.
    """

    pool: str
    node: str
    types: tuple[str, ...]
    free: int
    total: int
    free_gib: tuple[int, ...]
    shared: bool
    state: str
    note: str
    devices: tuple[DeviceUse, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolFree:
    """A pool's devices of one kind: empty ones, the most on one node, the most GiB on one."""

    pool: str
    scenario: str
    types: tuple[str, ...]
    memory_gib: int
    free: int
    total: int
    unusable: int
    best_node: str
    best: int
    shared: bool
    best_gib: int


Shut = Mapping[str, str]
"""The pools whose partitions are not UP, with their states: nothing starts there."""


def shut_pools(partitions: Iterable[Partition], policy: Policy) -> Shut:
    """Those of the policy's."""
    pools = {pool.partition for pool in policy.pools}
    return {p.name: p.state for p in partitions if p.name in pools and p.state != "UP"}


def free_by_node(inventory: Inventory, policy: Policy, shut: Shut) -> tuple[NodeFree, ...]:
    """Every accelerator node, in the order of the pools."""
    order = [p.partition for p in policy.pools]

    def rank(item: NodeFree) -> tuple[int, str]:
        return order.index(item.pool) if item.pool in order else len(order), item.pool

    measured = inventory.measured
    nodes = (_node(n, order, measured.get(n.name, ()), shut) for n in inventory.nodes.values())
    return tuple(sorted(nodes, key=rank))


def _is_shut(node: Node, shut: Shut, pools: Iterable[str]) -> bool:
    mine = set(node.partitions).intersection(pools)
    return bool(mine) and mine <= shut.keys()


def _node(node: Node, pools: list[str], measured: Iterable[Measured], shut: Shut) -> NodeFree:
    is_shut = _is_shut(node, shut, pools)
    open_now = node.usable and not (node.held_exclusively or node.reserved or is_shut)
    mine = [p for p in node.partitions if p in pools]
    note = node.reason if not node.usable else ""
    if is_shut and not note:
        note = ", ".join(f"pool {pool} is {shut[pool]}" for pool in mine)
    if node.reserved:
        note = f"reserved ({node.reserved})"
    if node.held_exclusively:
        note = "one job has the whole node"
    ailing = [f"{d.index}: {what_ails(d)}" for d in node.devices if ails(d)]
    return NodeFree(
        pool=",".join(mine) or "-",
        node=node.name,
        types=tuple(dict.fromkeys(f"{d.vendor}:{d.type}" for d in node.devices)),
        free=sum(d.empty for d in node.devices) if open_now else 0,
        total=len(node.devices),
        free_gib=tuple(d.free_gib if open_now else 0 for d in node.devices),
        shared=node.has_shards,
        state=node.state.lower(),
        note="; ".join(filter(None, (note, *ailing, what_ails_node(measured)))),
        devices=tuple(_uses(node, measured)),
    )


def _uses(node: Node, measured: Iterable[Measured]) -> Iterator[DeviceUse]:
    by_index = {m.index: m for m in measured}
    for device in node.devices:
        if said := by_index.get(device.index):
            yield DeviceUse(device.index, device.occupied_gib, said.used_gib, what_ails(device))


def free_by_pool(inventory: Inventory, policy: Policy, shut: Shut) -> tuple[PoolFree, ...]:
    """One line per pool and kind of node in it."""
    groups: dict[tuple[str, tuple[str, ...], int], list[NodeFree]] = {}
    for item in free_by_node(inventory, policy, shut):
        memory = min(d.memory_gib for d in inventory.nodes[item.node].devices)
        groups.setdefault((item.pool, item.types, memory), []).append(item)
    pools = [p.partition for p in policy.pools]
    unusable = {
        n.name
        for n in inventory.nodes.values()
        if not n.usable or n.reserved or _is_shut(n, shut, pools)
    }
    return tuple(_pool(memory, nodes, unusable, policy) for (_, _, memory), nodes in groups.items())


def _pool(memory: int, nodes: list[NodeFree], unusable: set[str], policy: Policy) -> PoolFree:
    """The line of equal nodes in the same pools, whose smallest device has so much memory (GiB)."""
    pool, types = nodes[0].pool, nodes[0].types
    best = max(nodes, key=lambda n: n.free)
    known = policy.pool(pool.split(",")[0])
    return PoolFree(
        pool=pool,
        scenario=known.scenario if known else "-",
        types=types,
        memory_gib=memory,
        free=sum(n.free for n in nodes),
        total=sum(n.total for n in nodes),
        unusable=sum(n.total for n in nodes if n.node in unusable),
        best_node=best.node if best.free else "",
        best=best.free,
        shared=any(n.shared for n in nodes),
        best_gib=max((gib for n in nodes for gib in n.free_gib), default=0),
    )
