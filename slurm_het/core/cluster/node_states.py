"""Nodes in the same state are interchangeable: what is decided once per state scales.

A state is everything that the planner looks at: hardware, features, partitions, and what is free.
Which of a node's devices are busy does not matter, only how many are in which state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count

from slurm_het.core.assignment.problem import PDevice, PNode
from slurm_het.core.cluster.device_class import Offer, offer_of
from slurm_het.core.model import Device, Node, Task


@dataclass(frozen=True)
class NodeState:
    """Nodes that differ in name only: `node` is the first of them.

    `kinds` are its devices' states: the index over all states, one such device, how many of them.
    """

    node: Node
    kinds: tuple[tuple[int, Device, int], ...]
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many nodes."""
        return len(self.names)

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """What the weights know of each of `kinds`."""
        return tuple(offer_of(device, self.node) for _, device, _ in self.kinds)

    @cached_property
    def hardware(self) -> tuple[int | bool, ...]:
        """All of a node that bears on what a task needs of it: see fit.need."""
        n = self.node
        return (
            n.cpus, n.memory_mib, n.threads_per_core, n.whole, n.held_exclusively, n.idle,
            *n.closed,
        )  # fmt: skip


@dataclass(frozen=True)
class GridMemory:
    """What was worked out of a grid: no more than a cycle asks, and forgotten with its inventory.

    - `fitting`: the states of nodes that are candidates of a request: see fit.fitting_states;
    - `splits`: the grids that Grid.split made, by the sets of names.
    """

    fitting: dict[Task, tuple[int, ...]] = field(default_factory=dict)
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
        return frozenset((d.type, d.memory_gib) for s in self.states for _, d, _ in s.kinds)

    @cached_property
    def natures(self) -> tuple[int, ...]:
        """By state, the same number for nodes of which fit.misfit says the same.

        Of 1,250 nodes that are all in another state a handful are different in this.
        """
        known: dict[object, int] = {}
        return tuple(
            known.setdefault(
                (
                    s.node.partitions, s.node.usable, s.node.features, s.node.shared,
                    frozenset((d.kind, d.type, d.memory_gib) for _, d, _ in s.kinds),
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
    """Group the nodes by state."""
    found = tuple(nodes)
    return _grid(found, [_state(node) for node in found])


def _state(node: Node) -> tuple[object, ...]:
    return (
        node.cpus, node.cpus_free, node.memory_mib, node.memory_free_mib, node.threads_per_core,
        node.features, node.partitions, node.usable, node.state, node.idle, node.shared,
        node.held_exclusively, node.whole, *node.closed, *sorted(map(_device_state, node.devices)),
    )  # fmt: skip


DeviceState = tuple[str, str, int, int, bool]


def _device_state(device: Device) -> DeviceState:
    return device.kind, device.type, device.memory_gib, device.occupied_gib, not device.holders


def _grid(nodes: tuple[Node, ...], keys: Sequence[tuple[object, ...]]) -> Grid:
    known: dict[tuple[object, ...], int] = {}
    first: list[Node] = []
    kinds: list[dict[DeviceState, int]] = []
    names: list[list[str]] = []
    pnodes: list[PNode] = []
    pdevices: list[PDevice] = []
    numbers = count()
    for n, (node, key) in enumerate(zip(nodes, keys, strict=True)):
        s = known.setdefault(key, len(first))
        if s == len(first):
            first.append(node)
            names.append([])
            kinds.append({state: next(numbers) for state in map(_device_state, node.devices)})
        names[s].append(node.name)
        start, mine = len(pdevices), kinds[s]
        for d in node.devices:
            kind = mine[_device_state(d)]
            pdevices.append(PDevice(n, d.index, d.memory_gib, d.occupied_gib, d.empty, kind))
        end = len(pdevices)
        devices = tuple(range(start, end))
        cpus, memory = max(0, node.cpus_free), max(0, node.memory_free_mib)
        pnodes.append(PNode(node.name, cpus, memory, devices, s))
    states = (
        NodeState(node, _kinds(node, mine), tuple(members))
        for node, mine, members in zip(first, kinds, names, strict=True)
    )
    return Grid(nodes, tuple(pnodes), tuple(pdevices), tuple(states))


def _kinds(node: Node, numbers: dict[DeviceState, int]) -> tuple[tuple[int, Device, int], ...]:
    found = [numbers[_device_state(d)] for d in node.devices]
    one = dict(zip(reversed(found), reversed(node.devices), strict=True))  # the first of each
    return tuple((number, one[number], many) for number, many in Counter(found).items())
