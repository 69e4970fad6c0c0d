"""From tasks and inventory to the assignment problem: who may go where, at which weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from slurm_het.core.assignment.problem import Need, PRequest, Problem, PSlot, PTask
from slurm_het.core.cluster.device_class import DeviceClass
from slurm_het.core.cluster.fit import fits_device, fitting_states, groups_of, need, rewritten_nodes
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import Grid
from slurm_het.core.model import Device, Node, Slot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.worth.forecast import (
    Forecast,
)
from slurm_het.core.worth.profiles import (
    TaskProfile,
)
from slurm_het.core.worth.weights import (
    Site,
    class_terms,
    quota,
    site_of,
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
    named = [names for task in tasks for names in (task.exc_nodes, *rewritten_nodes(task))]
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
        self._fine: dict[tuple[Task, TaskProfile], _Place] = {}
        self._tables: dict[tuple[int, frozenset[tuple[DeviceClass, float]]], int] = {}
        self._kinds: dict[int, DeviceClass] = {}  # of devices by their states
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
        by_kind: dict[DeviceClass, float] = {}
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
                    by_kind[kind] = sum(class_terms(task, kind, self.site).values())
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
        by_hardware = {key: Need(*need(task, slot, node)) for key, node in self._like.items()}
        needs: dict[int, Need] = {}
        for s in candidates:
            here, node = by_hardware[states[s].hardware], states[s].node
            if here.fits(node.cpus_free, node.memory_free_mib):
                needs[s] = here
        return PSlot(slot.devices, needs)
