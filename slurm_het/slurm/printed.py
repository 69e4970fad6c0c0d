"""What one of Slurm's programs prints, kept in memory: no pipe to be read bit by bit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import Callable
from typing import Self

LOOK_SECONDS = 0.005


class Printed:
    """The file for it, of at most `most` bytes and one. A pipe costs a look at each 4 KiB of a list
    of all jobs, which is more than what is made of it. `begun` is called when it has begun to
    print, which is when it has slurmctld's answer.
    """

    def __init__(self, most: int, begun: Callable[[], None] | None = None) -> None:
        self.most = most
        self._begun = begun
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self.file = os.memfd_create("answer")
        if self._begun:
            self._watch = asyncio.create_task(self._tell(self._begun))
        return self

    def __exit__(self, *_: object) -> None:
        if self._watch:
            self._watch.cancel()
        os.close(self.file)

    async def _tell(self, begun: Callable[[], None]) -> None:
        while not self.has_begun:
            await asyncio.sleep(LOOK_SECONDS)
        begun()

    def limit(self, pid: int, cpu_seconds: int = 0) -> None:
        """Have the program ended once it has printed more, or taken so much CPU time, if any."""
        with contextlib.suppress(OSError):  # it has ended
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (self.most + 1, self.most + 1))
            if cpu_seconds:
                resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))  # SIGXCPU would leave one
                resource.prlimit(pid, resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))

    @property
    def has_begun(self) -> bool:
        """Whether anything has been printed."""
        return os.fstat(self.file).st_size > 0

    def read(self) -> bytes:
        """All that it has printed."""
        # Room is taken for as much as is asked for, and a small machine has not that of the most.
        return os.pread(self.file, min(os.fstat(self.file).st_size, self.most + 1), 0)
