"""The journal as hetd has it: threads write and read it, and no cycle waits for a disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from slurm_het.aside import Aside, FullError
from slurm_het.errors import HetError
from slurm_het.journal.file import NO_FILE, UNREADABLE, FileId
from slurm_het.journal.forgetting import KEEP_DAYS
from slurm_het.journal.journal import Journal

log = logging.getLogger("hetd.journal")
T = TypeVar("T")
WAIT_SECONDS = 0.5  # a plan that is not on the disk by then is applied all the same
MOST_WAITING = 1000  # entries
MOST_QUESTIONS = 8
PRUNE_SECONDS = 3600.0
CLOSE_SECONDS = 2.0


class Records(Protocol):
    """What hetd needs of a journal: a Keeper, or a Journal itself, which does all at once."""

    def write(self, entry: Callable[[Journal], object]) -> None:
        """Have something written, soon."""

    async def written(self) -> bool:
        """Whether all of it is written, after a moment at most."""

    async def ask(
        self, question: Callable[[Journal], T], otherwise: T, patience: float = WAIT_SECONDS
    ) -> T:
        """The answer of the journal; `otherwise` if it cannot be read, or does not answer in
        `patience` seconds."""


class Keeper:
    """Writes in one thread, reads in others: what takes long is not in the way of what is quick.

    It keeps what was written in the last `keep_days` days.
    """

    def __init__(self, path: Path, keep_days: int = KEEP_DAYS) -> None:
        self.path, self.keep_days = path, keep_days
        self._journal = Journal(path)
        self._prune_at = 0.0
        self._writing = Aside("journal", MOST_WAITING, self._tidy)
        self._quick, self._slow = _ReadingThread(path), _ReadingThread(path)
        self._last: Future[None] | None = None
        self._left_out = 0
        self._late: Future[None] | None = None  # what was not written in time
        self.waited = 0.0  # the longest that a cycle has waited for it, seconds
        self.write(lambda journal: journal.db)
        self._opening = self._last

    @property
    def trouble(self) -> str:
        """Why the journal does not work; '' if it does."""
        if self._left_out:
            return f"its storage does not keep up: {self._left_out} entries were left out"
        if self._late and not self._late.done():
            return f"its storage did not take an entry for {WAIT_SECONDS:g} s"
        return self._journal.trouble

    def write(self, entry: Callable[[Journal], object]) -> None:
        """Have something written, soon. Where too much waits already, it is left out."""

        def write() -> None:
            try:
                entry(self._journal)
            except Exception as error:  # noqa: BLE001  # whatever it is, planning goes on
                self._journal.complain(error)

        try:
            self._last = self._writing.give(write)
        except FullError:
            self._left_out += 1
            log.error("the journal %s does not keep up: entries are left out", self.path)

    async def written(self) -> bool:
        """Whether all of it is written, after WAIT_SECONDS at most.

        Who was late once is not waited for again before it has caught up.
        """
        last = self._last
        if self._late and self._late.done():
            self._late = None
        if last and last.done():
            self._left_out = 0
        if last and not last.done() and not self._late:
            with self._waiting():
                await asyncio.wait({asyncio.wrap_future(last)}, timeout=WAIT_SECONDS)
            if not last.done():
                self._late = last
                log.error(
                    "the journal %s did not take the plan in %g s: it is applied all the same; see"
                    " to the storage of paths.journal", self.path, WAIT_SECONDS,
                )  # fmt: skip
        return not self.trouble

    async def ask(
        self, question: Callable[[Journal], T], otherwise: T, patience: float = WAIT_SECONDS
    ) -> T:
        """The answer; `otherwise` if it cannot be read, or there is none in `patience` seconds."""
        if patience > WAIT_SECONDS:
            return await self._answer(self._slow, question, otherwise, patience)
        with self._waiting():
            return await self._answer(self._quick, question, otherwise, patience)

    async def _answer(
        self,
        reader: _ReadingThread,
        question: Callable[[Journal], T],
        otherwise: T,
        patience: float,
    ) -> T:
        if self._opening and not self._opening.done():  # it may have to be made, or brought up
            await asyncio.wait({asyncio.wrap_future(self._opening)}, timeout=patience)
        try:
            return await reader.thread.run(lambda: reader.answer(question), patience)
        except TimeoutError:
            return otherwise
        except _UnreadableError as error:
            # The file is the writing thread's: it says so, and puts a damaged one aside.
            self.write(partial(Journal.complain, error=error.why, file=error.file))
            return otherwise

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.waited = max(self.waited, time.monotonic() - began)

    def close(self) -> None:
        """Write what waits, in bounded time."""
        with contextlib.suppress(FullError):
            self._writing.give(self._journal.close)
        for thread in (self._writing, self._quick.thread, self._slow.thread):
            thread.close(CLOSE_SECONDS)

    def _tidy(self) -> bool:
        """Now and then: forget a piece of what is due; returns whether there is more."""
        if time.monotonic() < self._prune_at:
            return False
        more = False
        with contextlib.suppress(*UNREADABLE):
            more = self._journal.prune(time.time(), keep_days=self.keep_days)
        if not more:
            self._prune_at = time.monotonic() + PRUNE_SECONDS
        return more


class _UnreadableError(Exception):
    """Why a question has no answer, and of which file it was asked."""

    def __init__(self, why: Exception, file: FileId) -> None:
        super().__init__(str(why))
        self.why, self.file = why, file


class _ReadingThread:
    """A connection of its own, which a thread of its own uses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.thread = Aside("journal reader", MOST_QUESTIONS)
        self._journal: Journal | None = None

    def answer(self, question: Callable[[Journal], T]) -> T:
        """Raises _UnreadableError."""
        try:
            if self._journal is None:
                self._journal = Journal(self.path, read_only=True)
            return question(self._journal)
        except (HetError, *UNREADABLE) as error:
            file = self._journal.file if self._journal else NO_FILE
            why = error.__cause__ if isinstance(error.__cause__, UNREADABLE) else error
            raise _UnreadableError(why, file) from error
