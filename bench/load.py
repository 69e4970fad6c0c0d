"""What 10,000 pending jobs cost: hetd's cycle, and slurmctld's RPCs beside plain Slurm.

    ./dev bench load [--jobs 10000] [--seconds 60] [--rounds 1]
    ./dev bench load --nodes 150 --jobs 600        # as many real slurmds, on one machine

Each round boots plain Slurm and then Slurm with slurm-het, with the same nodes. CUDA jobs of 15 s
for more devices than there are (four in five singles, the rest arrays of 100) are submitted from
eight processes: to the NVIDIA training pool natively, to the intake with slurm-het, which sends
them there. Then, with that queue, users go on for `--seconds`: every second two submissions,
an squeue and a `scontrol show job`. The times are slurmctld's own (sdiag), of
what users and hetd ask alike.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.churn import family, rss_mib
from slurm_het.cli.control import call
from slurm_het.config import load_config
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.procs import Process
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY, Group, Topology, load_topology

PROCESSES = 8
ARRAY = 100
RPCS = (
    "REQUEST_SUBMIT_BATCH_JOB", "REQUEST_JOB_INFO", "REQUEST_JOB_INFO_SINGLE",
    "REQUEST_NODE_INFO", "REQUEST_PARTITION_INFO", "REQUEST_UPDATE_JOB",
    "REQUEST_COMPLETE_BATCH_SCRIPT", "MESSAGE_EPILOG_COMPLETE",
)  # fmt: skip
_RPC = re.compile(r"^\s+(\w+)\s+\(\s*\d+\) count:(\d+)\s+ave_time:(\d+)", re.MULTILINE)
_JOB = ["sbatch", "-Q", "-o", "/dev/null", "-p"]
PARTITIONS = {True: "accel", False: "train-nv"}
"""Where users send their jobs, with slurm-het and without."""


@dataclass
class Seen:
    """One sandbox under load. Times in microseconds unless their names say otherwise."""

    boot_s: float = 0.0
    fill_s: float = 0.0
    pending: int = 0
    rpcs: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name to (count, average time)."""
    scheduler: int = 0
    backfill: int = 0
    cycles_s: list[float] = field(default_factory=list)
    memory_mib: dict[str, float] = field(default_factory=dict)


def topology(nodes: int) -> Topology:
    """The default emulated cluster, or one of about `nodes` nodes of the same kinds."""
    usual = load_topology(DEFAULT_TOPOLOGY)
    if not nodes:
        return usual
    each = nodes // len(usual.accelerator_groups)
    groups = []
    for group in usual.accelerator_groups:
        name = re.sub(r"\[.*", "", group.name) + f"[1-{each}]"
        groups.append(
            Group(**{f: getattr(group, f) for f in Group.__struct_fields__} | {"name": name})
        )
    return Topology((*groups, *(g for g in usual.groups if not g.devices)))


def fill(box: Sandbox, jobs: int, partition: str) -> float:
    """Submit `jobs` jobs from several processes at once; how many seconds that took."""
    script = box.layout.work / "job.sh"
    script.write_text("#!/bin/bash\nmodule load cuda\nsleep 15\n")
    arrays = jobs // 5 // ARRAY
    singles = (jobs - arrays * ARRAY) // PROCESSES
    sbatch = " ".join((*_JOB, partition))
    loop = (
        f"for i in $(seq {singles}); do {sbatch} --gres=gpu:$((i % 8 + 1)) {script}; done; "
        f"for i in $(seq {arrays // PROCESSES}); do"
        f" {sbatch} --gres=gpu:4 --array=1-{ARRAY} {script}; done"
    )
    began = time.monotonic()
    workers = [
        subprocess.Popen(["sh", "-c", loop], env=box.env, cwd=box.layout.work)
        for _ in range(PROCESSES)
    ]
    try:
        for worker in workers:
            worker.wait(timeout=1800)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return time.monotonic() - began


def use(box: Sandbox, seconds: float, partition: str) -> list[float]:
    """What users do meanwhile; hetd's cycle times in seconds, if it is there."""
    socket = load_config(box.config_path).paths.control_socket
    cycles: dict[float, float] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        second = time.monotonic() + 1.0
        for count in (1, 8):
            box.run([*_JOB, partition, f"--gres=gpu:{count}", str(box.layout.work / "job.sh")])
        box.run(["squeue", "-h"])
        box.run(["scontrol", "show", "job", "1"])
        while time.monotonic() < second:
            if box.hetd_pid():
                try:
                    cycle = call(socket, {"op": "status"})["cycle"]
                    cycles[cycle["time"]] = cycle["seconds"]
                except HetError:
                    pass  # busy; asked again in a moment
            time.sleep(0.2)
    return list(cycles.values())


