"""From tasks and inventory to the assignment problem: who may go where, at which weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from slurm_het.core.features import Expression, parse_features
from slurm_het.core.forecast import Demand, Forecast
from slurm_het.core.inventory import Inventory
from slurm_het.core.kinds import Kind
from slurm_het.core.model import Device, Node, Slot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.problem import PRequest, Problem, PSlot, PTask
from slurm_het.core.states import Grid
from slurm_het.core.weights import (
    Site,
    kind_terms,
    quota,
    weighted_fragmentation,
    weighted_readiness,
)

Hurry = Callable[[], bool]


def never() -> bool:
    """There is time enough."""
    return False


@dataclass(frozen=True, slots=True)
class Built:
    """A problem, and what its indexes stand for. `devices` are those of the grid's nodes."""

    problem: Problem
    tasks: tuple[Task, ...]
    nodes: tuple[Node, ...]
    site: Site

    def device(self, j: int) -> Device:
        """Device j."""
        device = self.problem.devices[j]
        return self.nodes[device.node].devices[j - self.problem.nodes[device.node].devices[0]]


def site_of(inventory: Inventory, policy: Policy, expected: Forecast | None = None) -> Site:
    """The cluster-wide figures the weights are relative to, and the jobs it expects."""
    sizes = inventory.grid.sizes
    speeds = (policy.types[name].tflops for name, _ in sizes if name in policy.types)
    return Site(
        policy=policy,
        largest_gib=max((gib for _, gib in sizes), default=1),
        fastest_tflops=max(speeds, default=1),
        forecast=expected or Forecast(),
    )


def build(
    inventory: Inventory,
    tasks: tuple[Task, ...],
    policy: Policy,
    expected: Forecast | None = None,
    hurry: Hurry = never,
) -> Built:
    """The problem of placing `tasks` (in priority order) on what is free now.

    Of the first of them, from when `hurry` says so: it is asked before a request that is unlike
    those before it, which is what takes time.
    """
    named = [names for task in tasks for names in (task.exc_nodes, *_rewritten_nodes(task))]
    grid = inventory.grid.split(named)
    site = site_of(inventory, policy, expected)
    desk = _Desk(grid, site)
    numbers: dict[Task, int] = {}
    ptasks: list[PTask] = []
    requests: list[PRequest] = []
    for task in tasks:
        request = task.request
        number = numbers.setdefault(request, len(requests))
        if number == len(requests):
            if requests and hurry():
                break
            requests.append(desk.request(request))
        ptasks.append(PTask(task.key, number))
    problem = Problem(
        grid.pnodes, grid.pdevices, tuple(ptasks), tuple(requests), tuple(desk.weights)
    )
    return Built(problem, tasks[: len(ptasks)], grid.nodes, site)


_Place = tuple[list[int], tuple[frozenset[int], ...], int]
"""The states that are candidates, the groups of them, and the number of the table of weights."""


class _Desk:
    """Makes the requests; what several of them have in common is worked out once."""

    def __init__(self, grid: Grid, site: Site) -> None:
        self.grid, self.site = grid, site
        self.weights: list[dict[int, float]] = []
        self._places: dict[Task, _Place] = {}
        self._fine: dict[tuple[Task, Demand], _Place] = {}
        self._tables: dict[tuple[int, frozenset[tuple[Kind, float]]], int] = {}
        self._kinds: dict[int, Kind] = {}  # of devices by their states
        # States on the same hardware need the same of a node: few are really different.
        self._like = {state.hardware: state.node for state in reversed(grid.states)}

    def request(self, task: Task) -> PRequest:
        """The problem's request of such tasks."""
        candidates, groups, weights = self._place(task)
        slots = tuple(self._slot(task, slot, candidates) for slot in task.slots)
        return PRequest(slots, task.memory_gib if task.shared else 0, groups, weights)

    def _place(self, task: Task) -> _Place:
        """Where such a task may go whatever its CPUs and host memory, and at which weights."""
        slots = tuple(Slot(slot.devices, 0, 0) for slot in task.slots)
        key = replace(task.request, slots=slots, exclusive=False, all_memory=False)
        if key not in self._places:
            self._places[key] = self._candidates(key)
        demand = self.site.forecast.planned_as(task)
        if demand is None or not demand.cpus:
            return self._places[key]
        if (key, demand) not in self._fine:
            self._fine[key, demand] = self._told_apart(task, key)
        return self._fine[key, demand]

    def _told_apart(self, task: Task, coarse: Task) -> _Place:
        """The place of a task whose quotas go by its CPUs too: nothing else of the weights does."""
        found, able, number = self._places[coarse]
        scale = self.site.scale["quota"]
        more = {
            kind: scale * (quota(task, kind, self.site) - quota(coarse, kind, self.site))
            for kind in {self._kinds[d] for d in self.weights[number]}
        }
        key = number, frozenset(more.items())
        if key not in self._tables:
            table = {d: w + more[self._kinds[d]] for d, w in self.weights[number].items()}
            self._tables[key] = len(self.weights)
            self.weights.append(table)
        return found, able, self._tables[key]

    def _candidates(self, task: Task) -> _Place:
        states = self.grid.states
        least = min(slot.devices for slot in task.slots)
        found: list[int] = []
        weights: dict[int, float] = {}
        by_kind: dict[Kind, float] = {}
        for s in fitting_states(task, self.grid):
            state = states[s]
            if state.node.name in task.exc_nodes:  # then all of this state are: see Grid.split
                continue
            fit = [k for k, kind in enumerate(state.kinds) if fits_device(task, kind[1])]
            if sum(state.kinds[k][2] for k in fit) < least:
                continue
            found.append(s)
            for k in fit:
                number, offer = state.kinds[k][0], state.offers[k]
                kind = self._kinds[number] = offer.kind
                if kind not in by_kind:
                    by_kind[kind] = sum(kind_terms(task, kind, self.site).values())
                pieces = weighted_fragmentation(task, offer, state.node, self.site)
                ready = weighted_readiness(state.node, self.site)
                weights[number] = by_kind[kind] + pieces + ready
        nodes = [state.node for state in states]
        groups = groups_of(task, nodes, found)
        counts = (sum(states[s].count for s in group) for group in groups)
        self.weights.append(weights)
        able = tuple(
            group for group, count in zip(groups, counts, strict=True) if count >= len(task.slots)
        )
        return found, able, len(self.weights) - 1

    def _slot(self, task: Task, slot: Slot, candidates: list[int]) -> PSlot:
        states = self.grid.states
        by_hardware = {key: need(task, slot, node) for key, node in self._like.items()}
        found: dict[int, tuple[int, int]] = {}
        for s in candidates:
            needs, node = by_hardware[states[s].hardware], states[s].node
            if needs[0] <= node.cpus_free and needs[1] <= node.memory_free_mib:
                found[s] = needs
        return PSlot(slot.devices, found)


