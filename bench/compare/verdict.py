"""Two sides beside each other: who fared worse, the totals, and whether the bounds hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.compare.records import JobSeen, Side
from bench.compare.scenario import Bounds, Scenario

NEVER = float("inf")
EQUAL = 1.0
"""Seconds: Slurm's records have whole ones, so what differs by less is the same."""


@dataclass(frozen=True)
class Pair:
    """The k-th job of a submission to start under plain Slurm, and the k-th with us.

    The jobs of one submission are alike, so which of them is first does not matter to anybody.
    One that has no id was refused.
    """

    plain: JobSeen
    ours: JobSeen
    place: int
    """k, from 1."""
    seconds: float
    """How long the scenario went on."""

    @property
    def name(self) -> str:
        """Of the submission."""
        return self.plain.name

    @property
    def later(self) -> float:
        """Seconds by which ours started later; below 0: earlier. Infinite if only plain's started.

        A job that none started, or that only ours started, is not later.
        """
        if self.plain.wait is None:
            return 0.0
        return NEVER if self.ours.wait is None else self.ours.wait - self.plain.wait

    @property
    def at_least(self) -> float:
        """`later`, or for a job that has not started by the end, how much later it is at least."""
        if self.later < NEVER or self.plain.wait is None:
            return self.later
        return self.seconds - self.ours.submitted - self.plain.wait

    @property
    def same_verdict(self) -> bool:
        """Both were accepted, or both refused."""
        return bool(self.plain.id) == bool(self.ours.id)

    @property
    def worse(self) -> bool:
        """It fared worse with us: refused, or started later than plain's by a second or more."""
        return bool(self.plain.id and not self.ours.id) or self.later > EQUAL


@dataclass(frozen=True)
class Broken:
    """A bound that does not hold."""

    bound: str
    says: str


@dataclass(frozen=True)
class Comparison:
    """The two sides of one scenario."""

    scenario: Scenario
    plain: Side
    ours: Side

    @property
    def pairs(self) -> list[Pair]:
        """All jobs, in pairs, in the order of the submissions."""
        ours = _by_name(self.ours.jobs)
        found = []
        for name, jobs in _by_name(self.plain.jobs).items():
            beside = zip(_in_order(jobs), _in_order(ours.get(name, [])), strict=True)
            found += [
                Pair(p, o, place, self.plain.seconds) for place, (p, o) in enumerate(beside, 1)
            ]
        return found

    @property
    def busy(self) -> float:
        """Our device-seconds as a share of plain Slurm's; 1 if neither has any."""
        return share(self.ours.busy, self.plain.busy)

    def broken(self) -> list[Broken]:
        """The bounds that do not hold, each with what was seen."""
        bounds = self.scenario.bounds
        return [Broken(*found) for found in (*_totals(self, bounds), *_each(self, bounds))]


def share(ours: float, plain: float) -> float:
    """ours ÷ plain; 1 if both are 0."""
    if plain:
        return ours / plain
    return NEVER if ours else 1.0


def _by_name(jobs: Iterable[JobSeen]) -> dict[str, list[JobSeen]]:
    found: dict[str, list[JobSeen]] = {}
    for job in jobs:
        found.setdefault(job.name, []).append(job)
    return found


def _in_order(jobs: Iterable[JobSeen]) -> list[JobSeen]:
    """Those that started by their wait, then those that did not, then those that were refused."""
    return sorted(jobs, key=lambda job: (not job.id, NEVER if job.wait is None else job.wait))


def _totals(seen: Comparison, bounds: Bounds) -> Iterator[tuple[str, str]]:
    if bounds.busy is not None and seen.busy < bounds.busy:
        yield "busy", f"{seen.busy:.3f} of plain Slurm's device-seconds; at least {bounds.busy:g}"
    if bounds.lost is not None and seen.ours.lost > bounds.lost * seen.plain.lost:
        lost = f"{seen.ours.lost:.0f} device-seconds lost; under plain Slurm {seen.plain.lost:.0f}"
        yield "lost", f"{lost}; at most {bounds.lost:g} of that"
    if bounds.leaves is not None and seen.ours.leaves > bounds.leaves * seen.plain.leaves:
        mean = f"{seen.ours.leaves:.2f} for a job of several nodes"
        yield "leaves", f"{mean}; under plain Slurm {seen.plain.leaves:.2f}"


def _each(seen: Comparison, bounds: Bounds) -> Iterator[tuple[str, str]]:
    pairs = seen.pairs
    for name in dict.fromkeys(pair.name for pair in pairs):
        own = [pair for pair in pairs if pair.name == name]
        yield from _later(own, bounds.later_seconds)
        named = bounds.as_many_start
        if named is True or (isinstance(named, tuple) and name in named):
            ours = sum(pair.ours.wait is not None for pair in own)
            plain = sum(pair.plain.wait is not None for pair in own)
            if ours < plain:
                yield "as_many_start", f"{name}: {ours} started; under plain Slurm {plain}"
        if bounds.same_verdict and (other := [p for p in own if not p.same_verdict]):
            yield "same_verdict", f"{name}: {verdict_text(other[0])}"
    yield from _known_verdicts(seen)


def _later(own: list[Pair], most: float | dict[str, float] | None) -> Iterator[tuple[str, str]]:
    limit = most.get(own[0].name) if isinstance(most, dict) else most
    late = max(own, key=lambda pair: pair.at_least)
    if limit is not None and late.at_least > limit:
        yield "later_seconds", f"{late.name}: {later_text(late)}; at most {limit:g} s later"


def _known_verdicts(seen: Comparison) -> Iterator[tuple[str, str]]:
    """What the scenario says of plain Slurm and plain Slurm did not."""
    known = {s.name: s.verdict for s in seen.scenario.submissions if s.verdict}
    for job in seen.plain.jobs:
        verdict = "accepted" if job.id else "refused"
        if job.name in known and verdict != known[job.name]:
            yield "verdict", f"{job.name}: plain Slurm {verdict} it: {job.said or '(no message)'}"


def later_text(pair: Pair) -> str:
    """When the two of a pair started."""
    number = f"job {pair.place} to start"
    plain = _waited(pair.plain)
    return f"{number} waited {_waited(pair.ours)}; under plain Slurm {plain}"


def verdict_text(pair: Pair) -> str:
    """Who refused, with which message."""
    if pair.ours.id:
        return f"accepted; plain Slurm refused it: {pair.plain.said}"
    return f"refused: {pair.ours.said}; plain Slurm accepted it"


def _waited(job: JobSeen) -> str:
    if not job.id:
        return f"(refused: {job.said})"
    return f"{job.wait:.0f} s" if job.wait is not None else f"to the end ({job.reason or '?'})"
