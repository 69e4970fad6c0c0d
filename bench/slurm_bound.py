"""What there is to win on the trace of `bench slurm`: mean waits under simple orders, of plain's.

    ./dev bench slurm_bound [--jobs 320] [--load 1.1] [--seeds 1-4] [--delay 1.0]

No Slurm and no hetd: jobs are looked at in the order of arrival, `--delay` seconds after each came
or ended, and start on the fullest node with room. Of those that must wait the first so many are
protected: each gets the devices that are free for it soonest, and who comes after it starts only
beside that. When they are free is told by the limits, or by how long the jobs really run, which
nobody knows. With pins the first of each pool has the nodes as a whole, as in Slurm's backfill.
CPUs and host memory do not bind on this trace, and are left out. A row takes a CPU second.
"""

from __future__ import annotations

import argparse
import heapq
import logging
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

from bench.mixes.world import SANDBOX
from bench.results import numbers, table
from bench.slurm_simulated import world
from bench.slurm_stats import size_class
from bench.slurm_trace import Entry, make_trace
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY
from slurm_het.simulation import run

NOW = 1e-9
"""Seconds within which two moments are one."""


class Order(NamedTuple):
    """How many of those that wait are protected, whether the first of each pool is pinned, and
    whether it is known how long jobs run."""

    protected: int
    pins: bool = False
    known: bool = False

    def __str__(self) -> str:
        by = "run times" if self.known else "limits"
        pins = ", one of each pool pinned" if self.pins else ""
        return f"{self.protected} protected by {by}{pins}" if self.protected else f"none{pins}"


ORDERS = (
    Order(0), Order(4), Order(8), Order(32), Order(32, pins=True), Order(8, pins=True),
    Order(4, known=True), Order(8, known=True), Order(32, known=True),
)  # fmt: skip


class Use(NamedTuple):
    """A device in use, or given to somebody; of a share so many GiB of it, else all (0)."""

    begin: float
    end: float
    gib: int


@dataclass(frozen=True)
class Host:
    """A node: its pool, what memory its devices have, and when these are in use."""

    pool: str
    gib: int
    devices: tuple[list[Use], ...]


class Wish(NamedTuple):
    """What a job of the trace asks."""

    entry: Entry
    nodes: int
    devices: int
    gib: int
    limit: float

    @classmethod
    def of(cls, entry: Entry) -> Wish:
        """What its options say."""
        said = dict(option.lstrip("-").partition("=")[::2] for option in entry.options)
        name, _, count = said["gres"].partition(":")
        share = int(count) if name == "shard" else 0
        limit = 60.0 * int(said["time"])
        return cls(entry, int(said.get("nodes", 1)), 1 if share else int(count), share, limit)


class Spot(NamedTuple):
    """Devices of a node, by number."""

    host: int
    devices: tuple[int, ...]


@dataclass
class Given:
    """A job with its devices, as far as is known until `end`; it runs to `gone`, or waits (0)."""

    wish: Wish
    spots: tuple[Spot, ...]
    begin: float
    end: float
    gone: float = 0.0


@dataclass
class Cluster:
    """The sandbox's nodes under one order. `closed` says from when a node is a pinned job's."""

    order: Order
    hosts: list[Host]
    running: list[Given] = field(default_factory=list)
    closed: dict[int, float] = field(default_factory=dict)

    def seconds(self, wish: Wish) -> float:
        """How long a job is taken to run."""
        return wish.entry.seconds if self.order.known else wish.limit

    def put(self, given: Given) -> None:
        """Devices are in use."""
        for host, devices in given.spots:
            for d in devices:
                self.hosts[host].devices[d].append(Use(given.begin, given.end, given.wish.gib))

    def away(self, given: Given) -> None:
        """They are no longer."""
        for host, devices in given.spots:
            for d in devices:
                self.hosts[host].devices[d].remove(Use(given.begin, given.end, given.wish.gib))

    def end_jobs(self, now: float) -> None:
        """Those that have ended are gone."""
        for given in [one for one in self.running if one.gone <= now + NOW]:
            self.running.remove(given)
            self.away(given)

    def spots(self, wish: Wish, at: float) -> tuple[Spot, ...] | None:
        """Where a job has room from then on to its end, on the fullest nodes."""
        end = at + self.seconds(wish)
        by_pool: dict[str, list[tuple[int, Spot]]] = defaultdict(list)
        for number, host in enumerate(self.hosts):
            if host.pool not in wish.entry.partitions or wish.gib > host.gib > 0:
                continue
            if at + wish.limit > self.closed.get(number, float("inf")):
                continue
            free = [
                d for d, uses in enumerate(host.devices) if _free(uses, wish.gib, host, at, end)
            ]
            if len(free) >= wish.devices:
                if wish.gib:  # the device that is fullest
                    free.sort(key=lambda d, host=host: -sum(u.gib for u in host.devices[d]))  # type: ignore[misc]
                by_pool[host.pool].append((len(free), Spot(number, tuple(free[: wish.devices]))))
        able = [sorted(found) for found in by_pool.values() if len(found) >= wish.nodes]
        return tuple(spot for _, spot in min(able)[: wish.nodes]) if able else None

    def soonest(self, wish: Wish) -> Given | None:
        """When and where a job starts as those that have devices end."""
        hosts = [host for host in self.hosts if host.pool in wish.entry.partitions]
        ends = {use.end for host in hosts for uses in host.devices for use in uses}
        for at in sorted(ends):
            if spots := self.spots(wish, at):
                return Given(wish, spots, at, at + self.seconds(wish))
        return None


