"""Slurm of another version, from a Debian tree (a "root") that `./dev root VERSION` makes.

A process that enters a root sees the root's programs and libraries in place of this machine's,
and all else as it is: files, users, devices, processes. So a sandbox in a root needs nothing of
its own; `templates/enter_root.sh` says how it is done.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from slurm_het.errors import HetError
from slurm_het.resources import data_dir

VARIABLE = "SLURM_HET_ROOT"
"""Environment variable that names the root a process is in; enter_root.sh sets it."""


def current() -> str:
    """The root this process is in; '' for this machine's own programs."""
    return os.environ.get(VARIABLE, "")


def python_of(root: Path) -> Path:
    """The root's Python, which has what slurm-het needs. Raises HetError if there is none."""
    python = root / "venv" / "bin" / "python"
    if not python.exists():
        raise HetError(
            f"{root} is not a root with Slurm and slurm-het's Python: there is no {python}",
            "make one and use the path it prints: ./dev root 24.11",
        )
    return python


def enter(root: Path, module: str, arguments: list[str]) -> NoReturn:
    """Go on as `python -m module arguments...` in the root, in place of this process."""
    script = data_dir("templates") / "enter_root.sh"
    python = python_of(root)
    here = str(Path(__file__).resolve().parents[2])  # this slurm_het, not one the root's venv knows
    environ = os.environ | {"PYTHONPATH": here}
    argv = ["sh", str(script), str(root), str(python), "-m", module, *arguments]
    os.execvpe("sh", argv, environ)  # noqa: S606 - no shell language in it: sh runs our own file
