"""What was free at a poll, and whether a job would have fitted: the checker's own sums (pure).

It does not use the planner's: what hides there must show here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slurm_het.core.model import Job, NodeRecord
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.constraint import parse_features
from tests.chaos.records import Poll
from tests.chaos.site import SCAVENGE

USABLE = {"IDLE", "MIXED", "ALLOCATED"}
INTAKE = "accel"
NO_POOLS = {INTAKE, SCAVENGE}


@dataclass(slots=True)
class Use:
    """What holds a device: jobs that took it whole, and GiB of those that share it."""

    whole: list[str]
    shares: list[tuple[str, int]]
    gib: int

    @property
    def taken(self) -> int:
        return sum(gib for _, gib in self.shares)


@dataclass(frozen=True, slots=True)
class Need:
    """What a job asks of each of `nodes`: whole devices, or GiB of one; CPUs in all."""

    nodes: int
    devices: int
    gib: int
    cpus: int
    type: str = ""


def need_of(job: Job) -> Need | None:
    """A job's need from its own record; None for one without devices."""
    for text in (job.tres_per_node, job.tres_per_job):
        for item in gres.parse(text):
            if item.name == "gpu":
                return Need(job.nodes_min, item.count, 0, job.cpus, item.type or "")
            if item.name == "shard":
                return Need(job.nodes_min, 0, item.count, job.cpus)
    return None


def devices_of(node: NodeRecord) -> list[Use]:
    """The node's devices, all free."""
    counts = {item.name: item.count for item in gres.parse(node.gres)}
    number = counts.get("gpu", 0)
    gib = counts.get("shard", 0) // number if number else 0
    return [Use([], [], gib) for _ in range(number)]


def uses(poll: Poll) -> dict[str, list[Use]]:
    """By node, what the running jobs hold of each device, as Slurm's GRES details say."""
    out = {node.name: devices_of(node) for node in poll.nodes}
    for job in poll.jobs:
        if not job.holds_nodes:
            continue
        for name, text in zip(hostlist.expand(job.nodes), job.gres_detail, strict=False):
            for item in gres.parse(text):
                _hold(out[name], job.key, item)
    return out


def _hold(devices: list[Use], key: str, item: gres.Gres) -> None:
    if item.shares is not None:
        for index, (used, _) in enumerate(item.shares):
            if used:
                devices[index].shares.append((key, used))
    elif item.name == "shard" and item.indexes:
        devices[item.indexes[0]].shares.append((key, item.count))
    elif item.name == "gpu":
        for index in item.indexes or ():
            devices[index].whole.append(key)


def detailed(poll: Poll, before: Poll | None) -> Poll:
    """The poll with the GRES details of COMPLETING jobs, which 22.05 does not print, kept."""
    known = {j.id: j for j in before.jobs if j.gres_detail} if before else {}
    jobs = []
    for job in poll.jobs:
        old = known.get(job.id)
        if old and job.holds_nodes and not job.gres_detail and job.nodes == old.nodes:
            job = _with_detail(job, old.gres_detail)
        jobs.append(job)
    return replace(poll, jobs=tuple(jobs))


def _with_detail(job: Job, detail: tuple[str, ...]) -> Job:
    return replace(job, gres_detail=detail)


def usable(node: NodeRecord) -> bool:
    """Whether Slurm would start a job there: not on `IDLE+DRAIN`, `IDLE*`, nor where it takes
    devices for used that nobody holds (22.05, SlurmVersion.forgets_devices)."""
    return node.state in USABLE and not node.gres_stale


def wanted_nodes(job: Job, poll: Poll) -> frozenset[str]:
    """Where the job's own words allow it: partition, Features, node lists. The intake has all."""
    asked = parse_features(job.features)
    only, never = set(hostlist.expand(job.req_nodes)), set(hostlist.expand(job.exc_nodes))
    return frozenset(
        node.name
        for node in poll.nodes
        if set(job.partition.split(",")) & set(node.partitions)
        and asked.allows(node.features)
        and (not only or node.name in only)
        and node.name not in never
    )


def free_nodes(job: Job, need: Need, poll: Poll, held: dict[str, list[Use]]) -> frozenset[str]:
    """The nodes that have room for one node's part of the job now."""
    wanted = wanted_nodes(job, poll)
    cpus = -(-need.cpus // need.nodes)
    memory = (job.memory_per_cpu_mib or 0) * cpus
    return frozenset(
        node.name
        for node in poll.nodes
        if node.name in wanted
        and usable(node)
        and node.cpus - node.cpus_alloc >= cpus
        and node.memory_mib - node.memory_alloc_mib >= memory
        and _has_room(need, node, held[node.name])
    )


def _has_room(need: Need, node: NodeRecord, devices: Iterable[Use]) -> bool:
    if need.type and need.type not in node.features:
        return False
    if need.gib:
        return any(not d.whole and d.taken + need.gib <= d.gib for d in devices)
    return sum(not d.whole and not d.shares for d in devices) >= need.devices


def fits(job: Job, need: Need, free: frozenset[str], poll: Poll) -> bool:
    """Whether enough of the free nodes are of one pool, as all nodes of a job must be."""
    if job.req_nodes:
        return set(hostlist.expand(job.req_nodes)) <= free
    pools: dict[str, int] = {}
    for node in poll.nodes:
        if node.name in free:
            for name in node.partitions:
                pools[name] = pools.get(name, 0) + (name not in NO_POOLS)
    return any(count >= need.nodes for count in pools.values())
