"""How many CPUs of each node jobs of the pools may have, and how many of these are free.

Slurm's records tell what is allocated on a node; what its partitions make of that is told here. A
job's CPUs are taken to be spread evenly over its nodes.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import NamedTuple

from slurm_het.core.model import CpuCap, NodeRecord, Partition, Snapshot
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist


class HostCpus(NamedTuple):
    """The most CPUs of a node that one job may have, how many jobs may have now, and where a pool
    allows its own jobs less."""

    most: int
    free: int
    caps: tuple[CpuCap, ...] = ()


def cpus_of(snapshot: Snapshot, policy: Policy) -> dict[str, HostCpus]:
    """The CPUs of all nodes, by name."""
    pools = {p.name: p for p in snapshot.partitions if policy.pool(p.name)}
    odd = {name: p for name, p in pools.items() if p.max_cpus_per_node or p.oversubscribe > 1}
    used = _used(snapshot) if odd else Counter()
    kept = kept_cpus(snapshot)
    found: dict[str, HostCpus] = {}
    for record in snapshot.nodes:
        mine = [pools[name] for name in record.partitions if name in pools]
        most, free = _of_node(record, mine, used)
        free = max(0, free - sum(cpus for cpus, _ in kept.get(record.name, ())))
        found[record.name] = HostCpus(most, free, _caps(record, mine, used, most))
    return found


def _of_node(
    record: NodeRecord, pools: list[Partition], used: Counter[tuple[str, str]]
) -> tuple[int, int]:
    """Of several pools the one counts that leaves most.

    MaxCPUsPerNode is a sum over the jobs of the partition. With OverSubscribe=FORCE:2 two jobs may
    have one CPU, though Slurm tells that all are allocated (22.05).
    """
    free = record.cpus - record.cpus_alloc
    if (times := max((p.oversubscribe for p in pools), default=1)) > 1:
        in_use = sum(used[partition, record.name] for partition in record.partitions)
        free = min(record.cpus, times * record.cpus - in_use)
    if not pools or any(p.max_cpus_per_node is None for p in pools):
        return record.cpus, free
    caps = ((p.max_cpus_per_node or 0, used[p.name, record.name]) for p in pools)
    most, left = max((cap, cap - taken) for cap, taken in caps)
    return min(record.cpus, most), min(free, left)


def _caps(
    record: NodeRecord, pools: list[Partition], used: Counter[tuple[str, str]], most: int
) -> tuple[CpuCap, ...]:
    """By pool, where MaxCPUsPerNode is less than the pool of the most allows, or leaves less."""
    if len(pools) < 2:
        return ()
    return tuple(
        CpuCap(p.name, min(most, cap), max(0, cap - used[p.name, record.name]))
        for p in pools
        if (cap := p.max_cpus_per_node) is not None
    )


def _used(snapshot: Snapshot) -> Counter[tuple[str, str]]:
    """The CPUs that jobs have, by partition and node."""
    used: Counter[tuple[str, str]] = Counter()
    for job in snapshot.jobs:
        if job.holds_nodes:
            names = hostlist.expand_readable(job.nodes)
            used.update({(job.partition, name): -(-job.cpus // len(names)) for name in names})
    return used


def kept_cpus(snapshot: Snapshot) -> dict[str, list[tuple[int, float]]]:
    """By node, the CPUs that reservations of a part of it keep from others' jobs now, and until
    when each does (epoch seconds).

    A reservation's cores are taken to be spread evenly over its nodes, as the CPUs of its jobs are.
    """
    threads = {node.name: node.threads_per_core for node in snapshot.nodes}
    kept: dict[str, list[tuple[int, float]]] = {}
    for r in snapshot.reservations:
        if not r.partial or not r.start <= snapshot.time < r.end:
            continue
        used: dict[str, int] = {}
        for job in snapshot.jobs:
            if job.reservation == r.name and job.holds_nodes:
                names = hostlist.expand_readable(job.nodes)
                for name in names:
                    used[name] = used.get(name, 0) + -(-job.cpus // len(names))
        until = inf if "TIME_FLOAT" in r.flags else r.end
        for name in r.nodes:
            cpus = -(-r.cores // len(r.nodes)) * max(1, threads.get(name, 1))
            if (left := cpus - used.get(name, 0)) > 0:
                kept.setdefault(name, []).append((left, until))
    return kept
