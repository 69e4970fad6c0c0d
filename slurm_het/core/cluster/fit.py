"""What fits where: the one place that compares a task with a device, a node and the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from slurm_het.core.assignment.problem import Need
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import Grid, build_of, own_name
from slurm_het.core.cluster.occupancy import emptied
from slurm_het.core.model import Device, Node, Slot, Task
from slurm_het.core.network import kept_inside, leaf_of
from slurm_het.core.reasons import Misfit, Unfit
from slurm_het.core.syntax.constraint import Expression, parse_features


def grid_for(task: Task, inventory: Inventory) -> Grid:
    """The grid where nodes of one state are the same to the task, except for its `exc_nodes`."""
    several = inventory.leaves if len(task.slots) > 1 else ()
    return inventory.grid.split([*rewritten_nodes(task), *several])


def rewritten_nodes(task: Task) -> list[frozenset[str]]:
    """The nodes on which a task has to ask for another GRES: a set of them for each such GRES."""
    by_gres: dict[str, set[str]] = {}
    for name, gres in task.rewrites:
        by_gres.setdefault(gres, set()).add(name)
    return [frozenset(names) for names in by_gres.values()]


def fitting_states(task: Task, grid: Grid) -> tuple[int, ...]:
    """The states whose nodes are candidates, whatever is free there; `exc_nodes` may name some.

    Pools, types, features and memory decide it. Many tasks have these in common, so the grid keeps
    the answer.
    """
    key = replace(
        task.request, slots=(), scenario="training", exclusive=False, all_memory=False,
        exc_nodes=frozenset(),
    )  # fmt: skip
    if key not in grid.known.fitting:
        fits: dict[tuple[int, str], bool] = {}
        fitting = []
        for s, (state, nature) in enumerate(zip(grid.states, grid.natures, strict=True)):
            like = nature, task.rewritten_on(state.node.name)
            if like not in fits:
                fits[like] = not misfit(key, state.node)
            if fits[like]:
                fitting.append(s)
        grid.known.fitting[key] = tuple(fitting)
    return grid.known.fitting[key]


def excluded_from(task: Task, grid: Grid) -> Counter[int]:
    """By state, how many of its nodes the task is kept off."""
    return Counter(grid.state_of[name] for name in task.exc_nodes if name in grid.state_of)


def misfit(task: Task, node: Node) -> Misfit | None:
    """Why a node is no candidate whatever is free on it, or None if it is one.

    What lasts is told first: a drained node that lacks the devices would not do once it is back.
    """
    if not set(task.pools) & set(node.partitions):
        return Misfit(Unfit.POOL, "is", "in none of its pools")
    if not parse_features(task.features).allows(node.features):
        return Misfit(Unfit.FEATURES, "lacks", f"the features {task.features}")
    if not any(fits_type(task, d) for d in node.devices):
        there = dict.fromkeys(d.gres for d in node.devices if d.type in task.types)
        if any(not reaches_gres(task.asks, gres) for gres in there):
            asked = f"its devices as {', '.join(there)}, and the request asks for {task.asks}"
            return Misfit(Unfit.GRES, "has", asked)
        return Misfit(Unfit.DEVICE, "has", "no fitting device")
    if task.takes_share and not node.has_shards:
        return Misfit(Unfit.SHARES, "has", "no shared devices")
    if 0 < node.sockets < task.sockets:
        return Misfit(Unfit.SOCKETS, "has", f"fewer than {task.sockets} sockets")
    if not as_written(task, node) and not task.rewritten_on(node.name):
        return Misfit(Unfit.MIXED, "mixes", "device types, and the request names none")
    if node.name in task.exc_nodes:
        return Misfit(Unfit.EXCLUDED, "is", "excluded")
    return None if node.usable else Misfit(Unfit.STATE, "is", node.state)


def as_written(task: Task, node: Node) -> bool:
    """Whether Slurm, which may take any device that the request reaches, takes one that fits."""
    reached = [d for d in node.devices if reaches_gres(task.asks, d.gres)]
    if task.takes_share:  # Slurm gives no share of a device that has not as much
        reached = [d for d in reached if d.memory_gib >= task.memory_gib]
    fits = (d.type in task.types and d.memory_gib >= task.memory_gib for d in reached)
    return bool(reached) and all(fits)


def reaches_gres(asks: str, gres: str) -> bool:
    """Whether a request for `gpu` or `gpu:a100` may be given a device of such a GRES."""
    return not asks or not gres or f"{gres}:".startswith(f"{asks}:")


def fits_type(task: Task, device: Device) -> bool:
    """Whether the device could ever serve the task."""
    if device.type not in task.types or device.memory_gib < task.memory_gib:
        return False
    return reaches_gres(task.rewritten_on(device.node) or task.asks, device.gres)


def fits_device(task: Task, device: Device) -> bool:
    """Whether the device can serve the task now."""
    if not task.takes_share:
        return device.empty and fits_type(task, device)
    free = device.free_gib
    held_whole = bool(device.holders) and free == 0
    return not held_whole and free >= task.memory_gib and fits_type(task, device)


def serving(task: Task, node: Node) -> tuple[int, ...]:
    """The devices of a node that can serve the task now: their indexes, in Slurm's order."""
    return tuple([device.index for device in node.devices if fits_device(task, device)])


