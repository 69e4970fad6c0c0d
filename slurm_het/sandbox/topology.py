"""The emulated cluster: node groups read from YAML and checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetParseError
from yaml import YAMLError

from slurm_het.errors import HetError

INTAKE = "accel"
DEFAULT_TOPOLOGY = Path(__file__).resolve().parent.parent / "data" / "sandbox_topology.yaml"
MAX_NODES = 200

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ACCEL_FIELDS = ("type", "vendor", "scenario", "memory_gib_per_device")


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nodes that are alike; memory in GiB, `devices` and `cpus` per node."""

    name: str
    pool: str
    cpus: int
    memory_gib: int
    devices: int = 0
    type: str = ""
    vendor: str = ""
    scenario: Literal["training", "inference", ""] = ""
    memory_gib_per_device: int = 0
    shards_per_device: int = 0

    @property
    def nodes(self) -> tuple[str, ...]:
        """The node names the host list stands for."""
        return tuple(NodeSet(self.name, resolver=RESOLVER_NOGROUP))

    @property
    def gres(self) -> str:
        """The nodes' `Gres=` value, e.g. `gpu:l40s:4,shard:192`; empty without devices."""
        if not self.devices:
            return ""
        cards = f"gpu:{self.type}:{self.devices}"
        return f"{cards},shard:{self.shards}" if self.shards else cards

    @property
    def shards(self) -> int:
        """How many shards one node has."""
        return self.devices * self.shards_per_device

    @property
    def features(self) -> str:
        """The nodes' `Features=` value: type, vendor, scenario and pool."""
        return ",".join(word for word in (self.type, self.vendor, self.scenario, self.pool) if word)


class Topology(msgspec.Struct, frozen=True):
    """All node groups of a sandbox."""

    groups: tuple[Group, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node name, in the order of the file."""
        return tuple(node for group in self.groups for node in group.nodes)

    @property
    def accelerator_groups(self) -> tuple[Group, ...]:
        """The groups that have devices."""
        return tuple(group for group in self.groups if group.devices)

    def partitions(self) -> dict[str, str]:
        """Partition name to host list, one per pool."""
        pools: dict[str, list[str]] = {}
        for group in self.groups:
            pools.setdefault(group.pool, []).append(group.name)
        return {pool: ",".join(names) for pool, names in pools.items()}

    def cpu_partitions(self) -> list[str]:
        """The partitions without any accelerator."""
        accelerated = {group.pool for group in self.accelerator_groups}
        return [pool for pool in self.partitions() if pool not in accelerated]

    def pools(self) -> dict[str, tuple[str, list[str]]]:
        """Accelerator pool to its scenario and its vendors."""
        found: dict[str, tuple[str, list[str]]] = {}
        for group in self.accelerator_groups:
            vendors = found.setdefault(group.pool, (group.scenario, []))[1]
            if group.vendor not in vendors:
                vendors.append(group.vendor)
        return found

    def types(self) -> dict[str, Group]:
        """Accelerator type to the first group that has it."""
        return {group.type: group for group in reversed(self.accelerator_groups)}


def load_topology(path: Path) -> Topology:
    """Read and check a topology file; `HetError` names the group and the field that is wrong."""
    hint = f"correct {path}, or compare it with {DEFAULT_TOPOLOGY}"
    try:
        groups = msgspec.yaml.decode(path.read_bytes(), type=tuple[Group, ...])
    except OSError as error:
        raise HetError(f"cannot read the topology {path}: {error.strerror}", hint) from error
    except (msgspec.DecodeError, YAMLError) as error:
        raise HetError(f"topology {path}: {error}", hint) from error
    problems = _problems(groups)
    if problems:
        raise HetError("\n".join(f"topology {path}: {text}" for text in problems), hint)
    return Topology(groups)


def _problems(groups: tuple[Group, ...]) -> list[str]:
    problems = [text for group in groups for text in _group_problems(group)]
    if problems:
        return problems
    topology = Topology(groups)
    nodes = topology.nodes
    problems += [f"node {name} is in two groups" for name in set(nodes) if nodes.count(name) > 1]
    if not topology.accelerator_groups:
        problems.append("no group has devices")
    if len(nodes) > MAX_NODES:
        problems.append(f"{len(nodes)} nodes; at most {MAX_NODES} fit on one machine")
    scenarios: dict[str, str] = {}
    for group in groups:
        if scenarios.setdefault(group.pool, group.scenario) != group.scenario:
            problems.append(f"pool {group.pool} has groups of different scenarios")
    for group in topology.accelerator_groups:
        same = topology.types()[group.type]
        if (same.vendor, same.memory_gib_per_device) != (group.vendor, group.memory_gib_per_device):
            problems.append(f"type {group.type} has two vendors or two memory sizes")
    return problems


def _group_problems(group: Group) -> list[str]:
    problems = []
    try:
        bad_names = [name for name in group.nodes if not _WORD.fullmatch(name)]
    except NodeSetParseError as error:
        return [f"group {group.name}: not a host list: {error}"]
    if bad_names or not group.nodes:
        problems.append(f"names no valid node (letters, digits, . _ -): {group.name!r}")
    for field in ("type", "vendor", "pool"):
        value = getattr(group, field)
        if value and not _WORD.fullmatch(value):
            problems.append(f"{field} {value!r} has characters other than letters, digits, . _ -")
    if not group.pool or group.pool.lower() in (INTAKE, "default"):
        problems.append(f"pool {group.pool!r} is empty or reserved")
    if group.cpus < 1 or group.memory_gib < 1:
        problems.append("cpus and memory_gib must be at least 1")
    if not 0 <= group.devices <= 64 or group.shards_per_device < 0:
        problems.append("devices must be 0 to 64, shards_per_device 0 or more")
    if group.devices:
        problems += [
            f"devices need {field}" for field in _ACCEL_FIELDS if not getattr(group, field)
        ]
    elif any(getattr(group, field) for field in (*_ACCEL_FIELDS, "shards_per_device")):
        problems.append("describes accelerators, but has devices: 0")
    return [f"group {group.name}: {text}" for text in problems]
