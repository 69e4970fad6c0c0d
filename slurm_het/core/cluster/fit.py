"""What fits where: the one place that compares a task with a device, a node and the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import Grid
from slurm_het.core.model import Device, Node, Slot, Task
from slurm_het.core.syntax.constraint import Expression, parse_features


def grid_for(task: Task, inventory: Inventory) -> Grid:
    """The nodes by state. To the task, the nodes of one state differ only in its `exc_nodes`."""
    return inventory.grid.split(rewritten_nodes(task))


def rewritten_nodes(task: Task) -> list[frozenset[str]]:
    """The nodes where a task's request is to be replaced, one set for each replacement."""
    by_kind: dict[str, set[str]] = {}
    for name, kind in task.rewrites:
        by_kind.setdefault(kind, set()).add(name)
    return [frozenset(names) for names in by_kind.values()]


def fitting_states(task: Task, grid: Grid) -> tuple[int, ...]:
    """The states of candidate nodes, whatever is free there; `exc_nodes` may name some nodes.

    Only pools, types, features and memory decide this. Many tasks have them in common, so the
    answer is kept for all of them.
    """
    key = replace(
        task.request, slots=(), scenario="training", exclusive=False, all_memory=False,
        exc_nodes=frozenset(),
    )  # fmt: skip
    if key not in grid.known.fitting:
        fits: dict[tuple[int, str], bool] = {}
        fitting = []
        for s, (state, nature) in enumerate(zip(grid.states, grid.natures, strict=True)):
            kind = nature, task.rewritten_on(state.node.name)
            if kind not in fits:
                fits[kind] = not misfit(key, state.node)
            if fits[kind]:
                fitting.append(s)
        grid.known.fitting[key] = tuple(fitting)
    return grid.known.fitting[key]


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
        if any(not reaches_gres(task.asks, kind) for kind in kinds):
            return f"has its devices as {', '.join(kinds)}, and the request asks for {task.asks}"
        return "has no fitting device"
    if task.shared and not node.shared:
        return "has no shared devices"
    if not as_written(task, node) and not task.rewritten_on(node.name):
        return "mixes device types, and the request names none"
    return ""


def as_written(task: Task, node: Node) -> bool:
    """Whether the request gets fitting devices, whichever of the node's devices Slurm takes."""
    reached = [d for d in node.devices if reaches_gres(task.asks, d.kind)]
    if task.shared:  # Slurm gives no share of a device with less memory than that
        reached = [d for d in reached if d.memory_gib >= task.memory_gib]
    fits = (d.type in task.types and d.memory_gib >= task.memory_gib for d in reached)
    return bool(reached) and all(fits)


def reaches_gres(asks: str, kind: str) -> bool:
    """Whether a request for `gpu` or `gpu:a100` may be given a device of the GRES `kind`."""
    return not asks or not kind or f"{kind}:".startswith(f"{asks}:")


def fits_type(task: Task, device: Device) -> bool:
    """Whether the device could ever serve the task."""
    if device.type not in task.types or device.memory_gib < task.memory_gib:
        return False
    return reaches_gres(task.rewritten_on(device.node) or task.asks, device.kind)


def fits_device(task: Task, device: Device) -> bool:
    """Whether the device can serve the task now."""
    if not task.shared:
        return device.empty and fits_type(task, device)
    free = device.free_gib
    held_whole = bool(device.holders) and free == 0
    return not held_whole and free >= task.memory_gib and fits_type(task, device)


def need(task: Task, slot: Slot, node: Node) -> tuple[int, int]:
    """CPUs and host memory (MiB) that a slot takes of a node.

    They are more than the node has if the slot cannot run there now. Slurm gives whole cores, and
    memory per CPU for all CPUs of these cores. A task that uses one thread of each core
    (--hint=nomultithread) gets more cores. --exclusive and an EXCLUSIVE partition take the whole
    node, which must be idle; --mem=0 takes all its memory.
    """
    impossible = (1 << 30, 0)
    exclusive = task.exclusive or node.whole
    if node.closed_to(shares=task.shared):
        return impossible
    if node.held_exclusively or (exclusive and not node.idle):
        return impossible
    threads_used = min(task.threads_per_core or node.threads_per_core, node.threads_per_core)
    cpus = -(-slot.cpus // threads_used) * node.threads_per_core
    memory = slot.memory_mib + (cpus - slot.cpus) * slot.memory_per_cpu_mib
    if exclusive:
        cpus = max(cpus, node.cpus)
    return cpus, node.memory_mib if task.all_memory else memory


def has_room(task: Task, slot: Slot, node: Node) -> bool:
    """Whether a candidate node has the devices, CPUs and host memory for a slot now."""
    if sum(fits_device(task, d) for d in node.devices) < slot.devices:
        return False
    cpus, memory = need(task, slot, node)
    return cpus <= node.cpus_free and memory <= node.memory_free_mib


def groups_of(
    task: Task, nodes: Sequence[Node], candidates: list[int]
) -> tuple[frozenset[int], ...]:
    """The sets of candidates (indexes into `nodes`); a task takes all its nodes from one set.

    For one node, a set has all candidates of a pool. For several nodes, those in a set also have
    the same types, and satisfy the same alternative of a matching-OR constraint.
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
    return tuple(frozenset(g) for g in groups.values())


def could_start(task: Task, inventory: Inventory) -> bool:
    """Whether enough nodes have room for the task's slots, each slot looked at by itself.

    That is necessary, not sufficient. All the nodes are of one set of `groups_of`.
    """
    grid = grid_for(task, inventory)
    excluded = Counter(grid.state_of[name] for name in task.exc_nodes if name in grid.state_of)
    fits = fitting_states(task, grid)
    if len(task.slots) == 1:
        return _holds(task, grid, fits, excluded)
    groups = groups_of(task, [state.node for state in grid.states], list(fits))
    return any(_holds(task, grid, group, excluded) for group in groups)


def _holds(task: Task, grid: Grid, states: Iterable[int], excluded: Mapping[int, int]) -> bool:
    nodes_wanted: dict[tuple[Slot, ...], int]
    nodes_wanted = {(slot,): task.slots.count(slot) for slot in set(task.slots)}
    # All slots together need as many nodes as there are slots: two that differ need two nodes, even
    # where one node has room for either.
    nodes_wanted[tuple(set(task.slots))] = len(task.slots)
    for slots, wanted in nodes_wanted.items():
        for s in states:
            if wanted <= 0:
                break
            if any(has_room(task, slot, grid.states[s].node) for slot in slots):
                wanted -= grid.states[s].count - excluded[s]
        if wanted > 0:
            return False
    return True
