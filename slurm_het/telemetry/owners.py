"""To which job of Slurm's a process belongs: its cgroup says so, else its environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

JobOf = Callable[[int], "ProcessOwner | None"]
"""By process id; None where that cannot be told."""

_IN_CGROUP = re.compile(r"/job_(\d{1,10})(?:/|$)", re.MULTILINE)
_IN_ENVIRONMENT = re.compile(rb"(?:^|\0)SLURM_JOB_ID=(\d{1,10})(?:\0|$)")
MOST = 1 << 20


class ProcessOwner(NamedTuple):
    """Whose a process is: the job's id, 0 for that of no job; and its user, by the kernel."""

    job: int
    uid: int


def owner_of(pid: int, proc: Path = Path("/proc")) -> ProcessOwner | None:
    """The job that a process belongs to. Slurm puts jobs into cgroups where ProctrackType says so;
    elsewhere only root and the job's user may read what they started it with."""
    home = proc / str(pid)
    try:
        uid = home.stat().st_uid
        if inside := _IN_CGROUP.search((home / "cgroup").read_text(errors="replace")):
            return ProcessOwner(int(inside.group(1)), uid)
        with (home / "environ").open("rb") as file:
            told = _IN_ENVIRONMENT.search(file.read(MOST))
    except OSError:  # it has ended, or is not ours to read
        return None
    return ProcessOwner(int(told.group(1)) if told else 0, uid)
