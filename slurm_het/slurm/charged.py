"""To which account and QOS a job goes whose user names none, as slurmctld fills them in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from slurm_het.core.jobs.submission import Charged
from slurm_het.errors import SlurmError

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
    The rules are slurmctld's: the association for the partition goes before that for all, and its
    only QOS is the default (assoc_mgr_fill_in_assoc and assoc_mgr_get_default_qos_info).
    """
    if named.whole or "slurmdbd" not in conf.get("AccountingStorageType", ""):
        return named
    if not user:
        return None
    where = ("where", f"name={user}", f"cluster={conf.get('ClusterName', '')}")
    try:
        text = await ask(
            "sacctmgr", "-nP", "show", "user", "withassoc", *where, f"format={','.join(FIELDS)}"
        )
    except SlurmError:  # slurmdbd is down, or hides them
        return None
    found = _of(text, named, partition)
    needs_one = "associations" in conf.get("AccountingStorageEnforce", "")
    return found if found or needs_one else named


def _of(text: str, named: Charged, partition: str) -> Charged | None:
    """The same, from what sacctmgr prints."""
    lines = (line.split("|") for line in text.splitlines())
    rows = [dict(zip(FIELDS, line, strict=True)) for line in lines if len(line) == len(FIELDS)]
    account = named.account or next((row["DefaultAccount"] for row in rows), "")
    mine = {row["Partition"]: row for row in rows if row["Account"] == account}
    row = mine.get(partition) or mine.get("")
    if not account or row is None:
        return None
    only = row["QOS"] if "," not in row["QOS"] else ""
    qos = named.qos or row["DefaultQOS"] or only
    return Charged(account, qos) if qos else None
