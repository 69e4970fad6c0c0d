"""The terms of w_tj, the weight of putting task t on device j.

Each term is in -1..1, has a name, and is shown by `slurm-het why`. The config's `weights:` say how
much each counts; 0 switches one off. All terms but `fragmentation` are the same for all devices of
a class, but for the nodes that have to be powered up (`weighted_readiness`). `locality` is a term
of a whole placement: v, not w (`placement_terms`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

from slurm_het.core.catalog import DeviceType
from slurm_het.core.cluster.device_class import DeviceClass, device_class_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import SCENARIOS, Device, Node, Scenario, Task
from slurm_het.core.network import leaf_of
from slurm_het.core.policy import Policy
from slurm_het.core.worth.forecast import Forecast
from slurm_het.core.worth.speeds import Timing


@dataclass(frozen=True)
class Site:
    """What the terms need to know of the whole cluster: largest memory, highest speed, its jobs,
    how heavy nodes of each Weight are, 0..1, and which types of devices there are."""

    policy: Policy
    largest_gib: int
    fastest_tflops: float
    forecast: Forecast = field(default_factory=Forecast)
    heaviness: Mapping[int, float] = field(default_factory=dict)
    types: tuple[str, ...] = ()

    @cached_property
    def scale(self) -> dict[str, float]:
        """How much each term counts."""
        return asdict(self.policy.weights)

    @cached_property
    def learned(self) -> dict[tuple[str, str], dict[str, float]]:
        """The speeds of programs by row, scenario and type, 0..1, as far as they are learned."""
        return {
            (row, scenario): _learned_speeds(timing, scenario, self)
            for row, timing in self.forecast.speeds.items()
            for scenario in SCENARIOS
        }

    def type(self, name: str) -> DeviceType:
        """The catalogue's entry of a type, or a neutral one."""
        return self.policy.types.get(name) or DeviceType(name, "unknown", self.largest_gib)


def scenario_fit(task: Task, device_class: DeviceClass, site: Site) -> float:
    """How well the type fits the task's scenario, 0..1 (catalogue)."""
    return site.type(device_class.type).fit(task.scenario)


UNPROVEN = 0.1
"""How much of a promise is believed: so many parts of what slower types are said to be slower.

It chooses among places of equal worth. All of it sends the jobs that may run on either type to the
faster one, which is the scarcer, and those that can only run there wait for a speed that nobody has
seen (bench/RESULTS.md).
"""


def throughput(task: Task, device_class: DeviceClass, site: Site) -> float:
    """Speed of such jobs on this type, 0..1.

    From the site's table of the job's class, else as its user's runs of the program tell, else as
    the type promises.
    """
    given = site.policy.throughput.get(task.job_class, {})
    if device_class.type in given:
        return given[device_class.type]
    if learned := site.learned.get((task.job_class, task.scenario)):
        return learned.get(device_class.type, 0.0)
    return believed_speed(task.scenario, device_class.type, site)


def believed_speed(scenario: Scenario, type_: str, site: Site) -> float:
    """The speed that is believed of a type before any run, 0..1: by the site's table of the
    scenario, else what its TFLOPS promise, of which a part alone where there is no such table."""
    table = site.policy.throughput.get(scenario, {})
    promise = site.type(type_).tflops / site.fastest_tflops
    return table.get(type_, promise if table else 1 - UNPROVEN * (1 - promise))


def _learned_speeds(timing: Timing, scenario: Scenario, site: Site) -> dict[str, float]:
    """What the types promise, corrected by what was learned, relative to the best type here."""
    believed = {name: believed_speed(scenario, name, site) for name in site.types}
    corrections = timing.corrections(believed)
    speeds = {name: speed * corrections.get(name, 1.0) for name, speed in believed.items()}
    best = max(speeds.values(), default=0.0)
    return {name: speed / best for name, speed in speeds.items()} if best else believed


def fragmentation(task: Task, device: Device, node: Node) -> float:
    """Minus what the placement leaves in pieces, -1..0, while nothing is known of the jobs to come.

    Whole devices: the share of the node's devices left free beside the task, so that small tasks
    fill broken nodes and whole nodes stay whole. Shared: the share of the device's memory left.
    """
    if task.takes_share:
        return -max(0, device.free_gib - task.memory_gib) / device.memory_gib
    free = sum(d.empty for d in node.devices)
    asked = max(s.devices for s in task.slots)
    return -max(0, free - asked) / len(node.devices)


