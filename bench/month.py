"""A steady stream of jobs on a real Slurm while hetd's journal has a month in it.

    ./dev bench month [--entries 5000000] [--minutes 30] [--a-second 2]

Two jobs a second for a month are five million entries. hetd begins with these, brings them to
today's schema, forgets a day of them and learns of a week of them, beside what comes. A cycle's
seconds are hetd's own; the slope of memory is that of `bench churn`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from bench.churn import SAMPLE_SECONDS, Samples, family, rss_mib
from bench.churn import report as report_memory
from bench.journal import fill
from slurm_het.cli.hetd_client import call
from slurm_het.config import load_config
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.daemons import SUPERVISOR
from slurm_het.sandbox.layout import slurm_version
from slurm_het.slurm.records import parse_fields

NODES = """
nodes:
- {name: "nv[1-3]", type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 32, memory_gib: 256, pool: train-nv, scenario: training}
"""
LOOK_SECONDS = 0.25
LATE_SECONDS = 1.0
DAY = 86400.0
OWNER = "slurm"
SCRIPT = "#!/bin/bash\nmodule load cuda\nsleep {}\n"


@dataclass
class Seen:
    """What a run showed; `cycles` are seconds by the time of the cycle."""

    sent: int = 0
    refused: int = 0
    waited: float = 0.0  # the longest that a cycle waited for the journal, seconds
    silent: int = 0  # looks at which hetd did not answer
    cycles: dict[float, float] = field(default_factory=dict)
    samples: Samples = field(default_factory=lambda: defaultdict(list))
    descriptors: list[int] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)


def stream(box: Sandbox, seen: Seen, options: argparse.Namespace, done: threading.Event) -> None:
    """Submit at a steady pace until told to stop."""
    began = time.monotonic()
    while not done.wait(max(0.0, began + seen.sent / options.a_second - time.monotonic())):
        argv = ["sbatch", "-Q", "-o", "/dev/null", "-t1", f"--gres=gpu:{seen.sent % 2 + 1}"]
        script = SCRIPT.format(2 + seen.sent % 4)
        seen.refused += box.run(argv, user="nobody", input=script).returncode != 0
        seen.sent += 1


def watch(box: Sandbox, seen: Seen, seconds: float) -> None:
    """Look at hetd for so long."""
    socket = load_config(box.config_path).paths.control_socket
    began, due = time.monotonic(), 0.0
    while (now := time.monotonic() - began) < seconds:
        try:
            status = call(socket, {"op": "status"}, 5.0)
            seen.cycles[status["cycle"]["time"]] = status["cycle"]["seconds"]
            seen.waited = status["journal_waited"]
        except HetError:
            seen.silent += 1
        if now >= due:
            due += SAMPLE_SECONDS
            pid = box.hetd_pid() or 0
            for member, role in family(pid):
                seen.samples[role].append((now, rss_mib(member)))
            seen.descriptors.append(len(os.listdir(f"/proc/{pid}/fd")) if pid else 0)
            seen.loads.append(os.getloadavg()[0])
        time.sleep(LOOK_SECONDS)


def waits(box: Sandbox) -> list[float]:
    """Seconds from submission to start of the jobs that have ended, in order of length."""
    text = (box.layout.log / "jobcomp.log").read_text(errors="replace")
    records = map(parse_fields, text.splitlines())
    return sorted(
        _seconds(r["StartTime"]) - _seconds(r["SubmitTime"]) for r in records
        if r.get("StartTime", "Unknown") != "Unknown"
    )  # fmt: skip


def _seconds(when: str) -> float:
    return time.mktime(time.strptime(when, "%Y-%m-%dT%H:%M:%S"))


def run(box: Sandbox, options: argparse.Namespace) -> None:
    """Write the month, run on it, print what came of it."""
    journal = load_config(box.config_path).paths.journal
    fill(journal, options.entries // 6)
    shutil.chown(journal, OWNER)
    print(f"{options.entries} entries: {journal.stat().st_size >> 20} MiB", flush=True)
    began = time.monotonic()
    box.start_hetd()
    print(f"hetd was ready after {time.monotonic() - began:.1f} s", flush=True)
    seen, done, seconds = Seen(), threading.Event(), options.minutes * 60
    submits = threading.Thread(target=stream, args=(box, seen, options, done))
    submits.start()
    try:
        watch(box, seen, seconds)
    finally:
        done.set()
        submits.join()
    report(box, seen, seconds)


def report(box: Sandbox, seen: Seen, seconds: float) -> None:
    """Print it."""
    version, loads = slurm_version().text, seen.loads
    print(f"Slurm {version}, load {min(loads):.1f}-{max(loads):.1f}; {seen.refused} refused")
    report_memory(seen.samples, seconds, seen.sent)
    print(f"descriptors {min(seen.descriptors)}-{max(seen.descriptors)}; {seen.silent} looks"
          " without an answer")  # fmt: skip
    cycles = sorted(seen.cycles.values())
    print(f"the longest that a cycle waited for the journal: {seen.waited:.2f} s")
    late = sum(cycle > LATE_SECONDS for cycle in cycles)
    print(f"{len(cycles)} cycles seen: median {statistics.median(cycles):.2f} s, p99"
          f" {cycles[len(cycles) * 99 // 100]:.2f} s, longest {cycles[-1]:.2f} s, {late} longer"
          f" than {LATE_SECONDS:g} s")  # fmt: skip
    if waited := waits(box):
        print(f"{len(waited)} jobs ended; from submission to start (whole seconds): median"
              f" {statistics.median(waited):.0f} s, p99 {waited[len(waited) * 99 // 100]:.0f} s,"
              f" longest {waited[-1]:.0f} s")  # fmt: skip
    log = box.layout.output_of(SUPERVISOR)
    size = log.stat().st_size
    lines = log.read_text(errors="replace").splitlines()
    print(f"hetd's log: {len(lines)} lines, {size} bytes = {size / seconds * DAY / 1e6:.1f} MB a"
          " day")  # fmt: skip
    print("hetd, MiB by minute:", " ".join(f"{size:.0f}" for _, size in seen.samples["hetd"][::6]))
    for line in [line for line in lines if "journal" in line or "ERROR" in line][:20]:
        print(f"  {line}")


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(prog="month", description=__doc__)
    parser.add_argument("--entries", type=int, default=5_000_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--a-second", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        (base / "topology.yaml").write_text(NODES)
        with Sandbox.up(base / "box", base / "topology.yaml", hetd=False, slurm_user=OWNER) as box:
            run(box, options)


if __name__ == "__main__":
    main()
