"""What many mixes came to: the ratio of each, the totals, the seeds that fared worst."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.compare.verdict import share

EACH, MEAN = 0.98, 1.03
"""The bounds: least device-seconds with us as a share of plain Slurm's, in each mix and in the
mean."""
RENDITIONS = 12
"""A mix below the bound is looked at again in so many renditions, and what they come to together
counts: the chance of a single one is as large as what is sought."""
SHOWN = 10


@dataclass(frozen=True)
class Row:
    """One mix: device-seconds in use, jobs that started of how many, and what it cost us.

    `chance` is plain Slurm's with the types of nodes in the opposite order in slurm.conf: so much a
    mix varies that nobody plans. `eager` is plain Slurm's if it keeps nothing free for those who
    wait. `again` has plain's and ours of more renditions.
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

    @property
    def once(self) -> float:
        """Ours as a share of plain Slurm's."""
        return share(self.ours, self.plain)

    @property
    def ratio(self) -> float:
        """The same; of a mix that was looked at again that of all the further renditions: the one
        for which it was chosen would bias it."""
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
        )


def broken(rows: Sequence[Row]) -> list[str]:
    """The bounds that do not hold."""
    ratios = [row.ratio for row in rows]
    below = sorted(row.seed for row in rows if row.ratio < EACH)
    found = [f"each: {len(below)} below {EACH}: {', '.join(map(str, below))}"] if below else []
    mean = statistics.fmean(ratios)
    return [*found, f"mean: {mean:.4f}; at least {MEAN}"] if mean < MEAN else found


def text(rows: Sequence[Row]) -> Iterator[str]:
    """The totals, the worst seeds, the bounds."""
    yield f"{len(rows)} mixes; device-seconds, plain Slurm's = 1:"
    yield "  slurm-het      " + _spread([row.ratio for row in rows])
    yield "  the same, once " + _spread([row.once for row in rows])
    yield "  by chance      " + _spread([share(row.chance, row.plain) for row in rows])
    yield "  eager          " + _spread([share(row.eager, row.plain) for row in rows])
    yield f"the worst {SHOWN}:"
    yield from (row.text() for row in sorted(rows, key=lambda row: row.ratio)[:SHOWN])
    wrong = broken(rows)
    yield from (f"BROKEN {one}" for one in wrong)
    if not wrong:
        yield "all bounds hold"


def _spread(ratios: Sequence[float]) -> str:
    ordered = sorted(ratios)
    below = sum(ratio < EACH for ratio in ordered)
    return (
        f"least {ordered[0]:.3f}, p5 {ordered[len(ordered) // 20]:.3f}, median"
        f" {statistics.median(ordered):.3f}, mean {statistics.fmean(ordered):.4f}, most"
        f" {ordered[-1]:.3f}; {below} below {EACH}"
    )
