"""A thread for what may hang, such as a disk: nobody waits for it longer than they want to."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
Step = Callable[[], bool]
"""A step of what is done now and then; returns whether there is more to do at once."""
IDLE_SECONDS = 60.0
BREATH_SECONDS = 0.02  # of silence before a step
PUT_OFF_SECONDS = 1.0  # so long a step that is due waits for a moment in which nothing else does


class FullError(Exception):
    """Too much waits for the thread already."""


class Aside:
    """Does one thing after the other, in a thread that keeps no process from ending.

    (asyncio's own threads do: at its end Python waits for all of them.) `most` things may wait.
    """

    def __init__(self, name: str, most: int = 1, idle: Step | None = None) -> None:
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(most)
        self._idle = idle
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._started = False

    def give(self, what: Callable[[], T]) -> Future[T]:
        """Have something done. Raises FullError."""
        if not self._started:
            self._started = True
            self._thread.start()
        future: Future[T] = Future()

        def done() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(what())
                except BaseException as error:  # noqa: BLE001  # whoever asked gets it
                    future.set_exception(error)

        try:
            self._waiting.put_nowait(done)
        except queue.Full as error:
            raise FullError from error
        return future

    async def run(self, what: Callable[[], T], seconds: float) -> T:
        """Have something done, and wait for it. Raises TimeoutError, also if too much waits."""
        try:
            future = self.give(what)
        except FullError as error:
            raise TimeoutError from error
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)

    def close(self, seconds: float) -> None:
        """Do what waits, then no more; returns after so many seconds, whatever is done by then."""
        if self._started:
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=seconds)
            self._thread.join(seconds)

    def _work(self) -> None:
        due = time.monotonic() + BREATH_SECONDS
        while True:
            if time.monotonic() >= due + PUT_OFF_SECONDS:
                due = self._step()
            try:
                what = self._waiting.get(timeout=max(BREATH_SECONDS, due - time.monotonic()))
            except queue.Empty:
                due = self._step()
                continue
            if what is None:
                return
            what()

    def _step(self) -> float:
        """Take a step; returns when the next one is due."""
        more = self._idle() if self._idle else False
        return time.monotonic() + (BREATH_SECONDS if more else IDLE_SECONDS)
