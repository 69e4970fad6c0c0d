"""The tasks a site expects, and what a placement takes from them: its price to the others.

What is expected is learned from the journal or given in the config. Everything is said of kinds
of nodes, relative to the tasks' share of device time; only preferences among feasible placements
come of it, so a wrong forecast costs quality and breaks no constraint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from slurm_het.core.cluster.device_class import DeviceClass, Offer, device_class_of, milli, milli_up
from slurm_het.core.cluster.gaps import (
    WHOLE,
    Free,
    Shape,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Task
from slurm_het.core.policy import Policy
from slurm_het.core.worth.fragmentation import (
    Measure,
    Mix,
)
from slurm_het.core.worth.memo import Memo
from slurm_het.core.worth.profiles import TaskProfile, profile_of

MOST = 256
"""How many demands for devices are kept, the heaviest first."""

BESIDE_MOST = 64
"""How many demands without devices are kept beside them."""

SHAPES_MOST = 32
"""How many shapes, the most frequent, price the pieces on a kind: each costs time for each state of
nodes, and more than these make no difference on openb."""

ASTRAY = 0.1
"""Share of the site's whole mix in the mix of a kind of node: tasks will stray from the plan."""

STEPS = 4
"""Steps in which `astray` is told: tasks that are equal in it share a table of weights, and the
fewer tables there are the more of a large problem is solved in time."""

ELSEWHERE = Shape(0, 0, 0, 0, frozenset({"elsewhere"}))
"""A task that cannot go to a kind of node: all that is free there is lost to it."""


PlannedParts = Mapping[TaskProfile, Mapping[DeviceClass, float]]
"""By profile, the part of its tasks that the plan for a full cluster has on a class of devices."""

RunningNow = Mapping[TaskProfile, Mapping[DeviceClass, int]]
"""By profile, how many of its tasks are on a class of devices now."""


Key = tuple[object, ...]


@dataclass(frozen=True)
class _Answers:
    """What a forecast has answered, whatever runs: the same is asked in cycle after cycle.

    The forecasts that Forecast.now makes of one share it, and it goes with the last of them.

    - `where`: the classes of devices where tasks of a profile can go;
    - `claims`: Forecast.claim, by what it depends on of the task, and the class;
    - `prices`: Forecast.price, by what is free on the node, what is taken and what it leaves;
    - `measures`: of each class of devices, by the mix of tasks to expect there.
    """

    where: Memo[TaskProfile, frozenset[DeviceClass]] = field(default_factory=Memo)
    claims: Memo[Key, float] = field(default_factory=Memo)
    prices: Memo[Key, float] = field(default_factory=Memo)
    measures: dict[DeviceClass, Measure] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """The expected tasks by what they ask, weighted by time (any unit); the devices of each kind.

    Without demands it is false, and nothing is to be concluded from it. `parts` and `held` have
    demands whatever their CPUs and host memory (TaskProfile.anyhow) beside the demands themselves.

    `_answers` and `_astray` are no part of the value but what was worked out from it; `_astray` has
    what depends on `held` too.
    """

    weights: Mapping[TaskProfile, float] = field(default_factory=dict)
    devices: Mapping[DeviceClass, int] = field(default_factory=dict)
    parts: PlannedParts = field(default_factory=dict)
    held: RunningNow = field(default_factory=dict)
    _answers: _Answers = field(default_factory=_Answers, compare=False, repr=False)
    _astray: Memo[Key, float] = field(default_factory=Memo, compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.weights)

    def now(self, held: RunningNow) -> Forecast:
        """The same while these tasks are on the cluster."""
        return replace(self, held=held, _astray=Memo())

    def planned_as(self, task: Task) -> TaskProfile | None:
        """The demand whose parts hold for a task: its own, or one whatever its CPUs; or None."""
        demand = profile_of(task)
        return next((d for d in (demand, demand.anyhow) if d in self.parts), None)

    def astray(self, task: Task, kind: DeviceClass) -> float:
        """How little a kind is meant for one more such task, 0..1.

        1: the plan has none there. Else less than 1/2 while the kind is far behind its part of
        those that are on the cluster now, and more once it is far ahead. Without a plan, `claim`.
        """
        key = task.types, task.pools, task.memory_gib, task.shared, task.slots, kind
        if key not in self._astray:
            self._astray[key] = self._find_astray(task, kind)
        return self._astray[key]

    def _find_astray(self, task: Task, kind: DeviceClass) -> float:
        demand = self.planned_as(task)
        if demand is None:
            return self.claim(task, kind)
        part = self.parts[demand].get(kind, 0.0)
        if not part:
            return 1.0
        held = self.held.get(demand, {})
        due = part * (sum(held.values()) + 1)
        behind = (due - held.get(kind, 0)) / (1 + due)
        return round(STEPS * (0.5 - 0.5 * max(-1.0, min(1.0, behind)))) / STEPS

    def claim(self, task: Task, kind: DeviceClass) -> float:
        """The part of a kind's devices, 0..1, that tasks with fewer alternatives are to need.

        As if the cluster were full: only how the demands relate to each other counts, since time
        limits promise more than jobs use.
        """
        key, claims = (task.types, task.pools, task.memory_gib, kind), self._answers.claims
        if key not in claims:
            mine = self._kinds(profile_of(task))
            taken = sum(n for (where, k), n in self._loads.items() if k == kind and where < mine)
            claims[key] = min(1.0, taken / self.devices[kind]) if taken else 0.0
        return claims[key]

    @cached_property
    def _loads(self) -> dict[tuple[frozenset[DeviceClass], DeviceClass], float]:
        """Devices in use on a full cluster: by the kinds that tasks can go to, and one of them."""
        time = {d: w * d.devices * d.nodes for d, w in self.weights.items() if self._kinds(d)}
        scale = sum(self.devices.values()) / (sum(time.values()) or 1.0)
        found: dict[tuple[frozenset[DeviceClass], DeviceClass], float] = {}
        for demand, taken in time.items():
            where = self._kinds(demand)
            room = sum(self.devices[kind] for kind in where)
            for kind in where:
                part = taken * scale * self.devices[kind] / room
                found[where, kind] = found.get((where, kind), 0.0) + part
        return found

    def _kinds(self, demand: TaskProfile) -> frozenset[DeviceClass]:
        where = self._answers.where
        if demand not in where:
            where[demand] = frozenset(kind for kind in self.devices if demand.goes_to(kind))
        return where[demand]

    def price(self, task: Task, offer: Offer) -> float:
        """How much it leaves in pieces, -1..1: x / (1 + |x|) with x devices per device it takes.

        -1/2: nobody else could have used what it takes. 0: only what it takes is gone. 1/2: as
        much again is lost to the others; a small share can spoil many times its size. The measure
        is FGD's (Weng et al., ATC '23), see core/worth/fragmentation.py.
        """
        device, kind, before = offer
        taken, left = WHOLE, 0
        if task.shared:
            taken = milli(device.free_gib, kind)
            left = max(0, taken - milli_up(task.memory_gib, kind))
        count = max(slot.devices for slot in task.slots)
        key, prices = (kind, before, taken, left, count), self._answers.prices
        if key not in prices:
            after = _change(before, taken, left, count)
            measure = self._measure(kind)
            lost = measure.of(after) - measure.of(before)
            pieces = lost / (count * max(1, taken - left))
            prices[key] = pieces / (1 + abs(pieces))
        return prices[key]

    def _measure(self, kind: DeviceClass) -> Measure:
        measures = self._answers.measures
        if kind not in measures:
            measures[kind] = Measure(kind.type, self._mix(kind))
        return measures[kind]

    def _mix(self, kind: DeviceClass) -> Mix:
        """The tasks to expect on nodes with such devices, as shapes: those that are planned there,
        and a few of all. While there is no plan, all. Those without devices are one: see Measure.
        """
        everywhere = {d: weight * d.nodes for d, weight in self.weights.items()}
        here = {d: n * self.parts.get(d, {}).get(kind, 0.0) for d, n in everywhere.items()}
        total, planned = sum(everywhere.values()), sum(here.values())
        astray = ASTRAY if planned else 1.0
        found: dict[Shape, float] = {}
        for demand, count in everywhere.items():
            shape = shape_on(demand, kind) if demand.devices else ELSEWHERE
            share = astray * count / total
            share += (1 - astray) * here[demand] / planned if planned else 0.0
            found[shape] = found.get(shape, 0.0) + share
        shapes = sorted(found, key=lambda shape: -found[shape])[:SHAPES_MOST]
        kept = sum(found[shape] for shape in shapes)
        return {shape: found[shape] / kept for shape in shapes}


