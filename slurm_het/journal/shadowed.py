"""What shadow decided, as its journal has it, for the report."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from slurm_het.core.model import Placement
from slurm_het.core.planner.outcomes import Event
from slurm_het.core.planner.shadow import TAKEN

Name = tuple[str, int]
"""A job's key, and when it was submitted: ids come again."""


class ShadowStart(NamedTuple):
    """A job would have started then on these nodes; how many devices of each."""

    time: float
    nodes: dict[str, int]


@dataclass(frozen=True)
class ShadowPast:
    """`starts` and `taken` (plain Slurm gave the nodes to others) are by job, oldest first; `seen`
    are the jobs that shadow saw waiting, the first of which came at `begin`."""

    begin: float
    starts: dict[Name, list[ShadowStart]] = field(default_factory=dict)
    taken: dict[Name, list[float]] = field(default_factory=dict)
    seen: frozenset[Name] = frozenset()

    def saw(self, name: Name) -> bool:
        """Whether the job, or the array that it is a task of, was seen waiting."""
        key, submitted = name
        return name in self.seen or (key.partition("_")[0], submitted) in self.seen


# A placement for which others are preempted first, or whose nodes are free later, is no start.
_STARTS = """
    SELECT placement.key, placement.submitted, placement.time, placement.placement
    FROM placement JOIN cycle ON cycle.id = placement.cycle
    WHERE cycle.status NOT IN ('reserved', 'preempting') AND placement.time >= ?
    ORDER BY placement.rowid
"""
_DUE = """
    SELECT key, submitted, time, (SELECT placement FROM placement
        WHERE placement.key = outcome.key AND placement.submitted = outcome.submitted
        AND placement.time <= outcome.time ORDER BY placement.rowid DESC LIMIT 1)
    FROM outcome WHERE event = ? AND time >= ? ORDER BY outcome.rowid
"""
_TAKEN = "SELECT key, submitted, time FROM outcome WHERE event = ? AND detail = ? AND time >= ?"
_BEGIN = """
    SELECT MIN(time) FROM (SELECT MIN(time) AS time FROM placement
    UNION ALL SELECT MIN(time) FROM outcome
    UNION ALL SELECT MIN(submitted) FROM job WHERE submitted > 0)
"""


def read_shadow(db: sqlite3.Connection, since: float = 0.0) -> ShadowPast | None:
    """What was decided since then; None if shadow has seen no job.

    Raises what `UNREADABLE` lists.
    """
    (begin,) = db.execute(_BEGIN).fetchone()
    if begin is None:
        return None
    past = ShadowPast(
        max(begin, since), seen=frozenset(db.execute("SELECT key, submitted FROM job"))
    )
    for name, start in sorted(_starts(db, since), key=lambda one: one[1].time):
        past.starts.setdefault(name, []).append(start)
    for key, submitted, time in db.execute(_TAKEN, (Event.RETURNED, TAKEN, since)):
        past.taken.setdefault((key, submitted), []).append(time)
    return past


def _starts(db: sqlite3.Connection, since: float) -> Iterator[tuple[Name, ShadowStart]]:
    rows = [*db.execute(_STARTS, (since,)), *db.execute(_DUE, (Event.DUE, since))]
    for key, submitted, time, text in rows:
        if text:
            made = msgspec.json.decode(text, type=Placement)
            each = {n: len(d) for n, d in zip(made.nodes, made.devices, strict=True)}
            yield (key, submitted), ShadowStart(time, each)
