"""The emulated cluster: node groups read from YAML and checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetParseError
from yaml import YAMLError

from slurm_het.core.catalog import Catalog, model_of
from slurm_het.errors import HetError
from slurm_het.node_files import NodeCards, NodesAlike
from slurm_het.sandbox.accounting import DEFAULT_ACCOUNTING, Accounting, load_accounting
from slurm_het.sandbox.accounting import problems as accounting_problems
from slurm_het.vendors import catalogue, load_vendors

INTAKE = "accel"
DEFAULT_TOPOLOGY = Path(__file__).resolve().parent.parent / "data" / "sandbox_topology.yaml"
MAX_NODES = 512

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ACCEL_FIELDS = ("type", "vendor", "scenario", "memory_gib_per_device")


class Cards(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The cards of one type in a node; `gres` is the name they are registered by.

    Of a type that a vendor's profile has, its vendor and memory may be left to that.
    """

    type: str
    devices: int
    vendor: str = ""
    memory_gib_per_device: int = 0
    gres: str = "gpu"

    def completed(self, types: Catalog) -> Cards:
        """These cards, with what is known of their type where they do not say it."""
        known = types.get(self.type) or types.get(model_of(self.type, types))
        return msgspec.structs.replace(
            self,
            vendor=self.vendor or (known.vendor if known else ""),
            memory_gib_per_device=self.memory_gib_per_device or (known.memory_gib if known else 0),
        )


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nodes that are alike; memory in GiB, `devices` and `cpus` per node.

    `more` are cards of other types beside the first ones. `gres_name` is what these are
    registered by; only gpu can have shards. Of a known type vendor and memory may be left out.
    """

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
    threads_per_core: int = 1
    gres_name: str = "gpu"
    more: tuple[Cards, ...] = ()

    @property
    def cards(self) -> tuple[Cards, ...]:
        """The cards of each type; none for a CPU node."""
        if not self.devices:
            return ()
        first = Cards(
            type=self.type, vendor=self.vendor, devices=self.devices, gres=self.gres_name,
            memory_gib_per_device=self.memory_gib_per_device,
        )  # fmt: skip
        return (first, *self.more)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The node names the host list stands for."""
        return tuple(NodeSet(self.name, resolver=RESOLVER_NOGROUP))

    @property
    def gres(self) -> str:
        """The nodes' `Gres=` value, e.g. `gpu:l40s:4,shard:192`; empty without devices."""
        words = [f"{cards.gres}:{cards.type}:{cards.devices}" for cards in self.cards]
        return ",".join([*words, f"shard:{self.shards}"] if self.shards else words)

    @property
    def shards(self) -> int:
        """How many shards one node has."""
        return sum(c.devices for c in self.cards if c.gres == "gpu") * self.shards_per_device

    @property
    def kind(self) -> NodesAlike:
        """What decides the nodes' lines in gres.conf."""
        cards = tuple(NodeCards(c.type, c.vendor, c.devices, c.gres) for c in self.cards)
        return NodesAlike(self.nodes, self.name, cards, self.shards)

    @property
    def features(self) -> str:
        """The nodes' `Features=` value: type, vendor, scenario and pool."""
        words = [word for cards in self.cards for word in (cards.type, cards.vendor)]
        return ",".join(dict.fromkeys(w for w in (*words, self.scenario, self.pool) if w))


