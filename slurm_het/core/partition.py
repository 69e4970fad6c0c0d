"""What Slurm says of a partition: a record, like those in model.py, which has it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slurm_het.core.memory_defaults import NO_DEFAULTS, MemoryDefaults
from slurm_het.core.preemption import Modes


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition record of Slurm, with what decides who may use it. Empty means everybody."""

    name: str
    state: str = "UP"
    nodes: str = ""
    allow_groups: frozenset[str] = frozenset()
    allow_accounts: frozenset[str] = frozenset()
    deny_accounts: frozenset[str] = frozenset()
    sub_accounts: bool = True  # not 22.05: an account there stands for those below it too
    allow_qos: frozenset[str] = frozenset()
    deny_qos: frozenset[str] = frozenset()
    alloc_nodes: frozenset[str] = frozenset()  # where its jobs are submitted
    max_minutes: int | None = None
    default_minutes: int | None = None
    max_nodes: int | None = None
    min_nodes: int = 0
    max_cpus_per_node: int | None = None
    max_memory_per_node_mib: int | None = None
    root_only: bool = False
    root_disabled: bool = False
    exclusive: bool = False
    reservation_required: bool = False
    default: bool = False
    memory: MemoryDefaults = NO_DEFAULTS
    cpus_per_gpu: int = 0  # DefCpuPerGPU; 0: none
    qos: str = ""  # whose limits hold for all jobs in it
    tier: int = 1  # this and what follows: see core/preemption.py
    preempt_modes: Modes = frozenset()
    grace_seconds: int = 0
    oversubscribe: int = 1  # FORCE:2: so many jobs may have one CPU at a time
    topology: str = ""  # the name of its own; '' is the cluster's


_MOST = (
    ("MaxTime", "max_minutes", "min"),
    ("MaxNodes", "max_nodes", "nodes"),
    ("MaxCPUsPerNode", "max_cpus_per_node", "CPUs"),
    ("MaxMemPerNode", "max_memory_per_node_mib", "MiB"),
)


def narrower(partition: Partition, wider: Partition) -> list[str]:
    """Which limits refuse what the other partition takes, in words."""
    words = []
    for word, name, unit in _MOST:
        mine, theirs = getattr(partition, name), getattr(wider, name)
        if mine is not None and (theirs is None or theirs > mine):
            other = "none" if theirs is None else f"{theirs} {unit}"
            words.append(f"{word} is {mine} {unit}, there it is {other}")
    if partition.min_nodes > max(1, wider.min_nodes):
        words.append(f"MinNodes is {partition.min_nodes}, there it is {wider.min_nodes}")
    return words


LIFTED: Mapping[str, Mapping[str, Any]] = {
    "PartitionTimeLimit": {"max_minutes": None},
    "PartitionMaxNodes": {"max_nodes": None},
    "PartitionMinNodes": {"min_nodes": 0},
}
"""By flag of a QOS: what of a partition does not hold for its jobs."""

QosFlags = Mapping[str, frozenset[str]]
"""By name of a QOS, its flags."""


def lifted(partition: Partition, flags: Iterable[str]) -> Partition:
    """The partition as it is for jobs of a QOS with these flags."""
    changes = {name: value for flag in flags for name, value in LIFTED.get(flag, {}).items()}
    return replace(partition, **changes) if changes else partition
