"""Random clusters and queues, with what is true of them by the bare records: none of the planner's
own steps is in it."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from slurm_het.core.model import Job, NodeRecord, Placement, Snapshot
from slurm_het.core.site_limits import Limit, Qos, SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from tests.support.squeue_cluster import NODES, NOW, running, snapshot, waiting

CPUS, GIB = 64, 48
POOL = {"a100": "train-nv", "mi300x": "train-amd", "shard": "infer-nv"}


@dataclass
class Held:
    """What a running job has of one device until its end (None: for ever): GiB, or all of it."""

    index: int
    gib: int | None
    end: int | None


@dataclass
class Truth:
    """A node as it is: what holds its devices, and how many CPUs are taken by others."""

    name: str
    kind: str
    devices: int
    up: bool
    others: int
    held: list[Held] = field(default_factory=list)

    def can_hold(self, number: int, gib: int, at: float, *, empty: bool = False) -> bool:
        """Whether so many devices, or so many GiB of one, and a CPU are free at a time."""
        held = [] if empty else [h for h in self.held if h.end is None or h.end > at]
        if len(held) + (0 if empty else self.others) >= CPUS:
            return False
        if self.kind != "shard":
            return self.devices - len({h.index for h in held}) >= number
        used = Counter[int]()
        for one in held:
            used[one.index] += one.gib or GIB
        return any(GIB - used[index] >= gib for index in range(self.devices))

    def free(self) -> int:
        """How many devices nobody holds now."""
        return self.devices - len({h.index for h in self.held})


@dataclass(frozen=True)
class Ask:
    """What a waiting job asks for: devices on each of so many nodes, or GiB of one device."""

    job: Job
    kind: str
    number: int
    nodes: int
    gib: int

    @property
    def turn(self) -> tuple[int, int]:
        """When Slurm comes to it."""
        return -self.job.priority, self.job.id

    @property
    def gpus(self) -> int:
        """What it takes of a limit of gres/gpu."""
        return 0 if self.kind == "shard" else self.number * self.nodes

    @property
    def seconds(self) -> float:
        """For how long it runs at most."""
        minutes = self.job.time_limit_minutes
        return float("inf") if minutes is None else 60.0 * minutes


class Scene:
    """A random cluster, and who waits for it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.nodes = {record.name: self._node(record) for record in NODES}
        self.running = tuple(self._running())
        self.asks = {f"{n}": self._ask(n) for n in range(500, 500 + self.rng.randint(1, 9))}
        begin, name = NOW + self.rng.choice([-60, 1200]), self.rng.choice(NODES).name
        upkeep = ReservationRecord("upkeep", begin, NOW + 7200, (name,))
        self.reservations: tuple[ReservationRecord, ...] = (
            (upkeep,) if self.rng.random() < 0.4 else ()
        )
        most = self.rng.randint(2, 24)
        self.limit = Limit("MaxTRESPU", "gres/gpu", most, self.rng.randint(0, most // 2))
        self.limited = self.rng.random() < 0.4

    def _node(self, record: NodeRecord) -> Truth:
        rng, kind = self.rng, record.gres.split(":")[1]
        kind = "shard" if kind == "l40s" else kind
        up, full = rng.random() < 0.85, rng.random() < 0.1
        return Truth(record.name, kind, 4 if kind == "shard" else 8, up, CPUS if full else 0)

    def _running(self) -> Iterator[Job]:
        rng, number = self.rng, itertools.count(1)
        endless = rng.choice([0.0, 0.0, 0.3])
        for node in self.nodes.values():
            for index in rng.sample(range(node.devices), rng.randint(0, node.devices)):
                end = None if rng.random() < endless else NOW + 60 * rng.randint(1, 600)
                gib = rng.randint(1, GIB) if node.kind == "shard" else None
                node.held.append(Held(index, gib, end))
                what = f"shard:{gib}" if gib else f"gpu:{node.kind}:1"
                yield running(
                    next(number), node.name, f"{what}(IDX:{index})", partition=POOL[node.kind],
                    end_time=end or 0, time_limit_minutes=None if end is None else 700, cpus=1,
                )  # fmt: skip
            node.others = max(0, node.others - len(node.held))

    def _ask(self, number: int) -> Ask:
        rng = self.rng
        kind = rng.choice(["a100", "a100", "a100", "mi300x", "shard"])
        nodes = 1 if kind == "shard" else rng.choice([1, 1, 1, 1, 2, 2, 3])
        devices, gib = rng.choice([1, 1, 2, 2, 4, 4, 8, 8, 8, 9]), rng.randint(1, GIB + 4)
        job = waiting(
            number, f"shard:{gib}" if kind == "shard" else f"gpu:{kind}:{devices}",
            priority=rng.randint(1, 5), nodes_min=nodes, nodes_max=nodes, tasks=nodes, cpus=nodes,
            time_limit_minutes=rng.choice([None, 5, 60, 600]), submit_time=NOW - 60, uid=1000,
            qos="normal",
        )  # fmt: skip
        if rng.random() < 0.1:
            job = replace(job, reason="JobHeldUser", priority=0)
        elif rng.random() < 0.1:
            job = replace(job, dependency="afterok:1(unfulfilled)", reason="Dependency")
        return Ask(job, kind, devices, nodes, gib)

    def snapshot(self) -> Snapshot:
        """As Slurm tells it."""
        records = tuple(
            replace(
                record, state="MIXED" if (node := self.nodes[record.name]).up else "IDLE+DRAIN",
                cpus_alloc=node.others + len(node.held),
            )
            for record in NODES
        )  # fmt: skip
        taken = snapshot(*self.running, *(a.job for a in self.asks.values()), nodes=records)
        qos = Qos("normal", users={1000: (self.limit,)})
        limits = SiteLimits(qos=(qos,)) if self.limited else SiteLimits()
        return replace(taken, reservations=self.reservations, limits=limits)

    def place(self, placement: Placement) -> None:
        """Have a job start there."""
        ask = self.asks[placement.key]
        for name, indexes in zip(placement.nodes, placement.devices, strict=True):
            gib = ask.gib if ask.kind == "shard" else None
            self.nodes[name].held += [Held(index, gib, None) for index in indexes]

    def fitting(self, ask: Ask) -> list[Truth]:
        """The nodes of its pool."""
        return [node for node in self.nodes.values() if node.kind == ask.kind]

    def starts(
        self, ask: Ask, at: float = NOW, but: frozenset[str] = frozenset(), **how: bool
    ) -> bool:
        """Whether it could start at a time beside those that run now, without some nodes.

        `empty`: if nothing ran; `all_up`: if no node were drained; `unreserved`: if Slurm had no
        reservation.
        """
        empty, all_up = how.get("empty", False), how.get("all_up", False)
        kept = () if how.get("unreserved", False) else self.reservations
        closed = {n for r in kept if r.start < at + ask.seconds and at < r.end for n in r.nodes}
        able = [
            node
            for node in self.fitting(ask)
            if (node.up or all_up)
            and node.name not in closed | but
            and node.can_hold(ask.number, ask.gib, at, empty=empty)
        ]
        return len(able) >= ask.nodes

    def within(self, ask: Ask) -> bool:
        """Whether its user may have that beside what he uses."""
        return not self.limited or self.limit.used + ask.gpus <= self.limit.most or not ask.gpus

    def soonest(self, ask: Ask) -> float:
        """When it could start at the earliest, if nobody else waited."""
        ends: set[float] = {h.end for node in self.fitting(ask) for h in node.held if h.end}
        ends |= {r.end for r in self.reservations}
        return next((at for at in (NOW, *sorted(ends)) if self.starts(ask, at)), float("inf"))
