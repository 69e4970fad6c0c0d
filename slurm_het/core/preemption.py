"""How jobs make room for others, as the site has it: slurm.conf's Preempt*, and what QOSs say.

Modes are Slurm's words in capitals: OFF, CANCEL, REQUEUE, SUSPEND; GANG, WITHIN and PRIORITY say
more beside them. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Modes = frozenset[str]
NO_QOS: Mapping[str, QosPreemption] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class QosPreemption:
    """What one QOS says: whose jobs its own may preempt, and how its own are preempted.

    No `modes` are the cluster's. `exempt_seconds` is for how long its jobs run in peace, None is
    what the cluster says; then they have `grace_seconds` from the warning to the end.
    `over_partition` is the flag OverPartQOS.
    """

    priority: int = 0
    preempts: frozenset[str] = frozenset()
    modes: Modes = frozenset()
    exempt_seconds: int | None = None
    grace_seconds: int = 0
    over_partition: bool = False


@dataclass(frozen=True, slots=True)
class Preemption:
    """All of it; by default nobody preempts anybody.

    Of the jobs that could make room Slurm takes the `youngest_first`, or those of the lowest tier
    or QOS. It looks `reorder_count` times more whether fewer of them would do. Jobs with more than
    `min_exempt_priority` are never preempted.
    """

    by: Literal["", "partition", "qos"] = ""
    modes: Modes = frozenset()
    exempt_seconds: int = 0
    youngest_first: bool = False
    reorder_count: int = 1
    min_exempt_priority: int | None = None
    qos: Mapping[str, QosPreemption] = field(default_factory=lambda: NO_QOS)


NO_PREEMPTION = Preemption()
