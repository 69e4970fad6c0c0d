"""Asks a vendor's program, with bounds on its time and on what it prints."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from typing import Any

from slurm_het.errors import ProbeError

SECONDS = 30.0
"""At most; who runs the probe has a deadline of its own, and kills both."""
MAX_OUTPUT_BYTES = 4 << 20
_MEMORY = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*(B|[KMGT]i?B)?\s*", re.IGNORECASE)
_UNITS = {"b": 2.0**-20, "k": 2.0**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20}
_MOST = 1 << 30
"""MiB, a pebibyte: no device has as much, so a larger number is none."""


def output_of(program: str, *arguments: str) -> str:
    """What a program of PATH prints. Raises ProbeError if it is missing, fails, or never ends."""
    found = shutil.which(program)
    if found is None:
        raise ProbeError(f"{program} is not installed", f"put it on the PATH of {__name__}")
    try:
        with subprocess.Popen(
            [found, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        ) as child:
            assert child.stdout is not None  # noqa: S101 - it was started with a pipe
            text = child.stdout.read(MAX_OUTPUT_BYTES + 1)
            if len(text) > MAX_OUTPUT_BYTES:
                child.kill()
                raise ProbeError(f"{program} prints more than {MAX_OUTPUT_BYTES} bytes")
            status = child.wait(SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProbeError(f"{program}: {error}") from error
    if status != 0:
        raise ProbeError(f"{program} {' '.join(arguments)} ended with {status}")
    return text.decode("utf-8", "replace")


def mib(told: Any, unit: str = "M") -> int | None:
    """Memory in MiB from a number or a text such as `23308 MiB`; None for anything else.

    `unit` is that of a bare number: B, K, M or G.
    """
    found = _MEMORY.fullmatch(str(told)) if isinstance(told, int | float | str) else None
    if found is None or isinstance(told, bool):
        return None
    scale = _UNITS[(found.group(2) or unit)[0].lower()]
    value = float(found.group(1)) * scale
    return round(value) if value <= _MOST else None


def fraction(told: Any) -> float | None:
    """0..1 from a percentage such as `37`, `37.5` or `5 %`; None for anything else."""
    text = str(told).strip().removesuffix("%").strip()
    try:
        value = float(text)
    except ValueError:
        return None
    return min(1.0, value / 100) if math.isfinite(value) and value >= 0 else None


def cells(line: str) -> list[str]:
    """The cells of a table's line, `| a | b |`; none for a line between rows."""
    line = line.strip()
    if not (line.startswith("|") and line.endswith("|")) or set(line) <= set("|-=+ "):
        return []
    return [cell.strip() for cell in line[1:-1].split("|")]


def whole(told: Any) -> int | None:
    """A number of at most nine digits, such as an index or a pid; None for anything else."""
    text = str(told).strip()
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None
