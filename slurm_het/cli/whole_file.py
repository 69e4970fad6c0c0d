"""Files that others read at any time: they find the new one whole, or the one before."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from slurm_het.errors import HetError

LEFT_SECONDS = 60.0
"""Nobody writes for so long: what is older was left by one who was killed."""


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put the content in the file's place, by rename. Raises HetError.

    One who is killed amid that leaves `.NAME.PID` beside it, which a later one removes.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _tidy(path)
        beside.write_bytes(content)
        beside.chmod(mode)
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise HetError(f"cannot write {path}: {error.strerror}") from error


def _tidy(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(FileNotFoundError):  # its writer, or another, was quicker
            if left.stat().st_mtime < time.time() - LEFT_SECONDS:
                left.unlink()
