"""The terms of w_tj, the weight of putting task t on device j. Each is in -1..1, named, and shown
by `slurm-het why`; the config's `weights:` say how much each counts, 0 switches one off.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property

from slurm_het.core.forecast import Forecast, Kind, free_on, kind_of
from slurm_het.core.frag import Free
from slurm_het.core.model import Device, DeviceType, Node, Task
from slurm_het.core.policy import Policy


@dataclass(frozen=True)
class Site:
    """What the terms need to know of the whole cluster: its largest memory and speed, its jobs."""

    policy: Policy
    largest_gib: int
    fastest_tflops: float
    forecast: Forecast = field(default_factory=Forecast)
    _free: dict[tuple[str, Kind], Free] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def scale(self) -> dict[str, float]:
        """How much each term counts."""
        return asdict(self.policy.weights)

    def free(self, kind: Kind, node: Node) -> Free:
        """What is free of a kind of device on a node."""
        key = node.name, kind
        if key not in self._free:
            self._free[key] = free_on(kind, node)
        return self._free[key]

    def type(self, name: str) -> DeviceType:
        """The catalogue's entry of a type, or a neutral one."""
        return self.policy.types.get(name) or DeviceType(name, "unknown", self.largest_gib)


def scenario_fit(task: Task, device: Device, site: Site) -> float:
    """How well the device's type fits the task's scenario, 0..1 (catalogue)."""
    return site.type(device.type).fit(task.scenario)


def throughput(task: Task, device: Device, site: Site) -> float:
    """Speed of this class of job on this type, 0..1.

    From the site's table of the job's class, else of its scenario, else relative TFLOPS.
    """
    for row in (task.job_class, task.scenario):
        table = site.policy.throughput.get(row, {})
        if device.type in table:
            return table[device.type]
    return site.type(device.type).tflops / site.fastest_tflops


def fragmentation(task: Task, device: Device, node: Node, site: Site) -> float:
    """Minus the price of the pieces it leaves to the jobs that the site expects, -1..1.

    While nothing is known of those, `leftovers`.
    """
    if site.forecast:
        kind = kind_of(device, node)
        return -site.forecast.price(task, device, kind, site.free(kind, node))
    return leftovers(task, device, node)


def leftovers(task: Task, device: Device, node: Node) -> float:
    """Minus what the placement leaves in pieces, -1..0.

    Whole devices: the share of the node's devices left free beside the task, so that small tasks
    fill broken nodes and whole nodes stay whole. Shared: the share of the device's memory left.
    """
    if task.shared:
        return -max(0, device.free_gib - task.memory_gib) / device.memory_gib
    free = sum(d.empty for d in node.devices)
    asked = max(s.devices for s in task.slots)
    return -max(0, free - asked) / len(node.devices)


def quota(task: Task, device: Device, node: Node, site: Site) -> float:
    """Minus how little such devices are meant for such tasks, -1..0.

    The plan for a full cluster of the expected jobs says it, so that flexible jobs stay off what
    others ask for by name, and what needs many CPUs goes where they are plentiful. Until there is
    a plan: minus the part of such devices that jobs with fewer alternatives are to need.
    """
    if not site.forecast:
        return 0.0
    return -site.forecast.astray(task, kind_of(device, node))


def scarcity(task: Task, device: Device, site: Site) -> float:
    """Minus the device memory the task is not known to need, relative to the largest, -1..0."""
    if task.memory_gib:
        return -max(0, device.memory_gib - task.memory_gib) / site.largest_gib
    return -0.5 * device.memory_gib / site.largest_gib


def preference(device: Device, site: Site) -> float:
    """The admin's preference for the type (config `preference:`)."""
    return site.policy.preference.get(device.type, 0.0)


def terms(task: Task, device: Device, node: Node, site: Site) -> dict[str, float]:
    """The weighted terms by name; w_tj is their sum."""
    raw = {
        "scenario_fit": scenario_fit(task, device, site),
        "throughput": throughput(task, device, site),
        "fragmentation": fragmentation(task, device, node, site),
        "quota": quota(task, device, node, site),
        "scarcity": scarcity(task, device, site),
        "preference": preference(device, site),
    }
    scale = site.scale
    return {name: scale[name] * value for name, value in raw.items() if scale[name]}


def weighted_quota(task: Task, kind: Kind, site: Site) -> float:
    """The term `quota` as it counts, of any device of a kind."""
    return -site.scale["quota"] * site.forecast.astray(task, kind) if site.forecast else 0.0


def weight(task: Task, device: Device, node: Node, site: Site) -> float:
    """w_tj: the sum of the terms."""
    return sum(terms(task, device, node, site).values())
