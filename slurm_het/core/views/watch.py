"""Whether the first cycles of a pool in plan go well: the bounds, on what was seen of them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from slurm_het.core.cluster.fit import could_start
from slurm_het.core.model import Plan
from slurm_het.core.planner.proposal import Prepared

CLOSED_SECONDS = 30.0
"""So long hetd may take until the gate is closed."""
FAILED_LEAST, FAILED_SHARE = 3, 0.1
"""So many releases, and of all such a share, may fail."""
IDLE_SHARE, IDLE_LOOKS = 0.1, 5
"""The pool's busy share may fall by so much while jobs wait that could start on what is free there;
but not for so many looks in a row."""
WAIT_SECONDS = 20.0
"""So long a task may wait that a cycle would start at once: plain Slurm looks every few seconds."""
SILENT_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """One look, `seconds` after the change.

    `silence` says why hetd did not answer; `failed` are releases that Slurm did not take, or that
    jobs came back from. Jobs hold `used` of the pool's `devices`; `startable` tasks wait, although
    they could start on the rest. `put_off` are the keys of those among them that a cycle would
    start at once.
    """

    seconds: float
    silence: str = ""
    gate: str = "closed"
    troubles: tuple[str, ...] = ()
    released: int = 0
    failed: int = 0
    used: int = 0
    devices: int = 0
    startable: int = 0
    put_off: frozenset[str] = frozenset()


def broken(before: Look, looks: Sequence[Look]) -> str:
    """Which bound is broken, in a sentence; '' if none is. `before` was the change."""
    last = looks[-1]
    recent = looks[-SILENT_LOOKS:]
    if len(recent) == SILENT_LOOKS and all(look.silence for look in recent):
        return last.silence
    if last.silence:
        return ""
    if last.gate != "closed" and last.seconds > CLOSED_SECONDS:
        return f"the gate is {last.gate} {last.seconds:.0f} s after the change"
    lasting = [t for look in looks[-2:-1] for t in last.troubles if t in look.troubles]
    if new := [trouble for trouble in lasting if trouble not in before.troubles]:
        return new[0]
    tried = last.released + last.failed
    if last.failed >= FAILED_LEAST and last.failed > FAILED_SHARE * tried:
        return f"{last.failed} of {tried} releases failed"
    idle = looks[-IDLE_LOOKS:]
    if len(idle) == IDLE_LOOKS and all(_idles(before, look) for look in idle):
        return (
            f"{last.used} of {last.devices} devices are in use, {before.used} were before, and"
            f" {last.startable} tasks wait that could start there"
        )
    return _waits(looks)


def _waits(looks: Sequence[Look]) -> str:
    """A task that all looks of so long a time have found put off; a silent one breaks the row."""
    last, keys = looks[-1], looks[-1].put_off
    for look in reversed(looks):
        keys = keys & look.put_off
        if not keys:
            return ""
        if (seconds := last.seconds - look.seconds) >= WAIT_SECONDS:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            return (
                f"job {min(keys)}{more} could start at once for {seconds:.0f} s, and is not started"
            )
    return ""


def _idles(before: Look, look: Look) -> bool:
    fell = before.used - look.used
    return not look.silence and look.startable > 0 and fell > IDLE_SHARE * max(1, look.devices)


def would_start(plan: Plan, pools: Set[str]) -> frozenset[str]:
    """The keys of the tasks that this plan starts in these pools."""
    return frozenset(made.key for made in plan.placements if made.partition in pools)


def startable(prepared: Prepared, pools: Set[str]) -> int:
    """How many tasks that may be planned now could start on what is free in these pools."""
    nodes = {n.name: n for n in prepared.room.nodes.values() if pools & set(n.partitions)}
    free = replace(prepared.room, nodes=nodes)
    return sum(could_start(task, free) for task in prepared.window)
