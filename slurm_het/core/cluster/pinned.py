"""What released jobs take before they run: Slurm does not count that, so we do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from slurm_het.core.assignment.problem import Need
from slurm_het.core.cluster.ailing import ails
from slurm_het.core.cluster.fit import gets_ailing, need, serving
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import emptied, promise, take
from slurm_het.core.model import Device, Node, Placement, Slot, Task


@dataclass(frozen=True, slots=True)
class Pin:
    """A released task: what it asked, where it goes, and since when (monotonic seconds).

    `start` is 0 for a task that should start at once. A task that is pinned ahead, to nodes that
    are not free yet, starts at `start` (epoch seconds) at the latest. `num_nodes` are the
    numbers of nodes that the job asked for, such as 1-2, if its release set another; '' if not, or
    not known.
    `own_exc_nodes` are those that its user excludes; None: all that the task is kept off.
    `gives_back` are the fields of an update with which it asks for its user's GRES again, where its
    release wrote others. `preempts` are the keys of the jobs that Slurm is to preempt for it, and
    `patience` the seconds that they are given to end. A `tentative` one was given its nodes by the
    hook, as the cycle before it had left them. One that is `due` was pinned ahead, and its nodes
    are free by now.
    """

    task: Task
    placement: Placement
    since: float
    start: float = 0.0
    num_nodes: str = ""
    preempts: tuple[str, ...] = ()
    patience: float = 0.0
    tentative: bool = False
    due: bool = False
    own_exc_nodes: frozenset[str] | None = None
    gives_back: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_line(self) -> bool:
        """Whether it was released without any nodes: Slurm places it."""
        return not self.placement.nodes


def ailing_for(pin: Pin, name: str, node: Node) -> Device | None:
    """The device that Slurm would give the task on one of its nodes, and that cannot serve it.

    Of one that is pinned ahead, once those who are there have ended: but for who holds a device
    that ails. He may go on, and then Slurm gives it to nobody.
    """
    if not node.ailing:
        return None
    slots = dict(zip(pin.placement.nodes, pin.task.slots, strict=False))
    there = emptied(node) if pin.start else node
    if pin.start:
        pairs = zip(node.devices, there.devices, strict=True)
        devices = tuple(now if ails(now) and now.holders else then for now, then in pairs)
        there = replace(there, devices=devices)
    return gets_ailing(pin.task, slots[name], there) if name in slots else None


def room_beside(inventory: Inventory, pins: Iterable[Pin]) -> Inventory:
    """The inventory with the pins' devices, CPUs and host memory taken.

    Pins ahead take nothing: what they wait for is still held by others.
    """
    nodes = dict(inventory.nodes)
    for pin in pins:
        where = zip(pin.placement.nodes, pin.placement.devices, pin.task.slots, strict=False)
        for name, indexes, slot in where:
            if node := nodes.get(name):
                nodes[name] = _with_pin(node, pin, slot, indexes)
    return replace(inventory, nodes=nodes)


def _with_pin(node: Node, pin: Pin, slot: Slot, indexes: tuple[int, ...]) -> Node:
    if pin.start:
        return promise(node, pin.task)
    return take(node, pin.task, _there(pin.task, node, indexes), needs_of(pin, slot, node))


def needs_of(pin: Pin, slot: Slot, node: Node) -> Need | None:
    """What a released task takes of one of its nodes, in the pool that it was released to."""
    pools = (pin.placement.partition,)
    task = pin.task if pin.task.pools == pools else replace(pin.task, pools=pools)
    return need(task, slot, node)


def _there(task: Task, node: Node, indexes: tuple[int, ...]) -> tuple[int, ...]:
    """Those devices if they are free; else as many others that are, if there are so many.

    A requeued job's devices are those of its last start, which others may hold by now.
    """
    free = serving(task, node)
    if set(indexes) <= set(free) or len(free) < len(indexes):
        return indexes
    return free[: len(indexes)]