def gets_ailing(task: Task, slot: Slot, node: Node) -> Device | None:
    """The device that Slurm would give the task there, and that cannot serve it; None if there is
    none.

    Slurm takes those that it counts as free by their indexes, and does not know what ails one. So
    what lies behind such a device cannot be had.
    """
    asks = task.rewritten_on(node.name) or task.asks
    taken = [d for d in node.devices if reaches_gres(asks, d.gres) and _slurm_gives(task, d)]
    return next((d for d in taken[: slot.devices] if not fits_device(task, d)), None)


def _slurm_gives(task: Task, device: Device) -> bool:
    """Whether the device has room for the task by Slurm's own records."""
    if not task.takes_share:
        return not device.holders and not device.occupied_gib
    held_whole = bool(device.holders) and not device.in_shares
    return not held_whole and device.memory_gib - device.occupied_gib >= task.memory_gib


def need(task: Task, slot: Slot, node: Node) -> Need | None:
    """What a slot takes of a node, even if that is more than is free; None if it may not start.

    Slurm gives whole cores, and adds memory per CPU for all CPUs of these. A task that uses one
    thread of each core (--hint=nomultithread) gets more cores. --exclusive and an EXCLUSIVE
    partition take the whole node, which must be idle; --mem=0 takes all its memory. Of several
    pools that the node is in, and the task may use, the one counts where it takes most.
    """
    exclusive = takes_whole(task, node)
    if node.closed_to(shares=task.takes_share) or (node.ailing and gets_ailing(task, slot, node)):
        return None
    if node.held_exclusively or (exclusive and not node.idle):
        return None
    if slot.by_pool:
        slot = slot.within(set(task.pools).intersection(node.partitions))
    used = min(task.threads_per_core or node.threads_per_core, node.threads_per_core)
    cores = -(-slot.cpus // used) * node.threads_per_core
    memory = slot.memory_mib + (cores - slot.cpus) * slot.memory_per_cpu_mib
    if exclusive:
        cores = max(cores, node.cpus)
    return Need(cores, node.memory_mib if task.all_memory else memory)


def takes_whole(task: Task, node: Node) -> bool:
    """Whether the task gets a node as a whole, whatever it asks of it."""
    return task.exclusive or not node.exclusive_in.isdisjoint(task.pools)


def cpus_free_for(task: Task, node: Node) -> int:
    """How many CPUs of a node are free for the task, as far as its pools allow."""
    if not node.cpu_caps:
        return node.cpus_free
    return min([node.cpus_free, *(c.free for c in node.cpu_caps if c.pool in task.pools)])


def has_room(task: Task, slot: Slot, node: Node) -> bool:
    """Whether a candidate node has the devices, CPUs and host memory for a slot now."""
    return len(serving(task, node)) >= slot.devices and has_host_room(task, slot, node)


def has_host_room(task: Task, slot: Slot, node: Node) -> bool:
    """The same without the devices."""
    needs = need(task, slot, node)
    return needs is not None and needs.fits(cpus_free_for(task, node), node.memory_free_mib)


def groups_of(
    task: Task, nodes: Sequence[Node], candidates: list[int]
) -> tuple[frozenset[int], ...]:
    """The sets of candidates (indexes into `nodes`) of which a task uses one.

    All of a set are in one pool. For a task of several nodes they also have devices of the same
    types, satisfy the same alternative of a matching-OR constraint, and are in one part of the
    network that Slurm keeps such a job inside, or under one leaf switch if the task asks for that.
    """
    groups: dict[tuple[str, frozenset[str], int, str], set[int]] = {}
    alternatives: tuple[Expression, ...] = parse_features(task.features).alternatives
    for n in candidates:
        node = nodes[n]
        several = len(task.slots) > 1
        types = frozenset(d.type for d in node.devices) if several else frozenset()
        part = _part(task, node) if several else ""
        for pool in task.pools:
            for a, alternative in enumerate(alternatives):
                if pool in node.partitions and alternative.holds(node.features):
                    key = (pool, types, a if several else 0, part)
                    groups.setdefault(key, set()).add(n)
    return tuple(frozenset(g) for g in groups.values())


def _part(task: Task, node: Node) -> str:
    """The part of the network that the task does not leave if it is on the node; '' is none."""
    if task.leaf_patience is not None:
        return leaf_of(node.parts)
    return kept_inside(node.parts, len(task.slots))


def could_start(task: Task, inventory: Inventory) -> bool:
    """Whether enough nodes have room for the task, if each slot is looked at by itself.

    Without that it cannot start; with it, it may still not. The inventory keeps the answer: many
    tasks ask for the same, and a cycle wants to know it several times.
    """
    known, request = inventory.grid.known.startable, task.request
    if request not in known:
        known[request] = _could_start(request, inventory)
    return known[request]


def _could_start(task: Task, inventory: Inventory) -> bool:
    grid = grid_for(task, inventory)
    return _holds(task, grid, lambda slot, s: has_room(task, slot, grid.states[s].node))


def waits_for_a_leaf(task: Task, inventory: Inventory) -> bool:
    """Whether it could start, if its nodes need not be under one leaf switch.

    It waits of its own accord then, and keeps nobody off anything.
    """
    if task.leaf_patience is None or could_start(task, inventory):
        return False
    return could_start(replace(task, leaf_patience=None), inventory)


def could_ever_start(task: Task, inventory: Inventory) -> bool:
    """Whether it could start if nothing ran on the nodes that are usable now."""
    known, request = inventory.grid.known.ever, task.request
    if request not in known:
        known[request] = _could_ever_start(request, inventory)
    return known[request]


def _could_ever_start(task: Task, inventory: Inventory) -> bool:
    grid = grid_for(task, inventory)
    known: dict[object, bool] = {}

    def holds(slot: Slot, s: int) -> bool:
        node = grid.states[s].node
        like = (
            slot, id(build_of(node)), node.threads_per_core, node.exclusive_in, node.cpu_caps,
            own_name(node), task.rewritten_on(node.name),
        )  # fmt: skip
        if like not in known:
            known[like] = has_room(task, slot, emptied(node))
        return known[like]

    return _holds(task, grid, holds)


def holds_when_empty(task: Task, node: Node) -> bool:
    """Whether a candidate node would have room for any slot of the task if nothing ran there."""
    return any(has_room(task, slot, emptied(node)) for slot in set(task.slots))


def _holds(task: Task, grid: Grid, has: Callable[[Slot, int], bool]) -> bool:
    """Whether enough nodes have room for the task: `has` says it of a slot and a state."""
    excluded, fits = excluded_from(task, grid), fitting_states(task, grid)
    if len(task.slots) == 1:
        return _hold(task, grid, fits, excluded, has)
    groups = groups_of(task, [state.node for state in grid.states], list(fits))
    return any(_hold(task, grid, group, excluded, has) for group in groups)


def _hold(
    task: Task,
    grid: Grid,
    states: Iterable[int],
    excluded: Mapping[int, int],
    has: Callable[[Slot, int], bool],
) -> bool:
    wanted_for: dict[tuple[Slot, ...], int]
    wanted_for = {(slot,): task.slots.count(slot) for slot in set(task.slots)}
    # Slots that differ need as many nodes all together: one has room for either.
    wanted_for[tuple(set(task.slots))] = len(task.slots)
    for slots, wanted in wanted_for.items():
        for s in states:
            if wanted <= 0:
                break
            if any(has(slot, s) for slot in slots):
                wanted -= grid.states[s].count - excluded[s]
        if wanted > 0:
            return False
    return True
