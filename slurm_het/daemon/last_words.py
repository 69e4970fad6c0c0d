"""What a program of ours says when it ends: one line where that is no bug of its own."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from slurm_het.errors import HetError

_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC}


@contextmanager
def last_words(name: str) -> Iterator[None]:
    """End the program with a line for a HetError, or where this host has no more memory, threads,
    descriptors or space for it; a bug keeps its traceback."""
    try:
        yield
    except HetError as error:
        raise SystemExit(f"{name}: {error}") from error
    except (MemoryError, RuntimeError, OSError) as error:
        if not (what := lacks(error)):
            raise
        raise SystemExit(f"{name}: {what}; see its limits (MemoryMax, TasksMax, ulimit)") from None


def lacks(error: BaseException) -> str:
    """What there is no more of, in words; '' if that is not why it failed."""
    if isinstance(error, MemoryError):
        return "there is no memory left for it"
    if isinstance(error, OSError) and error.errno in _SCARCE:
        return f"{error.strerror}" + (f": {error.filename}" if error.filename else "")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "no memory or no process is left for it: a thread cannot be started"
    return ""
