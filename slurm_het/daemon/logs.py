"""hetd's log: what users wrote may stand in it, but neither steers a terminal nor forges a line."""

from __future__ import annotations

import logging

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


def set_up_logging(*, verbose: bool = False) -> None:
    """Log to standard error, for systemd or the supervisor to keep."""
    handler = logging.StreamHandler()
    handler.setFormatter(CleanFormatter(FORMAT))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
