"""What a job asks of each node, counted as Slurm counts it: devices, CPUs, host memory.

Slurm's options overlap; these functions turn them into one `Slot` per node. Sources: the sbatch
manual (--gpus*, --cpus-per-gpu, --mem*, --ntasks-per-node, --exclusive) and live job records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from slurm_het.core.jobs.request import GresRequests, gres_of
from slurm_het.core.model import Job, Node, Slot
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import (
    AsksForSeveral,
    Reason,
    TooFewDevices,
    TooManyDevices,
    TooManyNodes,
)
from slurm_het.core.syntax.gres import Gres

MAX_NODES = 1024
MAX_DEVICES_PER_NODE = 64
ENDLESS = 1 << 30


@dataclass(frozen=True, slots=True)
class Demand:
    """The accelerators of a job: slots, whether they share devices, and what may serve them.

    `unit`: see Task.
    """

    slots: tuple[Slot, ...]
    shared: bool
    memory_gib: int
    type: str | None
    exclusive: bool
    all_memory: bool
    asks: str = ""
    unit: int = 0


def accelerators(asked: GresRequests, policy: Policy) -> GresRequests:
    """What of it asks for at least one accelerator, or a share of one."""
    return GresRequests(
        *(tuple(g for g in items if g.name in policy.gres and g.count > 0) for items in asked)
    )


def is_accelerator_job(job: Job, policy: Policy) -> bool:
    """Whether the job asks for any accelerator. Raises GresError."""
    return any(accelerators(gres_of(job), policy))


class NodeSize(NamedTuple):
    """What a node has when nothing runs there."""

    devices: int
    cpus: int = ENDLESS
    memory_mib: int = ENDLESS

    @classmethod
    def largest(cls, sizes: Iterable[NodeSize]) -> NodeSize:
        """The most of each that one of them has; of none, one device and one CPU."""
        most = tuple(map(max, zip(*sizes, strict=True)))
        return cls(*most) if most else cls(1, 1)


def size_of(node: Node) -> NodeSize:
    """The size of a node."""
    return NodeSize(len(node.devices), node.cpus, node.memory_mib)


def count_demand(job: Job, asked: GresRequests, policy: Policy, most: NodeSize) -> Demand | Reason:
    """The demand of a job that asks for accelerators, or why it cannot be planned.

    `asked` are all its GRES; `most` is what the largest node has which the job may use: it decides
    over how many nodes the job spreads where the user left that open.
    """
    devices = accelerators(asked, policy)
    kinds = {(item.name, item.type) for item in devices.all()}
    if len({name for name, _ in kinds}) > 1:
        return AsksForSeveral("GRES names")
    if len(kinds) > 1:
        return AsksForSeveral("device types")
    ((name, gres_type),) = kinds
    shared = policy.gres[name].shared
    most = _usable(job, most)
    least = _least_nodes(job, most.cpus)
    split = _per_node_counts(job, devices, least, most.devices if not shared else ENDLESS)
    if isinstance(split, Reason):
        return split
    if not shared and max(split) > MAX_DEVICES_PER_NODE:
        return TooManyDevices(max(split), MAX_DEVICES_PER_NODE)
    slots = tuple(
        _slot(job, 1 if shared else count, node, len(split)) for node, count in enumerate(split)
    )
    return Demand(
        slots=slots,
        shared=shared,
        memory_gib=max(split) if shared else 0,
        type=gres_type,
        asks=_asks(name, gres_type, policy),
        exclusive=job.exclusive,
        all_memory=job.memory_per_node_mib == 0,
        unit=_unit(job, devices) if len(slots) > 1 and not shared else 0,
    )


def _unit(job: Job, devices: GresRequests) -> int:
    """How many devices go together where their number on each node is left open; else 0."""
    if devices.node or devices.socket or job.ntasks_per_node:
        return 0
    return 1 if devices.job else _total(devices.task)


def _total(items: Iterable[Gres]) -> int:
    return sum(item.count for item in items)


def _asks(name: str, gres_type: str | None, policy: Policy) -> str:
    """The devices a request reaches, as GRES. Slurm shares gpu only, so a shard is of a gpu."""
    real = "gpu" if policy.gres[name].shared else policy.gres[name].alias_of or name
    return f"{real}:{gres_type}" if gres_type else real


def _usable(job: Job, most: NodeSize) -> NodeSize:
    """The CPUs and devices of a node that the job can use all of, with what comes with each.

    Slurm spreads jobs by these too (--mem-per-cpu, --mem-per-gpu, --cpus-per-gpu): seen on 22.05,
    24.11 and 26.05.
    """
    cpus, devices = most.cpus, most.devices
    if job.memory_per_cpu_mib:
        cpus = min(cpus, most.memory_mib // job.memory_per_cpu_mib)
    if job.memory_per_gpu_mib:
        devices = min(devices, most.memory_mib // job.memory_per_gpu_mib)
    if job.cpus_per_gpu:
        devices = min(devices, cpus // job.cpus_per_gpu)
    return NodeSize(devices, cpus, most.memory_mib)


def _least_nodes(job: Job, cpus_per_node: int) -> int:
    """On fewer nodes its tasks have no room; unless the user wants no more.

    Until it runs, Slurm counts a job's nodes by the largest of its partition, whatever its type.
    """
    tasks = max(1, job.tasks)
    each = min(job.ntasks_per_node or tasks, max(1, cpus_per_node // max(1, job.cpus_per_task)))
    nodes = max(1, job.nodes_min, -(-tasks // each))
    return min(nodes, max(job.nodes_min, job.nodes_max)) if job.nodes_max else nodes


def _per_node_counts(
    job: Job, devices: GresRequests, nodes: int, devices_per_node: int
) -> tuple[int, ...] | Reason:
    """How many GRES units each of at least `nodes` nodes gets, or why not.

    Where it is left open as evenly as can be, as that finds room most easily; what Slurm will make
    of it is told in slurm_picks.py. A task's are all on one node.
    """
    in_all, per_node = _total(devices.job), _total(devices.node)
    if per_node:
        if in_all and in_all % per_node == 0:
            nodes = max(nodes, in_all // per_node)  # --gpus=16 --gpus-per-node=8
        total, size = nodes, per_node
    elif devices.socket:
        total, size = nodes, _total(devices.socket) * max(1, job.sockets_per_node)
    else:
        total, size = in_all, 1
        if not in_all:
            total, size = max(1, job.tasks), _total(devices.task)
        nodes = max(nodes, -(-total // max(1, devices_per_node // size)))
        if nodes > total:
            return TooFewDevices(total * size, nodes)
    # Before anything is as long as that: users ask for any number.
    most = min(MAX_NODES, job.nodes_max or MAX_NODES)
    if nodes > most:
        return TooManyNodes(nodes, most)
    base, extra = divmod(total, nodes)
    return ((base + 1) * size,) * extra + (base * size,) * (nodes - extra)


def _slot(job: Job, devices: int, node: int, nodes: int) -> Slot:
    """CPUs and memory that come with `devices` devices on the `node`-th of `nodes` nodes."""
    tasks = _tasks_on(job, node, nodes)
    by_tasks = tasks * max(1, job.cpus_per_task)
    by_gpu = devices * job.cpus_per_gpu
    cpus = max(1, job.min_cpus_per_node, by_tasks, by_gpu, -(-job.cpus // nodes))
    if job.memory_per_node_mib is not None:
        return Slot(devices, cpus, job.memory_per_node_mib)
    if job.memory_per_gpu_mib is not None:
        return Slot(devices, cpus, job.memory_per_gpu_mib * devices)
    per_cpu = job.memory_per_cpu_mib or 0
    return Slot(devices, cpus, per_cpu * cpus, per_cpu)


def _tasks_on(job: Job, node: int, nodes: int) -> int:
    if job.ntasks_per_node:
        return job.ntasks_per_node
    base, extra = divmod(max(1, job.tasks), nodes)
    return max(1, base + (1 if node < extra else 0))
