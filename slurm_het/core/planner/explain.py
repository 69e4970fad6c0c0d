"""Why a task waits, in device terms: what it needs, and what comes nearest to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import nsmallest
from itertools import compress
from math import inf
from operator import not_
from typing import NamedTuple

from slurm_het.core.cluster.ailing import ails, what_ails
from slurm_het.core.cluster.fit import (
    cpus_free_for,
    fits_device,
    fits_type,
    fitting_states,
    gets_ailing,
    grid_for,
    has_host_room,
    misfit,
    need,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import NodeState
from slurm_het.core.model import Device, Placement, Slot, Task
from slurm_het.core.reasons import (
    BesideAiling,
    CanStart,
    GoesToOthers,
    HostTooSmall,
    Misfit,
    NeedsWholeNode,
    NoCandidate,
    NodesTooSmall,
    NodeTaken,
    NoRoomBeside,
    NotTogether,
    OnlyBehindAiling,
    Reason,
    There,
    TooFewAble,
    TooFewFree,
    TooFewNodes,
    Unfit,
    Wanted,
    WouldMix,
)
from slurm_het.core.reasons.node import PASSES


def explain(
    task: Task,
    inventory: Inventory,
    placed: Iterable[Placement] = (),
    tasks: Iterable[Task] = (),
) -> Reason:
    """The reason. `placed` are this cycle's placements: they may have taken what was free."""
    reason = _explain(task, inventory, placed, tasks)
    ailing = tuple(_ailing(task, inventory)) if isinstance(reason, _OF_DEVICES) else ()
    return BesideAiling(reason, ailing) if ailing else reason


def _ailing(task: Task, inventory: Inventory) -> Iterator[str]:
    """The devices that could serve it, were they what Slurm takes them for."""
    for node in inventory.nodes.values():
        if node.ailing and not misfit(task, node):
            for device in node.devices:
                if ails(device) and fits_type(task, device) and not fits_device(task, device):
                    yield f"{node.name}:{device.index} ({what_ails(device)})"


def _explain(
    task: Task, inventory: Inventory, placed: Iterable[Placement], tasks: Iterable[Task]
) -> Reason:
    grid = grid_for(task, inventory)
    fits = [grid.states[s] for s in fitting_states(task, grid)]
    candidates = [state for state in fits if _names(state, task)]
    wanted = _wanted(task, candidates)
    if not candidates:
        return NoCandidate(wanted, task.pools, tuple(_unfit(task, inventory)))
    able = [state for state in candidates if _ever(task, state) >= wanted.devices]
    if len(names := _all_names(able, task)) < wanted.nodes:
        away = tuple(one for one in _unfit(task, inventory) if one[0].what in PASSES)
        if able or away:
            return TooFewAble(wanted, tuple(names), away)
        most = max(candidates, key=lambda state: len(state.node.devices)).node
        return NodesTooSmall(wanted, most.name, len(most.devices))
    free = [state for state in able if _free(task, state) >= wanted.devices]
    if len(_all_names(free, task)) < wanted.nodes:
        return _nearest(wanted, task, (able, free), inventory)
    room = [has_host_room(task, _hungriest(task), state.node) for state in free]
    names = _all_names(compress(free, room), task)
    if len(names) < wanted.nodes:
        why = _host_nearest(task, list(compress(free, map(not_, room))))
        return replace(why, wanted=wanted.nodes, elsewhere=tuple(names))
    if ahead := _ahead(task, placed, tasks, set(names)):
        return GoesToOthers(wanted, ahead)
    return CanStart("the next plan") if len(task.slots) == 1 else NotTogether(wanted)


def _wanted(task: Task, candidates: Sequence[NodeState]) -> Wanted:
    """What it cannot have: its most devices on as many nodes as get so many, or the next fewer."""
    asked = [
        Wanted(most, sum(s.devices >= most for s in task.slots), task.memory_gib, task.takes_share)
        for most in sorted({slot.devices for slot in task.slots}, reverse=True)
    ]

    def nodes(has: Callable[[Task, NodeState], int], devices: int) -> int:
        return len(_all_names((s for s in candidates if has(task, s) >= devices), task))

    short = (w for has in (_ever, _free) for w in asked if nodes(has, w.devices) < w.nodes)
    return next(short, asked[0]) if len(asked) > 1 else asked[0]


_OF_DEVICES = (TooFewFree, TooFewNodes, OnlyBehindAiling)
"""The reasons that may lie in ailing devices."""


def _names(state: NodeState, task: Task) -> list[str]:
    """The nodes of a state that the task does not exclude."""
    return [name for name in state.names if name not in task.exc_nodes]


def _all_names(states: Iterable[NodeState], task: Task) -> list[str]:
    return [name for state in states for name in _names(state, task)]


def _free(task: Task, state: NodeState) -> int:
    return sum(many for _, device, many in state.device_states if fits_device(task, device))


def _ever(task: Task, state: NodeState) -> int:
    return sum(many for _, device, many in state.device_states if fits_type(task, device))


