"""Whether the nodes' devices, shards and Features are as the configuration has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slurm_het.cli.checks.site import Finding, Installation
from slurm_het.core.catalog import model_of
from slurm_het.core.model import NodeRecord
from slurm_het.core.policy import Policy, Pool
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.gres import Gres

Complaint = tuple[str, str, bool]
"""What, the remedy, and whether it is but a remark: of one node."""


def of_nodes(site: Installation) -> Iterator[Finding]:
    """What is wrong with nodes, those that have the same as one."""
    policy = site.settings.policy
    found: dict[Complaint, list[str]] = {}
    for node in site.snapshot.nodes:
        if _devices(node, policy):
            for look in _OF_A_NODE:
                for complaint in look(node, policy):
                    found.setdefault(complaint, []).append(node.name)
    for (what, remedy, remark), names in found.items():
        yield Finding(f"node {hostlist.fold(names)}", what, remedy, remark)


def uncounted(site: Installation) -> Iterator[Finding]:
    """Nodes of pools whose GRES are under names that the configuration does not know."""
    policy = site.settings.policy
    found: dict[str, list[str]] = {}
    for node in site.snapshot.nodes:
        if node.gres and _pools(node, policy) and not _devices(node, policy):
            found.setdefault(node.gres, []).append(node.name)
    for text, names in found.items():
        known = ", ".join(name for name, entry in policy.gres.items() if not entry.shared)
        yield Finding(
            f"node {hostlist.fold(names)}",
            f"has Gres={text}, and none of these names counts as an accelerator ({known} do)",
            "name it under gres: in het.yaml, or register the cards as Gres=gpu:TYPE:COUNT",
        )  # fmt: skip


def reported(site: Installation) -> Iterator[Finding]:
    """Nodes that slurmctld does not use, as they report other GRES than slurm.conf has."""
    found: dict[str, list[str]] = {}
    for node in site.snapshot.nodes:
        if node.reason.startswith("gres/"):
            found.setdefault(node.reason, []).append(node.name)
    for reason, names in found.items():
        yield Finding(
            f"node {hostlist.fold(names)}", f"starts nothing: {reason}",
            "make its gres.conf agree with Gres= of slurm.conf (slurm-het gres-conf prints it),"
            " restart its slurmd, then scontrol update NodeName=... State=RESUME",
        )  # fmt: skip


def unused_pools(site: Installation) -> Iterator[Finding]:
    """Pools without a device."""
    policy = site.settings.policy
    used = {name for n in site.snapshot.nodes if _devices(n, policy) for name in n.partitions}
    for pool in policy.pools:
        if pool.partition not in used:
            yield Finding(
                "het.yaml", f"pool {pool.partition} has no node with accelerators",
                "give its partition nodes with Gres=, or take it out of pools:",
            )  # fmt: skip


def default_vendors(site: Installation) -> Iterator[Finding]:
    """Vendors that jobs go to by default, and that no pool is for."""
    policy = site.settings.policy
    served = {vendor for pool in policy.pools for vendor in pool.vendors}
    if lost := [vendor for vendor in policy.default_vendors if vendor not in served]:
        yield Finding(
            "het.yaml, default_vendors",
            f"no pool is for {', '.join(lost)}: a job that shows no sign of a vendor waits for one",
            f"name vendors of your pools ({', '.join(sorted(served))}), or none for any vendor",
        )  # fmt: skip


def _devices(node: NodeRecord, policy: Policy) -> list[Gres]:
    names = policy.gres
    return [g for g in gres.parse(node.gres) if g.name in names and not names[g.name].shared]


def _types(node: NodeRecord, policy: Policy) -> list[str]:
    return [model_of(g.type or g.name, policy.types) for g in _devices(node, policy)]


def _pools(node: NodeRecord, policy: Policy) -> list[Pool]:
    return [pool for pool in policy.pools if pool.partition in node.partitions]


def _several_names(node: NodeRecord, policy: Policy) -> Iterator[Complaint]:
    names = sorted({g.name for g in _devices(node, policy)})
    if len(names) > 1:
        yield (
            f"has devices of several names ({', '.join(names)}): Slurm numbers each from 0, and"
            " which of them a job holds is not told apart",
            "make them types of one GRES name", False,
        )  # fmt: skip


def _membership(node: NodeRecord, policy: Policy) -> Iterator[Complaint]:
    pools = _pools(node, policy)
    if not pools:
        yield (
            "has accelerators and is in no pool: never planned",
            "add it to a pool's partition, or make its partition a pool", True,
        )  # fmt: skip
    if len(pools) > 1:
        names = ", ".join(pool.partition for pool in pools)
        mixed = len({pool.scenario for pool in pools}) > 1
        both = "training and inference mix on it" if mixed else "which is chosen means nothing"
        yield (f"is in several pools ({names}): {both}", "leave it in one of them", not mixed)


def _of_a_type(node: NodeRecord, policy: Policy) -> Iterator[Complaint]:
    pools = _pools(node, policy)
    for name in dict.fromkeys(_types(node, policy)):
        known = policy.types.get(name)
        if known is None:
            yield (
                f"type {name!r} is not known: it is taken for its pool's vendor's, and jobs that"
                " ask for memory do not get it",
                "describe it under types: (vendor, memory_gib) in het.yaml", False,
            )  # fmt: skip
            continue
        for pool in pools:
            if known.vendor not in pool.vendors:
                yield (
                    f"{name} is of {known.vendor}, its pool {pool.partition} is for"
                    f" {', '.join(pool.vendors)}",
                    f"add {known.vendor} to the pool's vendors, or move the node", False,
                )  # fmt: skip
        if name not in node.features:
            yield (
                f"lacks the Feature {name!r}: with the gate open plain Slurm could not keep jobs to"
                " their type",
                f"add {name} to its Feature= in slurm.conf", False,
            )  # fmt: skip


def _pool_features(node: NodeRecord, policy: Policy) -> Iterator[Complaint]:
    for pool in _pools(node, policy):
        if pool.partition not in node.features:
            yield (
                f"lacks the Feature {pool.partition!r}: needed where a type is in pools of both"
                " scenarios",
                f"add {pool.partition} to its Feature= in slurm.conf", True,
            )  # fmt: skip


def _shards(node: NodeRecord, policy: Policy) -> Iterator[Complaint]:
    shared = {name for name, entry in policy.gres.items() if entry.shared}
    have = sum(g.count for g in gres.parse(node.gres) if g.name in shared)
    devices = [g for g in _devices(node, policy) if g.name == "gpu"]
    types = [policy.types.get(model_of(g.type or g.name, policy.types)) for g in devices]
    if not have or not devices or None in types:
        return
    need = sum(g.count * t.memory_gib for g, t in zip(devices, types, strict=True) if t)
    if have != need:
        each = ", ".join(
            f"{g.count} {t.name} of {t.memory_gib} GiB"
            for g, t in zip(devices, types, strict=True) if t
        )  # fmt: skip
        yield (
            f"has {have} shards for {each}, which are {need} GiB: a shard is one GiB",
            f"Gres=...,shard:{need} in slurm.conf and Name=shard Count={need} in gres.conf; or"
            " correct memory_gib under types: in het.yaml", False,
        )  # fmt: skip


_OF_A_NODE: tuple[Callable[[NodeRecord, Policy], Iterator[Complaint]], ...] = (
    _several_names, _membership, _of_a_type, _pool_features, _shards,
)  # fmt: skip

CHECKS = (of_nodes, uncounted, reported, unused_pools, default_vendors)
