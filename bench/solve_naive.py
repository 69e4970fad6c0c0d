"""Median time per instance size for first-fit, HiGHS and CBC, on seeded instances.

Usage: python -m bench.solve_naive [--seconds 10] [--repeat 3] [--solver highs --solver cbc]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import (
    Need,
    PDevice,
    PNode,
    PRequest,
    Problem,
    PSlot,
    PTask,
    Solution,
    violations,
)
from slurm_het.solve.solve import solve

# (type, memory in GiB, devices per node): a site with several vendors
TYPES = (("a100", 80, 8), ("mi300x", 192, 8), ("910b", 64, 8), ("l40s", 48, 4), ("t4", 16, 4))
SIZES = ((14, 64), (14, 200), (56, 200))  # nodes, tasks


def instance(nodes: int, tasks: int, load: float, seed: int) -> Problem:
    """A cluster of mixed types with a share `load` of its devices in use, and a queue for it."""
    rng = random.Random(seed)
    devices: list[PDevice] = []
    cluster: list[PNode] = []
    of_type: list[set[int]] = [set() for _ in TYPES]
    for n in range(nodes):
        number = n % len(TYPES)
        name, memory, count = TYPES[number]
        of_type[number].add(n)
        first = len(devices)
        for position in range(count):
            used = rng.choice((0, memory // 4, memory // 2, memory)) if rng.random() < load else 0
            devices.append(PDevice(n, position, memory, used, used == 0, len(devices)))
        mine = tuple(range(first, first + count))
        free = 1 - load / 2
        cpus, host = int(16 * count * free), int(128000 * count * free)
        cluster.append(PNode(f"{name}-{n}", cpus, host, mine, n))
    asked = [_request(rng, t, cluster, devices, of_type) for t in range(tasks)]
    queue = tuple(PTask(f"{1000 + t}", t) for t in range(tasks))
    requests, weights = zip(*asked, strict=True)
    return Problem(tuple(cluster), tuple(devices), queue, requests, weights)


def _request(
    rng: random.Random, t: int, nodes: list[PNode], devices: list[PDevice], of_type: list[set[int]]
) -> tuple[PRequest, dict[int, float]]:
    shared = rng.random() < 0.5
    memory = rng.choice((8, 10, 24, 40)) if shared else 0
    count, slots = (1, 1) if shared else rng.choice(((1, 1), (2, 1), (4, 1), (8, 1), (4, 2)))
    likes = [rng.choice((0.0, 0.2, 0.5, 1.0)) for _ in TYPES]
    may = [k for k, (_, size, _) in enumerate(TYPES) if memory <= size]
    allowed = rng.sample(may, rng.randint(1, len(may)))
    groups = tuple(frozenset(of_type[k]) for k in allowed if of_type[k])
    usable = set().union(*groups)
    need = dict.fromkeys(usable, Need(count * 4, count * 16000))
    weights = {
        j: 1.0
        + likes[devices[j].node % len(TYPES)]
        - max(0, devices[j].memory_gib - memory if memory else 0) / 400
        + (devices[j].used_gib / devices[j].memory_gib if memory else 0) / 5
        for n in usable
        for j in nodes[n].devices
        if (devices[j].memory_gib - devices[j].used_gib >= memory if memory else devices[j].whole)
    }
    return PRequest((PSlot(count, need),) * slots, memory, groups, t), weights


def _measure(name: str, run: Callable[[Problem], Solution], problems: list[Problem]) -> None:
    times: list[float] = []
    notes: list[str] = []
    for problem in problems:
        began = time.perf_counter()
        found = run(problem)
        times.append(time.perf_counter() - began)
        if broken := violations(problem, found):
            raise SystemExit(f"{name}: {broken[0]}")
        notes.append(f"{found.status} {len(found.starts)}:{found.objective:.1f} {found.gap:.2%}")
    print(f"  {name:6} {statistics.median(times):8.3f} s  {' | '.join(notes)}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--solver", action="append", choices=("highs", "cbc"))
    args = parser.parse_args()
    for nodes, tasks in SIZES:
        for load in (0.0, 0.7):
            problems = [instance(nodes, tasks, load, seed) for seed in range(args.repeat)]
            devices = len(problems[0].devices)
            print(f"{nodes} nodes, {devices} devices, {tasks} tasks, load {load:.0%}")
            _measure("greedy", greedy, problems)
            for name in args.solver or ("highs", "cbc"):
                _measure(name, lambda p, n=name: solve(p, args.seconds, n), problems)  # type: ignore[misc]


if __name__ == "__main__":
    main()
