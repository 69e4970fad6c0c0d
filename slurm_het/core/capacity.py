"""What the cluster's nodes and partitions could hold whatever runs, for the verdict at submit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class SubmitRules(NamedTuple):
    """How Slurm's own verdict at submit depends on its configuration and version.

    `enforces` is EnforcePartLimits: NO, ANY, ALL. `bounds_gpus`: see SlurmVersion.
    """

    enforces: str = "NO"
    bounds_gpus: bool = False


PLAIN_RULES = SubmitRules()
ENOUGH = 1 << 62


@dataclass(frozen=True, slots=True)
class NodeKind:
    """Accelerator nodes that are equal in what a request is held against, whatever their state.

    `devices` has the GRES that asks for just such a device, and how many a node has: (gpu:a100, 8).
    CPUs and memory (MiB) are those of the configuration: Slurm's verdict at submit does not heed
    what of them jobs cannot have. `threads` are those of a core, `cores` of a socket, `types` the
    models of its devices. What is not told of a node is enough for any job.
    """

    names: tuple[str, ...]
    partitions: tuple[str, ...]
    features: frozenset[str]
    devices: tuple[tuple[str, int], ...]
    cpus: int
    memory_mib: int
    threads: int = 1
    types: frozenset[str] = frozenset()
    sockets: int = ENOUGH
    cores: int = ENOUGH
    tmp_disk_mib: int = ENOUGH


@dataclass(frozen=True, slots=True)
class PartitionBounds:
    """A partition's size (all of its nodes count) and limits; None is no limit."""

    nodes: int
    cpus: int
    max_minutes: int | None = None
    max_nodes: int | None = None
    max_memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """The kinds of nodes, the bounds by partition, Slurm's rules. One without kinds is unknown.

    `lifts` are the flags of all QOSs: a job may be in one that is not told.
    """

    kinds: tuple[NodeKind, ...] = ()
    partitions: dict[str, PartitionBounds] = field(default_factory=dict)
    rules: SubmitRules = PLAIN_RULES
    lifts: frozenset[str] = frozenset()


UNKNOWN = Capacity()
