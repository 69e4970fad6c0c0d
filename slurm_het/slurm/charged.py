"""To which account and QOS a job goes whose user names none, as slurmctld fills them in.

slurmctld takes the user's default account; his association for the partition, or else for all; of
that the default QOS, or else the only one, or else root's (assoc_mgr_fill_in_assoc and
assoc_mgr_get_default_qos_info; seen on 22.05).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from slurm_het.core.jobs.submission import Charged
from slurm_het.errors import SlurmError
from slurm_het.slurm.accounts import enforced

FIELDS = ("DefaultAccount", "Account", "Partition", "QOS", "DefaultQOS")
"""What sacctmgr is asked of each association; what a parent has it prints as the user's."""


async def charged_to(
    ask: Callable[..., Awaitable[str]],
    conf: Mapping[str, str],
    user: str,
    named: Charged,
    partition: str,
) -> Charged | None:
    """What `user` names, or else his defaults; None where they cannot be found out.

    `ask` runs one of Slurm's programs, and raises SlurmError; `conf` is slurmctld's configuration.
    """
    if named.whole or "slurmdbd" not in conf.get("AccountingStorageType", ""):
        return named
    if not user:
        return None
    cluster = f"cluster={conf.get('ClusterName', '')}"
    mine = ("user", "withassoc", "where", f"name={user}", cluster, f"format={','.join(FIELDS)}")
    root = ("assoc", "where", "account=root", cluster, "format=User,QOS")
    try:
        rows, roots = [await ask("sacctmgr", "-nP", "show", *what) for what in (mine, root)]
    except SlurmError:  # slurmdbd is down, or hides them
        return None
    needs_one = "associations" in enforced(conf)
    return _of(rows, roots, named, partition) or (None if needs_one else named)


def _of(text: str, roots: str, named: Charged, partition: str) -> Charged | None:
    """The same, from what sacctmgr prints."""
    lines = (line.split("|") for line in text.splitlines())
    rows = [dict(zip(FIELDS, line, strict=True)) for line in lines if len(line) == len(FIELDS)]
    account = named.account or next((row["DefaultAccount"] for row in rows), "")
    mine = {row["Partition"]: row for row in rows if row["Account"] == account}
    row = mine.get(partition) or mine.get("")
    if not account or row is None:
        return None
    of_root = next((line[1:] for line in roots.splitlines() if line.startswith("|")), "")
    qos = named.qos or row["DefaultQOS"] or _only(row["QOS"]) or _only(of_root)
    return Charged(account, qos) if qos else None


def _only(names: str) -> str:
    """The name, if it is a single one."""
    return "" if "," in names else names