class Topology(msgspec.Struct, frozen=True):
    """All node groups of a sandbox, its site's accounting and its network if the file has any.

    `network` is the text of topology.conf: switches, or blocks.
    """

    groups: tuple[Group, ...]
    accounting: Accounting | None = None
    network: str = ""

    @property
    def network_plugin(self) -> str:
        """Slurm's plugin for the network; '' where there is none."""
        kind = "block" if "BlockName=" in self.network else "tree"
        return f"topology/{kind}" if self.network else ""

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
            vendors += dict.fromkeys(c.vendor for c in group.cards if c.vendor not in vendors)
        return found

    def cards(self) -> list[Cards]:
        """The cards of every group."""
        return [cards for group in self.groups for cards in group.cards]

    def types(self) -> dict[str, Cards]:
        """Accelerator type to the first cards of it."""
        return {cards.type: cards for cards in reversed(self.cards())}

    def tres(self) -> list[str]:
        """The devices that Slurm is to count: gres/gpu, gres/gpu:a100, gres/shard."""
        shards = ["gres/shard"] if any(group.shards for group in self.groups) else []
        names = [(f"gres/{c.gres}", f"gres/{c.gres}:{c.type}") for c in self.cards()]
        return [*dict.fromkeys(word for pair in names for word in pair), *shards]

    def accounting_problems(self, section: Accounting) -> list[str]:
        """What is wrong with an accounting section for this cluster."""
        return accounting_problems(section, [INTAKE, *self.partitions()], self.tres())

    def gres_names(self) -> list[str]:
        """The names by which cards are registered."""
        return list(dict.fromkeys(cards.gres for cards in self.cards()))


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topology file that says more than a list of node groups."""

    nodes: tuple[Group, ...]
    accounting: Accounting | None = None
    network: str = ""


def load_topology(path: Path) -> Topology:
    """Read and check a topology file; `HetError` names the group and the field that is wrong."""
    try:
        raw = msgspec.yaml.decode(path.read_bytes())
    except OSError as error:
        raise HetError(f"cannot read the topology {path}: {error.strerror}", _hint(path)) from error
    except (msgspec.DecodeError, YAMLError) as error:
        raise HetError(f"topology {path}: {error}", _hint(path)) from error
    return topology_of(raw, path)


def topology_of(raw: object, path: Path) -> Topology:
    """What a topology file says, read already, or a part of the file `path` that says the same."""
    try:
        read = msgspec.convert(raw, tuple[Group, ...] | _File)
    except msgspec.ValidationError as error:
        raise HetError(f"topology {path}: {error}", _hint(path)) from error
    groups = (read.nodes, read.accounting, read.network) if isinstance(read, _File) else (read,)
    types = Catalog(catalogue(load_vendors()))
    topology = Topology(tuple(_completed(group, types) for group in groups[0]), *groups[1:])
    problems = _problems(topology)
    if not problems and topology.accounting:
        problems = topology.accounting_problems(topology.accounting)
    if problems:
        raise HetError("\n".join(f"topology {path}: {text}" for text in problems), _hint(path))
    return topology


def _completed(group: Group, types: Catalog) -> Group:
    if not group.cards:
        return group
    first, *more = (cards.completed(types) for cards in group.cards)
    return msgspec.structs.replace(
        group,
        vendor=first.vendor,
        memory_gib_per_device=first.memory_gib_per_device,
        more=tuple(more),
    )


def _hint(path: Path) -> str:
    return f"correct {path}, or compare it with {DEFAULT_TOPOLOGY} and {DEFAULT_ACCOUNTING}"


def accounting_for(topology: Topology, wanted: bool | Accounting) -> Accounting | None:
    """The section that is wanted: a given one, else the topology's own, else the default one.

    Raises HetError if it names what this topology has not.
    """
    if wanted is False:
        return None
    section = (topology.accounting or load_accounting()) if wanted is True else wanted
    problems = topology.accounting_problems(section)
    if problems:
        raise HetError("\n".join(problems), f"correct it, or compare it with {DEFAULT_ACCOUNTING}")
    return section


def _problems(topology: Topology) -> list[str]:
    groups = topology.groups
    problems = [text for group in groups for text in _group_problems(group)]
    if problems:
        return problems
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
    for cards in topology.cards():
        same = topology.types()[cards.type]
        if (same.vendor, same.memory_gib_per_device) != (cards.vendor, cards.memory_gib_per_device):
            problems.append(f"type {cards.type} has two vendors or two memory sizes")
    return problems


def _group_problems(group: Group) -> list[str]:
    problems = []
    try:
        bad_names = [name for name in group.nodes if not _WORD.fullmatch(name)]
    except NodeSetParseError as error:
        return [f"group {group.name}: not a host list: {error}"]
    if bad_names or not group.nodes:
        problems.append(f"names no valid node (letters, digits, . _ -): {group.name!r}")
    fields = [("type", group.type), ("vendor", group.vendor), ("pool", group.pool)]
    for cards in (*group.cards, *group.more):
        fields += [("type", cards.type), ("vendor", cards.vendor), ("gres", cards.gres)]
    for field, value in dict.fromkeys(fields):
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
        problems += [
            f"cards under more need {field}"
            for field in ("type", "vendor", "memory_gib_per_device")
            if not all(getattr(cards, field) for cards in group.more)
        ]
        if any(not 1 <= cards.devices <= 64 for cards in group.more):
            problems.append("devices under more must be 1 to 64")
        if group.shards_per_device and any(cards.gres != "gpu" for cards in group.cards):
            problems.append("shards_per_device: Slurm shares only cards whose gres is gpu")
    elif any(getattr(group, field) for field in (*_ACCEL_FIELDS, "shards_per_device", "more")):
        problems.append("describes accelerators, but has devices: 0")
    return [f"group {group.name}: {text}" for text in problems]
