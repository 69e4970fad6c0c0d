"""Has the page written again and again, by a process of its own: no cycle waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from slurm_het.errors import lacks
from slurm_het.settings import Config

log = logging.getLogger("hetd.page")
MOST_SECONDS = 60.0
"""So long a page may take; then its process is ended."""
KILL_SECONDS = 2.0
NICE = 10
WORDS = 300


class PageTimer:
    """Writes it while this hetd leads. `config` is what counts now, `leads` whether it does."""

    def __init__(self, config: Callable[[], Config], leads: Callable[[], bool]) -> None:
        self._config, self._leads = config, leads
        self._why = ""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def trouble(self) -> str:
        """Why there is no new page; '' if there is one, or is to be none."""
        return f"the page is not written: {self._why}" if self._why else ""

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                began, config = time.monotonic(), self._config()
                self._tell(await self._write(config) if config.page.dir and self._leads() else "")
                spent = time.monotonic() - began
                await asyncio.sleep(max(0.0, config.page.every_seconds - spent))
        finally:
            await self._end()

    def _tell(self, why: str) -> None:
        if why and why != self._why:
            log.error("the page is not written: %s", why)
        self._why = why

    async def _write(self, config: Config) -> str:
        """Have it written once; why it was not, or ''."""
        if self._process and self._process.returncode is None:
            return "the process before cannot be ended; see to the storage of page.dir"
        source = ["--config", str(config.source)] if config.source else []
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "slurm_het.cli.admin", "page", "--out", config.page.dir,
                "--renewed", str(round(config.page.every_seconds)), *source,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return lacks(error) or error.strerror or str(error)
        _give_way(process.pid)
        try:
            async with asyncio.timeout(MOST_SECONDS):
                _, said = await process.communicate()
        except TimeoutError:
            await self._end()
            return f"it took more than {MOST_SECONDS:g} s"
        if process.returncode == 0:
            return ""
        words = " ".join(said.decode("utf-8", "replace").split())[-WORDS:]
        return words or f"its process ended with {process.returncode}"

    async def _end(self) -> None:
        """End the process and Slurm's programs that it runs, in bounded time."""
        process = self._process
        if process and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), KILL_SECONDS)


def _give_way(pid: int) -> None:
    """Let others have the processor first, and memory: of all it is the one to be ended."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
