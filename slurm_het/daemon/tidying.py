"""When Python collects garbage in hetd: seldom amid a cycle, and often enough between them."""

from __future__ import annotations

import gc

# A planning cycle makes some 100,000 objects that live until its end, hardly any of them in
# reference loops. To collect garbage as often as Python does by default takes a tenth of its time
# (with 10,000 devices).
THRESHOLD = (200_000, 10, 10)
# On a small cluster that comes once in a quarter of an hour, and memory would grow until then.
SECONDS = 60.0
# What is old is looked at more seldom, for that takes 25 ms with 10,000 devices, and 0.3 to 0.6 s
# with 100,000. Python itself would not come to it in months: each look here begins its count anew.
ALL_SECONDS = 1200.0
YOUNG, ALL = 1, 2  # the oldest generation of Python's that is collected


class Tidying:
    """Collects between cycles. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        gc.set_threshold(*THRESHOLD)
        self._at = self._all_at = float("-inf")

    def look(self, now: float) -> None:
        """Collect what has become garbage lately, and now and then also what lived long before."""
        if now < self._at:
            return
        self._at = now + SECONDS
        if now < self._all_at:
            gc.collect(YOUNG)
        else:
            self._all_at = now + ALL_SECONDS
            gc.collect(ALL)

    def all_soon(self) -> None:
        """Much that is old was replaced: the next look collects all of it."""
        self._at = self._all_at = float("-inf")
