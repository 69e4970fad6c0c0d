"""Why a task waits, in device terms: what it needs, and what comes nearest to it."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_het.core.build import fits_device, fits_type, misfit, need
from slurm_het.core.inventory import Inventory
from slurm_het.core.model import Node, Placement, Task


def explain(
    task: Task,
    inventory: Inventory,
    placed: Iterable[Placement] = (),
    tasks: Iterable[Task] = (),
) -> str:
    """One sentence. `placed` are this cycle's placements: they may have taken what was free."""
    slot = max(task.slots, key=lambda s: s.devices)
    candidates = [n for n in inventory.nodes.values() if not misfit(task, n)]
    wanted = _wanted(task, slot.devices)
    if not candidates:
        return f"needs {wanted}; {_why_none(task, inventory)}"
    able = [n for n in candidates if sum(fits_type(task, d) for d in n.devices) >= slot.devices]
    if not able:
        most = max(candidates, key=lambda n: len(n.devices))
        return f"needs {wanted}; the largest node, {most.name}, has {len(most.devices)}"
    free = [n for n in able if _free(task, n) >= slot.devices]
    if len(free) < len(task.slots):
        return _nearest(task, able, free, slot.devices)
    room = [n for n in free if _host_room(task, n)]
    if len(room) < len(task.slots):
        return _host_nearest(task, free)
    ahead = _ahead(task, placed, tasks, {n.name for n in room})
    if ahead:
        return f"needs {wanted}; what is free goes to {ahead}"
    return f"needs {wanted}; free devices are spread over nodes or types that cannot be combined"


def _wanted(task: Task, count: int) -> str:
    many = len(task.slots)
    node = f"each of {many} nodes" if many > 1 else "one node"
    if task.shared:
        where = f"one device of {node}" if many > 1 else "one device"
        return f"{task.memory_gib} GiB free on {where}"
    memory = f" of ≥{task.memory_gib} GiB" if task.memory_gib else ""
    return f"{count}{memory} free on {node}"


def _free(task: Task, node: Node) -> int:
    return sum(fits_device(task, d) for d in node.devices)


def _nearest(task: Task, able: list[Node], free: list[Node], count: int) -> str:
    wanted = _wanted(task, count)
    if len(task.slots) > 1 and free:
        return f"needs {wanted}; only {len(free)} such: {', '.join(n.name for n in free[:4])}"
    if task.shared:
        device = max(
            (d for n in able for d in n.devices if fits_type(task, d)), key=lambda d: d.free_gib
        )
        return f"needs {wanted}; best is {device.node}:{device.index} with {device.free_gib} GiB"
    best = max(able, key=lambda n: _free(task, n))
    return f"needs {wanted}; best is {best.name} with {_free(task, best)}"


def _host_room(task: Task, node: Node) -> bool:
    slot = max(task.slots, key=lambda s: (s.cpus, s.memory_mib))
    cpus, memory = need(task, slot, node)
    return cpus <= node.cpus_free and memory <= node.memory_free_mib


def _host_nearest(task: Task, free: list[Node]) -> str:
    slot = max(task.slots, key=lambda s: (s.cpus, s.memory_mib))
    if task.exclusive:
        return f"needs a node for itself; {free[0].name} has free devices but runs other jobs"
    closed = [n.name for n in free if n.closed_to(shares=task.shared)]
    if len(closed) == len(free):
        others = "a whole-device job" if task.shared else "jobs that share devices"
        return f"devices are free on {_few(closed)}, but Slurm 22.05 would mix it with {others}"
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
    for node in inventory.nodes.values():
        if set(task.pools) & set(node.partitions):
            whys.setdefault(misfit(task, node), []).append(node.name)
    if not whys:
        return f"its pools ({', '.join(task.pools)}) have no node"
    return "; ".join(f"{_few(n)} {_verb(why, len(n))}" for why, n in sorted(whys.items()))


_PLURAL = {"is": "are", "has": "have", "lacks": "lack", "mixes": "mix"}


def _verb(why: str, count: int) -> str:
    verb, _, rest = why.partition(" ")
    return f"{_PLURAL.get(verb, verb) if count > 1 else verb} {rest}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
