"""Files that others read at any time: they find the new one whole, or the one before."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

from slurm_het.errors import HetError

LEFT_SECONDS = 60.0
"""Nobody writes for so long: what is older was left by one who was killed."""


def write_whole(
    path: Path, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> None:
    """Put the content in the file's place, by rename; `owner` is uid and gid. Raises HetError.

    One who is killed amid that leaves `.NAME.…` beside it, which a later one removes. The file is
    new and its name cannot be foreseen: the directory may be one where others plant links.
    """
    beside: Path | None = None
    try:
        _tidy(path)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        with open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, mode)
            if owner:
                os.fchown(descriptor, *owner)
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            if beside:
                beside.unlink()
        raise HetError(f"cannot write {path}: {error.strerror}") from error


def _tidy(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(FileNotFoundError):  # its writer, or another, was quicker
            if left.stat().st_mtime < time.time() - LEFT_SECONDS:
                left.unlink()
