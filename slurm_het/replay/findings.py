"""What both sides of a replay came to: pure, from when each job really started and would have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import mean

import msgspec

from slurm_het.core.syntax import hostlist
from slurm_het.replay.caveats import caveats_of
from slurm_het.replay.documents import (
    CauseCount,
    Gain,
    IdleHours,
    LaterJob,
    Match,
    PoolShares,
    Rendition,
    ReplayCost,
    ReplayDocument,
    Sums,
    WaitChange,
    WaitChanges,
    WaitSums,
    Week,
)
from slurm_het.replay.past import Tally
from slurm_het.replay.renditions import renditions
from slurm_het.replay.sides import Effort, SideName, SideResults
from slurm_het.replay.signs import LEAST_PARTS, sign_of
from slurm_het.replay.site import ReplaySite
from slurm_het.replay.trace import DAY, Subject, Trace
from slurm_het.replay.usage import Usage, devices_by_pool, empty_usage, mean_usage
from slurm_het.simulation.jobs import JobSpec
from slurm_het.simulation.world import each_of

MEAN, P95, BUSY = 0.10, 0.15, 0.02
"""So far may plain Slurm's model be from what happened: parts of the mean wait and of its 95th
percentile, points of the busy share."""
SHOWN = 10
MOST_USERS = 200
SIZES = ("a share", "1 device", "2 to 4", "5 to 8", "more than 8")
ANY = "any"
NOT_MODELLED = (
    "limits of QOSs, accounts and users; fair share as it changes: a job keeps the priority that"
    " it had when it started",
    "reservations, licences, preemption, nodes and partitions that were down or drained",
    "of partitions: their own QOS, defaults of memory and CPUs, OverSubscribe, AllocNodes; flags of"
    " a QOS that lift their limits; who may use one by AllowGroups, or by an account above his own,"
    " is who ran there",
    "MaxCPUsPerNode as a sum of several jobs, whole nodes of EXCLUSIVE partitions: hetd keeps to"
    " them, the model of plain Slurm does not",
    "dependencies and begin times: a job comes when it really became eligible",
    "%limits of arrays; the network (--switches); nodes named or excluded by users (-w, -x)",
    "in which order Slurm takes nodes, but for slurm.conf's: Weight, LLN, pack_serial_at_end,"
    " topology; SchedulerParameters that are not named in docs/replay.md",
    "scripts: hetd reads them at submit, accounting does not have them, so jobs are classified by"
    " what they asked for alone",
    "programs that run faster or slower on another type: a job runs as long as it really did",
)


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A job that counts, with the seconds that it waited: really, and in each rendition under the
    model, and with hetd."""

    spec: JobSpec
    subject: Subject
    truth: float
    plain_waits: tuple[float, ...]
    ours_waits: tuple[float, ...]

    @property
    def plain(self) -> float:
        """Under the model, in the mean."""
        return mean(self.plain_waits)

    @property
    def ours(self) -> float:
        """With hetd, in the mean."""
        return mean(self.ours_waits)

    @property
    def devices(self) -> int:
        """All its devices."""
        return self.spec.nodes * self.spec.ask.devices


def findings(
    trace: Trace,
    site: ReplaySite,
    sides: Mapping[SideName, SideResults],
    tally: Tally,
    effort: Effort,
    made: float,
    seconds: float,
) -> ReplayDocument:
    """All there is to tell."""
    span, plain, ours = trace.span, sides["plain"], sides["ours"]
    seen = list(_seen(trace, plain, ours))
    capacity = sum(len(h.types) for h in site.hosts) * (span.end - span.counted)
    real = really_used(trace, site)
    used = mean_usage([one.usage for one in plain])
    truth = _sums(seen, _truth, real, capacity)
    model = _sums(seen, _plain, used, capacity, _unstarted(trace, plain))
    match = _match(truth, model, site.settings.bf_interval)
    gain = _gain(seen, trace, site, sides, real, capacity) if match.holds else None
    return ReplayDocument(
        made=int(made), begin=int(span.begin), counted=int(span.counted), end=int(span.end),
        nodes=len(site.hosts), devices=sum(len(h.types) for h in site.hosts), jobs=len(seen),
        simulated=len(trace.world.jobs), solver=effort.solver, look_every=effort.pace(trace).least,
        match=match, caveats=list(caveats_of(match, gain, tally, trace, site.unheeded)), gain=gain,
        pool_step=real.step,
        left_out=counts_of(tally.left_out), taken=counts_of(tally.taken),
        not_modelled=list(NOT_MODELLED),
        cost=ReplayCost(
            seconds=round(seconds, 1), plain_cpu=round(sum(one.seconds for one in plain), 1),
            ours_cpu=round(sum(one.seconds for one in ours), 1),
            plain_mib=max(one.mib for one in plain), ours_mib=max(one.mib for one in ours),
            cycles=sum(one.cycles for one in ours), asked=sum(one.asked for one in ours),
            unanswered=sum(one.unanswered for one in ours),
        ),
    )  # fmt: skip


