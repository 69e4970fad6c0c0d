"""A steady state on openb: pods come and end, and what fits is placed, by FGD and as hetd does it.

    ./dev bench steady --traces DIR [--trace default] [--load 95 105] [--seeds 42-43]

Pods are drawn from the trace with replacement and come at random moments (Poisson). Each runs for
a random time (exponential, whatever its shape), so that `--load` % of the devices would be in use
in the mean if all were placed; as many are there when it begins. What does not fit is turned away.
It counts from WARM mean run times on. hetd plans together what comes within a WINDOW, after what
ends in it; FGD places one pod after the other. Both are checked by books of each device.
"""

from __future__ import annotations

import argparse
import heapq
import random
import time
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby, islice, takewhile
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.fgd import Chooser, fgd
from bench.gaps import WHOLE, Free, NodeModel, Shape
from bench.openb_plan import Outlook, Planner
from bench.results import head, numbers, publish, recorded, table
from bench.traces import Trace, read_openb
from slurm_het.core.assignment.first_fit import greedy

WARM = 1.0
"""Mean run times after which it counts."""
WINDOW, MOST = 1 / 200, 64
"""Of the mean run time; and so many pods are in one at most."""
COLUMNS = ("trace, load, policy", "allocated %", "turned away %", "lost %", "infeasible", "s/run")


class Pod(NamedTuple):
    """A pod that comes `at` a time and would end at another, in mean run times."""

    number: int
    at: float
    end: float
    shape: Shape


class Spot(NamedTuple):
    """Where a pod is: a node, by its number, and devices of it."""

    node: int
    devices: tuple[int, ...]


class Policy(Protocol):
    """What is put to the test."""

    def place(self, pods: Sequence[Pod]) -> Iterator[tuple[Pod, Spot]]:
        """Those that it places, one after the other; the others are turned away."""

    def end(self, pod: Pod, spot: Spot) -> None:
        """A pod has ended."""


@dataclass
class Books:
    """What is free on each node, device by device; `infeasible` counts what broke that."""

    models: list[NodeModel]
    cpus: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    gaps: list[list[int]] = field(default_factory=list)
    allocated: int = 0
    infeasible: int = 0

    def __post_init__(self) -> None:
        self.cpus = [model.cpus for model in self.models]
        self.memory = [model.memory_mib for model in self.models]
        self.gaps = [[WHOLE] * model.devices for model in self.models]

    def change(self, shape: Shape, spot: Spot, sign: int) -> None:
        """A pod takes its place (1), or has ended (-1)."""
        n, asked = spot.node, shape.milli
        self.cpus[n] -= sign * shape.cpus
        self.memory[n] -= sign * shape.memory_mib
        for d in spot.devices:
            self.gaps[n][d] -= sign * asked
        self.allocated += sign * shape.total
        here = min(self.cpus[n], self.memory[n], *(self.gaps[n][d] for d in spot.devices))
        able = not shape.models or self.models[n].model in shape.models
        right = len(set(spot.devices)) == shape.devices and able
        self.infeasible += here < 0 or not right

    def free(self, n: int) -> Free:
        """What is free on a node."""
        gaps = tuple(sorted(self.gaps[n], reverse=True))
        return Free(self.models[n].model, self.cpus[n], self.memory[n], gaps)


class LeastCost:
    """Places each pod as it comes, at the least cost, as FGD does; and pods go again."""

    def __init__(self, models: list[NodeModel], chooser: Chooser) -> None:
        self.books, self.chooser = Books(models), chooser
        self.nodes: dict[Free, list[int]] = {}
        for n in range(len(models)):
            self.nodes.setdefault(self.books.free(n), []).append(n)

    def place(self, pods: Sequence[Pod]) -> Iterator[tuple[Pod, Spot]]:
        """See Policy."""
        for pod in pods:
            if move := self.chooser.best(self.nodes, pod.shape):
                before, after = move
                n = self.nodes[before][0]
                spot = Spot(n, _devices(self.books.gaps[n], after, pod.shape))
                self._change(pod.shape, spot, 1)
                yield pod, spot

    def end(self, pod: Pod, spot: Spot) -> None:
        """See Policy."""
        self._change(pod.shape, spot, -1)

    def _change(self, shape: Shape, spot: Spot, sign: int) -> None:
        before = self.books.free(spot.node)
        self.nodes[before].remove(spot.node)
        if not self.nodes[before]:
            del self.nodes[before]
        self.books.change(shape, spot, sign)
        insort(self.nodes.setdefault(self.books.free(spot.node), []), spot.node)


def _devices(gaps: Sequence[int], after: Free, shape: Shape) -> tuple[int, ...]:
    """The first devices with which the node has that free once the pod has them."""
    left = sorted(after.gaps, reverse=True)
    if shape.devices != 1:
        able = [d for d, gap in enumerate(gaps) if gap >= shape.milli]
        most = sorted(able, key=lambda d: -gaps[d])
        return tuple(most[: shape.devices])
    for d, gap in enumerate(gaps):
        then = sorted((*gaps[:d], gap - shape.milli, *gaps[d + 1 :]), reverse=True)
        if then == left:
            return (d,)
    raise AssertionError("no device leaves what the policy says")


