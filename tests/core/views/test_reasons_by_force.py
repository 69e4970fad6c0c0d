"""Why jobs wait, in 300 random queues: each reason is derived again, by brute force from the bare
records, with none of the planner's own steps."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.model import Job, NodeRecord, Placement, Snapshot
from slurm_het.core.planner.proposal import decide
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import AtLimit, GoesToOthers
from slurm_het.core.site_limits import Limit, Qos, SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.views.job_rows import JobRow, make_view
from slurm_het.core.views.starts import NEVER_FREE, with_starts
from slurm_het.core.worth.forecast import Forecast
from tests.support.squeue_cluster import NODES, NOW, POLICY, running, snapshot, waiting

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


class Derived:
    """What must be so for a job to wait for each code, and for the words of its sentence."""

    def __init__(self, scene: Scene, row: JobRow) -> None:
        self.scene, self.ask, self.said = scene, scene.asks[row.id], row.reason

    def held(self) -> None:
        assert self.ask.job.reason == "JobHeldUser"

    def dependency(self) -> None:
        assert self.ask.job.dependency

    def never(self) -> None:
        assert not self.scene.starts(self.ask, empty=True, all_up=True, unreserved=True)

    def reserved(self) -> None:
        """It fits but for a reservation, into which it would run."""
        scene, ask = self.scene, self.ask
        assert not scene.starts(ask)
        assert scene.starts(ask, unreserved=True)
        (upkeep,) = scene.reservations
        assert upkeep.name in self.said
        assert upkeep.nodes[0] in self.said

    def no_node(self) -> None:
        """Jobs that end would not help: nodes that the sentence names would."""
        scene, ask = self.scene, self.ask
        assert not scene.starts(ask, empty=True, unreserved=True)
        assert scene.starts(ask, empty=True, all_up=True, unreserved=True)
        named = re.search(r"; ((?:\w+(?:, )?)+) (?:is|are) IDLE\+DRAIN", self.said)
        assert named
        assert all(not scene.nodes[name].up for name in named[1].split(", "))

    def busy(self) -> None:
        """Jobs that end would help; it names what comes nearest."""
        scene, ask = self.scene, self.ask
        assert not scene.starts(ask, unreserved=True)
        assert scene.starts(ask, empty=True, unreserved=True)
        free = {node.name: node.free() for node in scene.fitting(ask) if node.up}
        best = re.search(r"best is (\w+)(?::\d)? with (\d+)( GiB)?$", self.said)
        if best and not best[3]:
            assert free[best[1]] == int(best[2]) == max(free.values())
        if such := re.search(r"only \d+ such: (.+)$", self.said):
            fits = {name for name, count in free.items() if count >= ask.number}
            assert set(such[1].split(", ")) == fits
            assert len(fits) < ask.nodes

    def host(self) -> None:
        """The devices are there, the CPUs are not."""
        scene, ask = self.scene, self.ask
        assert not scene.starts(ask, unreserved=True)
        able = [node for node in scene.fitting(ask) if node.up]
        assert ask.kind == "shard" or sum(n.free() >= ask.number for n in able) >= ask.nodes
        assert any(node.others + len(node.held) >= CPUS for node in able)

    def kept(self) -> None:
        """It fits, and not without the nodes that are named; whoever has them goes first, cannot
        start yet, nor before the time told, and this job would still run then."""
        scene, ask = self.scene, self.ask
        assert scene.starts(ask, unreserved="upkeep" in self.said)
        assert scene.within(ask)
        pattern = r"((?:\w+(?:, )?)+) (?:is|are) kept for job (\d+) until (\d+)"
        found = re.findall(pattern, self.said)
        assert not scene.starts(ask, but=frozenset(", ".join(n for n, *_ in found).split(", ")))
        for names, key, until in found:
            owner = scene.asks[key]
            assert owner.turn < ask.turn
            assert not scene.starts(owner)
            assert scene.soonest(owner) <= float(until) < NOW + ask.seconds
            assert all(scene.nodes[name].kind == owner.kind for name in names.split(", "))

    def limit(self) -> None:
        """It asks for more than is left beside what is used, and what those before it may take."""
        scene, ask = self.scene, self.ask
        has = r"may have (\d+) [^,;]+(?:, of which (\d+) are taken)?"
        found = re.search(has + r"; it asks for (\d+)$", self.said)
        assert found
        most, taken, asks = (int(number or 0) for number in found.groups())
        assert (most, asks) == (scene.limit.most, ask.gpus)
        assert taken + asks > most
        before = [other for other in scene.asks.values() if other.turn < ask.turn]
        assert 0 <= taken - scene.limit.used <= sum(other.gpus for other in before)

    def no_plan(self) -> None:
        assert self.scene.starts(self.ask)
        assert self.scene.within(self.ask)


CODES = (
    "held", "dependency", "never", "reserved", "limit", "no-node", "busy", "host", "kept",
    "no-plan",
)  # fmt: skip


def test_each_reason_of_random_queues_is_derived_again() -> None:
    found = Counter[str]()
    for seed in range(300):
        scene = Scene(seed)
        view = make_view(scene.snapshot(), POLICY, Limits(), at=lambda at: f"{at:.0f}")
        for row in view.rows:
            if not row.waits:
                continue
            found[row.code] += 1
            try:
                getattr(Derived(scene, row), row.code.replace("-", "_"))()
            except AssertionError as error:
                pytest.fail(f"seed {seed}, job {row.id}, {row.code}: {row.reason}: {error!r}")
    assert min(found[code] for code in CODES) >= 20, found
    assert set(found) == set(CODES)


def test_what_a_plan_gives_to_others_is_not_enough_for_who_waits_for_that() -> None:
    """Each job that can start is placed, or those that are placed leave it too little beside the
    nodes that are kept for others."""
    found = 0
    for seed in range(300):
        scene = Scene(seed)
        prepared = make_view(scene.snapshot(), POLICY, Limits()).prepared
        plan = decide(prepared, Forecast(), greedy)
        fits = {key for key, ask in scene.asks.items() if scene.starts(ask)}
        assert {placement.key for placement in plan.placements} <= fits, seed
        for placement in plan.placements:
            scene.place(placement)
        off = {task.key: task.exc_nodes for task in prepared.window}
        for key, reason in plan.waiting.items():
            ask = scene.asks[key]
            if not isinstance(reason, AtLimit):
                assert not scene.starts(ask, but=off[key]), (seed, key, str(reason))
            if isinstance(reason, GoesToOthers):
                found += 1
                assert key in fits, (seed, key)
                assert all(scene.asks[other].turn < ask.turn for other in reason.jobs), (seed, key)
    assert found >= 20


def test_no_job_is_told_to_start_before_it_could_and_each_is_told_something() -> None:
    """Alone it could start at the time told, or before; none is known where it never could, or
    where those before it may have the nodes for ever."""
    told, never = 0, 0
    for seed in range(300):
        scene = Scene(seed)
        for row in with_starts(make_view(scene.snapshot(), POLICY, Limits())).rows:
            if not row.waits:
                continue
            ask, expected = scene.asks[row.id], row.expected
            assert (expected is None) == bool(row.untold), (seed, row.id)
            if expected:
                told += 1
                assert NOW <= scene.soonest(ask) <= expected.start < float("inf"), (seed, row.id)
                assert scene.starts(ask, expected.start), (seed, row.id)
                assert all(scene.nodes[name].kind == ask.kind for name in expected.nodes)
                assert len(expected.nodes) == ask.nodes
            elif row.untold == NEVER_FREE:
                never += 1
                before = [a for a in scene.asks.values() if a.turn < ask.turn]
                for_ever = any(a.job.time_limit_minutes is None for a in before)
                assert for_ever or scene.soonest(ask) == float("inf"), (seed, row.id)
    assert min(told, never) >= 20
