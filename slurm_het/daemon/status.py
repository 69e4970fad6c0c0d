"""What hetd's status says of its cycles: all jobs to admins, their own to users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from slurm_het.daemon.control import Caller
from slurm_het.daemon.cycle import Cycle
from slurm_het.daemon.shadow import ShadowCycle

V = TypeVar("V")


def of_cycle(cycle: Cycle, caller: Caller) -> dict[str, Any]:
    """The last cycle, and why jobs wait."""
    report = cycle.report
    returned = {
        key: {"reason": one.reason, "times": one.times} for key, one in cycle.pins.returned.items()
    }
    return {
        "pinned": len(cycle.pins.pins),
        "cycle": {
            "time": report.time, "seconds": round(report.seconds, 4), "status": report.status,
            "gap": report.gap, "placed": report.placed,
            "waiting": max(0, report.tasks - report.placed),
        },
        "told": cycle.start_times.status(),
        "waiting": _seen(report.waiting, cycle, caller),
        "likely": _seen(cycle.start_times.likely, cycle, caller),
        "codes": _seen(report.codes, cycle, caller),
        "returned": _seen(returned, cycle, caller),
        "outcomes": {str(event): count for event, count in cycle.counted.items()},
    }  # fmt: skip


def of_shadow(cycle: ShadowCycle | None, caller: Caller) -> dict[str, Any]:
    """The same of shadow, whose releases are none: where jobs would run, and what came of that."""
    if cycle is None:
        return {}
    return of_cycle(cycle, caller) | {"would": _seen(cycle.would(), cycle, caller)}


def _seen(by_job: Mapping[str, V], cycle: Cycle, caller: Caller) -> dict[str, V]:
    users = cycle.report.users

    def may_see(key: str) -> bool:
        return caller.admin or (caller.name != "" and users.get(key) == caller.name)

    return {key: value for key, value in by_job.items() if may_see(key)}
