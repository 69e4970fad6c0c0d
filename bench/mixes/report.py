"""What many mixes came to: the ratio of each, the totals, the seeds that fared worst."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.compare.verdict import share
from slurm_het.simulation.jobs import JobSpec

EACH, MEAN = 0.98, 1.03
"""The bounds: least device-seconds with us as a share of plain Slurm's, in each mix and in the
mean."""
RENDITIONS = 12
"""A mix below the bound is looked at again in so many renditions, and what they come to together
counts: the chance of a single one is as large as what is sought."""
SHOWN = 10
SIZES = ("a share", "1 device", "2 or 3 devices", "4 or more", "several nodes")
"""The classes of size: what a job asks of a node, or that it asks several."""
Starts = Mapping[int, float | None]
"""When each job started, by its id; None: never."""


class Waits(NamedTuple):
    """The jobs of a size, and the seconds that they waited all together, plainly and with us.

    Who never started has waited to the end of the mix.
    """

    jobs: int
    plain: float
    ours: float


def size_of(job: JobSpec) -> str:
    """The class of size of a job."""
    if job.nodes > 1:
        return SIZES[4]
    return SIZES[0] if job.ask.share else SIZES[min(job.ask.devices, 4) // 2 + 1]


def waits_of(
    jobs: Iterable[JobSpec], plain: Starts, ours: Starts, seconds: float
) -> dict[str, Waits]:
    """What the jobs of a mix of so many seconds waited, by size."""

    def waited(job: JobSpec, starts: Starts) -> float:
        start = starts[job.id]
        return (seconds if start is None else start) - job.at

    found: dict[str, Waits] = {}
    for job in jobs:
        before = found.get(size := size_of(job), Waits(0, 0.0, 0.0))
        found[size] = Waits(
            before.jobs + 1, before.plain + waited(job, plain), before.ours + waited(job, ours)
        )
    return found


@dataclass(frozen=True)
class Row:
    """One mix: device-seconds in use, jobs that started of how many, and what it cost us.

    `chance` is plain Slurm's with the types of nodes in the opposite order in slurm.conf: so much a
    mix varies that nobody plans. `eager` is plain Slurm's if it keeps nothing free for those who
    wait. `again` has plain's and ours of more renditions. `waits` are by size. So often the solver
    was `asked`, in all of them, and gave no answer in time.
    """

    seed: int
    what: str
    plain: float
    ours: float
    capacity: float
    started: tuple[int, int]
    jobs: int
    cycles: int
    seconds: float
    chance: float
    eager: float
    again: tuple[tuple[float, float], ...] = ()
    waits: dict[str, Waits] = field(default_factory=dict)
    asked: int = 0
    unanswered: int = 0

    @property
    def once(self) -> float:
        """Ours as a share of plain Slurm's."""
        return share(self.ours, self.plain)

    @property
    def ratio(self) -> float:
        """The same, for the bound of each; of a mix that was looked at again that of all further
        renditions: the one for which it was chosen would bias it. A mean over mixes this would bias
        itself, upward: only who came out low is looked at again."""
        if not self.again:
            return self.once
        return share(sum(ours for _, ours in self.again), sum(plain for plain, _ in self.again))

    def text(self) -> str:
        """In a line."""
        plain, ours = self.plain / self.capacity, self.ours / self.capacity
        again = f" (once {self.once:.3f})" if self.again else ""
        return (
            f"seed {self.seed:>4}: {self.ratio:.3f}{again}  busy {plain:.3f} plain, {ours:.3f}"
            f" ours; started {self.started[0]}, {self.started[1]} of {self.jobs}; {self.what}"
            + (f"; {self.unanswered} of {self.asked} plans late" if self.unanswered else "")
        )


def broken(rows: Sequence[Row]) -> list[str]:
    """The bounds that do not hold."""
    below = sorted(row.seed for row in rows if row.ratio < EACH)
    found = [f"each: {len(below)} below {EACH}: {', '.join(map(str, below))}"] if below else []
    mean = statistics.fmean(row.once for row in rows)
    return [*found, f"mean: {mean:.4f}; at least {MEAN}"] if mean < MEAN else found


def text(rows: Sequence[Row]) -> Iterator[str]:
    """The totals, the worst seeds, the bounds."""
    yield f"{len(rows)} mixes; device-seconds, plain Slurm's = 1:"
    yield "  slurm-het      " + _spread([row.once for row in rows])
    yield "  low ones again " + _spread([row.ratio for row in rows])
    yield "  by chance      " + _spread([share(row.chance, row.plain) for row in rows])
    yield "  eager          " + _spread([share(row.eager, row.plain) for row in rows])
    yield f"the worst {SHOWN}:"
    yield from (row.text() for row in sorted(rows, key=lambda row: row.ratio)[:SHOWN])
    yield from _wait_lines(rows)
    if late := sum(row.unanswered for row in rows):
        yield (
            f"{late} of {sum(row.asked for row in rows)} times the solver had no answer in time,"
            " and first-fit's plan was taken: is the machine busy?"
        )
    wrong = broken(rows)
    yield from (f"BROKEN {one}" for one in wrong)
    if not wrong:
        yield "all bounds hold"


def _wait_lines(rows: Sequence[Row]) -> Iterator[str]:
    """The mean wait of each size, over all mixes."""
    yield "mean wait in minutes, of jobs that ask:"
    for size in SIZES:
        those = [row.waits[size] for row in rows if size in row.waits]
        if jobs := sum(one.jobs for one in those):
            plain, ours = sum(one.plain for one in those), sum(one.ours for one in those)
            yield (
                f"  {size:<15} {plain / jobs / 60:6.1f} plain, {ours / jobs / 60:6.1f} ours,"
                f" {share(ours, plain):.2f} of it; {jobs} jobs"
            )


def _spread(ratios: Sequence[float]) -> str:
    ordered = sorted(ratios)
    below = sum(ratio < EACH for ratio in ordered)
    return (
        f"least {ordered[0]:.3f}, p5 {ordered[len(ordered) // 20]:.3f}, median"
        f" {statistics.median(ordered):.3f}, mean {statistics.fmean(ordered):.4f}, most"
        f" {ordered[-1]:.3f}; {below} below {EACH}"
    )
