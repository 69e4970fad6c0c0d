"""Keeps the plan within the site's limits: who is at one alone, and what the others claim of them.

In a DOWN partition Slurm names no limit, so a task that is at one must not be released: its pin
would hold devices that others could use. Plain Slurm passes over such a job and goes on.

Where a limit depends on the pool (its QOS) or on the device type (gres/gpu:TYPE), a task loses the
pools and types where nothing is left for it. In those that remain it counts in full, although it
will be in one of them only: the next cycle knows where it went.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.limits.claims import OF_JOB, Bearing, Register, Whose, amount, lasts, what
from slurm_het.core.model import Job, Slot, Snapshot, Task
from slurm_het.core.reasons import AtLimit, Reason
from slurm_het.core.site_limits import Budget, Claim

Option = tuple[str, str]
"""A pool, and a type of devices there; '' if its devices are not known."""
Options = dict[Option, tuple[Claim, ...]]
"""Where a task may go, and what it claims there."""


def within_limits(
    snapshot: Snapshot,
    tasks: tuple[Task, ...],
    pins: Iterable[Pin],
    room: Inventory,
    could_start: Callable[[Task], bool],
) -> tuple[tuple[Task, ...], dict[str, Reason]]:
    """The tasks (in Slurm's priority order) with what they claim of the limits, and why those that
    are missing wait. What `pins` are released and not running yet takes counts as used."""
    if not snapshot.limits:
        return tasks, {}
    ledger = _Ledger(snapshot, pins, room)
    spoken: Counter[Budget] = Counter()
    allowed: list[Task] = []
    held: dict[str, Reason] = {}
    for task in tasks:
        options, why = ledger.options(task)
        if why and not options:
            held[task.key] = why
            continue
        differ = len(set(options.values())) > 1
        if differ:
            options = _not_spoken_for(options, spoken)
        task = _narrowed(task, options, ledger.types)
        allowed.append(task)
        if differ and could_start(task):
            spoken.update({claim.budget: claim.amount for claim in task.claims})
    return tuple(allowed), held


def at_limit(claim: Claim, taken: int = 0) -> AtLimit | None:
    """Why a task that makes the claim cannot start beside those that have taken so much of it."""
    budget = claim.budget
    if claim.amount <= budget.left - taken:
        return None
    used = budget.used + taken
    return AtLimit(budget.reason, budget.of, budget.what, budget.most, used, claim.amount)


def _not_spoken_for(options: Options, spoken: Counter[Budget]) -> Options:
    """The options that those before it may have left; all if there is none."""
    free = {
        option: claims
        for option, claims in options.items()
        if not any(at_limit(claim, spoken[claim.budget]) for claim in claims)
    }
    return free or options


def _narrowed(
    task: Task,
    options: Options,
    types: Callable[[Task, str], Iterable[str]],
) -> Task:
    """The task with these options alone, and what it claims in any of them."""
    claims: dict[Budget, int] = {}
    for claim in (claim for option in options.values() for claim in option):
        if claim.budget.lasting:
            claims[claim.budget] = max(claim.amount, claims.get(claim.budget, 0))
    pools = tuple(pool for pool in task.pools if any(pool == p for p, _ in options))
    lost = {t for pool in task.pools for t in types(task, pool)} - {t for _, t in options}
    if not claims and not lost and pools == task.pools:
        return task
    claimed = tuple(Claim(budget, most) for budget, most in claims.items())
    return replace(task, pools=pools, types=task.types - lost, claims=claimed)


class _Kind(NamedTuple):
    """All of a task and its job that its options depend on."""

    account: str
    user: str
    uid: int
    qos: str
    pools: tuple[str, ...]
    types: frozenset[str]
    slots: tuple[Slot, ...]
    share: int
    minutes: int | None
    exclusive: bool
    asks: str


class _Ledger:
    """What is left of the limits, beside what released tasks will take."""

    def __init__(self, snapshot: Snapshot, pins: Iterable[Pin], room: Inventory) -> None:
        self.register = Register(snapshot.limits)
        self.safe = snapshot.limits.safe
        self.room = room
        self.jobs = {job.id: job for job in snapshot.jobs if job.state == "PENDING"}
        self.partition_qos = {p.name: p.qos for p in snapshot.partitions}
        self._bearing: dict[Whose, tuple[Bearing, ...]] = {}
        self._options: dict[_Kind, tuple[Options, AtLimit | None]] = {}
        self._types: dict[str, frozenset[str]] = {}
        self.promised: Counter[Bearing] = Counter()
        released = {job.key: job for job in self.jobs.values()}
        for pin in pins:
            job = released.get(pin.task.key)
            # One that is pinned ahead takes nothing yet: as in plain Slurm, others may go before.
            if job and not pin.start:
                self._promise(pin, job)

    def _promise(self, pin: Pin, job: Job) -> None:
        pool, types = pin.placement.partition, pin.placement.types
        device_type = types[0] if len(types) == 1 else ""
        for bearing in self._bearing_on(job, pool):
            self.promised[bearing] += amount(bearing.limit, pin.task, device_type, safe=self.safe)

    def options(self, task: Task) -> tuple[Options, AtLimit | None]:
        """Where it would be within all limits if it were alone, with its claims there; and why it
        would not be elsewhere."""
        job = self.jobs.get(task.job_id)
        if job is None:
            return dict.fromkeys(self._places(task), ()), None
        kind = _Kind(
            job.account, job.user, job.uid, job.qos, task.pools, task.types, task.slots,
            task.memory_gib if task.takes_share else 0, task.minutes, task.exclusive, task.asks,
        )  # fmt: skip
        if kind not in self._options:
            self._options[kind] = self._find_options(task, job)
        return self._options[kind]

    def _find_options(self, task: Task, job: Job) -> tuple[Options, AtLimit | None]:
        found: Options = {}
        why: AtLimit | None = None
        for pool, device_type in self._places(task):
            claims = self._claims(task, job, pool, device_type)
            blocked = next((at for claim in claims if (at := at_limit(claim))), None)
            why = why or blocked
            if not blocked:
                found[pool, device_type] = claims
        return found, why

    def _places(self, task: Task) -> Iterator[Option]:
        for pool in task.pools:
            for device_type in self.types(task, pool) or ("",):
                yield pool, device_type

    def types(self, task: Task, pool: str) -> tuple[str, ...]:
        """The types of devices that the task may get in a pool."""
        if pool not in self._types:
            self._types[pool] = self.room.types_of(pool)
        return tuple(sorted(task.types & self._types[pool]))

    def _bearing_on(self, job: Job, pool: str) -> tuple[Bearing, ...]:
        whose = Whose.of(job, pool, self.partition_qos.get(pool, ""))
        if whose not in self._bearing:
            self._bearing[whose] = self.register.bearing(whose)
        return self._bearing[whose]

    def _claims(self, task: Task, job: Job, pool: str, device_type: str) -> tuple[Claim, ...]:
        return tuple(
            Claim(self._budget(bearing), count)
            for bearing in self._bearing_on(job, pool)
            if (count := amount(bearing.limit, task, device_type, safe=self.safe))
        )

    def _budget(self, bearing: Bearing) -> Budget:
        reason, of, limit = bearing
        lasting = lasts(limit, safe=self.safe)
        used = 0 if limit.word in OF_JOB else limit.used
        if lasting:
            used += self.promised[bearing] + (limit.running if self.safe else 0)
        return Budget(reason, of, what(limit), limit.most, used, lasting)
