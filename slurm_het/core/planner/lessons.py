"""What Slurm's refusals teach: whom else a limit holds back that nobody has modelled.

A pinned job that Slurm does not start for a limit, a licence or a policy says the same of all jobs
that count against it. They wait for a sign of change: a job that counts there starts or ends, or
some time has passed. Then one of them is tried; as long as that goes well twice as many each time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.model import Job, Task
from slurm_het.core.reasons import HeldAlike, Reason
from slurm_het.core.site_limits import UNLIMITED_MINUTES

MOST = 1000
"""So many lessons are kept; of more the oldest are forgotten."""
ENOUGH = 64
"""A lesson is forgotten once so many could be tried at a time."""

_SCOPES: tuple[tuple[str, tuple[str, ...] | None], ...] = (
    (r".*(PerJob|PerNode|MaxWall)", None),  # a limit of one job says nothing of others
    (r"QOSMin", None),  # less is not too little: QOSMinGRES
    (r"QOSUsageThreshold", ("qos", "account", "user")),  # it looks at the association's fair share
    (r"AssocGrpLicense", ("account", "licenses")),
    (r"AssocGrp", ("account",)),
    (r"Assoc", ("account", "user")),
    (r"QOSGrpLicense", ("qos", "licenses")),
    (r"QOSGrp", ("qos",)),
    (r"(QOS)?MaxLicense.*PerUser", ("qos", "user", "licenses")),
    (r"MaxLicense.*PerAccount", ("qos", "account", "licenses")),
    (r"QOS.*(PerUser|PU)|Max.*PerUser", ("qos", "user")),
    (r"QOS.*(PerAccount|PA)|Max.*PerAccount", ("qos", "account")),
    (r"QOS(?!NotAllowed)", ("qos",)),
    (r"Licenses", ("licenses",)),
    (r"InvalidAccount|AccountNotAllowed", ("account",)),
    (r"InvalidQOS|QOSNotAllowed", ("qos",)),
)
"""By reason (the first that matches): what the jobs have in common that it holds back; None: it is
one job's alone.

Source: the names of Slurm's job reasons (job_state_reason.c), which say whose limit it is and of
what. MaxGRESRunMinsPerUser and its like are a QOS's (MaxTRESRunMinsPU).
"""

_COUNTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"Jobs|Submit|Licen|NotAllowed|Invalid|Threshold|Wall", ()),
    (r"GRES", ("devices",)),
    (r"Cpu|CPU", ("cpus",)),
    (r"Node", ("nodes",)),
    (r"Mem", ("memory",)),
    (r"", ("devices", "cpus")),
)
"""By reason: what of a job's size counts. A job that asks for less might still start."""
_LASTING = r"Minutes|Mins|Wall"
"""Where these count, a job's time limit does, too."""


class HeldScope(NamedTuple):
    """Slurm's reason in a partition, and what the jobs have in common that it holds back."""

    reason: str
    partition: str
    common: tuple[str, ...]


class Size(NamedTuple):
    """What a task asks in all; 0 where it does not count. `minutes` is its time limit."""

    devices: int = 0
    cpus: int = 0
    nodes: int = 0
    minutes: int = 0
    memory: int = 0

    def covers(self, other: Size) -> bool:
        """Whether it is as large as the other one, in all that counts there."""
        return all(own >= others for own, others in zip(self, other, strict=True))


@dataclass(frozen=True, slots=True)
class Lesson:
    """Tasks in the scope of that size or a larger one are held back, as job `key` was at `since`
    (ticks), for the `times`-th time in a row.

    `counted` are the jobs that run in the scope. `allowed` tasks may be tried once it has
    `changed`, or after a while: those first that were not tried `in_vain` (keys) since the last one
    that started.
    """

    scope: HeldScope
    size: Size
    key: str
    since: float
    times: int = 1
    counted: frozenset[str] = frozenset()
    allowed: int = 1
    changed: bool = False
    in_vain: frozenset[str] = frozenset()


def scope_of(reason: str, job: Job, partition: str) -> HeldScope | None:
    """Whom the reason holds back beside this job; None if it is this job's alone."""
    fields = _common(reason)
    if fields is None:
        return None
    return HeldScope(reason, partition, _of(job, fields))


@lru_cache(maxsize=256)
def _common(reason: str) -> tuple[str, ...] | None:
    return next((fields for pattern, fields in _SCOPES if re.match(pattern, reason)), None)


@lru_cache(maxsize=256)
def _counted(reason: str) -> tuple[str, ...]:
    fields = next(fields for pattern, fields in _COUNTS if re.search(pattern, reason))
    return (*fields, "minutes") if re.search(_LASTING, reason) else fields


def size_of(reason: str, task: Task) -> Size:
    """What of the task's size counts for the reason."""
    whole = {
        "devices": sum(slot.devices for slot in task.slots),
        "cpus": sum(slot.cpus for slot in task.slots),
        "nodes": len(task.slots),
        "minutes": UNLIMITED_MINUTES if task.minutes is None else task.minutes,
        "memory": sum(slot.memory_mib for slot in task.slots),
    }
    return Size(**{name: whole[name] for name in _counted(reason)})