class Planned:
    """hetd's planner: first-fit by prices, which it finds anew every so many pods."""

    def __init__(self, outlook: Outlook) -> None:
        self.planner = Planner(outlook, greedy)
        self.number = {name: n for n, name in enumerate(outlook.nodes)}
        self.names = list(outlook.nodes)

    def place(self, pods: Sequence[Pod]) -> Iterator[tuple[Pod, Spot]]:
        """See Policy."""
        for given in self.planner.given([pod.shape for pod in pods]):
            yield pods[given.pod], Spot(self.number[given.node], given.devices)

    def end(self, pod: Pod, spot: Spot) -> None:
        """See Policy."""
        self.planner.give_back(pod.shape, self.names[spot.node], spot.devices)


class Seen(NamedTuple):
    """In the mean: the share of the devices that is in use, and of what was asked for that was
    turned away; and how many placements were infeasible."""

    allocated: float
    turned_away: float
    infeasible: int


class Run:
    """A policy under pods, with books of its own."""

    def __init__(self, policy: Policy, models: list[NodeModel]) -> None:
        self.policy, self.books = policy, Books(models)
        self.devices = WHOLE * sum(model.devices for model in models)
        self.ends: list[tuple[float, int, Pod, Spot]] = []
        self.now = self.area = 0.0
        self.asked = self.away = 0

    def seen(self, pods: Iterable[Pod], until: float) -> Seen:
        """What was seen from WARM until then."""
        for window in _windows(takewhile(lambda pod: pod.at < until, pods)):
            self._come(window)
        share = self.area / (self.now - WARM) / self.devices
        return Seen(share, self.away / self.asked, self.books.infeasible)

    def _come(self, window: list[Pod]) -> None:
        now = window[-1].at
        while self.ends and self.ends[0][0] <= now:
            end, _, pod, spot = heapq.heappop(self.ends)
            self._go_on(end)
            self.books.change(pod.shape, spot, -1)
            self.policy.end(pod, spot)
        self._go_on(now)
        placed: set[int] = set()
        for pod, spot in self.policy.place(window):
            self.books.change(pod.shape, spot, 1)
            heapq.heappush(self.ends, (pod.end, pod.number, pod, spot))
            placed.add(pod.number)
        if now >= WARM:
            self.asked += sum(pod.shape.total for pod in window)
            self.away += sum(pod.shape.total for pod in window if pod.number not in placed)

    def _go_on(self, now: float) -> None:
        self.area += self.books.allocated * (max(now, WARM) - max(self.now, WARM))
        self.now = now


def _windows(pods: Iterable[Pod]) -> Iterator[list[Pod]]:
    for _, group in groupby(pods, lambda pod: int(pod.at / WINDOW)):
        while window := list(islice(group, MOST)):
            yield window


def coming(trace: Trace, load: float, seed: int) -> Iterator[Pod]:
    """First all that are there in the mean, then one after the other, without an end."""
    rng, at = random.Random(seed), 0.0
    mean = sum(pod.total for pod in trace.pods) / len(trace.pods)
    there = load * trace.milli / mean
    for number in count():
        if number >= there:
            at += rng.expovariate(there)
        yield Pod(number, at, at + rng.expovariate(1.0), rng.choice(trace.pods))


def main() -> None:
    """Print the table, and put it into RESULTS.md."""
    options = _options()
    trace = read_openb(options.traces, options.trace)
    outlook = Outlook(trace.nodes, trace.mix())
    models = [model for model, n in trace.nodes.items() for _ in range(n)]
    rows = []
    for load in options.load:
        for seed in options.seeds:
            shuffled = random.Random(seed).sample(models, k=len(models))
            theirs = LeastCost(shuffled, Chooser(fgd(trace.mix())))
            for name, policy, nodes in (
                ("FGD", theirs, shuffled), ("hetd first-fit", Planned(outlook), models),
            ):  # fmt: skip
                began = time.perf_counter()
                seen = Run(policy, nodes).seen(coming(trace, load / 100, seed), options.until)
                took = time.perf_counter() - began
                lost = min(load / 100, 1.0) - seen.allocated
                row = [f"{trace.name}, {load} %, seed {seed}, {name}",
                       f"{100 * seen.allocated:.2f}", f"{100 * seen.turned_away:.2f}",
                       f"{100 * lost:.2f}", str(seen.infeasible), f"{took:.0f}"]  # fmt: skip
                rows.append(row)
                print(*row, flush=True)
    flags = f"--trace {trace.name} --load {' '.join(map(str, options.load))}"
    flags += f" --seeds {options.seeds[0]}-{options.seeds[-1]} --until {options.until:g}"
    lines = [
        *head("steady", f"./dev bench steady --traces DIR {flags}"),
        "Means over time; lost: what of the load, or of all devices, is not in use.", "",
        *table(COLUMNS, rows),
    ]  # fmt: skip
    publish(lines, options)


def _options() -> argparse.Namespace:
    parser = recorded(__doc__)
    parser.add_argument("--traces", type=Path, required=True, help="directory of the openb files")
    parser.add_argument("--trace", default="default", help="its name (default)")
    parser.add_argument("--load", type=int, nargs="+", default=[95, 105], help="%% (95 105)")
    parser.add_argument("--seeds", type=numbers, default=numbers("42-43"), help="first-last")
    parser.add_argument("--until", type=float, default=3.0, help="mean run times (3)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
