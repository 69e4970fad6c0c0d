"""What one of Slurm's programs prints."""

from __future__ import annotations

import subprocess
import sys

MOST = 8 << 30
READS = f"""
import os, resource
from slurm_het.slurm.printed import Printed
with Printed({MOST}) as printed:
    os.write(printed.file, b"slurm 22.05.8")
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    print(printed.read().decode())
with Printed(5) as printed:
    os.write(printed.file, b"slurm 22.05.8")
    print(len(printed.read()))
"""


def test_no_more_memory_is_taken_than_what_is_printed_needs() -> None:
    """Nor is anything beyond the most read, but for the byte that tells of it."""
    told = subprocess.run(
        [sys.executable, "-c", READS], check=True, capture_output=True, text=True, timeout=60
    )
    assert told.stdout.split("\n")[:2] == ["slurm 22.05.8", "6"]
