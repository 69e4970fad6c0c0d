"""What the kernel tells of a process in /proc/PID/stat (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class ProcStat(NamedTuple):
    """`state` is a letter (R, S, T for stopped, Z for a zombie), `start` in ticks since boot. The
    CPU time is its own, without that of what it has started."""

    state: str
    parent: int
    cpu_seconds: float
    start: int

    @property
    def ended(self) -> bool:
        """Whether it only waits for its parent to take note."""
        return self.state in ("Z", "X")

    @property
    def stopped(self) -> bool:
        """By SIGSTOP or a debugger."""
        return self.state in ("T", "t")


def stat_of(pid: int) -> ProcStat | None:
    """None of one that is gone, or was never there."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The program's name stands in brackets before, and may have any byte, brackets too.
    fields = told.rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    ticks = os.sysconf("SC_CLK_TCK")
    return ProcStat(fields[0], int(fields[1]), (user + system) / ticks, int(fields[19]))


def cpu_seconds_of(pid: int) -> float:
    """The CPU time that a process has taken, without what it has started; 0.0 if it is gone."""
    stat = stat_of(pid)
    return stat.cpu_seconds if stat else 0.0
