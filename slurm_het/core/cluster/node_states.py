"""States of nodes and devices: what is equal to the planner is worked out once.

The state of a node is everything that the planner looks at: hardware, features, partitions, and
what is free. Which of its devices are busy does not matter, only how many are in which state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from itertools import count
from typing import NamedTuple

from slurm_het.core.assignment.problem import PDevice, PNode
from slurm_het.core.cluster.device_class import DeviceClass, device_class_of
from slurm_het.core.model import Device, Node, Task


class DeviceState(NamedTuple):
    """Devices of a node that differ in position only: `device` is the first of them.

    `number` is that of the state, over all nodes of the grid; `per_node` is how many there are on
    each node of its state.
    """

    number: int
    device: Device
    per_node: int


@dataclass(frozen=True)
class NodeState:
    """Nodes that differ in name only: `node` is the first of them."""

    node: Node
    device_states: tuple[DeviceState, ...]
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many nodes."""
        return len(self.names)

    @cached_property
    def classes(self) -> tuple[DeviceClass, ...]:
        """The class of each of `device_states`."""
        return tuple(device_class_of(state.device, self.node) for state in self.device_states)

    @cached_property
    def needs_key(self) -> tuple[object, ...]:
        """All that decides what a task needs of such a node: see fit.need."""
        n = self.node
        return (
            n.cpus, n.memory_mib, n.threads_per_core, n.exclusive_in, n.held_exclusively, n.idle,
            n.partitions, n.closed_to(shares=True), n.closed_to(shares=False), own_name(n),
        )  # fmt: skip


@dataclass(frozen=True)
class GridMemory:
    """What was worked out of a grid: no more than a cycle asks, and forgotten with its inventory.

    - `fitting`: the states of nodes that are candidates of a request: see fit.fitting_states;
    - `startable`: whether such a task could start: see fit.could_start;
    - `ever`: whether it could if nothing ran there: see fit.could_ever_start;
    - `spread`: the lots on each node of one that has to be spread: see lots.spread;
    - `left_alone`: whether Slurm gives such a task what fits: see planner/slurms_line.py;
    - `splits`: the grids that Grid.split made, by the sets of names.
    """

    fitting: dict[Task, tuple[int, ...]] = field(default_factory=dict)
    startable: dict[Task, bool] = field(default_factory=dict)
    ever: dict[Task, bool] = field(default_factory=dict)
    spread: dict[Task, tuple[int, ...]] = field(default_factory=dict)
    left_alone: dict[Task, bool] = field(default_factory=dict)
    splits: dict[tuple[frozenset[str], ...], Grid] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """The nodes and devices as the problem numbers them, and the states they are in.

    `known` is no part of the value but what was worked out from it.
    """

    nodes: tuple[Node, ...]
    pnodes: tuple[PNode, ...]
    pdevices: tuple[PDevice, ...]
    states: tuple[NodeState, ...]
    known: GridMemory = field(default_factory=GridMemory, compare=False, repr=False)

    @cached_property
    def sizes(self) -> frozenset[tuple[str, int]]:
        """Type and memory (GiB) of all devices."""
        return frozenset((d.type, d.memory_gib) for s in self.states for _, d, _ in s.device_states)

    @cached_property
    def natures(self) -> tuple[int, ...]:
        """By state, the same number for nodes of which fit.misfit says the same.

        Of 1,250 nodes that are all in another state a handful are different in this.
        """
        known: dict[object, int] = {}
        return tuple(
            known.setdefault(
                (
                    s.node.partitions, s.node.usable, s.node.features, s.node.has_shards,
                    s.node.sockets,
                    frozenset((d.gres, d.type, d.memory_gib) for _, d, _ in s.device_states),
                ),
                len(known),
            )
            for s in self.states
        )  # fmt: skip

    @cached_property
    def state_of(self) -> dict[str, int]:
        """The state (its index) of each node by name."""
        return {node.name: node.state for node in self.pnodes}

    def split(self, named: Iterable[frozenset[str]]) -> Grid:
        """The same, but nodes of one state are all in each of these sets of names, or none is."""
        sets = tuple(names for names in dict.fromkeys(named) if names)
        if not sets:
            return self
        if sets not in self.known.splits:
            marks = {name: tuple(name in s for s in sets) for name in frozenset().union(*sets)}
            none = (False,) * len(sets)
            keys = [(p.state, marks.get(p.name, none)) for p in self.pnodes]
            self.known.splits[sets] = _grid(self.nodes, keys)
        return self.known.splits[sets]


def grid_of(nodes: Iterable[Node]) -> Grid:
    """The nodes grouped by state."""
    listed = tuple(nodes)
    return _grid(listed, [_node_key(node) for node in listed])


def _node_key(node: Node) -> tuple[object, ...]:
    """Worked out once for a node: most are the same objects from cycle to cycle."""
    return node.once("key", partial(_new_key, node))


