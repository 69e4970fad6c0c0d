"""How good the told start times have been: each is held against when the task did start."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MINUTE, HOUR = 60.0, 3600.0
MOST = 200
"""So many told times are judged, the newest ones."""
SLACK = MINUTE
"""So many seconds later a told time is still kept: Slurm looks for jobs that are past their limit
twice a minute, gives them half a minute to end (KillWait), and starts nothing between its passes.
"""


@dataclass(frozen=True, slots=True)
class ToldStart:
    """When a task was said to start at the latest, and when it did. All are epoch seconds.

    `first` was told at `first_at`, `last` at `last_at`; `started` is 0 while it waits.
    """

    first_at: float
    first: float
    last_at: float
    last: float
    started: float = 0.0

    @property
    def late(self) -> float:
        """By how many seconds it started after what was told first; less than 0: sooner."""
        return self.started - self.first


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How the times that were told first have turned out: of so many (`told`) so many were `kept`;
    half of all starts were within `half_seconds` of what was told, nine of ten within
    `most_seconds`."""

    told: int = 0
    kept: int = 0
    half_seconds: float = 0.0
    most_seconds: float = 0.0

    def __str__(self) -> str:
        """`of the last 200 told times 97 % were kept; half within 4 min`."""
        if not self.told:
            return "no told time is over yet, so that nothing is known of how good they are"
        times = f"the last {self.told} told times" if self.told > 1 else "one told time"
        return (
            f"of {times} {100 * self.kept // self.told} % were kept;"
            f" half within {_about(self.half_seconds)}"
        )


def accuracy_of(told: Iterable[ToldStart]) -> Accuracy:
    """How good they were; those that are not over do not count."""
    over = [one for one in told if one.started]
    if not over:
        return Accuracy()
    off = sorted(abs(one.late) for one in over)
    kept = sum(one.late <= SLACK for one in over)
    return Accuracy(len(over), kept, _part(off, 0.5), _part(off, 0.9))


def _part(ordered: Sequence[float], part: float) -> float:
    """The least of them that at least so great a part does not exceed."""
    return ordered[math.ceil(part * len(ordered)) - 1]


def _about(seconds: float) -> str:
    """`40 s`, `4 min`, `2.5 h`: rounded up."""
    if seconds <= MINUTE:
        return f"{math.ceil(seconds)} s"
    if seconds <= HOUR:
        return f"{math.ceil(seconds / MINUTE)} min"
    return f"{math.ceil(10 * seconds / HOUR) / 10:g} h"