def scarcity(task: Task, device_class: DeviceClass, site: Site) -> float:
    """Minus the device memory the task is not known to need, relative to the largest, -1..0."""
    if task.memory_gib:
        return -max(0, device_class.memory_gib - task.memory_gib) / site.largest_gib
    return -0.5 * device_class.memory_gib / site.largest_gib


POWERED_DOWN = -0.1
"""Preference for a node that Slurm has to power up before it can be used."""
HEAVIEST = -0.05
"""Preference for a node of the highest Weight in slurm.conf: Slurm takes those last."""


def preference(device_class: DeviceClass, site: Site) -> float:
    """The admin's preference for the type (config `preference:`)."""
    return site.policy.preference.get(device_class.type, 0.0)


def weighted_readiness(node: Node, site: Site) -> float:
    """What of a node itself adds to `preference`, as it counts.

    Of equal nodes those that are up thus come first, then those of a low Weight.
    """
    down = POWERED_DOWN if node.powered_down else 0.0
    return site.scale["preference"] * (down + HEAVIEST * site.heaviness.get(node.weight, 0.0))


def class_terms(task: Task, device_class: DeviceClass, site: Site) -> dict[str, float]:
    """The weighted terms that are the same for all devices of a class, by name."""
    raw = {
        "scenario_fit": scenario_fit(task, device_class, site),
        "throughput": throughput(task, device_class, site),
        "scarcity": scarcity(task, device_class, site),
        "preference": preference(device_class, site),
    }
    return {name: site.scale[name] * value for name, value in raw.items()}


def weighted_fragmentation(task: Task, device: Device, node: Node, site: Site) -> float:
    """The term `fragmentation` as it counts; 0 where the problem's prices say it."""
    scale = 0.0 if site.forecast.appraisal else site.scale["fragmentation"]
    return scale * fragmentation(task, device, node) if scale else 0.0


def terms(task: Task, device: Device, node: Node, site: Site) -> dict[str, float]:
    """The weighted terms by name, those that count; w_tj is their sum.

    Where there are prices, `fragmentation` is theirs to say (Remaining.term), and 0 here.
    """
    weighted = class_terms(task, device_class_of(device, node), site)
    weighted["fragmentation"] = weighted_fragmentation(task, device, node, site)
    weighted["preference"] += weighted_readiness(node, site)
    return {
        name: weighted[name] for name, scale in site.scale.items() if scale and name in weighted
    }


def weight(task: Task, device: Device, node: Node, site: Site) -> float:
    """w_tj: the sum of the terms."""
    return sum(terms(task, device, node, site).values())


def placement_terms(near: float, site: Site) -> dict[str, float]:
    """The weighted terms of a whole placement by name, those that count: v of a group of nodes.

    `near` is its `locality`. Each counts once for every device that is placed, so that it is of
    the size of the others.
    """
    raw = {"locality": near}
    return {name: site.scale[name] * value for name, value in raw.items() if site.scale[name]}


def locality(nodes: Sequence[Node]) -> float:
    """How near the nodes of a placement are to each other, 0..1; 0 if that is unknown.

    1 if all are under one leaf switch or in one base block, 0 if each is in another.
    """
    leaves = {leaf_of(node.parts) for node in nodes}
    return 0.0 if "" in leaves else nearness(len(leaves), len(nodes))


def nearness(leaves: int, nodes: int) -> float:
    """`locality` of so many nodes in so many leaves."""
    return (nodes - leaves) / (nodes - 1) if nodes > 1 else 1.0


def site_of(inventory: Inventory, policy: Policy, expected: Forecast | None = None) -> Site:
    """The cluster-wide figures the weights are relative to, and the jobs it expects."""
    sizes = inventory.grid.sizes
    heavy = sorted({state.node.weight for state in inventory.grid.states})
    speeds = (policy.types[name].tflops for name, _ in sizes if name in policy.types)
    return Site(
        policy=policy,
        largest_gib=max((gib for _, gib in sizes), default=1),
        fastest_tflops=max(speeds, default=1),
        forecast=Forecast() if expected is None else expected,
        heaviness={weight: n / max(1, len(heavy) - 1) for n, weight in enumerate(heavy)},
        types=tuple(sorted({name for name, _ in sizes})),
    )