def counts_of(causes: Counter[str]) -> list[CauseCount]:
    """The most frequent first."""
    return [CauseCount(cause=cause, jobs=jobs) for cause, jobs in causes.most_common()]


def _seen(trace: Trace, plain: SideResults, ours: SideResults) -> Iterator[SeenJob]:
    sides = zip(waits_by_job(trace, plain), waits_by_job(trace, ours), strict=True)
    jobs = zip(trace.world.jobs, trace.subjects, sides, strict=True)
    for spec, subject, (model, predicted) in jobs:
        if subject.counts and subject.start is not None:
            yield SeenJob(spec, subject, subject.start - subject.since, model, predicted)


def waits_by_job(trace: Trace, side: SideResults) -> list[tuple[float, ...]]:
    """What each job waits in each rendition; one that does not start, to the end."""
    last = trace.world.seconds
    waits: list[list[float]] = []
    for one, result in zip(renditions(trace, len(side)), side, strict=True):
        there = zip(one.world.jobs, result.starts, strict=True)
        waits.append([(last if start is None else start) - spec.at for spec, start in there])
    return list(zip(*waits, strict=True))


def really_used(trace: Trace, site: ReplaySite) -> Usage:
    """From the records, of jobs that are simulated: what is left out is in no figure."""
    span = trace.span
    usage = empty_usage(site, span.counted, span.end)
    for spec, subject in zip(trace.world.jobs, trace.subjects, strict=True):
        if subject.start is not None:
            nodes = hostlist.expand_readable(subject.nodes)
            end = span.end if subject.end is None else subject.end
            usage.add(nodes, each_of(spec.ask, site.hosts), subject.start, end)
    return usage


def waits_of(values: Iterable[float]) -> WaitSums:
    """Mean, median and 95th percentile; zeros of none."""
    ordered = sorted(max(0.0, value) for value in values)
    if not ordered:
        return WaitSums(mean=0.0, median=0.0, p95=0.0)
    middle = ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]
    last = ordered[min(len(ordered) - 1, math.ceil(0.95 * len(ordered)) - 1)]
    mean = sum(ordered) / len(ordered)
    return WaitSums(mean=round(mean, 1), median=round(middle / 2, 1), p95=round(last, 1))


Waits = Callable[[SeenJob], Iterable[float]]


def _all(seen: Iterable[SeenJob], of: Waits) -> WaitSums:
    return waits_of(chain.from_iterable(map(of, seen)))


def _sums(seen: Sequence[SeenJob], of: Waits, used: Usage, all_: float, unstarted: int = 0) -> Sums:
    return Sums(waits=_all(seen, of), busy=round(used.total / all_, 4), unstarted=unstarted)


def _unstarted(trace: Trace, side: SideResults) -> int:
    """How many of the jobs that count had not started in some rendition."""
    each = zip(*(one.starts for one in side), strict=True)
    there = zip(trace.subjects, each, strict=True)
    return sum(subject.counts and None in starts for subject, starts in there)


def _match(truth: Sums, model: Sums, floor: float) -> Match:
    broken = []
    for name, there, here, bound in (
        ("the mean wait", truth.waits.mean, model.waits.mean, MEAN),
        ("the 95th percentile of the waits", truth.waits.p95, model.waits.p95, P95),
    ):
        if abs(here - there) > max(floor, bound * there):
            broken.append(f"{name} is {here:.0f} s, really {there:.0f} s: not within {bound:.0%}")
    if abs(model.busy - truth.busy) > BUSY:
        broken.append(
            f"{model.busy:.1%} of the devices are busy, really {truth.busy:.1%}: not within"
            f" {BUSY * 100:g} points"
        )
    return Match(
        truth=truth, plain=model, mean_bound=MEAN, p95_bound=P95, busy_bound=BUSY,
        floor_seconds=floor, holds=not broken, broken=broken,
    )  # fmt: skip


def _gain(
    seen: Sequence[SeenJob],
    trace: Trace,
    site: ReplaySite,
    sides: Mapping[SideName, SideResults],
    real: Usage,
    capacity: float,
) -> Gain:
    plain, ours = sides["plain"], sides["ours"]
    used = [mean_usage([one.usage for one in side]) for side in (plain, ours)]
    changes = changes_of(seen, trace, site.settings.bf_interval)
    return Gain(
        **msgspec.structs.asdict(changes),
        ours=_sums(seen, _ours, used[1], capacity, _unstarted(trace, ours)),
        renditions=list(_in_each(seen)),
        idle=IdleHours(
            plain_fitted=_hours(one.fitted for one in plain),
            ours_fitted=_hours(one.fitted for one in ours),
            plain_elsewhere=_hours(one.elsewhere for one in plain),
            ours_elsewhere=_hours(one.elsewhere for one in ours),
        ),
        pools=list(_pools(site, real, *used)),
    )  # fmt: skip


def _in_each(seen: Sequence[SeenJob]) -> Iterator[Rendition]:
    """The mean waits in each rendition."""
    sides = (zip(*map(of, seen), strict=True) for of in (_plain, _ours))
    for plain, ours in zip(*sides, strict=True):
        yield Rendition(plain=waits_of(plain).mean, ours=waits_of(ours).mean)


