"""What goes on beside a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meanwhile(
    step: Callable[[], None], every: float, patience: float | None = None
) -> Iterator[None]:
    """Do a step every so many seconds until the block ends; then wait for the last, at most for
    `patience` seconds."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(every):
            step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(patience)
