"""hetd's log: what users wrote may stand in it, but neither steers a terminal nor forges a line."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable

from slurm_het.core.syntax.printable import clean, clean_lines

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class CleanFormatter(logging.Formatter):
    """A message is one line, a traceback several; neither has control characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, with a clean message."""
        record.message = clean(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """The line and its traceback."""
        return clean_lines(super().format(record))


MOST_A_MINUTE = {logging.INFO: 60, logging.WARNING: 6, logging.ERROR: 6, logging.CRITICAL: 6}
"""Of one kind, which is what one statement of ours logs."""


class Sparing(logging.Filter):
    """Lets few lines of a kind through each minute; the next one says how many were left out.

    A fault that lasts would fill the disk, and hide every other one.
    """

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.ticks = ticks
        self._recent: dict[tuple[str, str], deque[float]] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        most = MOST_A_MINUTE.get(record.levelno)
        if most is None:
            return True
        kind, now = (record.name, str(record.msg)[:200]), self.ticks()
        recent = self._recent.setdefault(kind, deque(maxlen=most))
        if len(recent) == most and now - recent[0] < 60:
            self._left_out[kind] += 1
            return False
        recent.append(now)
        if left_out := self._left_out.pop(kind, 0):
            record.msg = f"{record.getMessage()} (and {left_out} more like this before)"
            record.args = ()
        return True


def set_up_logging(*, verbose: bool = False) -> None:
    """Log to standard error, for systemd or the supervisor to keep."""
    handler = logging.StreamHandler()
    handler.setFormatter(CleanFormatter(FORMAT))
    handler.addFilter(Sparing())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
