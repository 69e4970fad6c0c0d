"""hetd's log: what users wrote may stand in it, but neither steers a terminal nor forges a line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from slurm_het.core.syntax.printable import clean, clean_lines
from slurm_het.errors import lacks
from slurm_het.sparing import Sparing

log = logging.getLogger("hetd")
CHAIN = 10  # exceptions, each amid the handling of the next

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
"""Of one kind, which is what one statement of ours logs. Of a fault the same words come once,
whichever jobs it meets: a hetd that ends and is started again for it says them once more."""
_JOB = re.compile(r"(\bjob |\bJobId=)[\d_]+(\[[^\]]*\])?")


_shadow: ContextVar[bool] = ContextVar("shadow", default=False)


@contextlib.contextmanager
def in_shadow() -> Iterator[None]:
    """What is logged meanwhile, in threads and tasks that start here too, is shadow's."""
    before = _shadow.set(True)
    try:
        yield
    finally:
        _shadow.reset(before)


class ShadowFilter(logging.Filter):
    """Has each line of shadow's begin so: nothing of what it tells was done."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: all are written."""
        if _shadow.get():
            record.msg = f"shadow: {record.msg}"
        return True


class SparingFilter(logging.Filter):
    """Lets few lines of a kind through each minute; the next one says how many were left out."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.ticks = ticks
        self._sparing = Sparing()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        most = MOST_A_MINUTE.get(record.levelno)
        if most is None:
            return True
        words, kind = _JOB.sub(r"\1#", record.getMessage()[:300]), str(record.msg)[:200]
        same: int | None = 0
        if record.levelno >= logging.WARNING and words != kind:
            same = self._sparing.left_out((record.name, 1, words), 1, self.ticks())
        most = 1 if words == kind and record.levelno >= logging.WARNING else most
        if same is None:
            return False
        left_out = self._sparing.left_out((record.name, most, kind), most, self.ticks())
        if left_out is None:
            return False
        if left_out or same:
            more = left_out + same
            record.msg = f"{record.getMessage()} (and {more} more like this before)"
            record.args = ()
        return True


def say_os_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the event loop could not do for want of something (descriptors): a line, no traceback.

    An exception handler for `loop.set_exception_handler`.
    """
    error: BaseException | None = context.get("exception")
    chain = [error]
    while (last := chain[-1]) and last.__context__ and len(chain) < CHAIN:
        chain.append(last.__context__)
    why = next((what for one in chain if one and (what := lacks(one))), "")
    if isinstance(error, OSError) or why:
        log.error(
            "%s: %s", context["message"].split("\n")[0], why or getattr(error, "strerror", "")
        )
    else:
        loop.default_exception_handler(context)


def set_up_logging(*, verbose: bool = False) -> None:
    """Log to standard error, for systemd or the supervisor to keep."""
    handler = logging.StreamHandler()
    handler.setFormatter(CleanFormatter(FORMAT))
    handler.addFilter(ShadowFilter())
    handler.addFilter(SparingFilter())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
