"""What a replay came to, as HTML: one file that loads nothing; its plots are SVG inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from slurm_het.cli.replay_text import day, headline, span_of, verdict
from slurm_het.replay.documents import Gain, PoolShares, ReplayDocument
from slurm_het.templating import render_html
from slurm_het.times import zone

WIDE, HIGH = 300, 60
"""A plot in its own units."""
MOST_POOLS = 40


class ShareLine(NamedTuple):
    """A line of a plot: its class, and itself as an SVG path."""

    look: str
    path: str


class ShareMeans(NamedTuple):
    """The mean shares of a pool: really, simulated plain, with slurm-het."""

    truth: float
    plain: float
    ours: float


def html_of(made: ReplayDocument) -> str:
    """The whole file."""
    gain = made.gain
    return render_html(
        "replay.html.j2",
        made=made,
        match=made.match,
        gain=gain,
        verdict=verdict(made.match),
        headline=headline(gain, made.match) if gain else "",
        pools=[(p, lines_of(p), _means(p)) for p in gain.pools[:MOST_POOLS]] if gain else [],
        losers=_losers(gain) if gain else [],
        span=span_of,
        part=lambda value: f"{value:.1%}",
        change=_change,
        day=day,
        zone=zone(made.begin),
        wide=WIDE,
        high=HIGH,
    )


def _losers(gain: Gain) -> list[tuple[str, int]]:
    """How many users, and accounts, would wait longer in the mean."""
    return [
        (name, sum(c.ours.mean > c.plain.mean for c in those))
        for name, those in (("users", gain.users), ("accounts", gain.accounts))
    ]


def _change(before: float, after: float) -> str:
    return f"{(after - before) / before:+.0%}" if before else "–"


def _means(pool: PoolShares) -> ShareMeans:
    return ShareMeans(*(_mean(values) for values in (pool.truth, pool.plain, pool.ours)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def lines_of(pool: PoolShares) -> list[ShareLine]:
    """The three lines of a pool's plot."""
    named = (("truth", pool.truth), ("plain", pool.plain), ("ours", pool.ours))
    return [ShareLine(look, _path(values)) for look, values in named if values]


def _path(values: Sequence[float]) -> str:
    each = WIDE / len(values)
    points = []
    for n, value in enumerate(values):
        y = HIGH - HIGH * min(1.0, max(0.0, value))
        points += [f"{n * each:.1f},{y:.1f}", f"{(n + 1) * each:.1f},{y:.1f}"]
    return "M" + "L".join(points)
