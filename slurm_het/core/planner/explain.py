"""Why a task waits, in device terms: what it needs, and what comes nearest to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slurm_het.core.cluster.ailing import ails, what_ails
from slurm_het.core.cluster.fit import (
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
    NotTogether,
    OnlyBehindAiling,
    Reason,
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
    slot = max(task.slots, key=lambda s: s.devices)
    grid = grid_for(task, inventory)
    fits = [grid.states[s] for s in fitting_states(task, grid)]
    candidates = [state for state in fits if _names(state, task)]
    wanted = Wanted(slot.devices, len(task.slots), task.memory_gib, task.takes_share)
    if not candidates:
        return NoCandidate(wanted, task.pools, tuple(_unfit(task, inventory)))
    able = [state for state in candidates if _ever(task, state) >= slot.devices]
    if len(names := _all_names(able, task)) < len(task.slots):
        away = tuple(one for one in _unfit(task, inventory) if one[0].what in PASSES)
        if able or away:
            return TooFewAble(wanted, tuple(names), away)
        most = max(candidates, key=lambda state: len(state.node.devices)).node
        return NodesTooSmall(wanted, most.name, len(most.devices))
    free = [state for state in able if _free(task, state) >= slot.devices]
    if len(_all_names(free, task)) < len(task.slots):
        return _nearest(wanted, task, able, free, inventory)
    room = [state for state in free if has_host_room(task, _hungriest(task), state.node)]
    names = _all_names(room, task)
    if len(names) < len(task.slots):
        return _host_nearest(task, free)
    if ahead := _ahead(task, placed, tasks, set(names)):
        return GoesToOthers(wanted, ahead)
    return CanStart("the next plan") if len(task.slots) == 1 else NotTogether(wanted)


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
    wanted: Wanted, task: Task, able: list[NodeState], free: list[NodeState], inventory: Inventory
) -> Reason:
    if len(task.slots) > 1 and free:
        return TooFewNodes(wanted, tuple(_all_names(free, task)))
    if task.takes_share:

        def gib(device: Device) -> int:
            return device.free_gib if fits_type(task, device) else -1

        roomy = max(able, key=lambda state: max(map(gib, state.node.devices)))
        device = max(inventory.nodes[_names(roomy, task)[0]].devices, key=gib)
        return TooFewFree(wanted, f"{device.node}:{device.index}", f"{device.free_gib} GiB")
    best = max(able, key=lambda state: _free(task, state))
    return TooFewFree(wanted, _names(best, task)[0], str(_free(task, best)))


def _host_nearest(task: Task, states: list[NodeState]) -> Reason:
    free = [state.node for state in states]
    if task.exclusive:
        return NeedsWholeNode(free[0].name)
    if all(node.closed_to(shares=task.takes_share) for node in free):
        return WouldMix(tuple(_all_names(states, task)), task.takes_share)
    slot = _hungriest(task)
    if all(node.ailing and gets_ailing(task, slot, node) for node in free):
        return OnlyBehindAiling(tuple(_all_names(states, task)))
    open_to_others = [n for n in free if not n.held_exclusively]
    if not open_to_others:
        return NodeTaken(free[0].name)
    able = [(node, needs) for node in open_to_others if (needs := need(task, slot, node))]
    if not able:
        return NeedsWholeNode(open_to_others[0].name)
    best, needs = max(able, key=lambda pair: (pair[0].cpus_free, pair[0].memory_free_mib))
    return HostTooSmall(*needs, best.name, best.cpus_free, best.memory_free_mib)


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
