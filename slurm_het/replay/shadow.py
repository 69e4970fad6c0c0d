"""What shadow decided, beside what plain Slurm really did: pure, from both records.

Shadow answers a cluster that plain Slurm drives. So it is told of each job by itself:

- the book started it before plain Slurm did: it would have waited until then;
- it took nodes that the book had given to another job: it would have waited at most until that one
  had ended, for as long as that one really ran;
- else it waited as it really did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from slurm_het.core.syntax import hostlist
from slurm_het.journal.shadowed import Name, ShadowPast, ShadowStart
from slurm_het.replay.documents import ShadowDocument
from slurm_het.replay.findings import (
    SeenJob,
    changes_of,
    counts_of,
    really_used,
    waits_of,
)
from slurm_het.replay.past import Tally
from slurm_het.replay.site import ReplaySite
from slurm_het.replay.trace import Subject, Trace

UNSEEN = (
    "jobs that shadow did not see waiting: they started at once, could use no pool of its, or hetd"
    " was not running"
)
NOT_TOLD = (
    "what weeks under slurm-het would have been: plain Slurm drove the cluster, and mostly gave"
    " away what a job left before shadow could look; slurm-het replay simulates that",
    "whether all these starts could have been at once: each had room on the real cluster beside"
    " what the book had given away, but where plain Slurm gave that to others the book followed",
    "how soon a job that took nodes of the book's would have found others: it counts as waiting"
    " for these, the most that it can have been",
    "what waiting on purpose gains and costs: whom slurm-het kept back for a better place plain"
    " Slurm started, and he counts as he really waited",
    "what an earlier start would have changed for those after it; whom a job would have"
    " preempted; what the book held before hetd was started anew",
)


@dataclass(frozen=True, slots=True)
class _RealRun:
    """A job that really ran on a node: with so many devices there, from `start`."""

    start: float
    job: int
    devices: int


@dataclass
class _Shadowed:
    """Both records, job by job: an index is a job's place in the trace."""

    trace: Trace
    past: ShadowPast

    def __post_init__(self) -> None:
        subjects = self.trace.subjects
        self.first = [self._first_start(subject) for subject in subjects]
        self.places: dict[Name, int] = {_name(s): n for n, s in enumerate(subjects)}
        self.runs: dict[str, list[_RealRun]] = {}
        for n, (spec, subject) in enumerate(zip(self.trace.world.jobs, subjects, strict=True)):
            if subject.start is not None:
                for node in hostlist.expand_readable(subject.nodes):
                    self.runs.setdefault(node, []).append(
                        _RealRun(subject.start, n, spec.ask.devices)
                    )
        for runs in self.runs.values():
            runs.sort(key=lambda run: run.start)

    def _first_start(self, subject: Subject) -> ShadowStart | None:
        """The first one in the book, if plain Slurm came later."""
        starts = self.past.starts.get(_name(subject), [])
        real = subject.start
        return next((s for s in starts if real is None or s.time < real), None)

    def losers(self) -> dict[int, float]:
        """Of the jobs that took nodes which the book had given to another: until when they would
        have waited at most, in epoch seconds."""
        found: dict[int, float] = {}
        for name, times in self.past.taken.items():
            n = self.places.get(name)
            if n is None:
                continue
            for time in times:
                held = [s for s in self.past.starts.get(name, []) if s.time <= time]
                if not held:
                    continue
                until = held[-1].time + self.trace.world.jobs[n].seconds
                for taker in self._takers(held[-1], time):
                    if taker != n and self.first[taker] is None:
                        found[taker] = max(until, found.get(taker, 0.0))
        return {n: until for n, until in found.items() if until > self._start(n)}

    def _start(self, n: int) -> float:
        return self.trace.subjects[n].start or 0.0

    def _takers(self, held: ShadowStart, until: float) -> Iterator[int]:
        """Who started last on these nodes by then: as many as took what the book held there."""
        for node, devices in held.nodes.items():
            runs = self.runs.get(node, [])
            left = devices
            for run in reversed(runs[: bisect_right(runs, until, key=lambda run: run.start)]):
                # Slurm's records have whole seconds.
                if left <= 0 or run.start < int(held.time):
                    break
                left -= run.devices
                yield run.job


def _name(subject: Subject) -> Name:
    return subject.key, int(subject.submit)


def shadow_findings(
    trace: Trace, site: ReplaySite, past: ShadowPast, tally: Tally, made: float
) -> ShadowDocument:
    """All there is to tell."""
    both = _Shadowed(trace, past)
    losers = both.losers()
    seen = dict(_seen(both, losers, tally))
    decided = [n for n in seen if both.first[n] is not None]
    span, usage = trace.span, really_used(trace, site)
    devices = sum(len(host.types) for host in site.hosts)
    return ShadowDocument(
        made=int(made), begin=int(span.begin), end=int(span.end), nodes=len(site.hosts),
        devices=devices, jobs=len(seen),
        waits=waits_of(one.truth for one in seen.values()),
        ours=waits_of(one.ours for one in seen.values()),
        busy=round(usage.total / (devices * (span.end - span.begin)), 4),
        decided=len(decided),
        overtaken=sum(_name(trace.subjects[n]) in past.taken for n in decided),
        losers=len(losers.keys() & seen.keys()),
        changes=changes_of(list(seen.values()), trace, site.settings.bf_interval),
        left_out=counts_of(tally.left_out), taken=counts_of(tally.taken),
        not_told=list(NOT_TOLD),
    )  # fmt: skip


def _seen(both: _Shadowed, losers: dict[int, float], tally: Tally) -> Iterator[tuple[int, SeenJob]]:
    """The jobs that count, with what they waited really and as shadow has it."""
    trace = both.trace
    for n, (spec, subject) in enumerate(zip(trace.world.jobs, trace.subjects, strict=True)):
        if not subject.counts or subject.start is None:
            continue
        if n not in losers and not both.past.saw(_name(subject)):
            tally.left_out[UNSEEN] += 1
            continue
        real = subject.start - subject.since
        first = both.first[n]
        at = first.time if first else losers.get(n, subject.start)
        ours = max(0.0, at - subject.since)
        yield n, SeenJob(spec, subject, real, (real,), (ours,))
