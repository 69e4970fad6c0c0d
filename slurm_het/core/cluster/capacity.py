"""From Slurm's records to what its nodes could hold if nothing ran and none were down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from slurm_het.core.capacity import ENOUGH, UNKNOWN, Capacity, NodeKind, PartitionBounds
from slurm_het.core.cluster.configured import bare_devices
from slurm_het.core.cluster.uses import read_gres
from slurm_het.core.model import NodeRecord, Snapshot
from slurm_het.core.policy import Policy


def capacity_of(snapshot: Snapshot, policy: Policy) -> Capacity:
    """The capacity of all nodes, those of state FUTURE with them, as Slurm counts at submit. It is
    not known where Slurm does not show all nodes."""
    if snapshot.unseen:
        return UNKNOWN
    alike: dict[object, list[NodeRecord]] = {}
    nodes, cpus = Counter[str](), Counter[str]()
    for record in (*snapshot.nodes, *snapshot.future):
        for name in record.partitions:
            nodes[name] += 1
            cpus[name] += record.configured[0] or record.cpus
        like = (
            record.gres, record.partitions, record.features, record.configured,
            record.cpus, record.memory_mib, record.threads_per_core, record.core_threads,
            record.could_have, record.sockets, record.tmp_disk_mib,
        )  # fmt: skip
        alike.setdefault(like, []).append(record)
    partitions = {
        p.name: PartitionBounds(
            nodes[p.name], cpus[p.name], p.max_minutes, p.max_nodes, p.max_memory_per_node_mib
        )
        for p in snapshot.partitions
    }
    kinds = (_kind(records, policy) for records in alike.values())
    able, rules = tuple(k for k in kinds if k.devices), snapshot.submit_rules
    return Capacity(able, partitions, rules, frozenset().union(*snapshot.qos_flags.values()))


def _kind(records: Sequence[NodeRecord], policy: Policy) -> NodeKind:
    """The kind of nodes that are alike."""
    first = records[0]
    cpus, memory_mib = first.configured
    return NodeKind(
        names=tuple(record.name for record in records),
        partitions=first.partitions,
        features=first.features | first.could_have,
        devices=_devices(first, policy),
        cpus=cpus or first.cpus,
        memory_mib=memory_mib or first.memory_mib,
        threads=first.core_threads or max(1, first.threads_per_core),  # Slurm heeds all at submit
        types=frozenset(device.type for device in bare_devices(first, policy, [])),
        sockets=first.sockets[0] or ENOUGH,
        cores=first.sockets[1] or ENOUGH,
        tmp_disk_mib=ENOUGH if first.tmp_disk_mib is None else first.tmp_disk_mib,
    )


def _devices(record: NodeRecord, policy: Policy) -> tuple[tuple[str, int], ...]:
    counts = Counter[str]()
    for item in read_gres(record.gres, "", []):
        if policy.is_whole(item.name):
            counts[f"{item.name}:{item.type}" if item.type else item.name] += item.count
    return tuple(counts.items())
