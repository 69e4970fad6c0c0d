"""slurm-het's own `plan()` on openb: inventory, tasks, forecast, weights, first-fit or the MIP.

A thousandth of a device counts as a GiB of it, a thousandth of a CPU as a CPU. slurm-het places no
jobs without devices, but its forecast knows of them: here they go to the class of devices where the
plan for a full cluster has them, and there to where they cost the least by FGD's measure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

from bench.fgd import Chooser, Move, fragmentation_cost
from bench.openb_policy import solved
from slurm_het.core.catalog import Catalog, DeviceType
from slurm_het.core.cluster.device_class import DeviceClass, device_class_of
from slurm_het.core.cluster.gaps import (
    WHOLE,
    Free,
    NodeModel,
    Shape,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import taken_by
from slurm_het.core.model import Device, Node, Placement, Slot, Task
from slurm_het.core.planner.plan import Solve, plan, select
from slurm_het.core.policy import Policy, Pool
from slurm_het.core.worth.forecast import Forecast, forecast
from slurm_het.core.worth.fragmentation import Mix
from slurm_het.core.worth.full_cluster import held_on, with_parts
from slurm_het.core.worth.profiles import TaskProfile, profile_of

POOL = "pool"


class Outlook:
    """What follows from the trace alone, for all runs: empty nodes, policy, forecast, prices."""

    def __init__(self, nodes: Mapping[NodeModel, int], mix: Mix) -> None:
        made = [_node(model, i) for model, count in nodes.items() for i in range(count)]
        self.nodes = {node.name: node for node in made}
        self.models = frozenset(model.model for model in nodes)
        types = {model: DeviceType(model, "vendor", WHOLE) for model in self.models}
        self.policy = Policy("accel", (Pool(POOL, "training", ("vendor",)),), {}, Catalog(types))
        weights: Counter[TaskProfile] = Counter()
        for shape, share in mix.items():
            weights[profile_of(self.task("", shape))] += share  # type: ignore[assignment]
        self.forecast: Forecast = with_parts(forecast(weights, Inventory(self.nodes)), solved)
        self.cpu_chooser = Chooser(fragmentation_cost(mix))

    def task(self, key: str, pod: Shape) -> Task:
        """A pod as a task."""
        share = pod.milli < WHOLE
        slot = Slot(pod.devices, pod.cpus, pod.memory_mib)
        return Task(
            key, 0, "user", "training", pod.models or self.models, (slot,), (POOL,), share,
            pod.milli if share else 0,
        )  # fmt: skip


def _node(model: NodeModel, number: int) -> Node:
    name = f"{model.model}-{model.cpus}-{model.memory_mib}-{model.devices}-{number}"
    devices = tuple(
        Device(name, i, model.model, "vendor", WHOLE, gres=f"gpu:{model.model}")
        for i in range(model.devices)
    )
    return Node(
        name, True, "IDLE", model.cpus, model.cpus, model.memory_mib, model.memory_mib, 1,
        frozenset({model.model}), (POOL,), devices, True, has_shards=True,
    )  # fmt: skip


class Planner:
    """Plans window by window, in the order of arrival; places all that fits."""

    def __init__(self, outlook: Outlook, solve: Solve) -> None:
        self.outlook, self.solve = outlook, solve
        self.nodes = dict(outlook.nodes)
        self.profiles: dict[str, TaskProfile] = {}
        self.without: dict[TaskProfile, Counter[DeviceClass]] = defaultdict(Counter)
        self.count = 0

    def window(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        """The pods placed, by index, and how."""
        moves = [(i, move) for i, p in enumerate(pods) if not p.devices and (move := self._cpu(p))]
        return moves + self._accelerated(pods)

    def _accelerated(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        outlook, inventory = self.outlook, Inventory(dict(self.nodes))
        first, self.count = self.count, self.count + len(pods)
        tasks = [outlook.task(f"{first + i}", p) for i, p in enumerate(pods) if p.devices]
        expected = outlook.forecast.now(held_on(inventory, self.profiles))
        window = select(inventory, tasks, len(tasks))
        made = plan(inventory, window, outlook.policy, self.solve, expected)
        asked = {task.key: task for task in window}
        found = []
        for placement in made.placements:
            task = asked[placement.key]
            self.profiles[task.key] = profile_of(task)
            found.append((int(task.key) - first, self._take(task, placement)))
        return found

    def _take(self, task: Task, placement: Placement) -> Move:
        node, slot = self.nodes[placement.nodes[0]], task.slots[0]
        chosen = placement.devices[0]
        devices = tuple(taken_by(d, task) if d.index in chosen else d for d in node.devices)
        return self._change(node, slot.cpus, slot.memory_mib, devices)

    def _cpu(self, pod: Shape) -> Move | None:
        task = self.outlook.task("", pod)
        profile = profile_of(task)
        expected = self.outlook.forecast.now({profile: self.without[profile]})
        states: dict[DeviceClass, dict[Free, Node]] = defaultdict(dict)
        for node in self.nodes.values():
            states[device_class_of(node.devices[0], node)][_free(node)] = node
        for device_class in sorted(expected.devices, key=lambda one: expected.astray(task, one)):
            here = states[device_class]
            if move := self.outlook.cpu_chooser.best(dict.fromkeys(here, 1), pod):
                self.without[profile][device_class] += 1
                return self._change(here[move[0]], pod.cpus, pod.memory_mib)
        return None

    def _change(
        self, node: Node, cpus: int, memory: int, devices: tuple[Device, ...] | None = None
    ) -> Move:
        after = replace(
            node, cpus_free=node.cpus_free - cpus, memory_free_mib=node.memory_free_mib - memory,
            devices=devices or node.devices,
        )  # fmt: skip
        self.nodes[node.name] = after
        return _free(node), _free(after)


def _free(node: Node) -> Free:
    gaps = sorted((device.free_gib for device in node.devices), reverse=True)
    return Free(node.devices[0].type, node.cpus_free, node.memory_free_mib, tuple(gaps))
