"""What there is to win in a mix: how busy it is under planners that know all that comes.

    ./dev bench mixes --seeds 101-112 --hindsight 10

They know when each job comes and how long it runs, and try one plan after the other, for so many
CPU seconds each:

- `order kept`: the queue is gone through in Slurm's order, whoever has room starts, nobody is
  protected. What is tried is which nodes each submission is to take first, or never.
- `order free`: the order of the submissions is tried as well. No site wants that, as some never
  get their turn: it says what heeding the queue costs.
- `bound`: no plan has more, whatever it does (bound.py).

The first two are the best of what was tried, so the best there is may be more.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.mixes.bound import groups_of, lasts, limits_on, moments_of, most_busy
from slurm_het.simulation.jobs import JobSpec
from slurm_het.simulation.limits import LimitRule
from slurm_het.simulation.run import devices_of
from slurm_het.simulation.world import Machine, World

MOST_MOVED = 4
"""So many submissions at most are moved between one plan and the next."""


Given = list[tuple[Machine, tuple[int, ...]]]
"""The nodes of a job, with the devices that it has there."""


class Tried(NamedTuple):
    """A plan, by submission: the groups of nodes that it takes, the first with room; and its place
    in the queue (less is sooner)."""

    groups: Mapping[str, Sequence[int]]
    place: Mapping[str, float]


class Found(NamedTuple):
    """Device-seconds in use under the best plans found."""

    order_kept: float
    order_free: float
    bound: float


def found_by(world: World, seconds: float) -> Found:
    """The best that was found in so many CPU seconds each."""
    search = _Search(world)
    return Found(search.climb(seconds), search.climb(seconds, free=True), most_busy(world))


class _Search:
    def __init__(self, world: World) -> None:
        self.world, self.groups = world, groups_of(world)
        self.jobs = sorted(world.jobs, key=lambda job: (job.at, job.id))
        self.limits = {job.id: tuple(limits_on(world, job)) for job in self.jobs}
        self.able = {
            job.submission: [n for n, group in enumerate(self.groups) if group.devices(job)]
            for job in self.jobs
        }
        self.in_order = {job.submission: float(-job.priority) for job in self.jobs}

    def climb(self, seconds: float, *, free: bool = False) -> float:
        """Hill climbing from the queue's own order and the nodes as slurm.conf has them."""
        rng = random.Random(0)
        until = time.process_time() + seconds
        best = Tried(self.able, self.in_order)
        most = _Played(self, best).busy
        movable = [name for name, able in self.able.items() if free or len(able) > 1]
        while movable and time.process_time() < until:
            tried = self._moved(best, movable, rng, free=free)
            if (busy := _Played(self, tried).busy) >= most:
                best, most = tried, busy
        return most

    def _moved(
        self, best: Tried, movable: Sequence[str], rng: random.Random, *, free: bool
    ) -> Tried:
        groups, place = dict(best.groups), dict(best.place)
        low, high = min(place.values()), max(place.values()) + 1
        for name in rng.sample(movable, k=min(len(movable), rng.randint(1, MOST_MOVED))):
            able = self.able[name]
            if free and (len(able) < 2 or rng.random() < 0.5):
                place[name] = rng.uniform(low, high)
            else:
                groups[name] = rng.sample(able, k=rng.randint(1, len(able)))
        return Tried(groups, place)


class _Played:
    """A plan is played to the end; `busy` are the device-seconds in use."""

    def __init__(self, search: _Search, tried: Tried) -> None:
        self.search, self.tried, self.world = search, tried, search.world
        self.nodes: dict[int, list[Machine]] = defaultdict(list)
        number = {name: n for n, group in enumerate(search.groups) for name in group.names}
        for machine in self.world.machines().values():
            self.nodes[number[machine.name]].append(machine)
        self.used: Counter[tuple[LimitRule, str]] = Counter()
        self.ends: list[tuple[float, int, JobSpec, Given]] = []
        self.busy = 0.0
        waiting: list[JobSpec] = []
        coming = list(reversed(search.jobs))
        for now in self._moments():
            while coming and coming[-1].at <= now:
                waiting.append(coming.pop())
            self._end_jobs(now)
            waiting.sort(key=lambda job: (tried.place[job.submission], job.id))
            in_vain: set[str] = set()
            waiting = [job for job in waiting if not self._starts(job, now, in_vain)]

    def _moments(self) -> Iterator[float]:
        """When something happens."""
        known = moments_of(self.world)[::-1]
        while known or self.ends:
            ends = self.ends[0][0] if self.ends else self.world.seconds
            now = min(ends, known[-1] if known else ends)
            if now >= self.world.seconds:
                return
            yield now
            while known and known[-1] <= now:
                known.pop()

    def _end_jobs(self, now: float) -> None:
        while self.ends and self.ends[0][0] <= now:
            _, _, job, given = heapq.heappop(self.ends)
            for machine, devices in given:
                machine.take(job.ask, devices, -1)
            for rule, who, takes in self.search.limits[job.id]:
                self.used[rule, who] -= takes

    def _starts(self, job: JobSpec, now: float, in_vain: set[str]) -> bool:
        """Whether it has room and is let; it starts then. Those alike are sought room once."""
        limits = self.search.limits[job.id]
        if job.submission in in_vain or any(
            self.used[rule, who] + takes > rule.limit.most for rule, who, takes in limits
        ):
            return False
        for n in self.tried.groups[job.submission]:
            group = self.search.groups[n]
            if group.open_until_its_end(job, now) and (given := _given(job, self.nodes[n])):
                break
        else:
            in_vain.add(job.submission)
            return False
        for machine, devices in given:
            machine.take(job.ask, devices)
        self.used.update({(rule, who): takes for rule, who, takes in limits})
        end = now + lasts(job)
        self.busy += devices_of(job, self.world) * (min(end, self.world.seconds) - now)
        heapq.heappush(self.ends, (end, job.id, job, given))
        return True


def _given(job: JobSpec, nodes: Sequence[Machine]) -> Given | None:
    """The fullest nodes with room, and the devices there; None: there are too few."""
    able = [
        (machine, devices) for machine in nodes if (devices := machine.pick(job.ask)) is not None
    ]
    if len(able) < job.nodes:
        return None
    able.sort(key=lambda one: (one[0].empty, one[0].index))
    return able[: job.nodes]
