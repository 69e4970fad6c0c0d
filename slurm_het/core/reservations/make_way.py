"""Who starts by preempting others, where, and whom that costs what they have done so far.

Slurm preempts for a waiting job by itself, the jobs on the nodes that it is pinned to. So the plan
chooses the nodes: those where the least is thrown away.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from slurm_het.core.cluster.fit import (
    could_start,
    fitting_states,
    grid_for,
    groups_of,
    has_host_room,
    has_room,
    need,
    serving,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import take
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.cluster.preemptable import Rules, slurms_choice
from slurm_het.core.model import Job, Node, Slot, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import Reason
from slurm_het.core.reservations.above import Above
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.in_vain import LEAST, seconds_of
from slurm_het.core.reservations.reservation import Reservation, placement_on
from slurm_het.core.reservations.victims import (
    Cost,
    Eviction,
    Victim,
    cost_of,
    least_cost,
    victims_of,
    without,
)
from slurm_het.core.site_limits import Budget

MOST = 64
"""So many tasks are given others' room in one cycle at most."""
SOUGHT_MOST = 128
"""For so many tasks it is looked in one cycle where they cost others least, those that can start
among them: they take their room before one that preempts looks for its own."""
NODES_MOST = 3000
"""And so many times it is looked whom Slurm would choose on a node. Each costs 0.3 ms."""


@dataclass(frozen=True, slots=True)
class Way:
    """What preemption changes for a plan.

    - `evictions`: the tasks that are released to nodes where others make room for them;
    - `waits`: why these wait, and those that will have room when others have been preempted;
    - `move`: keys of pins to take back, as they could start sooner;
    - `tasks`: the others, in order; `room`: what is free for them.
    """

    tasks: tuple[Task, ...]
    room: Inventory
    evictions: tuple[Eviction, ...] = ()
    waits: Mapping[str, Reason] = field(default_factory=dict)
    move: tuple[str, ...] = ()


def make_way(
    snapshot: Snapshot,
    room: Inventory,
    tasks: tuple[Task, ...],
    pins: Sequence[Pin],
    policy: Policy,
) -> Way:
    """Decide which of the tasks that have no room start by preempting others.

    `tasks` are in Slurm's priority order, `room` is what is free beside `pins`. A task that has
    room preempts nobody.
    """
    if not snapshot.preemption.by:
        return Way(tasks, room)
    seekers = (*tasks, *(pin.task for pin in pins))
    victims = tuple(victims_of(snapshot, seekers, policy))
    going = _Going(snapshot, room, victims, pins, policy)
    if not going.victims:
        return Way(tasks, room)
    evictions: list[Eviction] = []
    rest: list[Task] = []
    waits: dict[str, Reason] = {}
    for task, now in zip(tasks, going.closings.keep_off(tasks, room), strict=True):
        if len(evictions) == MOST or going.sought_enough:
            rest.append(task)
        elif could_start(now, room):
            going.before.append(now)
            rest.append(task)
        elif made := going.seat(now):
            evictions += [replace(made, task=going.limited(task, made))] if made.victims else []
            waits[task.key] = made.reason
        else:
            rest.append(task)
    new = [Pin(made.task, made.placement, 0.0) for made in evictions]
    left = room_beside(room, new) if new else room
    return Way(tuple(rest), left, tuple(evictions), waits, going.to_move(pins))


def why_pinned(
    snapshot: Snapshot, inventory: Inventory, pins: Iterable[Pin], policy: Policy
) -> dict[str, Reason]:
    """Why the pins wait whose nodes others have yet to make room on, by key."""
    if not snapshot.preemption.by:
        return {}
    pins = tuple(pins)
    seekers = (pin.task for pin in pins)
    victims = tuple(victims_of(snapshot, seekers, policy))
    going = _Going(snapshot, inventory, victims, (), policy)
    found = ((pin.task.key, going.on_its_nodes(pin)) for pin in pins)
    return {key: made.reason for key, made in found if made and made.victims}


class _Offer(NamedTuple):
    """A node as it is once `victims` have left it, and the slot fits."""

    node: Node
    victims: tuple[Victim, ...]


@dataclass
class _Found:
    """The nodes found so far for one task, and whom that preempts."""

    pool: str
    offers: list[_Offer] = field(default_factory=list)
    victims: dict[str, Victim] = field(default_factory=dict)