@dataclass
class Lessons:
    """What is known of limits by their effect. `ticks` are seconds that never go back.

    A lesson is tried again after `first_seconds`, then each time after twice as long, at the most
    `retry_seconds`.
    """

    first_seconds: float
    retry_seconds: float
    known: dict[HeldScope, Lesson] = field(default_factory=dict)

    def learn(self, pin: Pin, job: Job, jobs: Iterable[Job], ticks: float) -> bool:
        """Take note that Slurm does not start a pinned job; returns whether that holds for others.

        `job` is its record with the reason, `jobs` are all jobs.
        """
        scope = scope_of(job.reason, job, pin.placement.partition)
        if scope is None:
            return False
        before = self.known.pop(scope, None)
        times = before.times + 1 if before and not before.changed else 1
        size = size_of(job.reason, pin.task)
        if before:  # of two that differ both ways, the lesser of each: or they took turns in vain
            size = Size(*map(min, size, before.size))
        counted = _Running(jobs).counted(scope)
        in_vain = before.in_vain if before else frozenset()
        if before and pin.since > before.since:  # it was a try
            in_vain |= {job.key}
        lesson = Lesson(scope, size, job.key, ticks, times, counted, in_vain=in_vain)
        self.known[scope] = lesson
        while len(self.known) > MOST:
            del self.known[next(iter(self.known))]
        return True

    def look(self, jobs: Iterable[Job], ticks: float) -> None:
        """See from Slurm's records which lessons may no longer hold.

        A job that ended has left room. One that started tells of room only if it was a try.
        """
        if not self.known:
            return
        running = _Running(jobs)
        for scope, lesson in list(self.known.items()):
            counted = running.counted(scope)
            tried = bool(counted - lesson.counted and self._allowed(lesson, ticks))
            changed = lesson.changed or tried or bool(lesson.counted - counted)
            allowed = lesson.allowed * 2 if tried else 1
            if allowed > ENOUGH:
                del self.known[scope]
            elif counted != lesson.counted:
                in_vain = frozenset() if tried else lesson.in_vain
                self.known[scope] = replace(
                    lesson, counted=counted, allowed=allowed, changed=changed, in_vain=in_vain
                )

    def heed(
        self,
        tasks: tuple[Task, ...],
        records: Iterable[Job],
        pins: Iterable[Pin],
        ticks: float,
        could_start: Callable[[Task], bool],
    ) -> tuple[tuple[Task, ...], dict[str, Reason]]:
        """The tasks that may be planned, without the pools where they are held back, and why the
        others may not. `records` are Slurm's of all jobs."""
        if not self.known:
            return tasks, {}
        jobs = {job.id: job for job in records}
        reasons = {scope.reason for scope in self.known}
        tried = Counter(
            lesson.scope
            for pin in pins
            for lesson in self._holding(pin.task, jobs, (pin.placement.partition,), reasons)
        )
        holding = [(task, tuple(self._holding(task, jobs, task.pools, reasons))) for task in tasks]
        others = self._others_first(holding, tried, ticks, could_start)
        free: list[Task] = []
        held: dict[str, Reason] = {}
        for task, lessons in holding:
            closed = [
                x
                for x in lessons
                if tried[x.scope] >= self._allowed(x, ticks)
                or (task.key in x.in_vain and x.scope in others)
            ]
            shut = {lesson.scope.partition for lesson in closed}
            pools = tuple(pool for pool in task.pools if pool not in shut)
            if not pools:
                held[task.key] = HeldAlike(closed[0].scope.reason, closed[0].key)
                continue
            free.append(replace(task, pools=pools) if shut else task)
            if lessons and could_start(task):
                tried.update(x.scope for x in lessons if x.scope.partition not in shut)
        return tuple(free), held

    def _others_first(
        self,
        holding: Iterable[tuple[Task, Sequence[Lesson]]],
        tried: Mapping[HeldScope, int],
        ticks: float,
        could_start: Callable[[Task], bool],
    ) -> set[HeldScope]:
        """The scopes with a try left, and a task for it that was not tried in vain."""
        left = {
            x.scope
            for x in self.known.values()
            if x.in_vain and tried.get(x.scope, 0) < self._allowed(x, ticks)
        }
        found: set[HeldScope] = set()
        for task, lessons in holding if left else ():
            new = {x.scope for x in lessons if x.scope in left and task.key not in x.in_vain}
            if new - found and could_start(task):
                found |= new
        return found

    def _holding(
        self, task: Task, jobs: Mapping[int, Job], pools: Iterable[str], reasons: Iterable[str]
    ) -> Iterator[Lesson]:
        """The lessons that say that Slurm will not start such a task in these pools."""
        job = jobs.get(task.job_id)
        if job is None:
            return
        for reason in reasons:
            for pool in pools:
                scope = scope_of(reason, job, pool)
                lesson = self.known.get(scope) if scope else None
                if lesson and size_of(reason, task).covers(lesson.size):
                    yield lesson

    def _allowed(self, lesson: Lesson, ticks: float) -> int:
        steps = min(lesson.times - 1, 10)
        pause = min(self.retry_seconds, self.first_seconds * 2.0**steps)
        return lesson.allowed if lesson.changed or ticks >= lesson.since + pause else 0


class _Running:
    """The running jobs by what they have in common, worked out once for all lessons of a look."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = [job for job in jobs if job.holds_nodes]
        self._keys: dict[tuple[str, ...], dict[tuple[str, ...], frozenset[str]]] = {}

    def counted(self, scope: HeldScope) -> frozenset[str]:
        """The keys of those that count where the scope's do, in whatever partition they are."""
        fields = _common(scope.reason)
        if fields is None:
            return frozenset()
        if fields not in self._keys:
            self._keys[fields] = self._by(fields)
        return self._keys[fields].get(scope.common, frozenset())

    def _by(self, fields: tuple[str, ...]) -> dict[tuple[str, ...], frozenset[str]]:
        keys: dict[tuple[str, ...], set[str]] = {}
        for job in self._jobs:
            keys.setdefault(_of(job, fields), set()).add(job.key)
        return {common: frozenset(those) for common, those in keys.items()}


def _of(job: Job, fields: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(getattr(job, name)) for name in fields)
