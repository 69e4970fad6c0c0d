"""What a program of ours says when it ends: one line where that is no bug of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from slurm_het.errors import HetError, lacks


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
