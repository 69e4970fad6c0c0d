"""When Python collects garbage in hetd: seldom amid a cycle, and often enough between them."""

from __future__ import annotations

import gc

# A planning cycle makes some 100,000 objects that live until its end, hardly any of them in
# reference loops. To collect garbage as often as Python does by default takes a tenth of its time
# (with 10,000 devices).
THRESHOLD = (200_000, 10, 10)
# On a small cluster that comes once in a quarter of an hour, and memory would grow until then.
SECONDS = 60.0


class Tidying:
    """Collects between cycles. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        gc.set_threshold(*THRESHOLD)
        self._at = 0.0

    def look(self, now: float) -> None:
        """Collect what has become garbage lately; what has outlived that once is left alone."""
        if now >= self._at:
            self._at = now + SECONDS
            gc.collect(1)
