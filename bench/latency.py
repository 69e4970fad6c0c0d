"""Submit → start on an idle sandbox, with slurm-het and native, side by side in one run.

    ./dev bench latency [--jobs 30]
    ./dev bench latency --srun --root "$(./dev root 24.11)"    # srun instead, on another Slurm

Two sandboxes of the default topology run at the same time: one with the hook and hetd, one plain
Slurm. The same jobs are submitted alternately to each, one at a time; a job is timed from just
before `sbatch` until its script's first line runs (it writes the clock to a file); an srun until
it has ended, its command being `true`.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from slurm_het.sandbox import root as slurm_root
from slurm_het.sandbox.cluster import Sandbox

REQUESTS = (
    ("a100 x1", ["--gres=gpu:1", "-p", "train-nv"]),
    ("a100 x8", ["--gres=gpu:8", "-p", "train-nv"]),
    ("shard 24", ["--gres=shard:24", "-p", "infer-nv"]),
    ("mi300x 2x8", ["--gpus-per-node=8", "-N2", "-p", "train-amd"]),
)


def one(box: Sandbox, options: list[str], stamp: Path) -> float:
    """Seconds from sbatch to the script's first line."""
    stamp.unlink(missing_ok=True)
    script = f"date +%s.%N > {stamp}.new; mv {stamp}.new {stamp}"
    began = time.time()
    box.run(["sbatch", "-o", "/dev/null", *options, "--wrap", script], check=True)
    deadline = began + 30
    while not stamp.exists() and time.time() < deadline:
        time.sleep(0.005)
    return float(stamp.read_text()) - began


def interactive(box: Sandbox, options: list[str], _stamp: Path) -> float:
    """Seconds that `srun true` takes."""
    began = time.time()
    box.run(["srun", "-t", "5", *options, "true"], check=True)
    return time.time() - began


def main() -> None:
    """Print medians of both, and the difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=24, help="jobs per sandbox")
    parser.add_argument("--srun", action="store_true", help="srun, not sbatch")
    parser.add_argument("--root", type=Path, help="another Slurm (see ./dev root)")
    options = parser.parse_args()
    if options.root and not slurm_root.current():
        slurm_root.enter(options.root, "bench.latency", sys.argv[1:])
    measure = interactive if options.srun else one
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        with (
            Sandbox.up(base / "het") as het,
            Sandbox.up(base / "nat", hetd=False, hook=False) as native,
        ):
            rng = random.Random(1)
            times: dict[str, list[float]] = {"het": [], "native": []}
            for number in range(options.jobs):
                _, request = REQUESTS[number % len(REQUESTS)]
                for name, box in (("het", het), ("native", native)):
                    times[name].append(measure(box, request, base / f"stamp-{name}"))
                    # slurmctld looks for work once a second: do not fall into step with it.
                    time.sleep(rng.uniform(0.2, 1.2))
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:<8} median {median:.3f} s   max {max(values):.3f} s   n={len(values)}")
    ours, plain = statistics.median(times["het"]), statistics.median(times["native"])
    load = os.getloadavg()[0]
    print(f"slurm-het adds {ours - plain:.3f} s to the median: {ours / plain:.2f} times plain"
          f" Slurm's; load {load:.1f} on {os.cpu_count()} CPUs")  # fmt: skip


if __name__ == "__main__":
    main()
