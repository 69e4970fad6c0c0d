"""Does hetd's memory stay flat? A stream of short jobs on a sandbox, its processes' RSS sampled.

    ./dev bench churn [--minutes 30] [--backlog 100]

About three jobs in four end by themselves, the rest are cancelled; single jobs, arrays, shares and
several nodes, so that every part of a cycle has work. The slope is a least-squares line through
the samples after a sixth of the time, by when slurmctld's list of ended jobs is as long as it
gets (MinJobAge, 300 s).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from slurm_het.sandbox.cluster import Sandbox

SAMPLE_SECONDS = 10.0
REQUESTS = (
    ["--gres=gpu:1"],
    ["--gres=gpu:8", "-p", "train-nv"],
    ["--gres=shard:24"],
    ["--gpus-per-node=8", "-N2"],
    ["--gres=gpu:2", "--array=0-3"],
    ["--gres=npu:4"],
)
ROLES = {"slurm_het.daemon.hook_process": "hook process", "slurm_het.solve": "solver worker"}

Samples = dict[str, list[tuple[float, float]]]
"""Of each process: (seconds since the start, RSS in MiB)."""


def rss_mib(pid: int) -> float:
    """Resident memory of a process; 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def family(pid: int) -> Iterator[tuple[int, str]]:
    """hetd and the processes it keeps, by what they are; Slurm's own programs come and go."""
    yield pid, "hetd"
    # Of every thread: the solver's worker is started by one of them.
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                command = Path(f"/proc/{child}/cmdline").read_text()
                role = next((r for word, r in ROLES.items() if word in command), None)
                if role:
                    yield int(child), role


def submit(box: Sandbox, rng: random.Random) -> None:
    """One submission of a random shape."""
    options = rng.choice(REQUESTS)
    minutes = rng.randint(1, 5)
    script = f"#!/bin/bash\nmodule load cuda\nsleep {rng.uniform(1, 12):.1f}\n"
    argv = ["sbatch", "-Q", "-o", "/dev/null", "-t", str(minutes), *options]
    box.run(argv, input=script)


def churn(box: Sandbox, seconds: float, backlog: int) -> tuple[Samples, int]:
    """Keep `backlog` jobs in the queue for `seconds`; the samples, and how many jobs that took."""
    rng = random.Random(1)
    samples: Samples = defaultdict(list)
    began, due, sent = time.monotonic(), 0.0, 0
    while (now := time.monotonic() - began) < seconds:
        if now >= due:
            due += SAMPLE_SECONDS
            for pid, role in family(box.hetd_pid() or 0):
                samples[role].append((now, rss_mib(pid)))
        queued = box.run(["squeue", "-h", "-a", "-r", "-o", "%A %t"]).stdout.split("\n")
        waiting = [line.split()[0] for line in queued if line.endswith(" PD")]
        for _ in range(min(8, backlog - len(waiting))):
            submit(box, rng)
            sent += 1
        if waiting and rng.random() < 0.5:
            box.run(["scancel", rng.choice(waiting)])
        time.sleep(1.0)
    return samples, sent


def report(samples: Samples, seconds: float, sent: int) -> None:
    """A row per process: RSS at the start, a sixth on, at the end; slope in MiB per hour."""
    print(f"{seconds / 60:.0f} min, {sent} submissions, a sample every {SAMPLE_SECONDS:.0f} s\n")
    print("| process | n | first MiB | after a sixth | last | max | MiB/h since |")
    print("|---|---|---|---|---|---|---|")
    for role, points in sorted(samples.items()):
        late = [p for p in points if p[0] > seconds / 6] or points
        slope = 0.0
        if len(late) > 2:
            slope = statistics.linear_regression([t for t, _ in late], [m for _, m in late]).slope
        sizes = [m for _, m in points]
        print(
            f"| {role} | {len(points)} | {sizes[0]:.1f} | {late[0][1]:.1f} | {sizes[-1]:.1f} "
            f"| {max(sizes):.1f} | {slope * 3600:+.2f} |"
        )


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--backlog", type=int, default=100, help="jobs kept waiting")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        with Sandbox.up(base / "box") as box:
            samples, sent = churn(box, options.minutes * 60, options.backlog)
            report(samples, options.minutes * 60, sent)


if __name__ == "__main__":
    main()
