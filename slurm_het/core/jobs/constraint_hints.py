"""What a --constraint, and a site's own GRES names, say of the devices that a job means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.constraint import Expression, parse_features
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import HetError

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_MEMORY = re.compile(
    r"(?:.*?[_.:-])??(?P<word>gpu|vram|hbm|gmem|gpumem|gpu_?mem|gpu_memory|mem_?gpu)?[_:=-]*"
    r"(?P<gib>\d{1,4})(?:g|gb|gib)?",
    re.IGNORECASE,
)
_SIZED = re.compile(r"(?:.*[_.:-])?(\d{1,4})(?:g|gb|gib)", re.IGNORECASE)
_GRES_NAMES = re.compile(r"(?:min[_-]?)?(?:v|g|gpu|device|dev|hbm)[_-]?(?:ram|mem|memory)",
                         re.IGNORECASE)  # fmt: skip


class Meant(NamedTuple):
    """Whose devices the nodes have that a constraint allows (empty: it does not tell vendors
    apart), and the GiB that each device must have by its words. `named`: the types, vendors and
    pools in it, where no inventory tells which nodes those are."""

    vendors: frozenset[str] = frozenset()
    memory_gib: int = 0
    named: tuple[str, ...] = ()


def meant_by(features: str, inventory: Inventory | None, policy: Policy) -> Meant:
    """What a constraint says. It is held against the nodes: a feature of all nodes says nothing,
    and `intel` says what is in the nodes that have it, be that the maker of their CPUs."""
    try:
        wanted = parse_features(features)
    except HetError:
        return Meant()
    if not any(expression.parts for expression in wanted.alternatives):
        return Meant()
    if inventory is None:
        return _by_name(features, policy)
    allowed = _types_inside(features, inventory)
    if not allowed:  # Slurm refuses it, unless nodes get these features later: by its words alone
        words = min((_memory_of(e, ()) for e in wanted.alternatives), default=0)
        return Meant(vendors_named(_NAME.findall(features), policy), words)
    sizes = {d.memory_gib for d in inventory.devices() if d.type in allowed}
    memory = min((_memory_of(e, sizes) for e in wanted.alternatives), default=0)
    vendors = {v for v, types in inventory.vendors.items() if types & allowed}
    return Meant(
        frozenset(vendors) if vendors < set(inventory.vendors) else frozenset(),
        memory if memory <= max(sizes) else 0,
    )


def where_allowed(types: frozenset[str], features: str, inventory: Inventory) -> frozenset[str]:
    """Those of some device types that nodes have which a constraint allows; all where none has one,
    or it cannot be read."""
    try:
        return types & _types_inside(features, inventory) or types
    except HetError:
        return types


def or_allowed(types: frozenset[str], features: str, inventory: Inventory) -> frozenset[str]:
    """Some device types; if a constraint allows others alone, these."""
    allowed = _types_inside(features, inventory)
    return types if not types or types & allowed else allowed or types


def _types_inside(features: str, inventory: Inventory) -> frozenset[str]:
    wanted, kinds = parse_features(features), inventory.kinds.items()
    return frozenset().union(*(types for have, types in kinds if wanted.allows(have)))


def vendors_named(names: Iterable[str], policy: Policy) -> frozenset[str]:
    """Whose devices names of types, of generations and brands are: `a100`, `hopper`, `GeForce`."""
    vendors: set[str] = set()
    for name in names:
        if known := policy.types.get(name):
            vendors.add(known.vendor)
            continue
        for row in policy.signs.asked_for(name):
            vendors |= set(row.vendors)
    return frozenset(vendors)


def _by_name(features: str, policy: Policy) -> Meant:
    """Without an inventory: whether it names types, vendors or pools, and so leaves us no say."""
    pools = {p.partition for p in policy.pools}
    words = sorted(set(_NAME.findall(features)))
    named = [w for w in words if w in policy.types or w in policy.vendors() or w in pools]
    return Meant(named=tuple(named))


def _memory_of(part: Expression | str, sizes: Iterable[int]) -> int:
    """GiB that a part of a constraint asks of a device, 0 if it says nothing of that."""
    if isinstance(part, str):
        return _memory_word(part, sizes)
    said = [_memory_of(p, sizes) for p in part.parts]
    return (min(said) if part.any_of else max(said)) if said else 0


def _memory_word(word: str, sizes: Iterable[int]) -> int:
    """`gpu80g`, `hbm80g`, `vram40`, `GPU_MEM:16GB`, `v100-32g`; `80gb` if devices have that."""
    match = _MEMORY.fullmatch(word)
    if match and match["word"]:
        return int(match["gib"])
    sized = _SIZED.fullmatch(word)
    gib = int(sized.group(1)) if sized else 0
    return gib if gib in sizes else 0


def memory_in_gres(items: Iterable[Gres], known: Mapping[str, object]) -> int:
    """GiB of device memory that GRES of a site's own say: `vram:24G`, `gpumem:40960` (MiB)."""
    most = 0
    for item in items:
        if item.name not in known and _GRES_NAMES.fullmatch(item.name):
            amount = item.count
            gib = amount >> 30 if amount >= 1 << 30 else amount
            most = max(most, gib if gib <= 1024 else -(-gib // 1024))
    return most