def _nearest(
    wanted: Wanted, task: Task, states: tuple[list[NodeState], list[NodeState]], on: Inventory
) -> Reason:
    """Of the nodes that could have as many devices, and those that have them free."""
    able, free = states
    if have := _all_names(free, task):
        others = (_way(wanted, task, on, name) for name in _all_names(able, task))
        ways = [way for way in others if way.name not in have]
        then = nsmallest(wanted.nodes - len(have), ways, key=_until)
        return TooFewNodes(wanted, tuple(have), tuple(way.name for way in then), _there(then, on))
    if task.takes_share:
        return _nearest_share(wanted, task, able, on)
    most = max(_free(task, state) for state in able)
    names = _all_names((state for state in able if _free(task, state) == most), task)
    best = min((_way(wanted, task, on, name) for name in names), key=_until)
    return TooFewFree(wanted, best.name, str(most), _there([best], on))


def _nearest_share(wanted: Wanted, task: Task, able: list[NodeState], on: Inventory) -> Reason:
    def gib(device: Device) -> int:
        return device.free_gib if fits_type(task, device) else -1

    roomy = max(able, key=lambda state: max(map(gib, state.node.devices)))
    device = max(on.nodes[_names(roomy, task)[0]].devices, key=gib)
    name = f"{device.node}:{device.index}"
    way = _Way(name, tuple(one for one in on.coming_free[device.node] if one[1] is device))
    return TooFewFree(wanted, name, f"{device.free_gib} GiB", _there([way], on))


class _Way(NamedTuple):
    """The devices that have to come free in one place, and when each is empty at the latest."""

    name: str
    devices: tuple[tuple[float, Device], ...]


def _way(wanted: Wanted, task: Task, on: Inventory, name: str) -> _Way:
    """Those of a node that come first, as many as it has too few."""
    fitting = [one for one in on.coming_free[name] if fits_type(task, one[1])]
    taken = [one for one in fitting if not fits_device(task, one[1])]
    return _Way(name, tuple(taken[: max(0, wanted.devices - len(fitting) + len(taken))]))


def _until(way: _Way) -> float:
    return max((end for end, _ in way.devices), default=inf)


def _there(ways: Sequence[_Way], on: Inventory) -> There:
    """Who has to end for that. Who is released and does not run yet is not there."""
    holders = [key for way in ways for _, device in way.devices for key in device.holders]
    until = max(map(_until, ways), default=inf)
    return There(
        tuple(key for key in dict.fromkeys(holders) if key in on.ends), until if until < inf else 0
    )


def _host_nearest(task: Task, states: list[NodeState]) -> NoRoomBeside:
    """Of nodes that have the devices free, and no room beside them."""
    slot, nodes = _hungriest(task), {_names(state, task)[0]: state.node for state in states}
    if task.exclusive and (busy := [name for name, node in nodes.items() if not node.idle]):
        return NeedsWholeNode(busy[0])
    if able := {name: needs for name, node in nodes.items() if (needs := need(task, slot, node))}:
        free = {name: (cpus_free_for(task, nodes[name]), nodes[name].memory_free_mib)
                for name in able}  # fmt: skip
        best = max(able, key=lambda name: free[name])
        return HostTooSmall(*able[best], best, *free[best])
    if closed := [s for s in states if s.node.closed_to(shares=task.takes_share)]:
        return WouldMix(tuple(_all_names(closed, task)), task.takes_share)
    if ailing := [s for s in states if s.node.ailing and gets_ailing(task, slot, s.node)]:
        return OnlyBehindAiling(tuple(_all_names(ailing, task)))
    if held := [name for name, node in nodes.items() if node.held_exclusively]:
        return NodeTaken(held[0])
    return NeedsWholeNode(next(iter(nodes)))


def _hungriest(task: Task) -> Slot:
    """The slot that asks for most CPUs."""
    return max(task.slots, key=lambda s: (s.cpus, s.memory_mib))


def _ahead(
    task: Task, placed: Iterable[Placement], tasks: Iterable[Task], nodes: set[str]
) -> tuple[str, ...]:
    """Who of higher priority got the room this task could have used."""
    order = [t.key for t in tasks]
    rank = {key: r for r, key in enumerate(order)}
    mine = rank.get(task.key, len(rank))
    return tuple(p.key for p in placed if set(p.nodes) & nodes and rank.get(p.key, 0) < mine)


def _unfit(task: Task, inventory: Inventory) -> list[tuple[Misfit, tuple[str, ...]]]:
    """The nodes of its pools that it cannot be given, by why not."""
    size = max(slot.devices for slot in task.slots)
    whys: dict[Misfit, list[str]] = {}
    for state in inventory.grid.split([task.exc_nodes]).states:
        unfit = misfit(task, state.node)
        if unfit and unfit.what in PASSES and _ever(task, state) < size:
            unfit = Misfit(Unfit.DEVICE, "has", "too few devices")
        if unfit and unfit.what is not Unfit.POOL:
            whys.setdefault(unfit, []).extend(state.names)
    ordered = sorted(whys.items(), key=lambda item: item[0].said_of(1))
    return [(why, tuple(names)) for why, names in ordered]
