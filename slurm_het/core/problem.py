"""The assignment problem as plain numbers: what the solvers see, with nothing of Slurm left.

Our reading of the method's formula (its published text names the symbols, the images are lost).
For task t that asks for requested devices i (grouped in slots k, one slot per node), device j of
node n, memory M_j with U_j occupied, r_t GiB per requested device (M_j when it takes it whole):

    y_t    = 1   task t starts now
    h_tg   = 1   task t uses group g (one pool partition and, across nodes, one device type)
    z_tkn  = 1   slot k of task t is on node n
    x_tkij = 1   the i-th device requested in slot k is device j

    maximise lexicographically: the y_t in Slurm's priority order, then  sum w_tj x_tkij
    subject to  sum_g h_tg = y_t                                each t
                sum_n z_tkn = y_t                               each t, k
                z_tkn <= sum of h_tg over the groups with n      each t, k, n
                sum_k z_tkn <= 1                                each t, n
                sum_{j in n} x_tkij = z_tkn                     each t, k, i, n
                sum_i x_tkij <= 1                               each t, k, j
                U_j + sum r_t x_tkij <= M_j                     each j
                sum cpus_tkn z_tkn <= free CPUs of n            each n
                sum memory_tkn z_tkn <= free host memory of n   each n
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class PDevice:
    """Device j: its node (an index), its position on the node, M_j and U_j in GiB.

    `whole` says that it may be taken whole now (it is empty and not reserved).
    """

    node: int
    position: int
    memory: int
    used: int
    whole: bool


@dataclass(frozen=True, slots=True)
class PNode:
    """Node n: the free CPUs and host memory (MiB), and its devices (indexes into the problem)."""

    name: str
    cpus: int
    memory: int
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PSlot:
    """Slot k of a task: how many devices, and on which nodes with which CPUs and memory (MiB).

    `need[n]` is (cpus, memory) if the slot is put on node n; only the nodes in it are candidates.
    """

    devices: int
    need: dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class PTask:
    """Task t: its slots, r_t (`memory` GiB per device; 0 = takes devices whole), groups, weights.

    `groups` are the sets of nodes among which one is chosen for the whole task.
    `weights[j]` is w_tj and holds every device the task may use.
    """

    key: str
    slots: tuple[PSlot, ...]
    memory: int
    groups: tuple[frozenset[int], ...]
    weights: dict[int, float]


@dataclass(frozen=True, slots=True)
class Problem:
    """Tasks are in Slurm's priority order, highest first."""

    nodes: tuple[PNode, ...]
    devices: tuple[PDevice, ...]
    tasks: tuple[PTask, ...]


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """Slot k of a started task: its node n, and device j for each i."""

    node: int
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """Which tasks start (index of the task → a choice per slot), and how good that is proven.

    `status`: optimal (within the solver's tolerances), incumbent (the best found before the
    deadline, `gap` to the bound), or greedy (the first-fit plan; nothing proven). `objective` and
    `bound` are of the last level of the lexicographic objective, sum w·x.
    """

    starts: dict[int, tuple[SlotChoice, ...]] = field(default_factory=dict)
    status: Literal["optimal", "incumbent", "greedy"] = "greedy"
    objective: float = 0.0
    bound: float = 0.0
    gap: float = 0.0
    seconds: float = 0.0


def violations(problem: Problem, solution: Solution) -> list[str]:
    """Every constraint that a solution breaks, in words; an empty list means it is feasible."""
    found: list[str] = []
    used = [d.used for d in problem.devices]
    whole: set[int] = set()
    cpus = [0] * len(problem.nodes)
    memory = [0] * len(problem.nodes)
    for t, choices in solution.starts.items():
        task = problem.tasks[t]
        found += _shape_violations(problem, task, choices)
        for slot, choice in zip(task.slots, choices, strict=False):
            need = slot.need.get(choice.node, (0, 0))
            cpus[choice.node] += need[0]
            memory[choice.node] += need[1]
            for j in choice.devices:
                device = problem.devices[j]
                if j in whole or (task.memory == 0 and (used[j] or not device.whole)):
                    found.append(f"{task.key}: device {j} is not free to be taken whole or shared")
                if task.memory == 0:
                    whole.add(j)
                used[j] += task.memory or device.memory
    for j, device in enumerate(problem.devices):
        if used[j] > max(device.memory, device.used):
            found.append(f"device {j}: {used[j]} GiB of {device.memory}")
    for n, node in enumerate(problem.nodes):
        if cpus[n] > max(0, node.cpus) or memory[n] > max(0, node.memory):
            found.append(f"node {node.name}: {cpus[n]} CPUs, {memory[n]} MiB are too many")
    return found


def _shape_violations(problem: Problem, task: PTask, choices: tuple[SlotChoice, ...]) -> list[str]:
    found: list[str] = []
    nodes = [choice.node for choice in choices]
    if len(choices) != len(task.slots) or len(set(nodes)) != len(nodes):
        found.append(f"{task.key}: its slots are not on {len(task.slots)} distinct nodes")
    if not any(set(nodes) <= group for group in task.groups):
        found.append(f"{task.key}: nodes {nodes} are in no single group")
    for k, (slot, choice) in enumerate(zip(task.slots, choices, strict=False)):
        if choice.node not in slot.need:
            found.append(f"{task.key}: node {choice.node} is no candidate of slot {k}")
        if len(set(choice.devices)) != slot.devices:
            found.append(f"{task.key}: slot {k} has {len(set(choice.devices))} devices")
        for j in choice.devices:
            if problem.devices[j].node != choice.node or j not in task.weights:
                found.append(
                    f"{task.key}: device {j} is not one of node {choice.node}'s it may use"
                )
    return found
