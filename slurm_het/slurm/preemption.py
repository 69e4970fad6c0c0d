"""Who may preempt whom: from `scontrol show config` and `sacctmgr show qos`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from slurm_het.core.preemption import NO_PREEMPTION, Modes, Preemption, QosPreemption
from slurm_het.core.syntax.durations import parse_seconds
from slurm_het.slurm.qos import QosFields, QosReader

_BY: dict[str, Literal["partition", "qos"]] = {
    "preempt/partition_prio": "partition",
    "preempt/qos": "qos",
}


async def read_preemption(conf: Mapping[str, str], qos: QosReader) -> Preemption:
    """It all; `conf` is slurmctld's configuration."""
    found = preemption_of(conf, {})
    if found.by != "qos":
        return found
    return replace(found, qos={name: qos_of(said) for name, said in (await qos.read()).items()})


def preemption_of(conf: Mapping[str, str], qos: Mapping[str, QosPreemption]) -> Preemption:
    """The cluster's preemption from slurmctld's configuration, and its QOSs."""
    modes, by = modes_of(conf.get("PreemptMode", "")), _BY.get(conf.get("PreemptType", ""))
    if by is None or not modes & {"REQUEUE", "CANCEL", "SUSPEND"}:
        return NO_PREEMPTION
    # 25.05 on has PreemptParameters; the words in SchedulerParameters go on to count.
    said = f"{conf.get('SchedulerParameters', '')},{conf.get('PreemptParameters', '')}".lower()
    reorder = re.search(r"reorder_count=(\d+)", said)
    exempt_priority = re.search(r"min_exempt_priority=(\d+)", said)
    return Preemption(
        by=by,
        modes=modes,
        exempt_seconds=parse_seconds(conf.get("PreemptExemptTime", "")) or 0,
        youngest_first="youngest_first" in said,
        reorder_count=int(reorder.group(1)) if reorder else 1,
        min_exempt_priority=int(exempt_priority.group(1)) if exempt_priority else None,
        qos=qos,
    )


def qos_of(said: QosFields) -> QosPreemption:
    """What sacctmgr says of a QOS, as far as it bears on preemption."""
    priority = said["Priority"]
    return QosPreemption(
        priority=int(priority) if priority.isdigit() else 0,
        preempts=frozenset(name for name in said["Preempt"].split(",") if name),
        # a QOS has no OFF: it means the cluster's
        modes=modes_of(said["PreemptMode"]) - {"CLUSTER", "OFF"},
        exempt_seconds=parse_seconds(said["PreemptExemptTime"]),
        grace_seconds=parse_seconds(said["GraceTime"]) or 0,
        over_partition="OverPartQOS" in said["Flags"].split(","),
    )


def modes_of(text: str) -> Modes:
    """`GANG,SUSPEND` as a set of words."""
    return frozenset(word for word in text.upper().split(",") if word)
