"""From tasks and inventory to the assignment problem: who may go where, at which weight."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_het.core.features import Expression, parse_features
from slurm_het.core.inventory import Inventory
from slurm_het.core.model import Device, Node, Slot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.problem import PDevice, PNode, Problem, PSlot, PTask
from slurm_het.core.weights import Site, weight


@dataclass(frozen=True, slots=True)
class Built:
    """A problem, and what its indexes stand for."""

    problem: Problem
    tasks: tuple[Task, ...]
    nodes: tuple[Node, ...]
    devices: tuple[Device, ...]


def site_of(inventory: Inventory, policy: Policy) -> Site:
    """The cluster-wide figures the weights are relative to."""
    types = inventory.types()
    return Site(
        policy=policy,
        largest_gib=max((d.memory_gib for d in inventory.devices()), default=1),
        fastest_tflops=max((policy.types[t].tflops for t in types if t in policy.types), default=1),
    )


def build(inventory: Inventory, tasks: tuple[Task, ...], policy: Policy) -> Built:
    """The problem of placing `tasks` (in priority order) on what is free now."""
    nodes = tuple(inventory.nodes.values())
    devices: list[Device] = []
    pnodes: list[PNode] = []
    for node in nodes:
        first = len(devices)
        devices += node.devices
        pnodes.append(
            PNode(
                name=node.name,
                cpus=node.cpus_free,
                memory=node.memory_free_mib,
                devices=tuple(range(first, len(devices))),
            )
        )
    index = {node.name: n for n, node in enumerate(nodes)}
    pdevices = tuple(
        PDevice(index[d.node], d.index, d.memory_gib, d.occupied_gib, d.empty) for d in devices
    )
    site = site_of(inventory, policy)
    ptasks = tuple(_task(task, nodes, tuple(pnodes), devices, site) for task in tasks)
    return Built(Problem(tuple(pnodes), pdevices, ptasks), tasks, nodes, tuple(devices))


def _task(
    task: Task,
    nodes: tuple[Node, ...],
    pnodes: tuple[PNode, ...],
    devices: list[Device],
    site: Site,
) -> PTask:
    candidates = [n for n, node in enumerate(nodes) if not misfit(task, node)]
    weights = {
        j: weight(task, devices[j], nodes[n], site)
        for n in candidates
        for j in pnodes[n].devices
        if fits_device(task, devices[j])
    }
    slots = tuple(
        PSlot(slot.devices, {n: need(task, slot, nodes[n]) for n in candidates})
        for slot in task.slots
    )
    return PTask(
        key=task.key,
        slots=slots,
        memory=task.memory_gib if task.shared else 0,
        groups=groups_of(task, nodes, candidates),
        weights=weights,
    )


def misfit(task: Task, node: Node) -> str:
    """Why a node is no candidate whatever is free on it, or '' if it is one."""
    if not set(task.pools) & set(node.partitions):
        return "in none of its pools"
    if not node.usable:
        return f"is {node.state}"
    if node.name in task.exc_nodes:
        return "is excluded"
    if not parse_features(task.features).allows(node.features):
        return f"lacks the features {task.features}"
    if not any(fits_type(task, d) for d in node.devices):
        kinds = dict.fromkeys(d.kind for d in node.devices if d.type in task.types)
        if any(not reaches_kind(task.asks, kind) for kind in kinds):
            return f"has its devices as {', '.join(kinds)}, and the request asks for {task.asks}"
        return "has no fitting device"
    if task.shared and not node.shared:
        return "has no shared devices"
    if not as_written(task, node) and not task.rewritten_on(node.name):
        return "mixes device types, and the request names none"
    return ""


def as_written(task: Task, node: Node) -> bool:
    """Whether the request gets devices that fit the task, whichever of the node's Slurm takes."""
    reached = [d for d in node.devices if reaches_kind(task.asks, d.kind)]
    fits = (d.type in task.types and d.memory_gib >= task.memory_gib for d in reached)
    return bool(reached) and (task.shared or all(fits))


def reaches_kind(asks: str, kind: str) -> bool:
    """Whether a request for `gpu` or `gpu:a100` may be given a device of the GRES `kind`."""
    return not asks or not kind or f"{kind}:".startswith(f"{asks}:")


def fits_type(task: Task, device: Device) -> bool:
    """Whether the device could ever serve the task."""
    if device.type not in task.types or device.memory_gib < task.memory_gib:
        return False
    return reaches_kind(task.rewritten_on(device.node) or task.asks, device.kind)


def fits_device(task: Task, device: Device) -> bool:
    """Whether the device can serve the task now."""
    if not fits_type(task, device):
        return False
    if not task.shared:
        return device.empty
    held_whole = bool(device.holders) and device.free_gib == 0
    return not held_whole and device.free_gib >= task.memory_gib


def need(task: Task, slot: Slot, node: Node) -> tuple[int, int]:
    """CPUs and host memory (MiB) that a slot takes of a node; more than it has if it cannot.

    Slurm gives whole cores, and memory per CPU for all their CPUs. --exclusive and an EXCLUSIVE
    partition take the node, which must be idle; --mem=0 takes all its memory.
    """
    impossible = (1 << 30, 0)
    exclusive = task.exclusive or node.whole
    if node.held_exclusively or (exclusive and not node.idle):
        return impossible
    cores = -(-slot.cpus // node.threads_per_core) * node.threads_per_core
    memory = slot.memory_mib + (cores - slot.cpus) * slot.memory_per_cpu_mib
    return node.cpus if exclusive else cores, node.memory_mib if task.all_memory else memory


def groups_of(
    task: Task, nodes: tuple[Node, ...], candidates: list[int]
) -> tuple[frozenset[int], ...]:
    """One node: any candidate of one pool. Several nodes: one pool and the same types on all,
    and the same alternative of a matching-OR constraint.
    """
    groups: dict[tuple[str, frozenset[str], int], set[int]] = {}
    alternatives: tuple[Expression, ...] = parse_features(task.features).alternatives
    for n in candidates:
        node = nodes[n]
        types = frozenset(d.type for d in node.devices) if len(task.slots) > 1 else frozenset()
        for pool in task.pools:
            for a, alternative in enumerate(alternatives):
                if pool in node.partitions and alternative.holds(node.features):
                    key = (pool, types, a if len(task.slots) > 1 else 0)
                    groups.setdefault(key, set()).add(n)
    return tuple(frozenset(g) for g in groups.values() if len(g) >= len(task.slots))
