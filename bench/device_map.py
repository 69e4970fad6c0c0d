"""What het-sinfo says of idle devices, held against what happens then.

    ./dev bench device_map [--rounds 20] [--states 3] [--seed 1]

In each round two nodes are busy in part, for random times, and a large job waits for both: the map
says of the idle devices that they are held for it until T. A job that ends before T must start, one
that does not must wait. In each state random jobs run in all pools: by type, the largest job of the
map must start, and one of a device more must not. The cluster is the default one with three types
more, one of them in a pool beside another. On another version of Slurm:

    sh templates/enter_root.sh ROOT python -m bench.device_map
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import yaml

from bench.in_sandbox import clear, fresh, ok, ours, state, submit, within
from slurm_het.cli.sinfo import sinfo
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY, Topology, topology_of

POOL, KIND, NODES, DEVICES = "train-amd", "mi300x", ("amd1", "amd2"), 8
SCRIPT = "#!/bin/sh\nmodule load rocm\ntorchrun train.py\nsleep 900\n"
START_SECONDS = 15.0
WAIT_SECONDS = 4.0
"""Several cycles of hetd's, and several passes of Slurm's."""
MORE: tuple[dict[str, Any], ...] = tuple(
    {"name": f"{name}[1-2]", "type": kind, "devices": 8, "cpus": 64, "memory_gib": 512,
     "pool": pool, "scenario": "training"}
    for name, kind, pool in (
        ("hop", "h100", "train-nv"), ("gau", "gaudi2", "train-habana"), ("mtx", "c500", "train-mtx")
    )
)  # fmt: skip
"""What the default cluster has not."""
MOST_OF_NODE = {"l40s": 4, "310p": 4, "mlu370": 4}
"""By type, the devices of a node where they are not eight."""


def main() -> None:
    """Run the rounds and the states; print each that was wrong, and how many were right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20, help="with a held node (20)")
    parser.add_argument("--states", type=int, default=3, help="of all pools (3)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    found: list[tuple[str, bool]] = []
    with fresh(ten_types()) as box:
        version = ok(box, "scontrol", "--version").strip()
        for number in range(options.rounds):
            found += told(f"round {number}", held(box, rng))
            clear(box)
        for number in range(options.states):
            found += told(f"state {number}", largest(box, rng))
            clear(box)
    for what in dict.fromkeys(what for what, _ in found):
        right = [true for name, true in found if name == what]
        print(f"{version}: {what}: {sum(right)} of {len(right)}; load {os.getloadavg()[0]:.0f}")
    sys.exit(not all(true for _, true in found))


def ten_types() -> Topology:
    """The default cluster, and three types more."""
    groups = yaml.safe_load(DEFAULT_TOPOLOGY.read_text())
    return topology_of([*groups, *MORE], DEFAULT_TOPOLOGY)


def told(where: str, checks: Iterator[tuple[str, bool, str]]) -> Iterator[tuple[str, bool]]:
    """The same, with a line for each."""
    for what, true, detail in checks:
        print(f"{where}: {what}: {'right' if true else 'WRONG'} ({detail})", flush=True)
        yield what, true


def shown(box: Sandbox, *words: str) -> dict[str, Any]:
    """het-sinfo's document."""
    document: dict[str, Any] = json.loads(ours(box, sinfo, "--json", *words))
    return document


def held(box: Sandbox, rng: random.Random) -> Iterator[tuple[str, bool, str]]:
    """One node full, of the other a part is idle; a job of both waits."""
    full, part = rng.sample(NODES, 2)
    idle = rng.randint(1, DEVICES - 1)
    minutes = sorted(rng.sample(range(4, 40), 2))
    for node, count, limit in ((full, DEVICES, minutes[1]), (part, DEVICES - idle, minutes[0])):
        key = run(box, count, limit, "-p", POOL, "-w", node)
        if not within(START_SECONDS, lambda key=key: state(box, key) == "RUNNING"):  # type: ignore[misc]  # bound now
            raise SystemExit(f"job {key} does not start on {node}")
    large = run(box, DEVICES, 5, "-N2")

    def until() -> float:
        """When the idle devices are the large job's; 0 while they are not held for it."""
        (node,) = shown(box, "-n", part)["nodes"]
        causes = [device["idle"] for device in node["devices"] if device["idle"]]
        of_large = [c for c in causes if c["cause"] == "held" and c["job"] == large]
        return float(of_large[0]["time"]) if causes and len(of_large) == len(causes) else 0.0

    if not within(START_SECONDS, lambda: until() > 0):
        yield "held for the job", False, f"{idle} idle on {part}"
        return
    left = (until() - time.time()) / 60
    late, early = run(box, 1, int(left) + 2), run(box, 1, max(1, int(left) - 1))
    began = time.monotonic()
    started = within(START_SECONDS, lambda: state(box, early) == "RUNNING")
    took = time.monotonic() - began
    yield "who ends before starts", started, f"{left:.1f} min left, after {took:.1f} s"
    time.sleep(WAIT_SECONDS)
    waits = state(box, late)
    yield "a longer one waits", waits == "PENDING", f"{idle} idle on {part}, {waits}"


def run(box: Sandbox, count: int, minutes: int, *options: str) -> str:
    """A job of the pool."""
    return submit(box, f"--gres=gpu:{KIND}:{count}", "-t", str(minutes), *options, script=SCRIPT)


def largest(box: Sandbox, rng: random.Random) -> Iterator[tuple[str, bool, str]]:
    """Random jobs in all pools; then, type by type, what the map says that would start now."""
    types = [t["type"] for t in shown(box)["types"]]
    yield "the map has ten types", len(set(types)) == 10, ", ".join(types)
    keys = [
        submit(box, "-t", "60", f"--gres=gpu:{kind}:{n}", script="#!/bin/sh\nsleep 900\n")
        for kind in types
        for n in two_that_share_no_node(MOST_OF_NODE.get(kind, DEVICES), rng)
    ]
    if not within(START_SECONDS, lambda: all(state(box, key) == "RUNNING" for key in keys)):
        raise SystemExit("the jobs that fill the cluster do not start")
    for told_of in shown(box)["types"]:
        kind, most = told_of["type"], told_of["largest"]["devices"]
        if most < MOST_OF_NODE.get(kind, DEVICES):
            more = one(box, kind, most + 1)
            time.sleep(WAIT_SECONDS)
            waits = state(box, more)
            yield "one device more waits", waits == "PENDING", f"{kind}:{most + 1}, {waits}"
            box.run(["scancel", more])
            within(START_SECONDS, lambda more=more: state(box, more) == "CANCELLED")  # type: ignore[misc]  # bound now
        if most:
            key = one(box, kind, most)
            starts = within(START_SECONDS, lambda key=key: state(box, key) == "RUNNING")  # type: ignore[misc]  # bound now
            yield "the largest starts", starts, f"{kind}:{most}"
            box.run(["scancel", key])


def two_that_share_no_node(most: int, rng: random.Random) -> tuple[int, int]:
    """Devices of two jobs; a node has `most`."""
    first = rng.randint(2, most - 1)
    return first, rng.randint(most - first + 1, most - 1)


def one(box: Sandbox, kind: str, count: int) -> str:
    """A job of one node."""
    script = "#!/bin/sh\nsleep 900\n"
    return submit(box, "-t", "30", "-N1", f"--gres=gpu:{kind}:{count}", script=script)


if __name__ == "__main__":
    main()
