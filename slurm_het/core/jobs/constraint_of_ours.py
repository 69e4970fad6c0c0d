"""The constraint that admission writes: plain Slurm places the job rightly by it, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from slurm_het.core.jobs.request import JobRequest
from slurm_het.core.model import Node
from slurm_het.core.policy import Policy, Pool
from slurm_het.core.syntax.constraint import combine, parse_features
from slurm_het.errors import HetError

MAX_FEATURES = 1023
"""The longest value of a field that the hook assigns, in characters."""


class Fit(NamedTuple):
    """Where a job could run: the device types, the partitions of the pools, the nodes in them."""

    types: frozenset[str]
    partitions: frozenset[str]
    inside: tuple[Node, ...]
    outside: tuple[Node, ...]

    @classmethod
    def of(cls, types: frozenset[str], pools: Iterable[Pool], nodes: Iterable[Node]) -> Fit:
        """With these nodes for all that there are."""
        partitions = frozenset(p.partition for p in pools)
        inside, outside = list[Node](), list[Node]()
        for node in nodes:
            (inside if partitions.intersection(node.partitions) else outside).append(node)
        return cls(types, partitions, tuple(inside), tuple(outside))


def features_for(request: JobRequest, fit: Fit, policy: Policy) -> str:
    """The Features that keep plain Slurm to these pools and types, on top of the user's own.

    Node Features carry the pools' partition names and the types (`slurm-het check` sees to it).
    """
    inside = frozenset(d.type for n in fit.inside for d in n.devices)
    outside = frozenset(d.type for n in fit.outside for d in n.devices)
    wanted = fit.types & inside
    by_pool = wanted & outside and all(fit.partitions & n.features for n in fit.inside)
    by_type = wanted < (inside | outside) and _types_are_features(fit.inside, wanted)
    several = request.nodes > 1 or request.whole_devices(policy) > 1
    one_for_all = several and not (by_pool and by_type)  # brackets cannot be ANDed
    by = ((by_pool, fit.partitions), (by_type, wanted))
    groups = [names for applies, names in by if applies]
    if not groups:
        return request.features
    text = combine(request.features, *groups, one_for_all=one_for_all)
    return text if _keeps(text, request.features, fit) else request.features


def _keeps(text: str, written: str, fit: Fit) -> bool:
    """Whether a constraint can stand for the one that the user wrote: Slurm takes it, and nodes
    meet it if any meet his."""
    try:
        return len(text) <= MAX_FEATURES and (_met(text, fit) or not _met(written, fit))
    except HetError:  # one operator too many for us
        return False


def _met(features: str, fit: Fit) -> bool:
    """Whether any node meets a constraint."""
    wanted = parse_features(features)
    return any(wanted.allows(node.features) for node in (*fit.inside, *fit.outside))


def _types_are_features(nodes: Iterable[Node], wanted: frozenset[str]) -> bool:
    return all(d.type in n.features for n in nodes for d in n.devices if d.type in wanted)
