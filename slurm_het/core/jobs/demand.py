"""What a job asks of each of its nodes, counted as Slurm counts it: devices, CPUs, host memory.

Slurm's options overlap. `count_demand` makes one `Slot` per node of them: the devices are counted
in `devices_per_node`, what comes with them in `_slots`. Sources: the sbatch manual (--gpus*,
--cpus-per-gpu, --mem*, --ntasks-per-node, --exclusive) and live job records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.request import NUM_TASKS, TIME_LIMIT, UNTOLD, GresRequests, gres_of
from slurm_het.core.model import Job, Node, Slot
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import (
    AsksForSeveral,
    Reason,
    SlurmChooses,
    TooFewDevices,
    TooManyDevices,
    TooManyNodes,
)
from slurm_het.core.syntax.gres import Gres

MAX_NODES = 1024
MAX_DEVICES_PER_NODE = 64
ENDLESS = 1 << 30
"""More than any node has."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The accelerators of a job: what it asks of each of its nodes, and what may serve it.

    `takes_share`: each slot takes `memory_gib` of one device; else its devices are taken whole, and
    `memory_gib` is 0. `exclusive`: no other job on its nodes. `all_memory`: it takes all host
    memory of its nodes. `asks`, `lot`, `most_nodes` and `sockets` are as in Task.
    """

    slots: tuple[Slot, ...]
    takes_share: bool
    memory_gib: int
    exclusive: bool
    all_memory: bool
    asks: str
    lot: int
    most_nodes: int = 0
    sockets: int = 1


class NodeSize(NamedTuple):
    """What a node has when nothing runs there."""

    devices: int
    cpus: int = ENDLESS
    memory_mib: int = ENDLESS
    sockets: int = ENDLESS

    @classmethod
    def largest(cls, sizes: Iterable[NodeSize]) -> NodeSize:
        """The most of each that any of them has; one device and one CPU if there are none."""
        most = tuple(map(max, zip(*sizes, strict=True)))
        return cls(*most) if most else cls(1, 1)


def size_of(node: Node) -> NodeSize:
    """The size of a node."""
    return NodeSize(len(node.devices), node.cpus, node.memory_mib, node.sockets or ENDLESS)


def accelerators(asked: GresRequests, policy: Policy) -> GresRequests:
    """What a job asks for of accelerators or their shares, without the rest."""
    return GresRequests(
        *(tuple(g for g in items if g.name in policy.gres and g.count > 0) for items in asked)
    ).counted()


def is_accelerator_job(job: Job, policy: Policy) -> bool:
    """Whether the job asks for any accelerator. Raises GresError."""
    return any(accelerators(gres_of(job), policy))


def count_demand(
    job: Job,
    asked: GresRequests,
    policy: Policy,
    largest: NodeSize,
    by_pool: Iterable[tuple[str, Job]] = (),
) -> Demand | Reason:
    """The demand of a job that asks for accelerators, or why it cannot be planned.

    `asked` are all its GRES. `largest` is the largest node that the job may use: it decides over
    how many nodes the job spreads where its user left that open. `by_pool` is the job as it is in
    each pool, where their defaults differ.
    """
    asked = accelerators(asked, policy)
    things = {(item.name, item.type) for item in asked.all()}
    if len({name for name, _ in things}) > 1:
        return AsksForSeveral("GRES names")
    if len(things) > 1:
        return AsksForSeveral("device types")
    ((name, gres_type),) = things
    shared = policy.gres[name].shared
    usable = _usable_size(job, largest)
    counts = devices_per_node(job, asked, usable._replace(devices=ENDLESS) if shared else usable)
    if isinstance(counts, Reason):
        return counts
    if not shared and max(counts) > MAX_DEVICES_PER_NODE:
        return TooManyDevices(max(counts), MAX_DEVICES_PER_NODE)
    sockets, option = _sockets(job, len(counts))
    if sockets > largest.sockets:
        return SlurmChooses((option,))
    lot = 0 if shared else _open_lot(job, asked)
    # --gpus beside --gpus-per-task: a task's devices stay together, and lots are single ones.
    most = _most_nodes(job, lot, sum(counts)) if lot and not (asked.job and asked.task) else 0
    return Demand(
        slots=_slots_by_pool(job, by_pool, [1] * len(counts) if shared else counts),
        takes_share=shared,
        memory_gib=max(counts) if shared else 0,
        exclusive=job.exclusive,
        all_memory=job.memory_per_node_mib == 0,
        asks=_reached(name, gres_type, policy),
        lot=lot if len(counts) > 1 or most > 1 else 0,
        most_nodes=most,
        sockets=sockets,
    )


def devices_per_node(job: Job, asked: GresRequests, node: NodeSize) -> tuple[int, ...] | Reason:
    """How many devices (of shares: GiB) the job asks of each of its nodes; or why that cannot be.

    --gpus-per-node, --gres   as many of each node
    --gpus-per-socket         as many for each socket of each node
    --gpus                    so many in all, over as few nodes of the size `node` as hold them
    --gpus-per-task           the same, but a task's devices are all on one node

    The first of these that the job uses counts. Where the number on each node is left open, the
    nodes get as equal numbers as can be, as that finds room most easily; what Slurm makes of it
    stands in planner/slurm_picks.py.
    """
    nodes = _nodes_for_tasks(job, node.cpus)
    if asked.node:
        lot = _total(asked.node)
        if _total(asked.job) % lot == 0:
            nodes = max(nodes, _total(asked.job) // lot)  # --gpus=16 --gpus-per-node=8
        lots = nodes
    elif asked.socket:
        lots, lot = nodes, _total(asked.socket) * max(1, job.sockets_per_node)
    else:
        lots, lot = _lots(job, asked)
        nodes = max(nodes, -(-lots // max(1, node.devices // lot)))
        if nodes > lots:
            return TooFewDevices(lots * lot, nodes)
    most = min(MAX_NODES, job.nodes_max or MAX_NODES)
    if nodes > most:  # before anything is as long as that: users ask for any number
        return TooManyNodes(nodes, most)
    each, extra = divmod(lots, nodes)
    return ((each + 1) * lot,) * extra + (each * lot,) * (nodes - extra)


def _lots(job: Job, asked: GresRequests) -> tuple[int, int]:
    """Where the number on each node is left open: how many lots, and how many devices each has.

    The devices of a lot are on one node: a task's, or any one of --gpus.
    """
    if asked.job:
        return _total(asked.job), 1
    return max(1, job.tasks), _total(asked.task)


def _sockets(job: Job, nodes: int) -> tuple[int, str]:
    """How many sockets each of so many nodes must have, and the option that says so. On a list of
    nodes with fewer Slurm starts it on others, too, with devices there (seen on all versions)."""
    least, per_socket = job.sockets_per_node, job.ntasks_per_socket
    by_tasks = -(-_tasks_on(job, 0, nodes) // per_socket) if per_socket else 1
    if least > by_tasks:
        return least, f"--sockets-per-node={least}"
    return by_tasks, f"--ntasks-per-socket={per_socket}"


def _open_lot(job: Job, asked: GresRequests) -> int:
    """How many devices a lot has, where Slurm decides how many lots a node gets; else 0."""
    if asked.node or asked.socket or job.ntasks_per_node:
        return 0
    return _lots(job, asked)[1]


def _most_nodes(job: Job, lot: int, devices: int) -> int:
    """Over how many nodes Slurm may deal out the lots: each gets a lot, and a task. A number of
    tasks that its user has left open is as large as that of the nodes then."""
    most = min(devices // lot, job.nodes_max or MAX_NODES)
    mark = decode_comment(job.admin_comment)
    told = mark.original if mark else {}
    is_open = told and NUM_TASKS not in told and told.get(TIME_LIMIT) != UNTOLD
    return most if is_open else min(most, max(1, job.tasks))


def _total(items: Iterable[Gres]) -> int:
    return sum(item.count for item in items)


def _reached(name: str, gres_type: str | None, policy: Policy) -> str:
    """The devices a request reaches, as GRES. Slurm shares gpu only, so a shard is of a gpu."""
    real = "gpu" if policy.gres[name].shared else policy.gres[name].alias_of or name
    return f"{real}:{gres_type}" if gres_type else real


def _usable_size(job: Job, node: NodeSize) -> NodeSize:
    """What of a node the job can use: CPUs that have their memory, devices that have both.

    Slurm spreads jobs by these too (--mem-per-cpu, --mem-per-gpu, --cpus-per-gpu): seen on 22.05,
    24.11 and 26.05.
    """
    cpus, devices = node.cpus, node.devices
    if job.memory_per_cpu_mib:
        cpus = min(cpus, node.memory_mib // job.memory_per_cpu_mib)
    if job.memory_per_gpu_mib:
        devices = min(devices, node.memory_mib // job.memory_per_gpu_mib)
    if job.cpus_per_gpu:
        devices = min(devices, cpus // job.cpus_per_gpu)
    return NodeSize(devices, cpus, node.memory_mib)


def _nodes_for_tasks(job: Job, cpus_per_node: int) -> int:
    """On how many nodes its tasks have room at least; no more than its user allows.

    Until it runs, Slurm counts a job's nodes by the largest of its partition, whatever its type.
    """
    if _overcommits(job):
        return max(1, job.nodes_min)
    tasks = max(1, job.tasks)
    room = max(1, cpus_per_node // max(1, job.cpus_per_task))
    each = min(job.ntasks_per_node or tasks, room)
    nodes = max(1, job.nodes_min, -(-tasks // each))
    return min(nodes, max(job.nodes_min, job.nodes_max)) if job.nodes_max else nodes


def _slots_by_pool(
    job: Job, by_pool: Iterable[tuple[str, Job]], devices: Sequence[int]
) -> tuple[Slot, ...]:
    """The slots of the nodes that give so many devices each, with what they are in each pool."""
    there = [[(pool, slot) for slot in _slots(at, devices)] for pool, at in by_pool]
    if not there:
        return tuple(_slots(job, devices))
    return tuple(
        replace(Slot.largest([slot for _, slot in each]), by_pool=each)
        for each in zip(*there, strict=True)
    )


def _slots(job: Job, devices: Sequence[int]) -> Iterator[Slot]:
    """The slots of the nodes that give so many devices each."""
    nodes = len(devices)
    for number, count in enumerate(devices):
        cpus = max(
            1,
            job.min_cpus_per_node,
            0 if _overcommits(job) else _tasks_on(job, number, nodes) * max(1, job.cpus_per_task),
            count * job.cpus_per_gpu,
            -(-job.cpus // nodes),
        )
        if job.memory_per_node_mib is not None:
            yield Slot(count, cpus, job.memory_per_node_mib)
        elif job.memory_per_gpu_mib is not None:
            yield Slot(count, cpus, job.memory_per_gpu_mib * count)
        else:
            per_cpu = job.memory_per_cpu_mib or 0
            yield Slot(count, cpus, per_cpu * cpus, per_cpu)


def _overcommits(job: Job) -> bool:
    """Whether its tasks share CPUs (--overcommit): no record says so, but it asks for less CPUs
    than it has tasks then, and only then (22.05, 24.11, 26.05)."""
    return 0 < job.cpus < job.tasks


def _tasks_on(job: Job, number: int, nodes: int) -> int:
    """How many of its tasks run on a node, counted from 0, if they are spread evenly."""
    if job.ntasks_per_node:
        return job.ntasks_per_node
    each, extra = divmod(max(1, job.tasks), nodes)
    return max(1, each + (1 if number < extra else 0))
