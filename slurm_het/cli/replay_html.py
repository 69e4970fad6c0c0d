"""What a replay or a shadow came to, as HTML: a file that loads nothing; plots are SVG in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from slurm_het.cli.replay_text import (
    day,
    headline,
    parts_of,
    shadow_caveat,
    shadow_headline,
    span_of,
    spread,
    unanswered,
    verdict,
)
from slurm_het.replay.documents import PoolShares, ReplayDocument, ShadowDocument, WaitChanges
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
    return _page(
        "replay.html.j2", made, "plain", gain,
        match=made.match,
        gain=gain,
        verdict=verdict(made.match),
        unanswered=unanswered(made.cost),
        headline=headline(gain, made.match) if gain else "", spread=spread(gain) if gain else "",
        parts=parts_of(gain) if gain else "",
        pools=[(p, lines_of(p), _means(p)) for p in gain.pools[:MOST_POOLS]] if gain else [],
        wide=WIDE,
        high=HIGH,
    )  # fmt: skip


def shadow_html(made: ShadowDocument) -> str:
    """The same of a shadow."""
    return _page(
        "shadow.html.j2", made, "really", made.changes,
        headline=shadow_headline(made), caveat=shadow_caveat(made),
    )  # fmt: skip


def _page(
    template: str,
    made: ReplayDocument | ShadowDocument,
    beside: str,
    changes: WaitChanges | None,
    **values: object,
) -> str:
    return render_html(
        template,
        made=made,
        beside=beside,
        losers=_losers(changes) if changes else [],
        span=span_of,
        part=lambda value: f"{value:.1%}",
        change=_change,
        day=day,
        zone=zone(made.begin),
        **values,
    )


def _losers(changes: WaitChanges) -> list[tuple[str, int, int]]:
    """How many users, and accounts, would wait longer in the mean; and how many of them clearly."""
    return [
        (
            name,
            sum(c.ours.mean > c.plain.mean for c in those),
            sum(c.clear == "later" for c in those),
        )
        for name, those in (("users", changes.users), ("accounts", changes.accounts))
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
