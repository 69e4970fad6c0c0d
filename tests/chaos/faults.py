"""Faults of what hetd and its supervisor stand on, as events: which, when, for how long.

They come in two rows, so that two last at a time, of different `parts`. Each is made, lasts and is
mended; then there is time to plan again before the row's next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random

from tests.chaos.events import Event

OPEN_SECONDS = 15.0  # from a fault until the gate is open
FAIL_OPEN_SECONDS = 10.0  # of het.yaml: reads or updates may all fail for so long
SLOW_SECONDS = FAIL_OPEN_SECONDS + 5.0 + 5.0  # the same where only these fail; a look is late
HANG_SECONDS = 15.0 + 5.0 + 5.0  # as above, but they fail only after slurm.timeout_seconds
LATE_SECONDS = 12.0  # an update may take so long where updates are late, and reads fail after it
ROWS = 2
PAUSE = (12.0, 16.0)
USERS = "nobody", "daemon", "mail"  # what one alone does may be his own doing: daemon/health.py
SUBMIT_EVERY = 2  # of the usual submissions one is left in so many


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: what it is a fault of, and how long it lasts (seconds).

    `slow`: only reads or updates fail. `paired`: it makes sense with two hetds alone.
    """

    name: str
    part: str
    seconds: float
    slow: bool = False
    paired: bool = False

    @property
    def bound(self) -> float:
        """Within how many seconds the gate is open, or somebody plans again."""
        if self.name.endswith("-hang"):
            return HANG_SECONDS
        if self.name == "update-late":  # and Slurm may be busy once it comes: it is sent again
            return 2 * LATE_SECONDS + 5.0
        return SLOW_SECONDS if self.slow else OPEN_SECONDS


FAULTS = (
    Fault("storage-hangs", "storage", 25), Fault("storage-readonly", "storage", 18),
    Fault("storage-full", "storage", 18), Fault("storage-away", "storage", 18),
    Fault("state-closed", "storage", 18),
    Fault("lease-gone", "storage", 1), Fault("lease-of-another", "storage", 1, paired=True),
    Fault("supervisor-no-descriptors", "supervisor", 18),
    Fault("supervisor-no-processes", "supervisor", 18),
    Fault("supervisor-killed", "supervisor", 8), Fault("both-killed", "supervisor", 20),
    Fault("supervisor-hangup", "supervisor", 1),
    Fault("hetd-killed", "hetd", 1), Fault("hetd-stopped", "hetd", 14),
    Fault("hetd-hangup", "hetd", 1), Fault("hetd-ended", "hetd", 1),
    Fault("hetd-no-descriptors", "hetd", 25, slow=True), Fault("hetd-no-memory", "hetd", 18),
    Fault("worker-killed", "hetd", 6), Fault("hook-killed", "hetd", 1),
    Fault("hook-stopped", "hetd", 20),
    Fault("config-wrong", "config", 18), Fault("config-gone", "config", 18),
    Fault("config-other-intake", "config", 18), Fault("gate-order-fails", "config", 22),
    Fault("sockets-gone", "sockets", 15), Fault("notify-gone", "sockets", 15),
    Fault("journal-garbage", "journal", 15), Fault("journal-short", "journal", 15),
    Fault("journal-gone", "journal", 15), Fault("journal-map-short", "journal", 15),
    Fault("journal-locked", "journal", 18),
    Fault("squeue-fail", "squeue", 25, slow=True), Fault("squeue-empty", "squeue", 25, slow=True),
    Fault("squeue-half", "squeue", 25, slow=True), Fault("squeue-hang", "squeue", 32, slow=True),
    Fault("squeue-errors", "squeue", 25, slow=True),
    Fault("show-fail", "show", 25, slow=True), Fault("show-empty", "show", 25, slow=True),
    Fault("show-half", "show", 25, slow=True), Fault("show-hang", "show", 32, slow=True),
    Fault("update-denied", "update", 25, slow=True), Fault("update-noop", "update", 25, slow=True),
    Fault("update-done-error", "update", 25, slow=True),
    Fault("update-late", "update", 25, slow=True), Fault("update-busy", "update", 25, slow=True),
    Fault("slurmctld-stopped", "slurmctld", 8), Fault("slurmctld-restarted", "slurmctld", 1),
    Fault("munge-stopped", "slurmctld", 8),
)  # fmt: skip
BY_NAME = {fault.name: fault for fault in FAULTS}


EACH_PAUSE = 15.0
SINGLE = [fault for fault in FAULTS if not fault.paired]


def each_seconds(names: Iterable[str]) -> float:
    """How long that takes."""
    return sum(BY_NAME[name].seconds + EACH_PAUSE for name in names) + 10.0


def with_each_fault(events: list[Event], seed: int, names: Iterable[str]) -> list[Event]:
    """Some of the submissions, and these faults among them once, alone; each is looked at, as an
    operator would, while it lasts."""
    out, at = _submits(events, seed), 10.0
    for fault in map(BY_NAME.__getitem__, names):
        out.append(Event(at, "fault", args=(fault.name,), seconds=fault.seconds))
        out.append(Event(at + min(12.0, max(5.0, fault.seconds - 2)), "look", args=(fault.name,)))
        at += fault.seconds + EACH_PAUSE
    return sorted(out, key=lambda e: (e.at, e.verb, e.target))


def with_faults(
    events: list[Event], seed: int, seconds: float, *, pair: bool = False
) -> list[Event]:
    """Some of the submissions, and the faults among them."""
    submits = _submits(events, seed)
    kinds = [fault for fault in FAULTS if pair or not fault.paired]
    found = sorted(_faults(Random(f"faults {seed}"), seconds, kinds), key=lambda e: e.at)
    return sorted([*submits, *found], key=lambda e: (e.at, e.verb, e.target))


def _submits(events: list[Event], seed: int) -> list[Event]:
    submits = [e for e in events if e.verb == "submit" and e.target % SUBMIT_EVERY == 0]
    known = {e.target for e in submits}
    submits = [replace(e, other=-1, args=_alone(e.args)) if e.other not in known else e
               for e in submits]  # fmt: skip
    rng = Random(f"users {seed}")
    return [replace(e, user=rng.choice(USERS)) for e in submits]


def _alone(args: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in args if "{other}" not in word)


def _faults(rng: Random, seconds: float, kinds: list[Fault]) -> Iterator[Event]:
    """Each row takes the next one when it is free, of a part that is not at fault then."""
    free = [rng.uniform(3, 6) + 7 * n for n in range(ROWS)]
    busy: list[tuple[float, str]] = []  # until when which part
    while (at := min(free)) < seconds:
        busy = [(end, part) for end, part in busy if end > at]
        at_fault = {part for _, part in busy}
        fault = rng.choice([fault for fault in kinds if fault.part not in at_fault])
        yield Event(at, "fault", args=(fault.name,), seconds=fault.seconds)
        busy.append((at + fault.seconds + 5.0, fault.part))
        free[free.index(at)] = at + fault.seconds + rng.uniform(*PAUSE)