def changes_of(seen: Sequence[SeenJob], trace: Trace, differs: float) -> WaitChanges:
    """Who gains and who loses; a difference of at most so many seconds is none."""

    def changes(of: Callable[[SeenJob], str]) -> list[WaitChange]:
        return _changes(seen, of, differs)

    users = _by_change(changes(lambda one: one.spec.user or "(unknown)"))
    half = MOST_USERS // 2
    shown = users if len(users) <= MOST_USERS else [*users[:half], *users[-half:]]
    worst = sorted(seen, key=lambda one: one.plain - one.ours)[:SHOWN]
    return WaitChanges(
        users=shown,
        accounts=_by_change(changes(lambda one: one.spec.account or "(none)")),
        more_users=len(users) - len(shown),
        earlier=sum(one.ours < one.plain - differs for one in seen),
        later=sum(one.ours > one.plain + differs for one in seen),
        worst=[_later(one) for one in worst if one.ours > one.plain],
        sizes=sorted(changes(lambda one: size_class(one.spec)), key=lambda c: SIZES.index(c.name)),
        types=sorted(changes(type_of), key=lambda c: (c.name == ANY, c.name)),
        weeks=list(_weeks(seen, trace)),
    )


def _hours(seconds: Iterable[float]) -> float:
    return round(mean(seconds) / 3600, 1)


def size_class(spec: JobSpec) -> str:
    """The class of size of a job."""
    if spec.ask.share:
        return SIZES[0]
    devices = spec.nodes * spec.ask.devices
    return SIZES[1 if devices == 1 else 2 if devices <= 4 else 3 if devices <= 8 else 4]


def type_of(one: SeenJob) -> str:
    """The type that its user asked for."""
    return one.spec.ask.type or ANY


def _changes(
    seen: Iterable[SeenJob], of: Callable[[SeenJob], str], differs: float
) -> list[WaitChange]:
    groups: dict[str, list[SeenJob]] = {}
    for one in seen:
        groups.setdefault(of(one), []).append(one)
    return [
        WaitChange(
            name=name, jobs=len(those), clear=sign_of(list(_in_parts(those)), differs),
            truth=_all(those, _truth), plain=_all(those, _plain), ours=_all(those, _ours),
        )
        for name, those in groups.items()
    ]  # fmt: skip


def _in_parts(those: Sequence[SeenJob]) -> Iterator[float]:
    """By how much their mean wait changes in each rendition; in each week where there are few."""
    plain, ours = (
        [mean(waits) for waits in zip(*map(of, those), strict=True)] for of in (_plain, _ours)
    )
    if len(plain) >= LEAST_PARTS:
        yield from (after - before for before, after in zip(plain, ours, strict=True))
        return
    weeks: dict[int, list[float]] = {}
    for one in those:
        weeks.setdefault(one.subject.week, []).append(one.ours - one.plain)
    yield from map(mean, weeks.values())


def _by_change(changes: Iterable[WaitChange]) -> list[WaitChange]:
    """Who gains most job-hours first."""
    return sorted(changes, key=lambda c: (c.jobs * (c.ours.mean - c.plain.mean), c.name))


def _later(one: SeenJob) -> LaterJob:
    return LaterJob(
        job=one.subject.key, user=one.spec.user, account=one.spec.account, devices=one.devices,
        truth=round(one.truth), plain=round(one.plain), ours=round(one.ours),
    )  # fmt: skip


def _pools(site: ReplaySite, *usages: Usage) -> Iterator[PoolShares]:
    for pool, devices in sorted(devices_by_pool(site).items()):
        shares = []
        for usage in usages:
            used = usage.used.get(pool, [0.0] * usage.bins)
            parts = [
                min(usage.step, usage.end - usage.begin - n * usage.step) for n in range(usage.bins)
            ]
            shares.append(
                [round(u / (devices * p), 3) for u, p in zip(used, parts, strict=True) if p > 0]
            )
        yield PoolShares(
            pool=pool, devices=devices, truth=shares[0], plain=shares[1], ours=shares[2]
        )


def _weeks(seen: Iterable[SeenJob], trace: Trace) -> Iterator[Week]:
    weeks: dict[int, list[SeenJob]] = {}
    for one in seen:
        weeks.setdefault(one.subject.week, []).append(one)
    for number, those in sorted(weeks.items()):
        waits = [_all(those, of).mean for of in (_truth, _plain, _ours)]
        yield Week(
            time=int(trace.span.begin + number * 7 * DAY), jobs=len(those),
            truth=waits[0], plain=waits[1], ours=waits[2],
        )  # fmt: skip


def _truth(one: SeenJob) -> tuple[float, ...]:
    return (one.truth,)


def _plain(one: SeenJob) -> tuple[float, ...]:
    return one.plain_waits


def _ours(one: SeenJob) -> tuple[float, ...]:
    return one.ours_waits
