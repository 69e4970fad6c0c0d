"""How large a job is at least: what is held against what nodes and partitions could ever hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slurm_het.core.jobs.request import GresRequests, JobRequest, gres_of, number_of
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import per_gpu

MAX_NAMES = 1000
"""The hook sends so much of --exclude; what may be cut is not heeded."""


@dataclass(frozen=True, slots=True)
class JobSize:
    """How large a job is at least; 0 is not told, and holds anywhere.

    `cpus` is the least in all, the others of CPUs and memory (MiB) are of a node, a CPU, a device.
    """

    devices: GresRequests
    nodes: int
    nodes_max: int
    tasks: int
    cpus: int
    cpus_on_node: int
    cpus_per_device: int
    memory_mib: int
    memory_per_cpu_mib: int
    memory_per_device_mib: int
    minutes: int
    threads: int
    sockets: int
    cores_per_socket: int
    tmp_disk_mib: int
    excluded: frozenset[str]
    named: frozenset[str]
    features: str

    @property
    def devices_on_node(self) -> int:
        """How many devices each of its nodes must have."""
        own = self.devices.node + self.devices.task + self.devices.socket
        return max((item.count for item in own), default=1)


def size_of_message(sent: Mapping[str, str], request: JobRequest, policy: Policy) -> JobSize:
    """Read the hook's message."""

    def told(field: str) -> int:
        return number_of(sent.get(field, ""), 0)

    per_node = max(told("pn_min_cpus"), told("cpus_per_task"))
    return JobSize(
        devices=_whole(request.gres, policy),
        nodes=request.nodes,
        nodes_max=request.nodes_max,
        tasks=told("num_tasks"),
        cpus=told("min_cpus"),
        cpus_on_node=per_node,
        cpus_per_device=per_gpu(sent.get("cpus_per_tres", "")) or 0,
        memory_mib=told("pn_min_memory"),
        memory_per_cpu_mib=told("min_mem_per_cpu"),
        memory_per_device_mib=per_gpu(sent.get("mem_per_tres", "")) or 0,
        minutes=told("time_min") or told("time_limit"),
        threads=told("threads_per_core"),
        sockets=told("sockets_per_node"),
        cores_per_socket=told("cores_per_socket"),
        tmp_disk_mib=told("pn_min_tmp_disk"),
        excluded=_names(sent.get("exc_nodes", "")),
        named=_names(sent.get("req_nodes", "")),
        features=request.features,
    )


def size_of_job(job: Job, policy: Policy) -> JobSize:
    """The same of a job that is in the queue."""
    return JobSize(
        devices=_whole(gres_of(job), policy),
        nodes=job.nodes_min,
        nodes_max=job.nodes_max,
        tasks=job.tasks,
        cpus=job.cpus,
        cpus_on_node=max(job.min_cpus_per_node, job.cpus_per_task),
        cpus_per_device=job.cpus_per_gpu,
        memory_mib=job.memory_per_node_mib or 0,
        memory_per_cpu_mib=job.memory_per_cpu_mib or 0,
        memory_per_device_mib=job.memory_per_gpu_mib or 0,
        minutes=job.time_limit_minutes or 0,
        threads=job.threads_per_core,
        sockets=job.sockets_per_node,
        cores_per_socket=0,
        tmp_disk_mib=0,
        excluded=frozenset(hostlist.expand_readable(job.exc_nodes)),
        named=frozenset(),
        features=job.features,
    )


def _whole(asked: GresRequests, policy: Policy) -> GresRequests:
    """The whole devices of what it asks for."""
    items = asked.registered(policy).counted()
    return GresRequests(
        *(tuple(g for g in own if g.count > 0 and policy.is_whole(g.name)) for own in items)
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(hostlist.expand_readable(text)) if len(text) < MAX_NAMES else frozenset()
