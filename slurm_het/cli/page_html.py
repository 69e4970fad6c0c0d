"""The page as HTML: one file that loads nothing; its plots are SVG inside it."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from slurm_het.cli.documents import PageDocument, PageMoment, PageNodes
from slurm_het.cli.map_screen import LETTERS, NAMES, largest_words
from slurm_het.cli.page_view import DAY, STEP
from slurm_het.cli.render import cut
from slurm_het.core.reasons.idle import Cause
from slurm_het.core.syntax.durations import duration
from slurm_het.templating import render_html
from slurm_het.times import local_time, slurms_time, zone

WIDE, HIGH = DAY // STEP, 40
"""A plot in its own units: across a day, and up."""
LARGEST = 40
"""So many characters say which job would start now."""
GAP = 3 * STEP
"""Between moments that are further apart nobody looked: the line breaks."""
CLASSES = {
    Cause.USABLE: "ok", Cause.UNWANTED: "ok", Cause.HELD: "held", Cause.RESERVED: "held",
    Cause.NO_CORES: "short", Cause.NO_MEMORY: "short",
}  # fmt: skip
"""The look of an idle cell; of the rest, that nothing can start on it."""
SCRIPT = (
    "(function(){var a=document.getElementById('age'),m=+a.dataset.made,o=+a.dataset.old;"
    "function t(){var n=Date.now()/1000,s=Math.max(0,Math.round(n-m));"
    "a.textContent=s<120?s+' s ago':s<7200?Math.round(s/60)+' min ago':Math.round(s/3600)+' h ago';"
    "document.documentElement.classList.toggle('old',n>o)}t();setInterval(t,1000)})()"
)
"""Tells the page's age, and that it is old: without it the page says from when on it is."""


class Plot(NamedTuple):
    """A line through the last day: its area and itself as SVG paths, the highest and last value."""

    name: str
    area: str
    line: str
    top: str
    last: str


class Cells(NamedTuple):
    """Devices side by side that look alike: their class, and a character for each."""

    look: str
    text: str


def html_of(page: PageDocument) -> str:
    """The whole file."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return render_html(
        "page.html.j2",
        page=page,
        plots=list(_plots(page)),
        pools=[(pool, _of_pool(page, pool.pool, pool.devices)) for pool in page.pools],
        runs=_runs,
        why=_why,
        largest=lambda found: cut(largest_words(found), LARGEST, "…"),
        legend=_legend(page),
        duration=duration,
        at=local_time,
        stamp=lambda seconds: slurms_time(seconds).replace("T", " "),  # it may be old
        zone=zone(page.time),
        script=SCRIPT,
        digest=digest,
        most=max((max(w.waiting, w.started) for w in page.waits), default=0) or 1,
        wide=WIDE,
        high=HIGH,
    )


def _runs(cells: str) -> Iterator[Cells]:
    for cell, those in itertools.groupby(cells):
        yield Cells(_look(cell), "".join(those).replace(".", "·"))


def _look(cell: str) -> str:
    if cell.isdigit():
        return f"f{cell}"
    cause = next(cause for cause, letter in LETTERS.items() if letter == cell)
    return CLASSES.get(cause, "bad")


def _why(group: PageNodes) -> str:
    """Why devices are idle; without indexes where all of them fare alike."""
    alike = len(group.idle) == 1 and not any(cell.isdigit() for cell in group.cells)
    return "; ".join(i.text if alike else f"{i.devices} {i.text}" for i in group.idle)


def _legend(page: PageDocument) -> list[tuple[Cells, str]]:
    causes = {idle.cause for group in page.nodes for idle in group.idle}
    cells = [(LETTERS[cause], NAMES[cause]) for cause in Cause if cause in causes]
    return [(run, name) for cell, name in cells for run in _runs(cell)]


def _plots(page: PageDocument) -> Iterator[Plot]:
    """What waits, how long the first has, what runs."""
    counted: list[tuple[str, Callable[[PageMoment], int]]] = [
        ("Devices in use", lambda m: sum(m.used.values())),
        ("Tasks that wait", lambda m: m.waiting),
    ]
    for name, value in counted:
        yield _plot(name, page.day, value, str)
    yield _plot("Longest wait", page.day, lambda m: m.longest_seconds, duration)


def _of_pool(page: PageDocument, pool: str, devices: int) -> Plot:
    return _plot(pool, page.day, lambda m: m.used.get(pool, 0), str, devices)


def _plot(
    name: str,
    day: Sequence[PageMoment],
    value: Callable[[PageMoment], int],
    told: Callable[[int], str],
    least_top: int = 1,
) -> Plot:
    values = [value(moment) for moment in day]
    top = max([least_top, *values])
    areas, lines = [], []
    for part in _without_gaps(day):
        points = [
            (WIDE - (day[-1].time - moment.time) / STEP, HIGH - HIGH * value(moment) / top)
            for moment in part
        ]
        points = [(max(0.0, points[0][0] - 1), points[0][1]), *points]  # one moment is a line too
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f"M{path}")
        areas.append(f"M{points[0][0]:.1f},{HIGH}L{path}L{points[-1][0]:.1f},{HIGH}Z")
    last = told(values[-1]) if values else "-"
    return Plot(name, "".join(areas), "".join(lines), told(top), last)


def _without_gaps(day: Sequence[PageMoment]) -> Iterator[list[PageMoment]]:
    part: list[PageMoment] = []
    for moment in day:
        if part and moment.time - part[-1].time > GAP:
            yield part
            part = []
        part.append(moment)
    if part:
        yield part
