"""How long a job runs whose end is not recorded: as others like it that ran longer than it has.

At the end of the time looked at some jobs still run, and some have not begun. Limits are mostly a
multiple of what jobs take: if these ran to them, a side of a replay would lose by beginning one of
them early.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate

from slurm_het.replay.past import PastJob

CUT_SHORT = frozenset({"REQUEUED", "REQUEUE", "NODE_FAIL", "PREEMPTED"})
"""A run in one of these states does not tell how long the job takes."""
ENOUGH = 5
"""So many runs tell of jobs that are alike in their user alone, or in nothing."""
Kind = tuple[object, ...]


class RunLengths:
    """What is known of the lengths, in parts of the limits."""

    def __init__(self, pasts: Iterable[PastJob]) -> None:
        parts: defaultdict[Kind, list[float]] = defaultdict(list)
        for past in pasts:
            part = _part(past)
            if part is not None:
                for kind in _kinds(past):
                    parts[kind].append(part)
        self._parts = {kind: sorted(found) for kind, found in parts.items()}
        self._sums = {
            kind: list(accumulate(found, initial=0.0)) for kind, found in self._parts.items()
        }

    def expected(self, past: PastJob, limit: float, passed: float) -> float:
        """Seconds from its start to its end, of a job that has run for `passed` seconds, or 0;
        its limit where nobody tells."""
        for least, kind in zip((1, ENOUGH, ENOUGH), _kinds(past), strict=True):
            parts = self._parts.get(kind, [])
            first = bisect_right(parts, passed / limit)
            many = len(parts) - first
            if many >= least:
                sums = self._sums[kind]
                return limit * (sums[-1] - sums[first]) / many
        return max(limit, passed)


def _part(past: PastJob) -> float | None:
    """The part of its limit for which a job ran that has come to its own end."""
    if past.start is None or past.end is None or not past.limit or past.state in CUT_SHORT:
        return None
    return (past.end - past.start) / (past.limit * 60)


def _kinds(past: PastJob) -> Iterator[Kind]:
    """What a job is alike others in, the most telling first: who submits the same again, with the
    same limit, runs the same program mostly."""
    asked = past.asked
    yield past.user, past.limit, asked.nodes, asked.cpus, sum(asked.devices.values())
    yield (past.user,)
    yield ()
