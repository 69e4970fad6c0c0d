"""Who may use which partition: what Slurm says of it today, and who ran there in the past: pure.

Accounting tells no groups, no accounts above a job's own, and no partition that was shut for a
time. Whoever ran in a partition may use it; nobody else is let in by what is not known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.model import Partition
from slurm_het.replay.past import PastJob


class PastAccess(NamedTuple):
    """The partitions, by name, and the groups of users: of each partition that has AllowGroups one
    with its name."""

    partitions: Mapping[str, Partition]
    groups: Mapping[str, frozenset[str]]


def access_of(partitions: Mapping[str, Partition], pasts: Iterable[PastJob]) -> PastAccess:
    """The partitions as these jobs found them."""
    ran: dict[str, list[PastJob]] = defaultdict(list)
    for past in pasts:
        if past.ran:
            ran[past.partition].append(past)
    groups: dict[str, set[str]] = defaultdict(set)
    for name, partition in partitions.items():
        if partition.allow_groups:
            for past in ran.get(name, ()):
                groups[past.user].add(name)
    return PastAccess(
        {name: _found(p, ran[name]) if name in ran else _shut(p) for name, p in partitions.items()},
        {user: frozenset(names) for user, names in groups.items()},
    )


def _shut(partition: Partition) -> Partition:
    """One where nobody ran."""
    own = frozenset({partition.name}) if partition.allow_groups else frozenset[str]()
    return replace(partition, allow_groups=own)


def _found(partition: Partition, ran: Iterable[PastJob]) -> Partition:
    """One where these ran."""
    accounts = {past.account for past in ran}
    qos = {past.qos for past in ran}
    return replace(
        _shut(partition),
        state="UP",
        allow_accounts=_wider(partition.allow_accounts, accounts),
        deny_accounts=partition.deny_accounts - accounts,
        allow_qos=_wider(partition.allow_qos, qos),
        deny_qos=partition.deny_qos - qos,
        root_only=partition.root_only and {past.user for past in ran} == {"root"},
    )


def _wider(allowed: frozenset[str], seen: set[str]) -> frozenset[str]:
    """Nobody in it lets everybody in."""
    return allowed | seen if allowed else allowed
