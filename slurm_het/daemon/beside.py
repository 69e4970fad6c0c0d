"""What is found out beside the cycles: one thing at a time, and for a small part of all time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")
PAUSE_SECONDS = 10.0
"""Between two times, at least."""
MOST_OF_TIME = 0.05
"""Of all time, at most, is spent on this."""


class Beside:
    """Who finds something out after a plan, now and then. `ticks` are seconds that never go back.

    Once `busy` says that a cycle thinks, nothing is sought any more: it would slow that down.
    """

    def __init__(self, ticks: Callable[[], float], busy: Callable[[], bool]) -> None:
        self.ticks, self.busy = ticks, busy
        self._again_at = float("-inf")
        self._work: asyncio.Task[None] | None = None
        self._stopped = False

    def begin(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Begin it, if nothing is at work and it is time for that."""
        at_work = self._work is not None and not self._work.done()
        if not at_work and self.ticks() >= self._again_at:
            self._work = asyncio.create_task(work())

    async def find(self, out: Callable[[], T]) -> T:
        """What takes the time: in a thread, measured."""
        began = time.monotonic()
        try:
            return await asyncio.to_thread(out)
        finally:
            took = time.monotonic() - began
            self._again_at = self.ticks() + max(PAUSE_SECONDS, took / MOST_OF_TIME)

    def in_the_way(self) -> bool:
        """Whether it is to end with what it has."""
        return self._stopped or self.busy()

    async def settled(self) -> None:
        """Wait for what is at work."""
        if self._work:
            await self._work

    async def stop(self) -> None:
        """Begin nothing more, and end what is at work."""
        self._stopped = True
        if self._work:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
