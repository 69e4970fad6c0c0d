"""From tasks and inventory to the assignment problem: who may go where, at which weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from slurm_het.core.assignment.problem import Need, PBudget, PRequest, Problem, PSlot, PTask
from slurm_het.core.assignment.remaining import Remaining
from slurm_het.core.cluster.device_class import DeviceClass
from slurm_het.core.cluster.fit import (
    cpus_free_for,
    fits_device,
    fitting_states,
    groups_of,
    need,
    rewritten_nodes,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import Grid
from slurm_het.core.model import Device, Node, Slot, Task
from slurm_het.core.network import Parts, leaf_of, nearest
from slurm_het.core.policy import Policy
from slurm_het.core.reservations.in_vain import seconds_of
from slurm_het.core.site_limits import Budget
from slurm_het.core.worth.forecast import Forecast
from slurm_het.core.worth.pricing import prices_now
from slurm_het.core.worth.speeds import classed
from slurm_het.core.worth.weights import (
    Site,
    class_terms,
    nearness,
    placement_terms,
    site_of,
    weighted_fragmentation,
    weighted_readiness,
)

Hurry = Callable[[], bool]
MOST_LEARNED = 10_000
"""By so many weights may what is learned of programs make a problem larger: each program is a
request of its own, with one for each state of nodes. A thousand take three milliseconds."""
MOST_NEAR = 64
"""So many sets of near nodes are proposed for a group at most."""


def never() -> bool:
    """There is time enough."""
    return False


@dataclass(frozen=True)
class Built:
    """A problem, and what its indexes stand for. `devices` are those of the grid's nodes."""

    problem: Problem
    tasks: tuple[Task, ...]
    nodes: tuple[Node, ...]
    site: Site

    @cached_property
    def alone(self) -> Remaining:
        """What is free before any task starts."""
        return Remaining(self.problem)

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

    When `hurry` says so, the tasks that are left are not in it. It is asked before each request
    that is unlike those before, which is what takes time.
    """
    named = [names for task in tasks for names in (task.exc_nodes, *rewritten_nodes(task))]
    if any(len(task.slots) > 1 for task in tasks):
        named += inventory.leaves
    grid = inventory.grid.split(named)
    site = site_of(inventory, policy, expected)
    tasks = classed(tasks, site.forecast.speeds, MOST_LEARNED // max(1, len(grid.states)))
    making = _Requests(grid, site)
    numbers: dict[Task, int] = {}
    ptasks: list[PTask] = []
    requests: list[PRequest] = []
    for task in tasks:
        request = task.request
        number = numbers.setdefault(request, len(requests))
        if number == len(requests):
            if requests and hurry():
                break
            requests.append(making.request(request))
        ptasks.append(PTask(task.key, number))
    budgets, with_uses = _with_budgets(tasks, ptasks)
    prices = None
    counts = site.scale["fragmentation"]
    if counts and (appraisal := site.forecast.appraisal):
        prices = prices_now(appraisal, grid, counts)
    problem = Problem(
        grid.pnodes, grid.pdevices, with_uses, tuple(requests), tuple(making.weights), budgets,
        prices,
    )  # fmt: skip
    return Built(problem, tasks[: len(ptasks)], grid.nodes, site)


def _with_budgets(
    tasks: Sequence[Task], ptasks: Sequence[PTask]
) -> tuple[tuple[PBudget, ...], tuple[PTask, ...]]:
    """The budgets that do not last for all of these first tasks, and what each uses of them."""
    claimed: Counter[Budget] = Counter()
    left: dict[Budget, int] = {}
    tasks = tasks[: len(ptasks)]
    for task in tasks:
        for budget, amount in task.claims:
            claimed[budget] += amount
            left_for = budget.left_for(amount, task.priority, seconds_of(task))
            left[budget] = max(left_for, left.get(budget, left_for))
    short = [budget for budget, amount in claimed.items() if amount > left[budget]]
    if not short:
        return (), tuple(ptasks)
    numbers = {budget: b for b, budget in enumerate(short)}
    with_uses = tuple(
        replace(ptask, uses=tuple((numbers[b], n) for b, n in task.claims if b in numbers))
        for task, ptask in zip(tasks, ptasks, strict=True)
    )
    return tuple(PBudget(f"{b.reason} of {b.of}", left[b]) for b in short), with_uses


class _Options(NamedTuple):
    """Where such tasks may go: states of nodes, the groups of them, the index of a weight table,
    and what each group is worth beside its devices."""

    states: list[int]
    groups: tuple[frozenset[int], ...]
    table: int
    worths: tuple[float, ...] = ()


class _Requests:
    """Makes the problem's requests; what several of them have in common is worked out once.

    `weights` are the tables of w by state of device, as the problem has them.
    """

    def __init__(self, grid: Grid, site: Site) -> None:
        self.grid, self.site = grid, site
        self.weights: list[dict[int, float]] = []
        self._coarse: dict[Task, _Options] = {}
        # States in which a task needs the same of a node are many: one node stands for them.
        self._stand_ins = {state.needs_key: state.node for state in reversed(grid.states)}

    def request(self, task: Task) -> PRequest:
        """The problem's request of such tasks."""
        states, groups, table, worths = self._options(task)
        slots = tuple(self._slot(task, slot, states) for slot in task.slots)
        return PRequest(slots, task.memory_gib if task.takes_share else 0, groups, table, worths)

    def _options(self, task: Task) -> _Options:
        """The options of a task; its CPUs and host memory do not bear on them."""
        slots = tuple(Slot(slot.devices, 0, 0) for slot in task.slots)
        coarse = replace(task.request, slots=slots, exclusive=False, all_memory=False)
        if coarse not in self._coarse:
            self._coarse[coarse] = self._work_out(coarse)
        return self._coarse[coarse]

    def _work_out(self, task: Task) -> _Options:
        states = self.grid.states
        least = min(slot.devices for slot in task.slots)
        candidates: list[int] = []
        weights: dict[int, float] = {}
        by_class: dict[DeviceClass, float] = {}
        for s in fitting_states(task, self.grid):
            state = states[s]
            if state.node.name in task.exc_nodes:  # then all of this state are: see Grid.split
                continue
            serving = [
                (known, device_class)
                for known, device_class in zip(state.device_states, state.classes, strict=True)
                if fits_device(task, known.device)
            ]
            if sum([known.per_node for known, _ in serving]) < least:
                continue
            candidates.append(s)
            for known, device_class in serving:
                if device_class not in by_class:
                    by_class[device_class] = sum(
                        class_terms(task, device_class, self.site).values()
                    )
                pieces = weighted_fragmentation(task, known.device, state.node, self.site)
                ready = weighted_readiness(state.node, self.site)
                weights[known.number] = by_class[device_class] + pieces + ready
        self.weights.append(weights)
        groups = groups_of(task, [state.node for state in states], candidates)
        able = [group for group in groups if self._enough_nodes(task, group)]
        near = self._near(task, able) if len(task.slots) > 1 else {}
        worths = [0.0] * len(able) + list(near.values()) if near else []
        return _Options(candidates, (*able, *near), len(self.weights) - 1, tuple(worths))

    def _enough_nodes(self, task: Task, group: Set[int]) -> bool:
        return sum(self.grid.states[s].count for s in group) >= len(task.slots)

    def _near(self, task: Task, groups: Sequence[frozenset[int]]) -> dict[frozenset[int], float]:
        """The parts of groups whose nodes are near to each other, with what that is worth to a
        task: those in as few leaves of the network as can be."""
        devices = sum(slot.devices for slot in task.slots)
        near: dict[frozenset[int], float] = {}
        for group in groups:
            by_leaf: dict[str, set[int]] = {}
            for s in group:
                by_leaf.setdefault(leaf_of(self.grid.states[s].node.parts), set()).add(s)
            if "" in by_leaf:
                continue
            leaves = {leaf: self._leaf(states) for leaf, states in by_leaf.items()}
            for names in nearest(leaves, len(task.slots), MOST_NEAR):
                terms = placement_terms(nearness(len(names), len(task.slots)), self.site)
                if (worth := devices * sum(terms.values())) > 0:
                    near[frozenset().union(*(by_leaf[name] for name in names))] = worth
        return near

    def _leaf(self, states: Set[int]) -> tuple[Parts, int]:
        """The parts of the network that a leaf is in, and how many nodes it has in these states."""
        those = [self.grid.states[s] for s in states]
        return those[0].node.parts, sum(state.count for state in those)

    def _slot(self, task: Task, slot: Slot, candidates: list[int]) -> PSlot:
        states = self.grid.states
        needs = {key: need(task, slot, node) for key, node in self._stand_ins.items()}
        enough: dict[int, Need] = {}
        for s in candidates:
            here, node = needs[states[s].needs_key], states[s].node
            if here and here.fits(cpus_free_for(task, node), node.memory_free_mib):
                enough[s] = here
        return PSlot(slot.devices, enough)
