"""What one of Slurm's programs prints, kept in memory: no pipe to be read bit by bit."""

from __future__ import annotations

import contextlib
import os
import resource
from typing import Self


class Printed:
    """The file for it, of at most `most` bytes and one. A pipe costs a look at each 4 KiB of a list
    of all jobs, which is more than what is made of it.
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def __enter__(self) -> Self:
        self.file = os.memfd_create("answer")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def limit(self, pid: int) -> None:
        """Have the program ended once it has printed more."""
        with contextlib.suppress(OSError):  # it has ended
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (self.most + 1, self.most + 1))

    def read(self) -> bytes:
        """All that it has printed."""
        return os.pread(self.file, self.most + 1, 0)