def grid_for(task: Task, inventory: Inventory) -> Grid:
    """The nodes by state, as far as all in a state are the same to the task but its `exc_nodes`."""
    return inventory.grid.split(_rewritten_nodes(task))


def _rewritten_nodes(task: Task) -> list[frozenset[str]]:
    """The nodes where a task's request is to be another one, by what it is to be."""
    by_kind: dict[str, set[str]] = {}
    for name, kind in task.rewrites:
        by_kind.setdefault(kind, set()).add(name)
    return [frozenset(names) for names in by_kind.values()]


def fitting_states(task: Task, grid: Grid) -> tuple[int, ...]:
    """The states of nodes that are candidates whatever is free; `exc_nodes` may name some of them.

    Pools, types, features and memory decide it, which many tasks have in common.
    """
    key = replace(
        task.request, slots=(), scenario="training", exclusive=False, all_memory=False,
        exc_nodes=frozenset(),
    )  # fmt: skip
    if key not in grid.memo:
        fits: dict[tuple[int, str], bool] = {}
        found = []
        for s, (state, nature) in enumerate(zip(grid.states, grid.natures, strict=True)):
            like = nature, task.rewritten_on(state.node.name)
            if like not in fits:
                fits[like] = not misfit(key, state.node)
            if fits[like]:
                found.append(s)
        grid.memo[key] = tuple(found)
    return grid.memo[key]


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
    if task.shared:  # Slurm gives no share of a device that has not as much
        reached = [d for d in reached if d.memory_gib >= task.memory_gib]
    fits = (d.type in task.types and d.memory_gib >= task.memory_gib for d in reached)
    return bool(reached) and all(fits)


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
    if not task.shared:
        return device.empty and fits_type(task, device)
    free = device.free_gib
    held_whole = bool(device.holders) and free == 0
    return not held_whole and free >= task.memory_gib and fits_type(task, device)


def need(task: Task, slot: Slot, node: Node) -> tuple[int, int]:
    """CPUs and host memory (MiB) that a slot takes of a node; more than it has if it cannot.

    Slurm gives whole cores, and memory per CPU for all their CPUs; of more cores to a task that
    uses one thread of each (--hint=nomultithread). --exclusive and an EXCLUSIVE partition take the
    node, which must be idle; --mem=0 takes all its memory.
    """
    impossible = (1 << 30, 0)
    exclusive = task.exclusive or node.whole
    if node.closed_to(shares=task.shared):
        return impossible
    if node.held_exclusively or (exclusive and not node.idle):
        return impossible
    used = min(task.threads_per_core or node.threads_per_core, node.threads_per_core)
    cores = -(-slot.cpus // used) * node.threads_per_core
    memory = slot.memory_mib + (cores - slot.cpus) * slot.memory_per_cpu_mib
    if exclusive:
        cores = max(cores, node.cpus)
    return cores, node.memory_mib if task.all_memory else memory


def has_room(task: Task, slot: Slot, node: Node) -> bool:
    """Whether a candidate node has the devices, CPUs and host memory for a slot now."""
    if sum(fits_device(task, d) for d in node.devices) < slot.devices:
        return False
    cpus, memory = need(task, slot, node)
    return cpus <= node.cpus_free and memory <= node.memory_free_mib


def groups_of(
    task: Task, nodes: Sequence[Node], candidates: list[int]
) -> tuple[frozenset[int], ...]:
    """The sets of candidates (indexes into `nodes`) among which a task chooses one.

    One node: any candidate of one pool. Several nodes: one pool and the same types on all, and
    the same alternative of a matching-OR constraint.
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
