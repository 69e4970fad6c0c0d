"""From what is expected and what is free to the fluid program, and from its prices to a plan's.

The unit is a device: a task earns what it takes of devices where it takes least.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from slurm_het.core.assignment.fluid import DeviceSort, Fluid, Kind, NodeGroup
from slurm_het.core.assignment.prices import NodePrices, Places, Prices, Whole, at_least
from slurm_het.core.cluster.device_class import DeviceClass
from slurm_het.core.cluster.node_states import Grid, NodeState
from slurm_het.core.model import Device
from slurm_het.core.worth.profiles import TaskProfile

CPU_PRICES = (
    0.0, 0.009, 0.017, 0.034, 0.05, 0.085, 0.14, 0.2, 0.3, 0.46, 0.7, 1.03, 1.55, 2.4, 3.5,
)  # fmt: skip
"""The prices of a CPU at which devices are valued, in devices per CPU of the whole cluster."""
MEMORY_PRICES = (0.14, 0.3, 0.7, 1.5, 3.5)
"""The same of host memory, where it may run out before the devices do."""
MEMORY_BINDS = 0.5
"""It may, when tasks ask at least so much of it for all that they ask of the devices."""
BESIDE = 1.72
"""What a CPU earns with tasks without devices, in devices per CPU of the cluster. First come is
first served, and they will take it: with little the clusters short of CPUs lose a point."""
THIRDS = 20
"""Of so many nodes of one make, each third by CPUs per free device is a group of its own."""

Weights = Mapping[TaskProfile, float]


class Rare(NamedTuple):
    """Tasks whose places are protected: what one earns, their share of all that come, and which
    they are."""

    earns: float
    weight: float
    profiles: tuple[TaskProfile, ...]


@dataclass(frozen=True)
class Appraisal:
    """The prices of what is expected: the class of devices of each table, and who needs the
    protected places. `asked` are the devices that the tasks of all weights ask together."""

    prices: Prices
    classes: tuple[DeviceClass, ...]
    rare: tuple[Rare, ...]
    asked: float


class Inquiry(NamedTuple):
    """A fluid program, and what is beside its prices in the appraisal."""

    fluid: Fluid
    classes: tuple[DeviceClass, ...]
    rare: tuple[Rare, ...]
    asked: float

    def appraisal(self, prices: Prices) -> Appraisal:
        """The appraisal with the answer."""
        return Appraisal(prices, self.classes, self.rare, self.asked)


def question(weights: Weights, grid: Grid, certainty: float = 1.0) -> Inquiry | None:
    """The program of the expected tasks on what is free; None if none of them can go anywhere.

    As many come as it takes to fill that, in the proportions of their weights: its devices or its
    CPUs, whichever run out first. `certainty` is how far it is known how much will be asked of
    each class of devices: see evened.
    """
    states = usable(grid)
    there = by_class(states)
    classes = tuple(there)
    numbers = {one: table for table, one in enumerate(classes)}
    weights = evened(weights, there, certainty)
    kinds = _kinds(weights, classes)
    if not kinds:
        return None
    asked = sum(kind.expected * kind.earns for kind in kinds)
    scale = max(1.0, free_devices(states)) / asked
    if cpus_asked := sum(p.cpus * p.nodes * weight for p, weight in weights.items()):
        free = sum(max(0, state.node.cpus_free) * state.count for state in states)
        scale = min(scale, max(1.0, free) / cpus_asked)
    cpus = sum(state.node.cpus * state.count for state in states)
    fair = _devices(states) / max(1, cpus)
    without = [(p, w * p.nodes * scale) for p, w in weights.items() if not p.devices]
    beside = sum(p.cpus * count for p, count in without)
    mib = sum(p.memory_mib * count for p, count in without) / beside if beside else 0.0
    groups, full = _groups(states, numbers)
    places, rare = _rare(weights, classes)
    fluid = Fluid(
        tuple(kind._replace(expected=kind.expected * scale) for kind in kinds),
        tuple(DeviceSort(max(1, c.memory_gib), c.cpus, c.memory_mib, c.per_node) for c in classes),
        groups, full, (beside, mib, BESIDE * fair), *_prices(states, kinds, fair), places,
    )  # fmt: skip
    return Inquiry(fluid, classes, rare, asked)


def by_class(states: Iterable[NodeState]) -> Counter[DeviceClass]:
    """How many devices of each class there are, free or not."""
    there: Counter[DeviceClass] = Counter()
    for state in states:
        for (_, _, per_node), one in zip(state.device_states, state.classes, strict=True):
            there[one] += per_node * state.count
    return there


def evened(weights: Weights, there: Counter[DeviceClass], certainty: float) -> Weights:
    """The weights, were but this part of what sets the classes of devices apart known, 0..1.

    The rest is asked of all devices alike: what a few days tell of the kinds of jobs is much, and
    of how much will be asked of each class little. A single user can fill one tomorrow.
    `there` has how many devices of each class there are.
    """
    if certainty >= 1.0:
        return weights
    on = {
        profile: classes
        for profile in weights
        if profile.devices and (classes := [one for one in there if profile.goes_to(one)])
    }
    loads = dict.fromkeys(there, 0.0)
    for profile, classes in on.items():
        asked = weights[profile] * profile.nodes * earns(profile, classes)
        devices = sum(there[one] for one in classes)
        for one in classes:
            loads[one] += asked * there[one] / devices
    alike = (1.0 - certainty) * sum(loads.values()) / max(1, there.total())
    more = {
        profile: sum(certainty * loads[one] + alike * there[one] for one in classes)
        / sum(loads[one] for one in classes)
        for profile, classes in on.items()
        if any(loads[one] for one in classes)
    }
    return {profile: weight * more.get(profile, 1.0) for profile, weight in weights.items()}


def usable(grid: Grid) -> list[NodeState]:
    """The states of nodes on which tasks may start, that have devices."""
    return [
        state
        for state in grid.states
        if state.node.usable and not state.node.held_exclusively and state.node.devices
    ]


def _devices(states: Iterable[NodeState]) -> int:
    return sum(len(state.node.devices) * state.count for state in states)


def free_devices(states: Iterable[NodeState]) -> float:
    """What is free of all devices."""
    return sum(
        state.count * per_node * _free(device)
        for state in states
        for _, device, per_node in state.device_states
    )


def _free(device: Device) -> float:
    """What is free of a device; of one whose memory is not known all or nothing."""
    return device.free_gib / device.memory_gib if device.memory_gib else float(device.empty)


def earns(profile: TaskProfile, on: Iterable[DeviceClass]) -> float:
    """What a task takes of devices on each node, where it takes least."""
    if not profile.takes_share:
        return float(profile.devices)
    return profile.devices * profile.memory_gib / max(1, *(one.memory_gib for one in on))


def _kinds(weights: Weights, names: Sequence[DeviceClass]) -> list[Kind]:
    """The kinds of tasks with devices; as many are expected as they weigh."""
    found: dict[Kind, float] = defaultdict(float)
    for profile, weight in weights.items():
        on = frozenset(c for c, one in enumerate(names) if profile.goes_to(one))
        if profile.devices and on and (profile.memory_gib or not profile.takes_share):
            gib = profile.memory_gib if profile.takes_share else 0
            earned = earns(profile, [names[c] for c in on])
            kind = Kind(profile.devices, gib, profile.cpus, profile.memory_mib, earned, 0.0, on)
            found[kind] += weight * profile.nodes
    return [kind._replace(expected=weight) for kind, weight in found.items()]


def _prices(
    states: Sequence[NodeState], kinds: Sequence[Kind], fair: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The pairs of prices of a CPU and of a MiB."""
    cpus = [fair * price for price in CPU_PRICES]
    memory = [0.0] * len(cpus)
    total = sum(state.node.memory_mib * state.count for state in states)
    asked = sum(kind.memory_mib * kind.expected for kind in kinds)
    earned = sum(kind.earns * kind.expected for kind in kinds)
    devices = _devices(states)
    if total and earned and asked / total > MEMORY_BINDS * earned / devices:
        memory += [price * devices / total for price in MEMORY_PRICES]
        cpus += [0.0] * len(MEMORY_PRICES)
    return tuple(cpus), tuple(memory)


