"""The tasks that a site expects, and what a placement takes from them: its price to the others.

What is expected is learned from the journal or given in the config. Everything is said of classes
of devices. Tasks count by their share of device time. A forecast decides preferences among feasible
placements only: a wrong one costs quality and breaks no constraint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from slurm_het.core.assignment.memo import Memo
from slurm_het.core.cluster.device_class import DeviceClass, Offer, device_class_of, milli, milli_up
from slurm_het.core.cluster.gaps import WHOLE, Free, Shape
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Task
from slurm_het.core.policy import Policy
from slurm_het.core.worth.fragmentation import Measure, Mix
from slurm_het.core.worth.pricing import Appraisal
from slurm_het.core.worth.profiles import TaskProfile, profile_of

MOST = 256
"""How many profiles with devices are kept, the heaviest first."""

BESIDE_MOST = 64
"""How many profiles without devices are kept beside them."""

SHAPES_MOST = 32
"""How many shapes, the most frequent, price the pieces of a class of devices. Each of them costs
time for each state of nodes, and more than these make no difference on openb."""

ASTRAY = 0.1
"""Share of the site's whole mix of tasks in the mix that is expected on a class of devices: some
tasks will stray from the plan for a full cluster."""

STEPS = 4
"""Steps in which `astray` is told: tasks that are equal in it share a table of weights, and the
fewer tables there are the more of a large problem is solved in time."""

ELSEWHERE = Shape(0, 0, 0, 0, frozenset({"elsewhere"}))
"""A task that cannot go to a class of devices: all that is free there is lost to it."""


PlannedParts = Mapping[TaskProfile, Mapping[DeviceClass, float]]
"""By profile, the part (0..1) of its tasks that the plan for a full cluster has on a class of
devices; see full_cluster.py."""

RunningNow = Mapping[TaskProfile, Mapping[DeviceClass, int]]
"""By profile, how many of its tasks are on a class of devices now."""

Key = tuple[object, ...]


@dataclass(frozen=True)
class _Answers:
    """What a forecast has answered, whatever runs: the same is asked in cycle after cycle.

    The forecasts that Forecast.now makes of one share it, and it goes with the last of them.

    - `classes`: those that tasks of a profile can go to;
    - `claims`: Forecast.claim, by what it depends on of the task, and the class;
    - `prices`: Forecast.price, by what is free on the node, what is taken and what it leaves;
    - `measures`: of each class of devices, by the mix of tasks to expect there.
    """

    classes: Memo[TaskProfile, frozenset[DeviceClass]] = field(default_factory=Memo)
    claims: Memo[Key, float] = field(default_factory=Memo)
    prices: Memo[Key, float] = field(default_factory=Memo)
    measures: dict[DeviceClass, Measure] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """The expected tasks by profile, weighted by time in any unit, and the devices of each class.

    A forecast that expects nothing is false, and nothing is to be concluded from it. `parts` and
    `held` (what runs now) have coarse profiles (TaskProfile.coarse) beside the full ones.

    `_answers` and `_astray` are no part of the value but what was worked out from it; `_astray` has
    what depends on `held` too.
    """

    weights: Mapping[TaskProfile, float] = field(default_factory=dict)
    devices: Mapping[DeviceClass, int] = field(default_factory=dict)
    parts: PlannedParts = field(default_factory=dict)
    held: RunningNow = field(default_factory=dict)
    appraisal: Appraisal | None = None
    _answers: _Answers = field(default_factory=_Answers, compare=False, repr=False)
    _astray: Memo[Key, float] = field(default_factory=Memo, compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.weights)

    def now(self, held: RunningNow) -> Forecast:
        """The same while these tasks are on the cluster."""
        return replace(self, held=held, _astray=Memo())

    def planned_as(self, task: Task) -> TaskProfile | None:
        """The profile whose parts hold for a task: its own, or the coarse one; None without any."""
        profile = profile_of(task)
        return next((p for p in (profile, profile.coarse) if p in self.parts), None)

    def astray(self, task: Task, device_class: DeviceClass) -> float:
        """How little a class of devices is meant for one more such task, 0..1.

        1: the plan for a full cluster has none there. Else it is less than 1/2 while the class is
        behind its part of those tasks that run now, and more once it is ahead. Without a plan it is
        `claim`.
        """
        key = task.types, task.pools, task.memory_gib, task.takes_share, task.slots, device_class
        if key not in self._astray:
            self._astray[key] = self._find_astray(task, device_class)
        return self._astray[key]

    def _find_astray(self, task: Task, device_class: DeviceClass) -> float:
        profile = self.planned_as(task)
        if profile is None:
            return self.claim(task, device_class)
        part = self.parts[profile].get(device_class, 0.0)
        if not part:
            return 1.0
        held = self.held.get(profile, {})
        due = part * (sum(held.values()) + 1)
        behind = (due - held.get(device_class, 0)) / (1 + due)
        return round(STEPS * (0.5 - 0.5 * max(-1.0, min(1.0, behind)))) / STEPS

    def claim(self, task: Task, device_class: DeviceClass) -> float:
        """The part of such devices, 0..1, that tasks with fewer alternatives are to need.

        As if the cluster were full: only how the expected tasks relate to each other counts, since
        time limits promise more than jobs use.
        """
        key = task.types, task.pools, task.memory_gib, device_class
        claims = self._answers.claims
        if key not in claims:
            mine = self._classes(profile_of(task))
            taken = sum(
                devices
                for (classes, one), devices in self._loads.items()
                if one == device_class and classes < mine
            )
            claims[key] = min(1.0, taken / self.devices[device_class]) if taken else 0.0
        return claims[key]

    @cached_property
    def _loads(self) -> dict[tuple[frozenset[DeviceClass], DeviceClass], float]:
        """Devices in use on a full cluster: by the classes where tasks can go, and one of them."""
        time = {p: w * p.devices * p.nodes for p, w in self.weights.items() if self._classes(p)}
        scale = sum(self.devices.values()) / (sum(time.values()) or 1.0)
        loads: dict[tuple[frozenset[DeviceClass], DeviceClass], float] = {}
        for profile, taken in time.items():
            classes = self._classes(profile)
            devices = sum(self.devices[one] for one in classes)
            for one in classes:
                part = taken * scale * self.devices[one] / devices
                loads[classes, one] = loads.get((classes, one), 0.0) + part
        return loads

    def _classes(self, profile: TaskProfile) -> frozenset[DeviceClass]:
        known = self._answers.classes
        if profile not in known:
            known[profile] = frozenset(one for one in self.devices if profile.goes_to(one))
        return known[profile]

    def price(self, task: Task, offer: Offer) -> float:
        """What the task leaves in pieces, -1..1: x / (1 + |x|) with x devices per device it takes.

        -1/2: nobody else could have used what it takes. 0: only what it takes is gone. 1/2: as
        much again is lost to the others; a small share can spoil many times its size. The measure
        is FGD's (Weng et al., ATC '23), see fragmentation.py.
        """
        device, device_class, before = offer
        taken, left = WHOLE, 0
        if task.takes_share:
            taken = milli(device.free_gib, device_class)
            left = max(0, taken - milli_up(task.memory_gib, device_class))
        count = max(slot.devices for slot in task.slots)
        key, prices = (device_class, before, taken, left, count), self._answers.prices
        if key not in prices:
            after = _change(before, taken, left, count)
            measure = self._measure(device_class)
            lost = measure.of(after) - measure.of(before)
            pieces = lost / (count * max(1, taken - left))
            prices[key] = pieces / (1 + abs(pieces))
        return prices[key]

    def _measure(self, device_class: DeviceClass) -> Measure:
        measures = self._answers.measures
        if device_class not in measures:
            measures[device_class] = Measure(device_class.type, self._mix(device_class))
        return measures[device_class]

    def _mix(self, device_class: DeviceClass) -> Mix:
        """The tasks to expect on nodes with such devices, as shapes.

        They are those that are planned there, and a few of all; while there is no plan, all. Those
        without devices are one shape: see Measure.
        """
        everywhere = {profile: weight * profile.nodes for profile, weight in self.weights.items()}
        here = {
            profile: count * self.parts.get(profile, {}).get(device_class, 0.0)
            for profile, count in everywhere.items()
        }
        total, planned = sum(everywhere.values()), sum(here.values())
        astray = ASTRAY if planned else 1.0
        shares: dict[Shape, float] = {}
        for profile, count in everywhere.items():
            shape = shape_on(profile, device_class) if profile.devices else ELSEWHERE
            share = astray * count / total
            share += (1 - astray) * here[profile] / planned if planned else 0.0
            shares[shape] = shares.get(shape, 0.0) + share
        shapes = sorted(shares, key=lambda shape: -shares[shape])[:SHAPES_MOST]
        kept = sum(shares[shape] for shape in shapes)
        return {shape: shares[shape] / kept for shape in shapes}


def given(policy: Policy) -> dict[TaskProfile, float]:
    """What the config says is to be expected; its shares are of device time, ours of tasks.

    A job without devices counts as one with one.
    """
    types, pools = sorted(policy.types), sorted(pool.partition for pool in policy.pools)
    weights: dict[TaskProfile, float] = {}
    for job in policy.expected_jobs:
        profile = TaskProfile(
            tuple(sorted(job.types or types)), tuple(sorted(job.pools or pools)), job.devices,
            job.nodes, job.memory_gib, job.shared, job.cpus, job.memory_mib,
        )  # fmt: skip
        weight = job.share / (max(1, job.devices) * job.nodes)
        weights[profile] = weights.get(profile, 0.0) + weight
    return weights


def forecast(weights: Mapping[TaskProfile, float], inventory: Inventory) -> Forecast:
    """What to expect on the nodes there are; of too many profiles the heaviest."""
    heaviest = sorted(weights, key=lambda profile: -weights[profile])
    kept = [profile for profile in heaviest if profile.devices][:MOST]
    kept += [profile for profile in heaviest if not profile.devices][:BESIDE_MOST]
    devices: Counter[DeviceClass] = Counter()
    for state in inventory.grid.states:
        for device in state.node.devices:
            devices[device_class_of(device, state.node)] += state.count
    return Forecast({p: weights[p] for p in kept if weights[p] > 0}, devices)


def _change(free: Free, taken: int, left: int, count: int) -> Free:
    """The same with `count` gaps of one size turned into another."""
    gaps = list(free.gaps)
    for _ in range(count):
        if taken in gaps:
            gaps[gaps.index(taken)] = left
    return free._replace(gaps=tuple(sorted(gaps, reverse=True)))


def shape_on(profile: TaskProfile, device_class: DeviceClass) -> Shape:
    """What such a task asks of a node with such devices; ELSEWHERE if it cannot go there."""
    if not profile.goes_to(device_class):
        return ELSEWHERE
    if not profile.devices:
        return Shape(profile.cpus, profile.memory_mib, 0, 0, frozenset())
    milli = milli_up(profile.memory_gib, device_class) if profile.takes_share else WHOLE
    return Shape(profile.cpus, profile.memory_mib, profile.devices, milli, frozenset())