def _new_key(node: Node) -> tuple[object, ...]:
    return (
        node.cpus, node.cpus_free, node.memory_mib, node.memory_free_mib, node.threads_per_core,
        node.features, node.partitions, node.usable, node.state, node.idle, node.has_shards,
        node.held_exclusively, node.exclusive_in, node.cpu_caps, node.weight,
        node.sockets,
        node.closed_to(shares=True), node.closed_to(shares=False), own_name(node),
        *sorted(_device_keys(node)),
    )  # fmt: skip


def own_name(node: Node) -> str:
    """A node with an ailing device is like no other: the order of its devices decides."""
    return node.name if node.ailing else ""


_DeviceKey = tuple[str, str, int, int, int, bool]


def _device_key(device: Device) -> _DeviceKey:
    return (
        device.gres, device.type, device.memory_gib, device.occupied_gib, device.excess_gib,
        not device.holders,
    )  # fmt: skip


def _device_keys(node: Node) -> tuple[_DeviceKey, ...]:
    """By device; equal ones are one object, so that they are told apart by their ids."""
    return node.once("device keys", lambda: _one_object(tuple(map(_device_key, node.devices))))


_Build = tuple[object, ...]


def build_of(node: Node) -> _Build:
    """Its devices, size, features and partitions: what runs there, and the state, do not count.
    That of nodes that are built alike is one object."""
    return node.once("build", partial(_new_build, node))


def _new_build(node: Node) -> _Build:
    devices = tuple((d.gres, d.type, d.vendor, d.memory_gib) for d in node.devices)
    size = node.cpus, node.memory_mib, node.sockets
    return _one_build((devices, *size, node.features, node.partitions))


@lru_cache(maxsize=1 << 12)
def _one_build(build: _Build) -> _Build:
    return build


@lru_cache(maxsize=1 << 16)
def _one_object(keys: tuple[_DeviceKey, ...]) -> tuple[_DeviceKey, ...]:
    return keys


class _Place(NamedTuple):
    """Where a node is in a grid: its number, that of its first device, of its state, and the
    numbers of its devices' states."""

    number: int
    start: int
    state: int
    numbers: tuple[int, ...]


_MOST_PLACES = 8
"""A cycle has a few grids, and the next one most of these anew."""


def _placed(node: Node, place: _Place) -> tuple[PNode, tuple[PDevice, ...]]:
    """The node and its devices as the problem numbers them."""
    known = node.once("places", dict[_Place, tuple[PNode, tuple[PDevice, ...]]])
    found = known.get(place)
    if found is None:
        if len(known) >= _MOST_PLACES:
            known.clear()
        pdevices = tuple(
            PDevice(
                place.number, d.index, d.memory_gib,
                min(d.memory_gib, d.occupied_gib + d.excess_gib), d.empty, number,
            )
            for d, number in zip(node.devices, place.numbers, strict=True)
        )  # fmt: skip
        devices = tuple(range(place.start, place.start + len(pdevices)))
        cpus, memory_mib = max(0, node.cpus_free), max(0, node.memory_free_mib)
        found = PNode(node.name, cpus, memory_mib, devices, place.state), pdevices
        known[place] = found
    return found


def _grid(nodes: tuple[Node, ...], keys: Sequence[tuple[object, ...]]) -> Grid:
    """The grid in which nodes of one key are in one state."""
    known: dict[tuple[object, ...], int] = {}
    first: list[Node] = []
    numbers: list[dict[_DeviceKey, int]] = []  # of the devices' states, by state of nodes
    names: list[list[str]] = []
    pnodes: list[PNode] = []
    pdevices: list[PDevice] = []
    # By a node's state, and its devices, which are kept lest others get their id.
    numbered: dict[tuple[int, int], tuple[object, tuple[int, ...]]] = {}
    unused = count()
    for n, (node, key) in enumerate(zip(nodes, keys, strict=True)):
        s = known.setdefault(key, len(first))
        if s == len(first):
            first.append(node)
            names.append([])
            numbers.append({state: next(unused) for state in _device_keys(node)})
        names[s].append(node.name)
        devices = _device_keys(node)
        like = s, id(devices)
        if like not in numbered:
            numbered[like] = devices, tuple(map(numbers[s].__getitem__, devices))
        pnode, mine = _placed(node, _Place(n, len(pdevices), s, numbered[like][1]))
        pnodes.append(pnode)
        pdevices.extend(mine)
    states = (
        NodeState(node, _device_states(node, mine), tuple(members))
        for node, mine, members in zip(first, numbers, names, strict=True)
    )
    return Grid(nodes, tuple(pnodes), tuple(pdevices), tuple(states))


def _device_states(node: Node, numbers: dict[_DeviceKey, int]) -> tuple[DeviceState, ...]:
    mine = [numbers[_device_key(d)] for d in node.devices]
    one = dict(zip(reversed(mine), reversed(node.devices), strict=True))  # the first of each
    return tuple(DeviceState(number, one[number], many) for number, many in Counter(mine).items())
