"""Times as accounting writes them: epoch seconds, or a clock on some wall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

_NONE = {"", "unknown", "none", "n/a", "0"}
"""In lower case: jobcomp/filetxt writes unknown, sacct Unknown."""
FOUR_DIGIT_YEAR = 19
"""Characters of `2026-10-25T02:30:00`."""


@dataclass(frozen=True, slots=True)
class WallClock:
    """Reads times of a time zone; None is the zone of whoever runs this."""

    zone: tzinfo | None = None

    def read(self, text: str, after: float | None = None) -> float | None:
        """Epoch seconds; None where there is no time. Raises ValueError.

        In the hour that a clock shows twice in autumn it is the second one where the first would
        lie before `after`.
        """
        if text.lower() in _NONE:
            return None
        if text.isdecimal():
            return float(text)
        if len(text) != FOUR_DIGIT_YEAR:
            raise ValueError(text)
        told = datetime.fromisoformat(text).replace(tzinfo=self.zone)
        first = told.timestamp()
        if after is not None and first < after:
            return told.replace(fold=1).timestamp()
        return first
