"""Why a task waits, in device terms: what it needs, and what comes nearest to it."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_het.core.cluster.fit import (
    fits_device,
    fits_type,
    fitting_states,
    grid_for,
    misfit,
    need,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.node_states import NodeState
from slurm_het.core.model import Device, Node, Placement, Task


def explain(
    task: Task,
    inventory: Inventory,
    placed: Iterable[Placement] = (),
    tasks: Iterable[Task] = (),
) -> str:
    """One sentence. `placed` are this cycle's placements: they may have taken what was free."""
    slot = max(task.slots, key=lambda s: s.devices)
    grid = grid_for(task, inventory)
    fits = [grid.states[s] for s in fitting_states(task, grid)]
    candidates = [state for state in fits if _names(state, task)]
    wanted = _wanted(task, slot.devices)
    if not candidates:
        return f"needs {wanted}; {_why_none(task, inventory)}"
    able = [state for state in candidates if _ever(task, state) >= slot.devices]
    if not able:
        most = max(candidates, key=lambda state: len(state.node.devices)).node
        return f"needs {wanted}; the largest node, {most.name}, has {len(most.devices)}"
    free = [state for state in able if _free(task, state) >= slot.devices]
    if len(_all_names(free, task)) < len(task.slots):
        return _nearest(task, able, free, slot.devices, inventory)
    room = [state for state in free if _host_room(task, state.node)]
    names = _all_names(room, task)
    if len(names) < len(task.slots):
        return _host_nearest(task, free)
    ahead = _ahead(task, placed, tasks, set(names))
    if ahead:
        return f"needs {wanted}; what is free goes to {ahead}"
    if len(task.slots) == 1:
        return f"needs {wanted}; there is room on {_few(names)}, and the next plan may use it"
    return f"needs {wanted}; free devices are spread over nodes or types that cannot be combined"


def _names(state: NodeState, task: Task) -> list[str]:
    """The nodes of a state that the task does not exclude."""
    return [name for name in state.names if name not in task.exc_nodes]


def _all_names(states: Iterable[NodeState], task: Task) -> list[str]:
    return [name for state in states for name in _names(state, task)]


def _wanted(task: Task, count: int) -> str:
    many = len(task.slots)
    node = f"each of {many} nodes" if many > 1 else "one node"
    if task.shared:
        where = f"one device of {node}" if many > 1 else "one device"
        return f"{task.memory_gib} GiB free on {where}"
    memory = f" of ≥{task.memory_gib} GiB" if task.memory_gib else ""
    return f"{count}{memory} free on {node}"


def _free(task: Task, state: NodeState) -> int:
    return sum(many for _, device, many in state.device_states if fits_device(task, device))


def _ever(task: Task, state: NodeState) -> int:
    return sum(many for _, device, many in state.device_states if fits_type(task, device))


def _nearest(
    task: Task, able: list[NodeState], free: list[NodeState], count: int, inventory: Inventory
) -> str:
    wanted = _wanted(task, count)
    if len(task.slots) > 1 and free:
        names = _all_names(free, task)
        return f"needs {wanted}; only {len(names)} such: {', '.join(names[:4])}"
    if task.shared:

        def gib(device: Device) -> int:
            return device.free_gib if fits_type(task, device) else -1

        roomy = max(able, key=lambda state: max(map(gib, state.node.devices)))
        device = max(inventory.nodes[_names(roomy, task)[0]].devices, key=gib)
        return f"needs {wanted}; best is {device.node}:{device.index} with {device.free_gib} GiB"
    best = max(able, key=lambda state: _free(task, state))
    return f"needs {wanted}; best is {_names(best, task)[0]} with {_free(task, best)}"


def _host_room(task: Task, node: Node) -> bool:
    slot = max(task.slots, key=lambda s: (s.cpus, s.memory_mib))
    cpus, memory = need(task, slot, node)
    return cpus <= node.cpus_free and memory <= node.memory_free_mib


def _host_nearest(task: Task, states: list[NodeState]) -> str:
    free = [state.node for state in states]
    slot = max(task.slots, key=lambda s: (s.cpus, s.memory_mib))
    if task.exclusive:
        return f"needs a node for itself; {free[0].name} has free devices but runs other jobs"
    closed = [n.name for n in free if n.closed_to(shares=task.shared)]
    if len(closed) == len(free):
        others = "a whole-device job" if task.shared else "jobs that share devices"
        where = _few(_all_names(states, task))
        return f"devices are free on {where}, but Slurm 22.05 would mix it with {others}"
    open_to_others = [n for n in free if not n.held_exclusively]
    if not open_to_others:
        return f"devices are free, but {free[0].name} is another job's alone"
    best = max(open_to_others, key=lambda n: (n.cpus_free, n.memory_free_mib))
    cpus, memory = need(task, slot, best)
    asks = f"{cpus} CPUs and {_gib(memory)} GiB of host memory"
    has = f"{best.cpus_free} CPUs and {_gib(best.memory_free_mib)} GiB"
    return f"devices are free, but it needs {asks} beside them; best is {best.name} with {has}"


def _gib(mib: int) -> int:
    return -(-mib // 1024)


def _ahead(task: Task, placed: Iterable[Placement], tasks: Iterable[Task], nodes: set[str]) -> str:
    """Who of higher priority got the room this task could have used."""
    order = [t.key for t in tasks]
    rank = {key: r for r, key in enumerate(order)}
    mine = rank.get(task.key, len(rank))
    got = [p.key for p in placed if set(p.nodes) & nodes and rank.get(p.key, 0) < mine]
    more = f" and {len(got) - 3} more" if len(got) > 3 else ""
    return f"{', '.join(got[:3])}{more}, of higher priority" if got else ""


def _why_none(task: Task, inventory: Inventory) -> str:
    whys: dict[str, list[str]] = {}
    for state in inventory.grid.split([task.exc_nodes]).states:
        if set(task.pools) & set(state.node.partitions):
            whys.setdefault(misfit(task, state.node), []).extend(state.names)
    if not whys:
        return f"its pools ({', '.join(task.pools)}) have no node"
    return "; ".join(f"{_few(n)} {_verb(why, len(n))}" for why, n in sorted(whys.items()))


_PLURAL = {"is": "are", "has": "have", "lacks": "lack", "mixes": "mix"}


def _verb(why: str, count: int) -> str:
    verb, _, rest = why.partition(" ")
    return f"{_PLURAL.get(verb, verb) if count > 1 else verb} {rest}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
