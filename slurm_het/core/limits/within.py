"""Keeps the plan within the site's limits: who is at one alone, and what the others claim of them.

In a DOWN partition Slurm names no limit, so a task that is at one must not be released: its pin
would hold devices that others could use. Plain Slurm passes over such a job and goes on.

Where a limit depends on the pool (its QOS) or on the device type (gres/gpu:TYPE), a task loses the
pools and types where nothing is left for it. In those that remain it counts in full, although it
will be in one of them only: the next cycle knows where it went.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.lots import spread
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.limits.claims import (
    OF_JOB,
    Bearing,
    Destination,
    Register,
    Whose,
    amount,
    lasts,
    what,
)
from slurm_het.core.limits.licences import Asked, Licences
from slurm_het.core.model import Job, Node, Snapshot, Task
from slurm_het.core.reasons import AtLimit, Reason
from slurm_het.core.reservations.in_vain import seconds_of
from slurm_het.core.site_limits import Budget, Claim, Limit

_COUNTED = frozenset({
    "RUNNING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING",
})  # fmt: skip
"""States of jobs that Slurm counts as running; no longer once they are COMPLETING."""

ENOUGH = 2
"""So many times what a limit leaves may be asked for in a plan."""

Option = tuple[str, str]
"""A pool, and a type of devices there; '' if its devices are not known."""
ANYWHERE: Option = "", ""
"""All pools and types, where the same limits hold in all of them."""
Options = dict[Option, tuple[Claim, ...]]
"""Where a task may go, and what it claims there."""


class Within(NamedTuple):
    """The `tasks` that may be planned; by key, why the others wait, and what these claim.

    `behind`, by key, are those of the tasks that come after enough others for what a limit leaves,
    if these can start.
    """

    tasks: tuple[Task, ...]
    held: dict[str, Reason]
    claims: dict[str, tuple[Claim, ...]]
    behind: dict[str, Reason]

    def claiming(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        """The tasks with what they claim of the limits."""
        return tuple(
            replace(task, claims=claims) if (claims := self.claims.get(task.key)) else task
            for task in tasks
        )

    def in_turn(
        self,
        tasks: Iterable[Task],
        keep_off: Callable[[Task], Task],
        could_start: Callable[[Task], bool],
    ) -> Iterator[Task]:
        """The tasks, each kept off the nodes that others want first, but not many more of those
        that can start all the same than a limit has room for."""
        spoken: Counter[Budget] = Counter()
        for task in tasks:
            claims = self.claims.get(task.key, ())
            if task.key in self.behind and _behind(claims, task, spoken):
                continue
            task = keep_off(task)
            if claims and could_start(task):
                spoken.update(dict(claims))
            yield task

    def held_beside(self, others: Container[str]) -> dict[str, Reason]:
        """Whom a limit holds back, but for those others."""
        return {key: why for key, why in self.behind.items() if key not in others} | self.held


def within_limits(
    snapshot: Snapshot,
    tasks: tuple[Task, ...],
    pins: Iterable[Pin],
    room: Inventory,
    could_start: Callable[[Task], bool],
) -> Within:
    """The tasks (in Slurm's priority order) that no limit holds back, each if it were alone. Of
    those that come after enough others for a limit, only the ones that could start: they may, if
    nodes that are kept hold the others back (`Within.in_turn`).

    What `pins` are released and not running yet takes counts as used.
    """
    within = Within(tasks, {}, {}, {})
    if not snapshot.limits:
        return within
    ledger = _Ledger(snapshot, pins, room)
    spoken: Counter[Budget] = Counter()
    allowed: list[Task] = []
    for task in tasks:
        options, why = ledger.options(task)
        wide = spread(task, room)
        if wide is not task and could_start(task):
            wide = task
        elif wide is not task and options:
            task, wide, options = _spread_within(task, wide, options, ledger)
        if why and not options:
            within.held[task.key] = why
            continue
        if len(options) > 1:
            options = _not_spoken_for(options, task, spoken)
        claims = _claimed(options)
        behind, startable = _behind(claims, task, spoken), claims and could_start(wide)
        if behind and not startable:
            within.held[task.key] = behind
            continue
        if ANYWHERE not in options:
            task = _narrowed(task, options, ledger)
        allowed.append(task)
        within.claims[task.key] = claims
        if behind:
            within.behind[task.key] = behind
        elif startable:
            spoken.update(dict(claims))
    return within._replace(tasks=tuple(allowed))


def _spread_within(
    task: Task, wide: Task, options: Options, ledger: _Ledger
) -> tuple[Task, Task, Options]:
    """The task with the most nodes that the limits let it be spread over, as it would start now,
    and where it may go so: on more nodes it takes more of them."""
    then, _ = ledger.options(wide)
    if then == options:
        return task, wide, options
    wide = wide if then else task
    return replace(task, most_nodes=len(wide.slots)), wide, then or options


def at_limit(claim: Claim, task: Task, taken: int = 0) -> AtLimit | None:
    """Why a task that makes the claim cannot start beside those that have taken so much of it."""
    budget, asks = claim
    left = budget.left_for(asks, task.priority, seconds_of(task)) - taken
    if asks <= left:
        return None
    used = budget.most - left
    return AtLimit(budget.reason, budget.of, budget.what, budget.most, used, asks)


def _lasting(limits: Iterable[AtLimit | None]) -> AtLimit | None:
    """Of what holds a task back in one place: the first that no wait helps against, else the first
    in Slurm's order."""
    found = [limit for limit in limits if limit]
    return next((limit for limit in found if limit.for_ever), found[0] if found else None)


def _behind(claims: Iterable[Claim], task: Task, spoken: Counter[Budget]) -> AtLimit | None:
    """Why a task waits if those before it that could start ask for all that a limit leaves, and as
    much again: some of them may find no place."""
    for claim in claims:
        left = claim.budget.left_for(claim.amount, task.priority, seconds_of(task))
        if spoken[claim.budget] >= ENOUGH * left:
            return at_limit(claim, task, left)
    return None


def _not_spoken_for(options: Options, task: Task, spoken: Counter[Budget]) -> Options:
    """The options that those before it may have left; all if there is none."""
    free = {
        option: claims
        for option, claims in options.items()
        if not any(at_limit(claim, task, spoken[claim.budget]) for claim in claims)
    }
    return free or options


def _in_pool(task: Task, pool: str) -> Task:
    """The task with the time limit that it is given in this pool, if it is less than elsewhere:
    where its user left it open it may be that pool's own MaxWall."""
    given = dict(task.time_limits).get(pool)
    if given is None or (task.minutes is not None and task.minutes <= given):
        return task
    return replace(task, minutes=given)


def _narrowed(task: Task, options: Options, ledger: _Ledger) -> Task:
    """The task with these options alone."""
    pools = tuple(pool for pool in task.pools if any(pool == p for p, _ in options))
    lost = {t for _, t in ledger.places(task)} - {t for _, t in options}
    return replace(task, pools=pools, types=task.types - lost)


def _claimed(options: Options) -> tuple[Claim, ...]:
    """What a task with these options claims in any of them."""
    most: dict[Budget, int] = {}
    for claims in options.values():
        for budget, asks in claims:
            if budget.lasting:
                most[budget] = max(asks, most.get(budget, 0))
    return tuple(map(Claim._make, most.items()))


def _not_counted(
    waiting: Iterable[tuple[Pin, Job]], snapshot: Snapshot, register: Register
) -> Iterator[tuple[Pin, Job]]:
    """The pins whose jobs Slurm does not count as running yet.

    The jobs were read first: since then so many of a user's pinned ones have started as he has more
    running jobs by the limits' use. Which is not said, so the small ones are taken for started.
    """
    started = register.running.copy()
    started.subtract((job.account, job.user) for job in snapshot.jobs if job.state in _COUNTED)
    small = sorted(waiting, key=lambda pair: sum(slot.devices for slot in pair[0].task.slots))
    for pin, job in small:
        if not pin.start and started[job.account, job.user] > 0:
            started[job.account, job.user] -= 1
        else:
            yield pin, job


class _Account(NamedTuple):
    """The budgets that bear on some jobs in some pools, in Slurm's order, and their limits.

    `by_type`: one of them is about a type of devices. `licences` are what such a job asks of them.
    """

    entries: tuple[tuple[Budget, Limit], ...]
    by_type: bool
    licences: tuple[Claim, ...]


class _Ledger:
    """What is left of the limits, beside what released tasks will take."""

    def __init__(self, snapshot: Snapshot, pins: Iterable[Pin], room: Inventory) -> None:
        self.register = Register(snapshot.limits)
        self.licences = Licences(snapshot)
        self.safe = snapshot.limits.safe
        self.room, self.now = room, snapshot.time
        self.jobs = {job.id: job for job in snapshot.jobs if job.state == "PENDING"}
        self.partition_qos = {p.name: p.qos for p in snapshot.partitions}
        self.promised: Counter[Bearing] = Counter()
        self.ahead: dict[Bearing, list[tuple[int, int, float]]] = {}
        self._types: dict[str, frozenset[str]] = {}
        self._known_shapes: dict[tuple[str, ...], tuple[Node, ...]] = {}
        self._budgets: dict[Bearing, Budget] = {}
        self._accounts: dict[tuple[object, ...], _Account] = {}
        self._by_pool: dict[tuple[object, ...], _Account] = {}
        released = {job.key: job for job in self.jobs.values()}
        waiting = [(pin, job) for pin in pins if (job := released.get(pin.task.key))]
        for pin, job in _not_counted(waiting, snapshot, self.register) if waiting else ():
            self._promise(pin, job)

    def _promise(self, pin: Pin, job: Job) -> None:
        pool, types = pin.placement.partition, pin.placement.types
        place = Destination(types[0] if len(types) == 1 else "", self._shapes((pool,)))
        takes = dict(self.licences.asked(job, pin.task))
        for bearing in self._bearing_on(job, pool):
            takes[bearing] = amount(bearing.limit, pin.task, place, safe=self.safe)
        for bearing, count in takes.items():
            if pin.start:
                until = pin.start - self.now
                self.ahead.setdefault(bearing, []).append((count, pin.task.priority, until))
            else:
                self.promised[bearing] += count

    def options(self, task: Task) -> tuple[Options, AtLimit | None]:
        """Where it would be within all limits if it were alone, with its claims there; and why it
        would not be elsewhere."""
        job = self.jobs.get(task.job_id)
        if job is None:
            return {ANYWHERE: ()}, None
        licences = self.licences.asked(job, task)
        accounts = {pool: self._account(job, licences, pool) for pool in task.pools}
        first = accounts[task.pools[0]]
        places: Iterable[Option] = (ANYWHERE,)
        if first.by_type or any(account is not first for account in accounts.values()):
            places = self.places(task)
        found: Options = {}
        why: AtLimit | None = None
        for pool, device_type in places:
            shapes = self._shapes((pool,) if pool else task.pools)
            there = _in_pool(task, pool)
            account = accounts.get(pool, first)
            claims = self._claims(there, account, Destination(device_type, shapes))
            blocked = _lasting(at_limit(claim, there) for claim in claims)
            if why is None or (blocked and why.for_ever and not blocked.for_ever):
                why = blocked or why  # the first of these where waiting helps
            if not blocked:
                found[pool, device_type] = claims
        return found, why

    def places(self, task: Task) -> Iterator[Option]:
        """The pools where the task may go, with the types of devices that it may get there."""
        for pool in task.pools:
            if pool not in self._types:
                self._types[pool] = self.room.types_of(pool)
            for device_type in sorted(task.types & self._types[pool]) or ("",):
                yield pool, device_type

    def _account(self, job: Job, asked: Asked, pool: str) -> _Account:
        key = job.account, job.user, job.uid, job.qos, asked, pool
        if key not in self._by_pool:
            bearings = self._bearing_on(job, pool)
            licences = tuple(Claim(self._budget(of), count) for of, count in asked)
            same = bearings, licences
            if same not in self._accounts:  # the same object wherever the same limits hold
                entries = tuple((self._budget(bearing), bearing.limit) for bearing in bearings)
                by_type = any(":" in limit.tres for _, limit in entries)
                self._accounts[same] = _Account(entries, by_type, licences)
            self._by_pool[key] = self._accounts[same]
        return self._by_pool[key]

    def _bearing_on(self, job: Job, pool: str) -> tuple[Bearing, ...]:
        return self.register.bearing(Whose.of(job, pool, self.partition_qos.get(pool, "")))

    def _shapes(self, pools: tuple[str, ...]) -> tuple[Node, ...]:
        """A node of each shape in these pools, as it is when it is idle."""
        if pools not in self._known_shapes:
            shapes: dict[tuple[object, ...], Node] = {}
            for node in self.room.nodes.values():
                if not set(pools).isdisjoint(node.partitions):
                    key = node.cpus, node.memory_mib, node.threads_per_core, node.exclusive_in
                    shapes.setdefault(key, node)
            self._known_shapes[pools] = tuple(
                replace(node, idle=True, held_exclusively=False, forgets_sharers=False)
                for node in shapes.values()
            )
        return self._known_shapes[pools]

    def _claims(self, task: Task, account: _Account, place: Destination) -> tuple[Claim, ...]:
        claims = [
            Claim(budget, count)
            for budget, limit in account.entries
            if (count := amount(limit, task, place, safe=self.safe))
        ]
        return (*claims, *account.licences)

    def _budget(self, bearing: Bearing) -> Budget:
        if bearing not in self._budgets:
            reason, of, limit = bearing
            # Whoever takes a licence, it is gone for those inside and outside of reservations.
            taken = self.licences.of_all(limit.tres) if limit.word == "Licenses" else bearing
            lasting = lasts(limit, safe=self.safe)
            used = 0 if limit.word in OF_JOB else limit.used
            if lasting:
                used += self.promised[taken] + (limit.running if self.safe else 0)
            ahead = tuple(self.ahead.get(taken, ())) if lasting else ()
            self._budgets[bearing] = Budget(
                reason, of, what(limit), limit.most, used, ahead, lasting
            )
        return self._budgets[bearing]