def sdiag(box: Sandbox, seen: Seen) -> None:
    """slurmctld's own statistics since the last reset."""
    text = box.run(["sdiag"]).stdout
    for name, count, average in _RPC.findall(text):
        if name in RPCS:
            seen.rpcs[name] = (int(count), int(average))
    main, _, backfill = text.partition("Backfilling stats")
    seen.scheduler = _number(r"Mean cycle:\s+(\d+)", main)
    seen.backfill = _number(r"Mean cycle:\s+(\d+)", backfill)


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match.group(1)) if match else 0


def memory(box: Sandbox) -> dict[str, float]:
    """Resident MiB by program; the slurmds together."""
    sizes: dict[str, float] = {}
    processes: Sequence[Process] = box.daemons()
    for process in processes:
        name = "all slurmds" if process.name.startswith("slurmd-") else process.name
        sizes[name] = sizes.get(name, 0.0) + rss_mib(process.pid)
    for pid, role in family(box.hetd_pid() or 0) if box.hetd_pid() else ():
        sizes[role] = rss_mib(pid)
    return sizes


def measure(directory: Path, nodes: int, jobs: int, seconds: float, *, het: bool) -> Seen:
    """One sandbox, booted, filled, used and taken down."""
    seen = Seen()
    began = time.monotonic()
    with Sandbox.up(directory, topology(nodes), hetd=het, hook=het) as box:
        seen.boot_s = time.monotonic() - began
        seen.fill_s = fill(box, jobs, PARTITIONS[het])
        box.run(["sdiag", "--reset"], check=True)
        seen.cycles_s = use(box, seconds, PARTITIONS[het])
        sdiag(box, seen)
        listed = box.run(["squeue", "-h", "-a", "-r", "-t", "PD", "-o", "%A"]).stdout
        seen.pending = len(listed.split())
        seen.memory_mib = memory(box)
    return seen


def report(name: str, rounds: list[Seen]) -> None:
    """What one kind of sandbox showed, its rounds side by side."""

    def each(values: Sequence[float], digits: int = 1) -> str:
        return " ".join(f"{v:.{digits}f}" for v in values)

    print(f"\n### {name}\n")
    print(
        f"boot s: {each([s.boot_s for s in rounds])}; fill s: {each([s.fill_s for s in rounds])}; "
        f"pending at the end: {each([s.pending for s in rounds], 0)}"
    )
    cycles = sorted(c for s in rounds for c in s.cycles_s)
    if cycles:
        high = f"p90 {cycles[len(cycles) * 9 // 10]:.2f}, max {cycles[-1]:.2f}, n={len(cycles)}"
        print(f"hetd's cycle s: median {statistics.median(cycles):.2f}, {high}")
    sizes = ", ".join(f"{k} {v:.0f}" for k, v in rounds[-1].memory_mib.items())
    print(f"RSS MiB: {sizes}")


def compare(native: list[Seen], het: list[Seen]) -> None:
    """The table: averages of both in microseconds and their ratio, medians over the rounds."""
    print("\n| slurmctld, mean µs | native | slurm-het | ratio | calls native | calls slurm-het |")
    print("|---|---|---|---|---|---|")
    rows = [("main scheduler", [(0, s.scheduler) for s in native], [(0, s.scheduler) for s in het])]
    rows += [("backfill", [(0, s.backfill) for s in native], [(0, s.backfill) for s in het])]
    rows += [
        (rpc, [s.rpcs.get(rpc, (0, 0)) for s in native], [s.rpcs.get(rpc, (0, 0)) for s in het])
        for rpc in RPCS
    ]
    for name, plain, ours in rows:
        before = statistics.median(time for _, time in plain)
        after = statistics.median(time for _, time in ours)
        ratio = f"{after / before:.2f}" if before else "–"
        counts = [sum(n for n, _ in values) or "–" for values in (plain, ours)]
        print(f"| {name} | {before:.0f} | {after:.0f} | {ratio} | {counts[0]} | {counts[1]} |")


def main() -> None:
    """Run the rounds, natively and with slurm-het in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=0, help="0: the default 15")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    seen: dict[bool, list[Seen]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        for _ in range(options.rounds):
            for het in (False, True):
                where = base / ("het" if het else "nat")
                seen[het].append(
                    measure(where, options.nodes, options.jobs, options.seconds, het=het)
                )
    report("native", seen[False])
    report("slurm-het", seen[True])
    compare(seen[False], seen[True])


if __name__ == "__main__":
    main()
