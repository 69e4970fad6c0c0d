"""Who may preempt whom: from `scontrol show config` and `sacctmgr show qos`.

`scontrol show assoc_mgr` does not print whom a QOS preempts (22.05, 24.11, 26.05), so slurmdbd is
asked. Both texts are the admins' own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from slurm_het.core.preemption import NO_PREEMPTION, Modes, Preemption, QosPreemption
from slurm_het.errors import SlurmError

QOS_SECONDS = 60.0
"""So long what slurmdbd said of its QOSs is taken to be so."""
QOS_PATIENCE = 2.0
"""So long a snapshot waits for slurmdbd's first answer."""

SHOW_QOS = (
    "-nP", "show", "qos",
    "format=name,priority,preempt,preemptmode,preemptexempttime,gracetime,flags",
)  # fmt: skip
"""sacctmgr's arguments; parse_qos reads what it prints."""

_BY: dict[str, Literal["partition", "qos"]] = {
    "preempt/partition_prio": "partition",
    "preempt/qos": "qos",
}


@dataclass
class PreemptionReader:
    """Reads how jobs preempt each other; remembers what slurmdbd said of its QOSs.

    `run` runs one of Slurm's programs and gives its output; it raises SlurmError.
    """

    run: Callable[..., Awaitable[str]]
    _qos: dict[str, QosPreemption] | None = None
    _asking: asyncio.Task[None] | None = None
    _asked: float = 0.0  # of time.monotonic()

    async def read(self, conf: Mapping[str, str]) -> Preemption:
        """It all; `conf` is slurmctld's configuration.

        QOSs are asked for beside all else, once a minute, and until then what was known last is
        taken to be so: slurmdbd may be away for long, and nothing is to wait for it.
        """
        if preemption_of(conf, {}).by != "qos":
            return preemption_of(conf, {})
        now = time.monotonic()
        if self._asking is None or (self._asking.done() and now > self._asked + QOS_SECONDS):
            self._asking, self._asked = asyncio.create_task(self._ask()), now
        if self._qos is None:
            await asyncio.wait({self._asking}, timeout=QOS_PATIENCE)
            self._qos = self._qos or {}
        return preemption_of(conf, self._qos)

    async def _ask(self) -> None:
        with contextlib.suppress(SlurmError):
            self._qos = parse_qos(await self.run("sacctmgr", *SHOW_QOS))


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


def parse_qos(text: str) -> dict[str, QosPreemption]:
    """What each QOS says, from what sacctmgr prints for SHOW_QOS."""
    lines = [line.split("|") for line in text.splitlines()]
    return {line[0]: _qos(*line[1:7]) for line in lines if len(line) >= 7}


def _qos(*words: str) -> QosPreemption:
    priority, preempts, modes, exempt, grace, flags = words
    return QosPreemption(
        priority=int(priority) if priority.isdigit() else 0,
        preempts=frozenset(name for name in preempts.split(",") if name),
        modes=modes_of(modes) - {"CLUSTER", "OFF"},  # a QOS has no OFF: it means the cluster's
        exempt_seconds=parse_seconds(exempt),
        grace_seconds=parse_seconds(grace) or 0,
        over_partition="OverPartQOS" in flags.split(","),
    )


def modes_of(text: str) -> Modes:
    """`GANG,SUSPEND` as a set of words."""
    return frozenset(word for word in text.upper().split(",") if word)


def parse_seconds(text: str) -> int | None:
    """Slurm's `D-HH:MM:SS` or `HH:MM:SS` in seconds; None is not set."""
    match = re.match(r"(?:(\d+)-)?(\d+):(\d+):(\d+)\Z", text)
    if not match:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