def _groups(
    states: Sequence[NodeState], classes: Mapping[DeviceClass, int]
) -> tuple[tuple[NodeGroup, ...], int]:
    """The groups of nodes with free devices, and the CPUs of the others."""
    by_make: dict[frozenset[int], list[tuple[float, NodeState]]] = defaultdict(list)
    full = 0
    for state in states:
        free = free_devices([state]) / state.count
        if free > 0:
            make = frozenset(classes[one] for one in state.classes)
            by_make[make].append((max(0, state.node.cpus_free) / free, state))
        else:
            full += max(0, state.node.cpus_free) * state.count
    groups: list[NodeGroup] = []
    for members in by_make.values():
        groups += (_group(part, classes) for part in _parts(members))
    return tuple(groups), full


def _parts(members: list[tuple[float, NodeState]]) -> list[list[NodeState]]:
    """The states in thirds by CPUs per free device, if they are many nodes."""
    members.sort(key=lambda member: member[0])
    total = sum(state.count for _, state in members)
    if total < THIRDS or members[0][0] == members[-1][0]:
        return [[state for _, state in members]]
    parts: list[list[NodeState]] = [[], [], []]
    before = 0
    for _, state in members:
        parts[min(2, 3 * before // total)].append(state)
        before += state.count
    return [part for part in parts if part]


def _group(states: Sequence[NodeState], classes: Mapping[DeviceClass, int]) -> NodeGroup:
    rows: Counter[tuple[int, int, bool]] = Counter()
    cpus = memory = 0
    for state in states:
        cpus += max(0, state.node.cpus_free) * state.count
        memory += max(0, state.node.memory_free_mib) * state.count
        for (_, device, per_node), one in zip(state.device_states, state.classes, strict=True):
            if _free(device):
                row = classes[one], device.free_gib, device.empty
                rows[row] += per_node * state.count
    return NodeGroup(cpus, memory, tuple((*row, count) for row, count in rows.items()))


def _rare(
    weights: Weights, names: Sequence[DeviceClass]
) -> tuple[tuple[Places, ...], tuple[Rare, ...]]:
    """Who needs several devices of one node, by the classes with nodes that are large enough, or
    can go to fewer classes than others there."""
    on = {
        profile: frozenset(c for c, one in enumerate(names) if _needs(profile, one))
        for profile in weights
        if profile.devices
    }
    every = set(on.values())
    found: dict[tuple[int, frozenset[int]], list[TaskProfile]] = defaultdict(list)
    for profile, mine in on.items():
        bound = any(mine & other and other - mine for other in every)
        if mine and (profile.devices > 1 or bound):
            found[profile.devices, mine].append(profile)
    places, rare = [], []
    for (devices, mine), profiles in found.items():
        like = [names[c] for c in mine]
        shares = [weights[profile] * profile.nodes for profile in profiles]
        cpus = _median([profile.cpus for profile in profiles], shares)
        earned = _median([earns(profile, like) for profile in profiles], shares)
        places.append(Places(devices, int(cpus), mine))
        rare.append(Rare(earned, sum(shares), tuple(profiles)))
    return tuple(places), tuple(rare)


def _needs(profile: TaskProfile, one: DeviceClass) -> bool:
    """Whether such a task can go to such devices: if it needs several, of an empty node of theirs.

    Who needs one finds room on nodes that others broke: told apart by size, too many places would
    have a price.
    """
    large_enough = (
        profile.devices <= one.per_node
        and profile.cpus <= one.cpus
        and profile.memory_mib <= one.memory_mib
    )
    return profile.goes_to(one) and (profile.devices == 1 or large_enough)


def _median(values: Sequence[float], weights: Sequence[float]) -> float:
    half, before = sum(weights) / 2, 0.0
    for value, weight in sorted(zip(values, weights, strict=True)):
        before += weight
        if before >= half:
            return value
    return values[-1]


def prices_now(appraisal: Appraisal, grid: Grid, counts: float) -> NodePrices:
    """The prices of a plan on what is free now (Littlewood's rule for the protected places)."""
    prices = appraisal.prices
    numbers = {one: table for table, one in enumerate(appraisal.classes)}
    tables = {
        number: table
        for state in grid.states
        for (number, _, _), one in zip(state.device_states, state.classes, strict=True)
        if (table := numbers.get(one)) is not None
    }
    states = usable(grid)
    alike: Counter[tuple[int, Whole]] = Counter()
    for state in states if prices.protected else ():
        whole = tuple(
            (tables[number], per_node)
            for number, device, per_node in state.device_states
            if device.empty and number in tables
        )
        if whole:
            alike[max(0, state.node.cpus_free), whole] += state.count
    left = [0] * len(prices.protected)
    for (cpus, whole), count in alike.items():
        for k, held in enumerate(prices.held(cpus, whole)):
            left[k] += held * count
    scale = free_devices(states) / appraisal.asked
    scarce = tuple(
        rare.earns * at_least(rare.weight * scale, places)
        for rare, places in zip(appraisal.rare, left, strict=True)
    )
    return NodePrices(prices, tables, scarce, counts, tuple(left))
