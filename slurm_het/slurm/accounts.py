"""What AllowAccounts and DenyAccounts of a partition come to: by version, and by what is enforced.

22.05 compares the names of accounts, whatever AccountingStorageEnforce says. From 23.02 on an
account stands for those below it too, and the lists hold only where associations are enforced
(partition_mgr.c, `part_policy_valid_acct`; the same in 23.02, 24.11 and 26.05).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from slurm_het.core.model import Partition, Snapshot
from slurm_het.slurm.versions import SlurmVersion


def enforced(conf: Mapping[str, str]) -> frozenset[str]:
    """The words of AccountingStorageEnforce; `conf` is slurmctld's.

    Each job has an association where `associations` is one of them: slurmctld adds that where
    another word implies it.
    """
    return frozenset(conf.get("AccountingStorageEnforce", "").lower().split(","))


def as_enforced(
    partitions: Iterable[Partition], version: SlurmVersion, conf: Mapping[str, str]
) -> tuple[Partition, ...]:
    """The partitions with the lists of accounts that hold, and how; `conf` is slurmctld's."""
    if not version.sub_accounts:
        return tuple(replace(p, sub_accounts=False) for p in partitions)
    if "associations" in enforced(conf):
        return tuple(partitions)
    nobody = frozenset[str]()
    return tuple(replace(p, allow_accounts=nobody, deny_accounts=nobody) for p in partitions)


def go_by_parents(snapshot: Snapshot) -> bool:
    """Whether anything there lets accounts in, or keeps them out, by those above them."""
    return any(
        p.sub_accounts and (p.allow_accounts or p.deny_accounts) for p in snapshot.partitions
    ) or any(r.accounts and "MAGNETIC" in r.flags for r in snapshot.reservations)
