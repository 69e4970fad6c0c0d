"""What 10,000 pending jobs cost: hetd's cycle, and slurmctld's RPCs beside plain Slurm.

    ./dev bench load [--jobs 10000] [--seconds 60] [--rounds 1] [--no-record]
    ./dev bench load --nodes 150 --jobs 600        # as many real slurmds, on one machine

Each round boots plain Slurm (`none`), Slurm whose job_submit.lua does nothing (`empty`) and Slurm
with slurm-het, with the same nodes. (For any job_submit.lua Slurm makes a Lua table of all jobs,
about once a second and under the locks of whoever submits or updates one.) CUDA jobs of 15 s
for more devices than there are (four in five singles, the rest arrays of 100) are submitted from
eight processes: to the intake with slurm-het, without it to the NVIDIA training pool, where
slurm-het sends them. Then, with that queue, users go on for `--seconds`: every second two
submissions, an squeue and a `scontrol show job`. The times are slurmctld's own (sdiag), of what
users and hetd ask alike.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.churn import family, rss_mib
from bench.in_sandbox import side_by_side
from bench.results import head, publish, recorded, table
from bench.submit import EMPTY
from slurm_het.cli.hetd_client import call
from slurm_het.config import load_config
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version
from slurm_het.sandbox.procs import Process
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY, INTAKE, Group, Topology, load_topology

PROCESSES = 8
ARRAY = 100
RPCS = (
    "REQUEST_SUBMIT_BATCH_JOB", "REQUEST_JOB_INFO", "REQUEST_JOB_INFO_SINGLE",
    "REQUEST_NODE_INFO", "REQUEST_PARTITION_INFO", "REQUEST_UPDATE_JOB",
    "REQUEST_COMPLETE_BATCH_SCRIPT", "MESSAGE_EPILOG_COMPLETE",
)  # fmt: skip
_RPC = re.compile(r"^\s+(\w+)\s+\(\s*\d+\) count:(\d+)\s+ave_time:(\d+)", re.MULTILINE)
_JOB = ["sbatch", "-Q", "-o", "/dev/null", "-p"]
VARIANTS = ("none", "empty", "slurm-het")
NATIVE = "train-nv"
"""Where users send their jobs without slurm-het: the pool that it sends them to."""
COLUMNS = (
    "slurmctld, mean µs", *VARIANTS, "÷ none", "÷ empty", *(f"calls, {name}" for name in VARIANTS),
)  # fmt: skip


@dataclass
class Seen:
    """One sandbox under load. Times in microseconds unless their names say otherwise."""

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
    side_by_side(box, loop, PROCESSES)
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


def measure(directory: Path, options: argparse.Namespace, variant: str) -> Seen:
    """One sandbox, booted, filled, used and taken down."""
    seen = Seen()
    het = variant == "slurm-het"
    partition = INTAKE if het else NATIVE
    with Sandbox.up(directory, topology(options.nodes), hetd=het, hook=variant != "none") as box:
        if variant == "empty":
            (box.layout.etc / "job_submit.lua").write_text(EMPTY)
        seen.fill_s = fill(box, options.jobs, partition)
        box.run(["sdiag", "--reset"], check=True)
        seen.cycles_s = use(box, options.seconds, partition)
        sdiag(box, seen)
        listed = box.run(["squeue", "-h", "-a", "-r", "-t", "PD", "-o", "%A"]).stdout
        seen.pending = len(listed.split())
        seen.memory_mib = memory(box)
    return seen


def facts(name: str, rounds: list[Seen]) -> Iterator[str]:
    """What one kind of sandbox showed, its rounds side by side."""

    def each(values: Iterable[float], digits: int = 1) -> str:
        return " ".join(f"{v:.{digits}f}" for v in values)

    sizes = ", ".join(f"{k} {v:.0f}" for k, v in rounds[-1].memory_mib.items())
    yield (
        f"- {name}: filled in {each(s.fill_s for s in rounds)} s, pending at the end "
        f"{each((s.pending for s in rounds), 0)}; MiB: {sizes}"
    )
    cycles = sorted(c for s in rounds for c in s.cycles_s)
    if cycles:
        high = f"p90 {cycles[len(cycles) * 9 // 10]:.2f}, most {cycles[-1]:.2f} s"
        yield f"- {len(cycles)} cycles of hetd: median {statistics.median(cycles):.2f}, {high}"


def comparison(seen: Mapping[str, list[Seen]]) -> Iterator[list[str]]:
    """By kind of call: means in µs (medians over the rounds), ratios, numbers of calls."""
    times: dict[str, Callable[[Seen], int]] = {
        "main scheduler": lambda s: s.scheduler,
        "backfill": lambda s: s.backfill,
        **{rpc: (lambda s, rpc=rpc: s.rpcs.get(rpc, (0, 0))[1]) for rpc in RPCS},  # type: ignore[misc]  # bound now
    }
    for name, time_of in times.items():
        means = [statistics.median(map(time_of, seen[variant])) for variant in VARIANTS]
        counts = [sum(s.rpcs.get(name, (0, 0))[0] for s in seen[v]) for v in VARIANTS]
        yield [
            name, *(f"{mean:.0f}" for mean in means),
            *(f"{means[-1] / mean:.2f}" if mean and means[-1] else "–" for mean in means[:-1]),
            *(str(count or "–") for count in counts),
        ]  # fmt: skip


def main() -> None:
    """Run the rounds, of each kind in turn; print the table, and put it into RESULTS.md."""
    options = parse()
    seen: dict[str, list[Seen]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        for number in range(options.rounds):
            for variant in VARIANTS:
                print(f"round {number + 1} of {options.rounds}: {variant}", flush=True)
                seen[variant].append(measure(base / variant[:3], options, variant))
    command = f"./dev bench load --jobs {options.jobs} --nodes {options.nodes}"
    command += f" --seconds {options.seconds:g} --rounds {options.rounds}"
    text = [
        *head("load", command, f"Slurm {slurm_version().text}"),
        *(line for variant in VARIANTS for line in facts(variant, seen[variant])), "",
        *table(COLUMNS, comparison(seen)),
    ]  # fmt: skip
    publish(text, options)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="that wait (10000)")
    parser.add_argument("--nodes", type=int, default=0, help="slurmds; 0 (default): 15")
    parser.add_argument("--seconds", type=float, default=60.0, help="of use, then (60)")
    parser.add_argument("--rounds", type=int, default=1, help="of each kind (1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
