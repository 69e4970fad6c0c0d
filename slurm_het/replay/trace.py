"""From what accounting has of a past to what the simulation runs: which jobs, when, asking what.

A trap of the records is taken care of in one place here, and counted in the tally by its name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.errors import HetError
from slurm_het.replay.access import PastAccess, access_of
from slurm_het.replay.asked import (
    UNTOLD_TYPE,
    ask_of,
    asked_by_words,
    features_of,
    only_script_tells_type,
)
from slurm_het.replay.lengths import RunLengths
from slurm_het.replay.past import PastJob, Tally
from slurm_het.replay.site import ReplaySite
from slurm_het.simulation.jobs import JobSpec, NodeAsk
from slurm_het.simulation.world import World

DAY = 86_400.0
TAIL = 2 * DAY
"""So much longer is simulated: who really started in time may do so later here."""
MOST_JOBS = 1_000_000
GRACE = 120.0
"""Slurm ends a job so much after its limit."""
FIRST_ID = 2
REFUSED = "jobs that their partitions of today would not start (MaxTime, MaxNodes and the like)"


class Span(NamedTuple):
    """The time looked at, in epoch seconds; waits count from `counted` on."""

    begin: float
    counted: float
    end: float


@dataclass(frozen=True, slots=True)
class Subject:
    """What is told of a job: the simulated one has the same place in World.jobs.

    `counts`: whether its wait is one of those that are compared. `start` and `end` are the real
    ones, None if it never had nodes. `overdue`: it has no end, though its time limit is over.
    """

    key: str
    submit: float
    counts: bool
    since: float
    start: float | None
    end: float | None
    nodes: str
    week: int
    overdue: bool = False


@dataclass(frozen=True)
class Trace:
    """A past that can be replayed."""

    span: Span
    world: World
    subjects: tuple[Subject, ...]


@dataclass
class _TraceMaker:
    site: ReplaySite
    span: Span
    tally: Tally
    lengths: RunLengths
    access: PastAccess
    world: World
    _fits: dict[tuple[object, ...], bool] = field(default_factory=dict)
    _asks: dict[NodeAsk, NodeAsk] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.machines = self.world.machines()

    def made(self, past: PastJob) -> tuple[JobSpec, Subject] | None:
        """The job for the simulation; None if it is left out."""
        if why := self._not_in_span(past):
            self.tally.left_out[why] += past.tasks
            return None
        asked = ask_of(past, self.site, self.tally)
        if isinstance(asked, str):
            self.tally.left_out[asked] += past.tasks
            return None
        ask, nodes = self._asks.setdefault(asked[0], asked[0]), asked[1]
        if not ask.devices and not self._on(past):
            self.tally.left_out["jobs without accelerators, on other nodes"] += past.tasks
            return None
        partitions = self._partitions(past)
        if not partitions:
            self.tally.left_out["jobs of partitions that have no accelerators, or are gone"] += (
                past.tasks
            )
            return None
        features = features_of(past, self.tally)
        if ask.devices and not self._fit(partitions, features, ask, nodes):
            self.tally.left_out["jobs that ask for more than the nodes of today have"] += past.tasks
            return None
        spec = self._spec(past, ask, nodes, partitions, features)
        if not spec.on and not any(self.world.admits(spec, name) for name in partitions):
            self.tally.left_out[REFUSED] += past.tasks
            return None
        spec = replace(spec, priority=self._priority(past))
        self._note(past)
        return spec, self._subject(past, ask)

    def _not_in_span(self, past: PastJob) -> str:
        span = self.span
        if past.end is not None and past.end <= span.begin and past.end > past.submit:
            return "jobs that had ended before"
        if past.since >= span.end:
            return "jobs that came later"
        if not past.ran and (past.eligible is None or past.priority == 0):
            return "jobs that were held, or waited for another one, to the end"
        if past.ran and past.end is not None and past.end < (past.start or 0):
            return "jobs whose end lies before their start"
        return ""

    def _on(self, past: PastJob) -> frozenset[str]:
        """The accelerator nodes that it had."""
        if not past.nodes:
            return frozenset()
        return frozenset(n for n in hostlist.expand_readable(past.nodes) if n in self.machines)

    def _partitions(self, past: PastJob) -> tuple[str, ...]:
        """Those that it asked for: its record names the one where it ran alone."""
        known = self.site.partitions
        named = tuple(p for p in (past.partition or self.site.default).split(",") if p)
        told = asked_by_words(past).partitions if past.ran else ()
        if len(told) > 1 and past.partition in told and all(p in known for p in told):
            self.tally.taken["jobs that named several partitions"] += 1
            named = told
        elif len(named) > 1:
            self.tally.taken["jobs that named several partitions"] += 1
        return tuple(p for p in named if p in known)

    def _fit(self, partitions: tuple[str, ...], features: str, ask: NodeAsk, nodes: int) -> bool:
        key = partitions, features, ask, nodes
        if key not in self._fits:
            allows = parse_features(features).allows
            self._fits[key] = any(
                sum(
                    self.machines[name].could_ever(ask)
                    for name in self.site.partitions[partition]
                    if allows(self.machines[name].host.features)
                )
                >= nodes
                for partition in partitions
            )
        return self._fits[key]

    def _spec(
        self, past: PastJob, ask: NodeAsk, nodes: int, partitions: tuple[str, ...], features: str
    ) -> JobSpec:
        begin = self.span.begin
        limit = past.limit
        if limit is None:
            limit = self.site.minutes(past.partition.partition(",")[0])
            self.tally.taken["jobs with their partition's time limit"] += past.tasks
        begun = past.start is not None and past.start < begin
        # A job without devices is no subject here: it takes its CPUs when and where it did.
        given = begun or not ask.devices
        at = (past.start or 0.0) if given else past.since
        ran = self._seconds(past, limit)
        left = ran - max(0.0, begin - at) if given else ran
        passed = max(0.0, begin - at) / 60 if given else 0.0
        until = math.inf
        if not past.ran and past.end is not None and past.end < self.span.end:
            until = past.end - begin
        minutes = max(1, math.ceil(max(limit - passed, left / 60)))
        text = f"{ask.gres}:{ask.type}" if ask.type else ask.gres
        return JobSpec(
            id=0, submission="", at=max(0.0, at - begin), user=past.user, account=past.account,
            qos=past.qos, partitions=partitions, features=features, nodes=nodes, ask=ask,
            minutes=minutes if given else self._within(past, minutes, ran),
            seconds=max(1.0, left), reservation="",
            gres=f"{text}:{ask.share or ask.devices}" if ask.devices else "", script="",
            until=until, on=self._on(past) if given else frozenset(),
            groups=self.access.groups.get(past.user, frozenset()),
            array=past.key.partition("_")[0] if "_" in past.key else "",
        )  # fmt: skip

    def _within(self, past: PastJob, minutes: int, ran: float) -> int:
        """Its time limit, in minutes. It is MaxTime where the job has run no longer than that: more
        is what Slurm grants at an end, or what an admin or a QOS had lifted for it alone."""
        record = self.site.records.get(past.partition) if past.ran else None
        most = record.max_minutes if record else None
        return most if most and minutes > most and ran <= most * 60 + GRACE else minutes

    def _seconds(self, past: PastJob, limit: int) -> float:
        """How long it has its nodes, once it has them: suspended too."""
        if past.start is None:
            return self.lengths.expected(past, limit * 60.0, 0.0)
        if past.end is None:
            self.tally.taken["jobs that still ran at the end: as long as others like them"] += 1
            passed = max(0.0, self.span.end - past.start)
            return self.lengths.expected(past, limit * 60.0, passed)
        ran = past.end - past.start
        if ran > limit * 60 + past.suspended + GRACE:
            self.tally.taken["jobs that ran longer than their limit"] += 1
        return ran

    def _priority(self, past: PastJob) -> int:
        """By which it stands among those that wait, in thousandths; 0: not recorded.

        The record has what it was when the job started, with what age had added. While jobs wait
        they all age alike, so what counts is what it was without, and since when it waits.
        """
        if not past.priority:
            return 0
        ageing = self.site.ageing
        waited = (past.start or past.since) - past.since
        own = past.priority - ageing.of(waited)
        return round(1000 * (own - ageing.each_second * (past.since - self.span.begin)))

    def _subject(self, past: PastJob, ask: NodeAsk) -> Subject:
        since = min(past.since, past.start) if past.start is not None else past.since
        in_time = past.start is not None and past.start < self.span.end
        counts = in_time and since >= self.span.counted and ask.devices > 0
        if not counts and ask.devices:
            self.tally.taken[_why_uncounted(past, self.span)] += past.tasks
        if counts and ask.type is None and only_script_tells_type(past, self.site):
            self.tally.taken[UNTOLD_TYPE] += 1
        week = int((since - self.span.begin) // (7 * DAY))
        return Subject(
            past.key, past.submit, counts, since, past.start, past.end, past.nodes, max(0, week),
            self._overdue(past),
        )  # fmt: skip

    def _overdue(self, past: PastJob) -> bool:
        if past.state != "RUNNING" or past.start is None or past.end is not None:
            return False
        limit = past.limit or self.site.minutes(past.partition)
        return past.start + limit * 60 + past.suspended + DAY < self.span.end

    def _note(self, past: PastJob) -> None:
        notes = {
            "runs that ended in a requeue": past.state in {"REQUEUED", "REQUEUE"},
            "runs that ended with their node, or by preemption":
                past.state in {"NODE_FAIL", "PREEMPTED"},
            "tasks of arrays, each as a job": "_" in past.key,
            "parts of heterogeneous jobs, each as a job": "+" in past.key,
            "jobs in a reservation, as if there were none": bool(past.reservation),
            "jobs that were suspended: they kept their devices": past.suspended > 0,
        }  # fmt: skip
        for cause, holds in notes.items():
            if holds:
                self.tally.taken[cause] += past.tasks


def _why_uncounted(past: PastJob, span: Span) -> str:
    if past.start is not None and past.start < span.begin:
        return "not in the waits: ran already when it began"
    if past.start is None or past.start >= span.end:
        cancelled = past.end is not None and past.end < span.end
        why = "were cancelled while they waited" if cancelled else "still waited at the end"
        return f"not in the waits: {why}"
    if past.since < span.begin:
        return "not in the waits: waited already when it began"
    return "not in the waits: came on the first day"


def make_trace(
    pasts: Iterable[PastJob],
    site: ReplaySite,
    tally: Tally,
    since: float | None = None,
    until: float | None = None,
    drop: float = DAY,
) -> Trace:
    """All that can be replayed. Raises HetError if nothing can."""
    records = _without_duplicates(pasts, tally)
    span = _span(records, since, until, drop)
    access = access_of(site.records, records)
    empty = World(
        seconds=span.end - span.begin + TAIL, hosts=site.hosts, partitions=site.partitions,
        jobs=(), config=site.config, records=access.partitions,
    )  # fmt: skip
    maker = _TraceMaker(site, span, tally, RunLengths(records), access, empty)
    made: list[tuple[JobSpec, Subject]] = []
    for past in records:
        if one := maker.made(past):
            made += _each(one, past)
        if len(made) > MOST_JOBS:
            raise HetError(f"more than {MOST_JOBS} jobs", "replay a shorter time")
    if not any(subject.counts for _, subject in made):
        raise HetError("no job is left to compare", "; ".join(_causes(tally)) or "is it a month?")
    # Who ran already when it began has his nodes before anybody who waited then.
    made.sort(key=lambda one: (one[0].at, not one[0].on, one[1].since))
    jobs = tuple(_ranked([spec for spec, _ in made]))
    return Trace(span, replace(empty, jobs=jobs), tuple(subject for _, subject in made))


def _without_duplicates(pasts: Iterable[PastJob], tally: Tally) -> list[PastJob]:
    """One record for each run: months that were read one by one both have who ran across."""
    known: dict[tuple[int, float], PastJob] = {}
    for past in pasts:
        key = past.id, past.submit
        before = known.get(key)
        if before:
            tally.left_out["records that are there twice"] += 1
            if (past.ran, past.end or 0.0) <= (before.ran, before.end or 0.0):
                continue
        known[key] = past
    return list(known.values())


def _span(records: list[PastJob], since: float | None, until: float | None, drop: float) -> Span:
    """sacct lists who was there at some time of a span: the first of them to end tells where that
    begins, the last to come where it ends. Starts and ends go on for days after that, in which
    nothing new comes: a cluster that empties would count as one that idles."""
    if not records:
        raise HetError("there is no job in it", "is it the right cluster, and the right month?")
    ends = [past.end for past in records if past.end is not None]
    begin = since if since is not None else min(ends, default=min(p.submit for p in records))
    # Who never ran may be for a day that is far away.
    last = max(past.since if past.ran else past.submit for past in records)
    end = until if until is not None else last + 1
    if end - begin <= drop:
        raise HetError(
            f"there are {(end - begin) / DAY:.1f} days, of which the first {drop / DAY:g} do not"
            " count",
            "replay a longer time: a month; or less is not to count: --drop",
        )
    return Span(begin, begin + drop, end)


def _each(made: tuple[JobSpec, Subject], past: PastJob) -> Iterator[tuple[JobSpec, Subject]]:
    """One for each task."""
    yield from [made] * past.tasks


def _ranked(specs: list[JobSpec]) -> Iterator[JobSpec]:
    """With their ids, and priorities from 1 on; first come, first served where none is recorded."""
    told = [spec.priority for spec in specs if spec.priority]
    least = min(told, default=0)
    by_time = len(told) * 2 < len(specs)
    for n, spec in enumerate(specs):
        own = len(specs) - n if by_time else 1 + max(0, spec.priority - least)
        yield replace(spec, id=FIRST_ID + n, priority=own)


def _causes(tally: Tally) -> list[str]:
    return [f"{jobs} {cause}" for cause, jobs in tally.left_out.most_common(4)]
