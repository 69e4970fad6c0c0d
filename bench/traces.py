"""Public traces for benchmarks: the openb cluster and its pods, and the protocol that replays them.

None of the data is in this repository. `openb_node_list_gpu_node.csv` and
`openb_pod_list_*.csv` (Alibaba; used by FGD, USENIX ATC'23) are published in
https://github.com/hkust-adsl/kubernetes-scheduler-simulator under `data/csv`.

Units: thousandths of a CPU and of a device, MiB of memory. All arithmetic on them is integer.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.gaps import WHOLE, NodeModel, Shape

SOURCE = "https://github.com/hkust-adsl/kubernetes-scheduler-simulator (data/csv)"
INFLATION = 130
"""Percent of the cluster's devices that the requests of a run add up to."""


class MissingTrace(SystemExit):
    """A file of the trace is not where `--traces` says."""


@dataclass(frozen=True)
class Trace:
    """An openb trace: how many nodes of each model, and the shape of each pod by name."""

    name: str
    nodes: dict[NodeModel, int]
    pods: tuple[Shape, ...]

    @property
    def milli(self) -> int:
        """All of the cluster's devices, in thousandths."""
        return sum(count * model.devices for model, count in self.nodes.items()) * WHOLE

    def mix(self) -> dict[Shape, float]:
        """How frequent each shape is: the shares add up to 1."""
        return {shape: n / len(self.pods) for shape, n in Counter(self.pods).items()}


def read_openb(directory: Path, name: str) -> Trace:
    """The trace `openb_pod_list_NAME.csv` and the cluster's nodes from `directory`."""
    nodes = Counter(
        NodeModel(row["model"], int(row["cpu_milli"]), int(row["memory_mib"]), int(row["gpu"]))
        for row in _rows(directory / "openb_node_list_gpu_node.csv")
    )
    rows = sorted(_rows(directory / f"openb_pod_list_{name}.csv"), key=lambda row: row["name"])
    return Trace(name, dict(nodes), tuple(map(_shape, rows)))


def names(directory: Path) -> list[str]:
    """The pod lists that are in `directory`."""
    prefix, suffix = "openb_pod_list_", ".csv"
    found = directory.glob(f"{prefix}*{suffix}")
    return sorted(path.name.removeprefix(prefix).removesuffix(suffix) for path in found)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise MissingTrace(f"{path} is missing; get the openb files from {SOURCE}")
    with path.open(newline="") as lines:
        yield from csv.DictReader(lines)


def _shape(row: dict[str, str]) -> Shape:
    count = int(row["num_gpu"])
    models = frozenset(filter(None, row.get("gpu_spec", "").split("|")))
    milli = int(row["gpu_milli"]) if count else 0
    return Shape(int(row["cpu_milli"]), int(row["memory_mib"]), count, milli, models)


def arrivals(trace: Trace, seed: int, percent: int = INFLATION) -> list[Shape]:
    """The pods of one run: all, shuffled, then draws with replacement up to `percent` of devices.

    The last pod is the one that reaches it.
    """
    rng = random.Random(seed)
    pods = list(trace.pods)
    rng.shuffle(pods)
    goal, asked = trace.milli * percent, 0
    run: list[Shape] = []
    while asked * 100 < goal:
        pod = pods[len(run)] if len(run) < len(pods) else rng.choice(pods)
        run.append(pod)
        asked += pod.total
    return run


@dataclass
class Curve:
    """Allocated devices over arrived requests, both in thousandths of a device.

    `at(p)` is the published metric: the mean, over the arrivals whose arrived requests round to
    p % of the cluster, of the allocated share in %.
    """

    cluster: int
    arrived: int = 0
    allocated: int = 0
    bins: dict[int, list[int]] = field(default_factory=dict)

    def add(self, asked: int, allocated: int) -> None:
        """One pod arrived that asks for `asked`; `allocated` of it was placed (all or nothing)."""
        self.arrived += asked
        self.allocated += allocated
        percent = (200 * self.arrived + self.cluster) // (2 * self.cluster)
        self.bins.setdefault(percent, []).append(self.allocated)

    def at(self, percent: int) -> float:
        """Allocated % when `percent` % have arrived; on a cluster so small that one pod skips a
        whole per cent, that of the last per cent before it.
        """
        values = self.bins[max(p for p in self.bins if p <= percent)]
        return 100 * sum(values) / (len(values) * self.cluster)


def curve(cluster: int, outcome: Iterable[tuple[Shape, bool]]) -> Curve:
    """The curve of pods in their order of arrival, each placed or not."""
    found = Curve(cluster)
    for shape, placed in outcome:
        found.add(shape.total, shape.total if placed else 0)
    return found
