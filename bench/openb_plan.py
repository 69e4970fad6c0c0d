"""hetd's planner on openb: inventory, tasks, forecast, prices, first-fit or the solver.

A thousandth of a device counts as a GiB of it, a thousandth of a CPU as a CPU. hetd places no jobs
without devices, but its forecast knows of them: here they go to where they cost the least by its
prices, those of a window before the others. The prices are found anew every EVERY pods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from bench.fgd import Move
from bench.fragmentation import Mix
from bench.gaps import (
    WHOLE,
    Free,
    NodeModel,
    Shape,
)
from slurm_het.core.assignment.prices import Load, NodePrices, Prices, Room
from slurm_het.core.catalog import Catalog, DeviceType
from slurm_het.core.cluster.device_class import DeviceClass, device_class_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import taken_by
from slurm_het.core.model import Device, Node, Placement, Slot, Task
from slurm_het.core.planner.plan import Solve, plan, select
from slurm_het.core.policy import Policy, Pool
from slurm_het.core.worth.forecast import Forecast, forecast
from slurm_het.core.worth.pricing import prices_now, question
from slurm_het.core.worth.profiles import TaskProfile, profile_of
from slurm_het.solve.fluid import solve_fluid

POOL = "pool"
EVERY = 500


class Given(NamedTuple):
    """What a pod (its index in the window) has got: devices of a node, and how that changes."""

    pod: int
    node: str
    devices: tuple[int, ...]
    move: Move


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
        self.forecast: Forecast = forecast(weights)

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
        self.expected = outlook.forecast
        self.renew_at = 0
        self.rooms: dict[str, Room] = {}
        self.prices: Prices
        self.classes: tuple[DeviceClass, ...] = ()
        self.now: NodePrices
        self.count = 0

    def window(self, pods: list[Shape]) -> list[tuple[int, Move]]:
        """The pods placed, by index, and how."""
        return [(given.pod, given.move) for given in self.given(pods)]

    def given(self, pods: list[Shape]) -> list[Given]:
        """The same, with the places."""
        if self.count >= self.renew_at:
            self.renew_at += EVERY
            self._renew()
        without = (self._cpu(i, pod) for i, pod in enumerate(pods) if not pod.devices)
        return [*filter(None, without), *self._accelerated(pods)]

    def give_back(self, pod: Shape, name: str, indexes: tuple[int, ...]) -> None:
        """A pod has ended."""
        node = self.nodes[name]
        devices = tuple(_freed(d, pod.milli) if d.index in indexes else d for d in node.devices)
        self._change(node, -pod.cpus, -pod.memory_mib, devices)

    def _renew(self) -> None:
        grid = Inventory(dict(self.nodes)).grid
        asked = question(self.outlook.forecast.weights, grid)
        prices = solve_fluid(asked.fluid, 60.0) if asked else None
        if asked and prices:
            known = asked.appraisal(prices)
            self.expected = replace(self.outlook.forecast, appraisal=known)
            self.now = prices_now(known, grid, 1.0)
            self.prices, self.classes, self.rooms = prices, asked.classes, {}

    def _accelerated(self, pods: list[Shape]) -> list[Given]:
        outlook, inventory = self.outlook, Inventory(dict(self.nodes))
        expected = self.expected
        if expected.appraisal:
            self.now = prices_now(expected.appraisal, inventory.grid, 1.0)
        first, self.count = self.count, self.count + len(pods)
        tasks = [outlook.task(f"{first + i}", p) for i, p in enumerate(pods) if p.devices]
        window = select(inventory, tasks, len(tasks))
        made = plan(inventory, window, outlook.policy, self.solve, expected)
        asked = {task.key: task for task in window}
        return [
            Given(int(p.key) - first, p.nodes[0], p.devices[0], self._take(asked[p.key], p))
            for p in made.placements
        ]

    def _take(self, task: Task, placement: Placement) -> Move:
        node, slot = self.nodes[placement.nodes[0]], task.slots[0]
        chosen = placement.devices[0]
        devices = tuple(taken_by(d, task) if d.index in chosen else d for d in node.devices)
        return self._change(node, slot.cpus, slot.memory_mib, devices)

    def _cpu(self, index: int, pod: Shape) -> Given | None:
        asked = Load(0, 0, pod.cpus, 0)
        best: tuple[float, Node] | None = None
        tried: set[Room] = set()
        for node in self.nodes.values():
            if node.cpus_free >= pod.cpus and node.memory_free_mib >= pod.memory_mib:
                room = self.rooms.get(node.name)
                if room is None:
                    room = self.rooms[node.name] = self._room(node)
                if room in tried:
                    continue
                tried.add(room)
                cost = self.now.cost(asked, room, ())
                if best is None or cost < best[0]:
                    best = cost, node
        if best is None:
            return None
        node = best[1]
        return Given(index, node.name, (), self._change(node, pod.cpus, pod.memory_mib))

    def _room(self, node: Node) -> Room:
        prices, classes = self.prices, self.classes
        table = classes.index(device_class_of(node.devices[0], node))
        rows = sorted((table, prices.tables[table].row(d.free_gib, d.empty)) for d in node.devices)
        memory = node.memory_free_mib if any(prices.memory) else 0
        return Room(node.cpus_free, memory, tuple(rows))

    def _change(
        self, node: Node, cpus: int, memory: int, devices: tuple[Device, ...] | None = None
    ) -> Move:
        after = replace(
            node, cpus_free=node.cpus_free - cpus, memory_free_mib=node.memory_free_mib - memory,
            devices=devices or node.devices,
        )  # fmt: skip
        self.nodes[node.name] = after
        self.rooms.pop(node.name, None)
        return _free(node), _free(after)


def _freed(device: Device, milli: int) -> Device:
    """The device once one of its holders has gone. All of them are as good."""
    left = device.occupied_gib - milli
    in_shares = device.in_shares and left > 0
    return replace(device, occupied_gib=left, holders=device.holders[1:], in_shares=in_shares)


def _free(node: Node) -> Free:
    gaps = sorted((device.free_gib for device in node.devices), reverse=True)
    return Free(node.devices[0].type, node.cpus_free, node.memory_free_mib, tuple(gaps))
