"""The assignment problem as plain numbers: what the solvers see, with nothing of Slurm left.

Nodes in one state are interchangeable, and so are devices in one state on them. What a task needs
and what it is worth is therefore said per state, and identical tasks share one request.

The formula is our reading of the method's: its published text names the symbols, but its images are
lost.

For task t that asks for requested devices i (grouped in slots k, one slot per node), device j of
node n, memory M_j with U_j occupied, r_t GiB per requested device (M_j when it takes it whole):

    y_t    = 1   task t starts now
    h_tg   = 1   task t uses group g (one pool partition and, across nodes, one device type)
    z_tkn  = 1   slot k of task t is on node n
    x_tkij = 1   the i-th device requested in slot k is device j

    maximise lexicographically: the y_t in Slurm's priority order, then
                sum w_tj x_tkij + sum v_tg h_tg
    subject to  sum_g h_tg = y_t                                each t
                sum_n z_tkn = y_t                               each t, k
                z_tkn <= sum of h_tg over the groups with n      each t, k, n
                sum_k z_tkn <= 1                                each t, n
                sum_{j in n} x_tkij = z_tkn                     each t, k, i, n
                sum_i x_tkij <= 1                               each t, k, j
                U_j + sum r_t x_tkij <= M_j                     each j
                sum cpus_tkn z_tkn <= free CPUs of n            each n
                sum memory_tkn z_tkn <= free host memory of n   each n
                sum use_tl y_t <= left_l                        each budget l (of the site's limits)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from slurm_het.core.assignment.prices import NodePrices


@dataclass(frozen=True, slots=True)
class PDevice:
    """Device j: its node (an index), its position there, M_j and U_j.

    `whole`: it may be taken whole now; nobody holds it or has a part of it, and U_j is 0. Devices
    have one `state` if they are equal in all but the position, on nodes of one state.
    """

    node: int
    position: int
    memory_gib: int
    used_gib: int
    whole: bool
    state: int

    @property
    def free_gib(self) -> int:
        """M_j - U_j, at least 0."""
        return max(0, self.memory_gib - self.used_gib)


@dataclass(frozen=True, slots=True)
class PNode:
    """Node n: its free CPUs and host memory, which are at least 0, and its devices (indexes).

    Nodes have one `state` if they and their devices differ in name and order only.
    """

    name: str
    cpus: int
    memory_mib: int
    devices: tuple[int, ...]
    state: int


class Need(NamedTuple):
    """What a slot takes of a node beside devices: CPUs and host memory."""

    cpus: int
    memory_mib: int

    def fits(self, cpus: int, memory_mib: int) -> bool:
        """Whether so much, free on a node, is enough."""
        needed_cpus, needed_mib = self
        return needed_cpus <= cpus and needed_mib <= memory_mib


NOTHING = Need(0, 0)


@dataclass(frozen=True, slots=True)
class PSlot:
    """Slot k of a request: how many devices it takes, and what it needs of a node by its state.

    `need` has the states in which a node has that much free, and no others.
    """

    devices: int
    need: dict[int, Need]

    @property
    def least_need(self) -> Need:
        """No node needs to have less for it."""
        cpus, memory_mib = zip(*set(self.need.values()), strict=True)
        return Need(min(cpus), min(memory_mib))


@dataclass(frozen=True, slots=True)
class PRequest:
    """What a task asks: its slots, and r_t, the `memory_gib` of each device that it takes.

    With `memory_gib` 0 it takes devices whole. `groups` are sets of node states: one of them is
    chosen for the whole task. `weights` is the index of the problem's table of w by state of
    device. The table has the states in which a device can serve the request, and no others: r_t
    GiB are free of it, or it may be taken whole. `worths` are v by group, what a group is worth to
    the task beside its devices; none are 0. Only requests of several slots have them.
    """

    slots: tuple[PSlot, ...]
    memory_gib: int
    groups: tuple[frozenset[int], ...]
    weights: int
    worths: tuple[float, ...] = ()

    def best_group(self, states: Set[int]) -> int:
        """The group that is worth most, of those that have all these states of nodes."""
        able = [g for g, group in enumerate(self.groups) if states <= group]
        return max(able, key=lambda g: self.worths[g]) if self.worths else able[0]


@dataclass(frozen=True, slots=True)
class PBudget:
    """Budget l: what the tasks that use it may use together."""

    name: str
    left: int


@dataclass(frozen=True, slots=True)
class PTask:
    """Task t: its key, the index of its request, and use_tl by index of the budget.

    Tasks of one request with the same uses are identical.
    """

    key: str
    request: int
    uses: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Tasks in Slurm's priority order, highest first; `weights` are tables of w by state of device.

    With `prices` the tables lack what a placement takes from the tasks to be expected: that
    depends on all that is free on the node.

    Where a task fits if it is alone, a slot's `need` and a request's table of weights say: they
    have just those states. Nobody works it out from the numbers again.
    """

    nodes: tuple[PNode, ...]
    devices: tuple[PDevice, ...]
    tasks: tuple[PTask, ...]
    requests: tuple[PRequest, ...]
    weights: tuple[dict[int, float], ...]
    budgets: tuple[PBudget, ...] = ()
    prices: NodePrices | None = None

    def request(self, t: int) -> PRequest:
        """What task t asks."""
        return self.requests[self.tasks[t].request]

    def weight(self, t: int, j: int) -> float:
        """w_tj; raises KeyError if task t may not use device j."""
        return self.weights[self.request(t).weights][self.devices[j].state]

    def kind(self, t: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        """The same for all tasks that are identical to task t."""
        return self.tasks[t].request, self.tasks[t].uses

    def spent(self, tasks: Iterable[int]) -> Counter[int]:
        """What these tasks use together, by budget."""
        spent: Counter[int] = Counter()
        for t in tasks:
            for budget, use in self.tasks[t].uses:
                spent[budget] += use
        return spent

    def overspent(self, tasks: Iterable[int]) -> list[int]:
        """The budgets that are too small for these tasks together."""
        return [b for b, spent in self.spent(tasks).items() if spent > self.budgets[b].left]


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """Slot k of a started task: its node n, and device j for each i."""

    node: int
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """Which tasks start (index of the task → a choice per slot), and what is proven of that.

    `status`: optimal (within the solver's tolerances), incumbent (the best found before the
    deadline), or greedy (the first-fit plan, of which nothing is proven). `objective` and `bound`
    are of the last level of the lexicographic objective; `gap` is the distance between
    them, relative to the objective. `seconds` is how long it took.
    """

    starts: dict[int, tuple[SlotChoice, ...]] = field(default_factory=dict)
    status: Literal["optimal", "incumbent", "greedy"] = "greedy"
    objective: float = 0.0
    bound: float = 0.0
    gap: float = 0.0
    seconds: float = 0.0


def violations(problem: Problem, solution: Solution) -> list[str]:
    """Every constraint that a solution breaks, in words; an empty list means it is feasible."""
    broken = _unknown(problem, solution)
    if broken:
        return broken
    used_gib: dict[int, int] = {}  # by device
    loads: dict[int, Need] = {}  # by node
    for t, choices in solution.starts.items():
        key, request = problem.tasks[t].key, problem.request(t)
        broken += _shape_violations(problem, key, request, choices)
        for slot, choice in zip(request.slots, choices, strict=False):
            need = slot.need.get(problem.nodes[choice.node].state, NOTHING)
            load = loads.get(choice.node, NOTHING)
            loads[choice.node] = Need(load.cpus + need.cpus, load.memory_mib + need.memory_mib)
            for j in choice.devices:
                device = problem.devices[j]
                gib, taken = (
                    used_gib.get(j, device.used_gib),
                    request.memory_gib or device.memory_gib,
                )
                if gib + taken > device.memory_gib or not (request.memory_gib or device.whole):
                    in_use = f"{gib} GiB of {device.memory_gib} are in use"
                    broken.append(f"{key}: device {j} is not free, {in_use}")
                used_gib[j] = gib + taken
    for n, load in loads.items():
        node = problem.nodes[n]
        if not load.fits(node.cpus, node.memory_mib):
            broken.append(f"node {node.name}: {load.cpus} CPUs, {load.memory_mib} MiB are too many")
    for b in problem.overspent(solution.starts):
        budget = problem.budgets[b]
        broken.append(f"{budget.name}: only {budget.left} are left")
    return broken


def _unknown(problem: Problem, solution: Solution) -> list[str]:
    """What a solution names and the problem does not have."""
    for t, choices in solution.starts.items():
        if not 0 <= t < len(problem.tasks):
            return [f"it names task {t} of {len(problem.tasks)}"]
        for choice in choices:
            if not 0 <= choice.node < len(problem.nodes):
                return [f"it names node {choice.node} of {len(problem.nodes)}"]
            if any(not 0 <= j < len(problem.devices) for j in choice.devices):
                return [f"it names devices {choice.devices} of {len(problem.devices)}"]
    return []


def _shape_violations(
    problem: Problem, key: str, request: PRequest, choices: tuple[SlotChoice, ...]
) -> list[str]:
    broken: list[str] = []
    nodes = [choice.node for choice in choices]
    states = {problem.nodes[n].state for n in nodes}
    if len(choices) != len(request.slots) or len(set(nodes)) != len(nodes):
        broken.append(f"{key}: its slots are not on {len(request.slots)} distinct nodes")
    if not any(states <= group for group in request.groups):
        broken.append(f"{key}: nodes {nodes} are in no single group")
    weights = problem.weights[request.weights]
    for k, (slot, choice) in enumerate(zip(request.slots, choices, strict=False)):
        if problem.nodes[choice.node].state not in slot.need:
            broken.append(f"{key}: node {choice.node} is no candidate of slot {k}")
        if len(set(choice.devices)) != slot.devices:
            broken.append(f"{key}: slot {k} has {len(set(choice.devices))} devices")
        for j in choice.devices:
            device = problem.devices[j]
            if device.node != choice.node or device.state not in weights:
                broken.append(f"{key}: device {j} is not one of node {choice.node}'s it may use")
    return broken
