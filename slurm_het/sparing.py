"""Few lines of a kind a minute, then how many were left out: a fault that lasts fills no log."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable

MOST_KINDS = 1000  # that are remembered


class Sparing:
    """Counts the lines of each kind. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._recent: dict[Hashable, deque[float]] = {}
        self._left_out: Counter[Hashable] = Counter()

    def left_out(self, kind: Hashable, most: int, now: float) -> int | None:
        """How many lines of the kind were left out before this one; None if this one is, too.

        `most` of a kind are written a minute.
        """
        if kind not in self._recent and len(self._recent) >= MOST_KINDS:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            self._left_out.pop(oldest, None)
        recent = self._recent.setdefault(kind, deque(maxlen=most))
        if len(recent) == most and now - recent[0] < 60:
            self._left_out[kind] += 1
            return None
        recent.append(now)
        return self._left_out.pop(kind, 0)
