"""How much memory hetd and what it runs may take, by the number of jobs; measured, not guessed.

What takes most is `squeue --json` of all jobs: it is needed for the first reading on 22.05, and
elsewhere where the cheaper way of reading is not understood (`./dev bench reading`).
"""

from __future__ import annotations

from pathlib import Path

BASE_MIB = 512
"""hetd, its hook process, its solver and Slurm's other programs: 330 MiB at the most were seen."""
SQUEUE_KIB = {(22, 5): 48, (23, 2): 152}
"""squeue's peak by job, from that version on: 475 MiB of 9,998 jobs; 1486 and 1522 of 9,970."""
HETD_KIB = 24
"""hetd's own by job, while it decodes them: 15 once they are read (193 MiB of 9,680), and a third
as much again is JSON."""
JOBS = 20_000
"""For so many jobs the unit is made if nobody says otherwise; Slurm's MaxJobCount is 10,000."""
ROOT = Path("/sys/fs/cgroup")


def needed_mib(jobs: int, version: tuple[int, int] | None = None, readers: int = 1) -> int:
    """What so many jobs may take at the most; without a version, on any. `readers`: how many read
    them all, as Config.readers."""
    kib = max(kib for since, kib in SQUEUE_KIB.items() if version is None or since <= version)
    return BASE_MIB + readers * jobs * (kib + HETD_KIB) // 1024


def limit_mib() -> int | None:
    """What systemd allows this process's group (MemoryMax=); None without a limit."""
    try:
        group = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip()
        text = (ROOT / group.lstrip("/") / "memory.max").read_text().strip()
        return int(text) >> 20
    except (OSError, ValueError):  # "max", or cgroups of another kind
        return None