class _Going:
    """Who is preempted in this cycle, and the nodes as they are once those are gone."""

    def __init__(
        self,
        snapshot: Snapshot,
        room: Inventory,
        victims: tuple[Victim, ...],
        pins: Sequence[Pin],
        policy: Policy,
    ) -> None:
        self.rules, self.room = Rules.of(snapshot), room
        self.jobs = {job.id: job for job in snapshot.jobs}
        self.victims = victims
        self.nodes = dict(room.nodes)
        self.closings = Closings.of(snapshot, room)
        self.above = Above(snapshot, room, pins, policy, self.closings.opens)
        self.before: list[Task] = []
        self.in_vain: dict[object, float] = {}  # by what they ask: for so long, or longer
        self.spent: Counter[Budget] = Counter()
        self.gone: set[str] = set()
        self._by_node: dict[str, list[Victim]] = {}
        for victim in victims:
            for name in victim.gives:
                self._by_node.setdefault(name, []).append(victim)
        self.sought = self.nodes_tried = 0
        self._bounds: dict[object, dict[str, Cost | None]] = {}
        self._may: dict[object, frozenset[str]] = {}
        self._none: dict[tuple[str, str], int] = {}
        self._there: dict[str, Job] = {}  # of those for whom nodes are kept, in their pools
        self._by_key = {victim.key: victim for victim in victims}
        leaving = {key for pin in pins for key in pin.preempts}
        self._leave([victim for victim in victims if victim.key in leaving])

    @property
    def sought_enough(self) -> bool:
        """Whether as much was sought as one cycle has time for."""
        enough = self.sought >= SOUGHT_MOST or self.nodes_tried >= NODES_MOST
        return enough or len(self.in_vain) >= LEAST

    def kind(self, task: Task) -> object:
        """The same for tasks that may preempt the same jobs."""
        job = self.jobs.get(task.job_id)
        return job and (job.qos, job.priority if self.rules.by_priority else 0)

    def has_victims(self, task: Task) -> bool:
        """Whether there is anybody that the task may preempt now."""
        return any(self.may_preempt(task, pool) for pool in task.pools)

    def within_limits(self, task: Task) -> bool:
        """Whether the site's limits let a task start beside those that have been seated."""
        return all(
            asks <= budget.left_for(asks, task.priority, seconds_of(task)) - self.spent[budget]
            for budget, asks in task.claims
        )

    def may_preempt(self, task: Task, pool: str) -> frozenset[str]:
        """The keys of those that the task may preempt from a pool."""
        job, key = self.jobs.get(task.job_id), (pool, self.kind(task))
        if job is None or job.priority <= self._none.get((pool, job.qos), -1):
            return frozenset()
        if key not in self._may:
            self._may[key] = frozenset(
                victim.key
                for victim in self.victims
                if all(self.rules.may_preempt(job, pool, each) for each in victim.jobs)
            )
            if not self._may[key]:  # nor may those of lower priority
                self._none[pool, job.qos] = job.priority
        return self._may[key]

    def cheapest(self, task: Task) -> Eviction | None:
        """Where the task costs others least; None if even preemption makes no room for it."""
        self.sought += 1
        nodes = [self.nodes[name] for name in self._candidates(self._kept_off(task))]
        found: list[_Found] = []
        for pool in task.pools:
            inside = [n for n, node in enumerate(nodes) if pool in node.partitions]
            for group in groups_of(replace(task, pools=(pool,)), nodes, inside):
                one = self._find(task, pool, [nodes[n].name for n in sorted(group)])
                found += [one] if one else []
        if not found:
            return None
        best = min(found, key=lambda one: cost_of(one.victims.values()))
        victims = best.victims.values()
        there = placement_on(
            replace(task, pools=(best.pool,)), [offer.node for offer in best.offers]
        )
        return Eviction(
            task,
            there,
            tuple(job.key for victim in victims for job in victim.jobs),
            max((victim.grace_seconds for victim in victims), default=0),
            sum(victim.lost for victim in victims),
        )

    def _candidates(self, task: Task) -> list[str]:
        grid = grid_for(task, self.room)
        names = (name for s in fitting_states(task, grid) for name in grid.states[s].names)
        return [name for name in names if name not in task.exc_nodes]

    def _kept_off(self, task: Task) -> Task:
        """The task, kept off the nodes of those that go before it."""
        return self.above.keep_off(task, self._before(task))

    def _before(self, task: Task) -> list[Reservation]:
        """The places of others that the task may not preempt there."""
        job, pool = self.jobs[task.job_id], task.pools[0]
        return [r for r in self.above.places() if not self._gives_way(r, job, pool)]

    def _gives_way(self, made: Reservation, job: Job, pool: str) -> bool:
        if made.task.key not in self._there and (other := self.jobs.get(made.task.job_id)):
            self._there[made.task.key] = replace(other, partition=made.placement.partition)
        there = self._there.get(made.task.key)
        return there is not None and self.rules.outranks(job, pool, there)

    def limited(self, task: Task, made: Eviction) -> Task:
        """The task with the time limit that it gets there."""
        return self.above.limited(task, made.placement, self._before(task))

    def _find(self, task: Task, pool: str, names: list[str]) -> _Found | None:
        """The cheapest nodes of a group, each as cheap as those before it leave it.

        Only what could be cheapest is looked at closely.
        """
        found, may = _Found(pool), self.may_preempt(task, pool)
        bounds = self._bounds_of(task, pool)
        heap = [(bound, name) for name in names if (bound := bounds(name))]
        heapq.heapify(heap)
        offers: dict[str, _Offer] = {}
        while heap and len(found.offers) < len(task.slots):
            cost, name = heapq.heappop(heap)
            offer = offers.get(name)
            if offer and cost_of(offer.victims) == cost:
                new = {v.key: v for v in offer.victims}
                found.offers.append(offer)
                found.victims |= new
                changed = {n for v in new.values() for n in v.gives if n != name}
                heap = [(Cost() if n in changed else c, n) for c, n in heap if n != name]
                heapq.heapify(heap)
                offers = {n: o for n, o in offers.items() if n not in changed and n != name}
            elif offer := self._offer(task, name, may, found.victims):
                offers[name] = offer
                heapq.heappush(heap, (cost_of(offer.victims), name))
        return found if len(found.offers) == len(task.slots) else None

    def _offer(
        self, task: Task, name: str, may: frozenset[str], leave: Mapping[str, Victim]
    ) -> _Offer | None:
        """The node without those who leave anyway, and without whom Slurm takes besides."""
        self.nodes_tried += 1
        slot, node = task.largest_slot, self.nodes[name]
        there = self._by_node.get(name, ())
        for victim in there:
            node = without(node, victim) if victim.key in leave else node
        taken = slurms_choice(
            node,
            [v for v in there if v.key in may and v.key not in self.gone and v.key not in leave],
            without,
            lambda left: has_room(task, slot, left),
            self.rules.preemption.reorder_count,
        )
        return _Offer(taken[1], taken[0]) if taken else None

    def _bounds_of(self, task: Task, pool: str) -> Callable[[str], Cost | None]:
        """What such tasks cost others at least, by node; None if there is no room in any case."""
        slot, may = task.largest_slot, self.may_preempt(task, pool)
        known = self._bounds.setdefault((task.request, pool, self.kind(task)), {})

        def bound(name: str) -> Cost | None:
            if name not in known:
                known[name] = self._bound(task, slot, name, may)
            return known[name]

        return bound

    def _bound(self, task: Task, slot: Slot, name: str, may: frozenset[str]) -> Cost | None:
        node = self.nodes[name]
        missing = slot.devices - len(serving(task, node))
        if missing <= 0 and has_host_room(task, slot, node):
            return Cost()
        there = [v for v in self._by_node.get(name, ()) if v.key in may and v.key not in self.gone]
        return least_cost(there, name, missing)

    def seat(self, task: Task) -> Eviction | None:
        """Find room for a task that has none; else it waits, and those after it delay it not."""
        if not self.within_limits(task):
            return None
        kind, seconds = (task.request, self.kind(task)), seconds_of(task)
        tried = kind in self.in_vain and seconds >= self.in_vain[kind]
        if not tried and self.has_victims(task):
            if found := self._seat(task):
                return found
            self.in_vain[kind] = 0.0 if self._kept_off(task) is task else seconds
        may = frozenset[str]().union(*(self.may_preempt(task, pool) for pool in task.pools))
        self.above.wait(task, (self._by_key[key] for key in sorted(may)))
        return None

    def _seat(self, task: Task) -> Eviction | None:
        """The room that it finds; those before it that can start have taken theirs first."""
        for first in self.before:
            if self.sought_enough:
                break
            made = self.cheapest(first)
            if made and not made.victims:
                self._give(made)
        self.before.clear()
        found = self.cheapest(task)
        if found:
            self._give(found)
            self.spent.update(dict(task.claims))
        return found

    def _give(self, made: Eviction) -> None:
        self.above.take(Reservation(made.task, made.placement, self.rules.now))
        self._leave(self._by_key[key] for key in made.victims if key in self._by_key)
        where = zip(made.placement.nodes, made.placement.devices, made.task.slots, strict=True)
        for name, indexes, slot in where:
            node = self.nodes[name]
            self._set(name, take(node, made.task, indexes, need(made.task, slot, node)))

    def _leave(self, victims: Iterable[Victim]) -> None:
        for victim in victims:
            self.gone.add(victim.key)
            for name in victim.gives:
                if name in self.nodes:
                    self._set(name, without(self.nodes[name], victim))

    def _set(self, name: str, node: Node) -> None:
        self.nodes[name] = node
        for known in self._bounds.values():
            known.pop(name, None)

    def to_move(self, pins: Iterable[Pin]) -> tuple[str, ...]:
        """The tasks that could start sooner than where they are pinned to."""
        return tuple(pin.task.key for pin in pins if self._sooner(pin))

    def _sooner(self, pin: Pin) -> bool:
        """Whether a task is pinned ahead and may preempt now, or need not wait for a grace time.

        Where it is pinned ahead Slurm would preempt by itself, some time (22.05: 10 to 20 s).
        """
        if pin.patience:
            wait_for = (v.jobs[0] for v in self.victims if v.key in pin.preempts)
            running = any(job.state == "RUNNING" for job in wait_for)
            (task,) = self.closings.keep_off((pin.task,), self.room)
            return running and could_start(task, self.room)
        if not pin.start or not self.has_victims(pin.task):
            return False
        made = self.cheapest(self.closings.keep_off((pin.task,), self.room)[0])
        return made is not None and bool(made.victims)

    def on_its_nodes(self, pin: Pin) -> Eviction | None:
        """Whom a pinned task preempts where it is pinned."""
        others = frozenset(self.nodes).difference(pin.placement.nodes)
        return self.cheapest(pin.task.off(others)) if self.has_victims(pin.task) else None