def _free(uses: Sequence[Use], gib: int, host: Host, at: float, end: float) -> bool:
    """Whether a device has room for a share, or is nobody's, all that time."""
    there = [use for use in uses if use.begin < end and use.end > at + NOW]
    if not gib:
        return not there
    if any(not use.gib for use in there):
        return False
    moments = [at, *(use.begin for use in there if use.begin > at)]
    return all(
        sum(use.gib for use in there if use.begin <= moment < use.end) + gib <= host.gib
        for moment in moments
    )


def waits(trace: Sequence[Entry], order: Order, delay: float) -> dict[int, float]:
    """How long each job waits, by its number."""
    cluster = Cluster(order, list(_hosts()))
    coming = sorted((Wish.of(entry) for entry in trace), key=lambda w: -w.entry.arrival)
    moments = [wish.entry.arrival + delay for wish in coming]
    heapq.heapify(moments)
    waiting: list[Wish] = []
    found: dict[int, float] = {}
    while moments:
        now = heapq.heappop(moments)
        while coming and coming[-1].entry.arrival <= now + NOW:
            waiting.append(coming.pop())
        cluster.end_jobs(now)
        for given in _look(cluster, waiting, now):
            waiting.remove(given.wish)
            found[given.wish.entry.number] = now - given.wish.entry.arrival
            heapq.heappush(moments, given.gone + delay)
    return found


def _look(cluster: Cluster, waiting: Sequence[Wish], now: float) -> list[Given]:
    """Those that start now."""
    left, pools = cluster.order.protected, {host.pool for host in cluster.hosts}
    pins = pools if cluster.order.pins else set()
    started: list[Given] = []
    given_places: list[Given] = []
    cluster.closed = {}
    for wish in waiting:
        if spots := cluster.spots(wish, now):
            given = Given(wish, spots, now, now + cluster.seconds(wish), now + wish.entry.seconds)
            cluster.put(given)
            cluster.running.append(given)
            started.append(given)
            continue
        pinned = pins.issuperset(wish.entry.partitions)
        if (pinned or left > 0) and (place := cluster.soonest(wish)):
            cluster.put(place)
            given_places.append(place)
            left -= not pinned
            if pinned:
                pins = pins.difference(wish.entry.partitions)
                cluster.closed |= dict.fromkeys((spot.host for spot in place.spots), place.begin)
    for place in given_places:
        cluster.away(place)
    return started


def _hosts() -> Iterator[Host]:
    for group in yaml.safe_load(DEFAULT_TOPOLOGY.read_text(encoding="utf-8")):
        if count := group.get("devices", 0):
            for _ in range(2):  # of each group the sandbox has two
                gib = group.get("shards_per_device", 0)
                yield Host(group["pool"], gib, tuple([] for _ in range(count)))


def main() -> None:
    """Print the table."""
    options = _options()
    logging.disable(logging.WARNING)
    traces = [make_trace(options.jobs, options.load, seed) for seed in options.seeds]
    plain = [_plain(trace) for trace in traces]
    entries = [entry for trace in traces for entry in trace]
    sizes = sorted({size_class(entry) for entry in entries})
    rows = []
    for order in ORDERS:
        found = [waits(trace, order, options.delay) for trace in traces]
        row = [str(order)]
        for size in ("all", *sizes):
            pairs = [
                (before[e.number], now[e.number])
                for trace, before, now in zip(traces, plain, found, strict=True)
                for e in trace
                if size in {"all", size_class(e)}
            ]
            before, now = (statistics.fmean(column) for column in zip(*pairs, strict=True))
            row.append(f"{now / before:.2f}")
        rows.append(row)
    print(*table(("mean wait ÷ plain Slurm's", "all", *sizes), rows), sep="\n")


def _plain(trace: Sequence[Entry]) -> dict[int, float]:
    """The waits under plain Slurm, whose users name all partitions."""
    there = world(trace, {}, named=True)
    starts = run.plain(there, SANDBOX).starts
    by_number = {int(job.submission): job for job in there.jobs}
    return {n: (starts[job.id] or there.scenario.seconds) - job.at for n, job in by_number.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=320, help="jobs of a trace (320)")
    parser.add_argument("--load", type=float, default=1.1, help="work per second ÷ devices (1.1)")
    parser.add_argument("--seeds", type=numbers, default=numbers("1-4"), help="traces (1-4)")
    parser.add_argument("--delay", type=float, default=1.0, help="seconds to see and to start (1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
