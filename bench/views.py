"""How long a look takes at 500 nodes and 10,000 jobs, nearly all of which wait.

    ./dev bench views [--nodes 500] [--jobs 10000] [--rounds 5] [--no-record]
    sh templates/enter_root.sh "$(./dev root 24.11)" python -m bench.views     # on another Slurm

Each of the tools is run as users run it: a process that knows nothing. They take turns; squeue's
own time stands beside theirs. CPU seconds are those of the tool and of the programs that it runs.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.in_sandbox import fill, fresh, within
from bench.results import head, publish, recorded, table
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import program, slurm_version
from slurm_het.sandbox.topology import Topology, load_topology

SCRIPT = "#!/bin/bash\nmodule load cuda\nsleep 36000\n"
TOOLS = {
    "het-squeue --totals": ("squeue", "--totals"),
    "slurm-het status": ("admin", "status"),
    "het-squeue": ("squeue",),
    "het-sinfo": ("sinfo",),
}
TYPES = """
- {{name: "nv[1-{large}]", type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}}
- {{name: "l[1-{small}]", type: l40s, vendor: nvidia, devices: 4, memory_gib_per_device: 48,
   cpus: 32, memory_gib: 256, pool: infer-nv, scenario: inference, shards_per_device: 48}}
"""


def topology(nodes: int) -> Topology:
    """Four of five nodes with eight cards, the others with four that are shared."""
    small = nodes // 5
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(TYPES.format(large=nodes - small, small=small))
        file.flush()
        return load_topology(Path(file.name))


def waiting(box: Sandbox) -> int:
    """How many wait."""
    return len(box.run(["squeue", "-h", "-t", "PD", "-o", "%i"]).stdout.split())


def at_rest(box: Sandbox) -> bool:
    """Whether nobody has started for some seconds."""
    before = waiting(box)
    time.sleep(5.0)
    return before == waiting(box)


def timed(box: Sandbox, command: Sequence[str]) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a command."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = box.run(list(command))
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if not done.stdout:
        sys.exit(f"{' '.join(command)} printed nothing: {done.stderr[-500:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, used


def measure(box: Sandbox, rounds: int) -> list[list[str]]:
    """A row for each tool."""
    commands = {
        name: (sys.executable, "-c", f"from slurm_het.cli.{module} import main; main()", *words)
        for name, (module, *words) in TOOLS.items()
    } | {"squeue": (program("squeue"),)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(timed(box, command))
    return [
        [name, *(f"{statistics.median(part):.2f}" for part in zip(*those, strict=True)),
         f"{max(took for took, _ in those):.2f}"]
        for name, those in found.items()
    ]  # fmt: skip


def main() -> None:
    """Measure, print, record."""
    parser = recorded(__doc__)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with fresh(topology(options.nodes)) as box:
        print(f"{options.nodes} nodes are up; submitting {options.jobs} jobs", flush=True)
        fill(box, options.jobs, SCRIPT, "-t 900 --gpus=$((i % 4 + 1))")
        if not within(300.0, lambda: at_rest(box)):
            sys.exit("jobs still start after 300 s")
        rows, wait = measure(box, options.rounds), waiting(box)
    words = f"--nodes {options.nodes} --jobs {options.jobs} --rounds {options.rounds}"
    extra = f"Slurm {slurm_version().text}, load {os.getloadavg()[0]:.0f}"
    lines = [
        *head("views", f"./dev bench views {words}", extra),
        f"{options.jobs} jobs, of which {wait} wait.", "",
        *table(("tool", "median s", "CPU s", "longest s"), rows),
    ]  # fmt: skip
    publish(lines, options)


if __name__ == "__main__":
    main()