def given(policy: Policy) -> dict[TaskProfile, float]:
    """What the config says is to be expected; its shares are of device time, ours of tasks.

    A job without devices counts as one with one.
    """
    types, pools = sorted(policy.types), sorted(pool.partition for pool in policy.pools)
    found: dict[TaskProfile, float] = {}
    for job in policy.expected_jobs:
        demand = TaskProfile(
            tuple(sorted(job.types or types)), tuple(sorted(job.pools or pools)), job.devices,
            job.nodes, job.memory_gib, job.shared, job.cpus, job.memory_mib,
        )  # fmt: skip
        found[demand] = found.get(demand, 0.0) + job.share / (max(1, job.devices) * job.nodes)
    return found


def forecast(weights: Mapping[TaskProfile, float], inventory: Inventory) -> Forecast:
    """What to expect on the nodes there are; of too many demands the heaviest."""
    heaviest = sorted(weights, key=lambda d: -weights[d])
    kept = [d for d in heaviest if d.devices][:MOST]
    kept += [d for d in heaviest if not d.devices][:BESIDE_MOST]
    devices: Counter[DeviceClass] = Counter()
    for state in inventory.grid.states:
        for device in state.node.devices:
            devices[device_class_of(device, state.node)] += state.count
    return Forecast({d: weights[d] for d in kept if weights[d] > 0}, devices)


def _change(free: Free, taken: int, left: int, count: int) -> Free:
    """The same with `count` gaps of one size turned into another."""
    gaps = list(free.gaps)
    for _ in range(count):
        if taken in gaps:
            gaps[gaps.index(taken)] = left
    return free._replace(gaps=tuple(sorted(gaps, reverse=True)))


def shape_on(demand: TaskProfile, kind: DeviceClass) -> Shape:
    """What such a task asks of a node with such devices; ELSEWHERE if it cannot go there."""
    if not demand.goes_to(kind):
        return ELSEWHERE
    if not demand.devices:
        return Shape(demand.cpus, demand.memory_mib, 0, 0, frozenset())
    milli = milli_up(demand.memory_gib, kind) if demand.shared else WHOLE
    return Shape(demand.cpus, demand.memory_mib, demand.devices, milli, frozenset())
