"""Nodes that a user has alone (--exclusive=user, ExclusiveUser=YES of a partition)."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from slurm_het.core.model import Snapshot
from slurm_het.core.network import EXCLUSIVE_USER
from slurm_het.core.reservations.reservation import end_of
from slurm_het.core.syntax import hostlist


class Owner(NamedTuple):
    """Who has a node alone, and until when at the latest (epoch seconds)."""

    user: str
    until: float


Owners = Mapping[str, Owner]
"""By node."""


def owners_of(snapshot: Snapshot) -> Owners:
    """Of all nodes that a user has alone. A job without a time limit keeps its nodes for ever."""
    owners: dict[str, Owner] = {}
    for job in snapshot.jobs:
        if EXCLUSIVE_USER in job.layout.by_slurm and job.holds_nodes:
            end = end_of(job, snapshot.time) or inf
            for name in hostlist.expand_readable(job.nodes):
                before = owners.get(name)
                owners[name] = Owner(job.user, max(end, before.until if before else 0.0))
    return owners
