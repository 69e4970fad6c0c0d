"""Making a Placement: in which partition, on which devices, and what those are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slurm_het.core.model import Node, Placement, Task


def placement_of(
    task: Task,
    partition: str,
    where: Iterable[tuple[str, tuple[int, ...]]],
    nodes: Mapping[str, Node],
    terms: Mapping[str, float] | None = None,
) -> Placement:
    """The placement of a task on these devices: by name of a node, their indexes.

    `nodes` are the cluster's, by name. A node that is not among them adds no types; if none is
    known, a whole device counts 0 GiB. `terms` are those of the weight, if it was planned by that.
    """
    where = tuple(where)
    devices = [
        device
        for name, indexes in where
        if name in nodes
        for device in nodes[name].devices
        if device.index in indexes
    ]
    whole_gib = devices[0].memory_gib if devices else 0
    return Placement(
        key=task.key,
        partition=partition,
        nodes=tuple(name for name, _ in where),
        devices=tuple(indexes for _, indexes in where),
        types=tuple(sorted({device.type for device in devices})),
        memory_gib=task.memory_gib if task.takes_share else whole_gib,
        terms=dict(terms or {}),
    )


def common_pool(task: Task, nodes: Iterable[Node]) -> str:
    """The first of the task's pools that all the nodes are in. Raises StopIteration if none is."""
    nodes = tuple(nodes)
    return next(p for p in task.pools if all(p in node.partitions for node in nodes))
