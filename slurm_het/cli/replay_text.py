"""What a replay or a shadow came to, in at most 40 lines for a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from slurm_het.cli.render import cut, table
from slurm_het.replay.documents import (
    CauseCount,
    Gain,
    Match,
    ReplayCost,
    ReplayDocument,
    ShadowDocument,
    WaitChange,
    WaitChanges,
    WaitSums,
)
from slurm_het.replay.signs import LEAST_PARTS

MOST_LINES = 40
NAME = 18
"""So many characters of a name."""
ENDS = 3
"""So many of those who gain, and of those who lose."""
WORST = 5
TYPES = 3
CAUSES = 2


def span_of(seconds: float) -> str:
    """A wait as people say it: 40 s, 12 min, 3.4 h, 2.1 d."""
    if seconds < 0:
        return f"-{span_of(-seconds)}"
    for unit, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * unit:
            value = seconds / unit
            return f"{value:.1f} {name}" if value < 10 and name != "min" else f"{value:.0f} {name}"
    return f"{seconds:.0f} s"


def verdict(match: Match) -> str:
    """Whether the model meets the past, in a sentence."""
    if match.holds:
        return "The model of plain Slurm meets what happened: what follows is worth reading."
    return "The model of plain Slurm does NOT meet what happened here: nothing is claimed."


def headline(gain: Gain, match: Match) -> str:
    """What it comes to, in a sentence."""
    waits = _instead(match.plain.waits.mean, gain.ours.waits.mean)
    return (
        f"With slurm-het the mean wait is {waits};"
        f" jobs that start sooner: {gain.earlier}, later: {gain.later}."
    )


def spread(gain: Gain) -> str:
    """How far the renditions are from each other, in a sentence; '' of one."""
    if len(gain.renditions) < 2:
        return ""
    plain, ours = ([getattr(r, side) for r in gain.renditions] for side in ("plain", "ours"))
    return (
        f"A matter of chance, by parts of a second: in {len(plain)} renditions the mean wait is"
        f" {span_of(min(ours))} to {span_of(max(ours))}, under plain Slurm {span_of(min(plain))} to"
        f" {span_of(max(plain))}; all figures here are of all of them."
    )


def parts_of(gain: Gain) -> str:
    """What must agree before it is said who would wait shorter, or longer."""
    many = len(gain.renditions)
    return f"of {many} renditions" if many >= LEAST_PARTS else f"week, of at least {LEAST_PARTS}"


def shadow_headline(made: ShadowDocument) -> str:
    """The same of shadow, where it is no forecast."""
    changes = made.changes
    return (
        f"Of {made.jobs} jobs slurm-het would have started {changes.earlier} sooner and"
        f" {changes.later} later, each by itself: a mean wait of"
        f" {_instead(made.waits.mean, made.ours.mean)}."
    )


def shadow_caveat(made: ShadowDocument) -> str:
    """How far that can be believed, in a sentence."""
    return (
        "Plain Slurm drove the cluster, slurm-het answered it: no forecast. Of"
        f" {made.decided} starts that it decided first {made.overtaken} were overtaken; the"
        f" {made.losers} jobs that took those nodes count as later, by the most it can have been."
    )


def _instead(before: float, after: float) -> str:
    change = f"{(after - before) / before:+.0%}" if before else "as before"
    return f"{span_of(after)} instead of {span_of(before)} ({change})"


def day(seconds: float) -> str:
    """A date, in the time zone of whoever reads it."""
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def text_of(made: ReplayDocument) -> list[str]:
    """The report."""
    lines = [*_head(made), *_match(made.match), *(f"mind: {one}" for one in made.caveats)]
    if made.gain:
        if made.look_every:
            lines.append(
                f"hetd looked at most each {span_of(made.look_every)} here, really within a second:"
                " its waits are too long by that, in a crowded queue by far more"
            )
        if made.cost.unanswered:
            lines.append(unanswered(made.cost))
        lines += list(_gain(made.gain, made))
    lines += [*_causes("left out", made.left_out), *_causes("taken so", made.taken)]
    lines.append(
        "not modelled: limits of QOSs and users, changing fair share, reservations, preemption,"
        " failures, scripts; all in --html, docs/replay.md"
    )
    return lines[:MOST_LINES]


def unanswered(cost: ReplayCost) -> str:
    """How often hetd's solver was of no help, in words."""
    return (
        f"the solver gave no answer in time {cost.unanswered} of {cost.asked} times here: there"
        " first-fit's plan was taken"
    )


def shadow_text(made: ShadowDocument) -> list[str]:
    """The report of a shadow."""
    lines = [
        f"Shadow from {day(made.begin)} to {day(made.end)}: {made.jobs} jobs count, on"
        f" {made.devices} devices of {made.nodes} nodes, really {made.busy:.1%} busy",
        shadow_caveat(made),
        shadow_headline(made),
        *_people_and_jobs(made.changes),
        *_classes([*made.changes.sizes, *made.changes.types[:TYPES]]),
        _by_week(made.changes),
        *_causes("left out", made.left_out),
        *_causes("taken so", made.taken),
        "not told: what weeks under slurm-het would have been, what waiting on purpose gains or"
        " costs; all in --html, docs/modes.md",
    ]
    return lines[:MOST_LINES]


def _head(made: ReplayDocument) -> Iterator[str]:
    yield (
        f"Replay of {day(made.begin)} to {day(made.end)}: {made.jobs} jobs count, of"
        f" {made.simulated} simulated, on {made.devices} devices of {made.nodes} nodes"
    )


def _match(match: Match) -> Iterator[str]:
    yield verdict(match)
    truth, plain = match.truth, match.plain
    rows = [
        ("really", *_waits(truth.waits), f"{truth.busy:.1%}"),
        ("plain Slurm, simulated", *_waits(plain.waits), f"{plain.busy:.1%}"),
    ]
    bounds = (
        f"±{match.mean_bound:.0%}", "", f"±{match.p95_bound:.0%}",
        f"±{match.busy_bound * 100:g} points",
    )  # fmt: skip
    yield from table(
        ("", "mean wait", "median", "95 of 100", "busy"),
        [*rows, (f"bound (or {span_of(match.floor_seconds)})", *bounds)],
        (False, True, True, True, True),
    )
    yield from (f"  off: {broken}" for broken in match.broken)


def _waits(waits: WaitSums) -> tuple[str, str, str]:
    return span_of(waits.mean), span_of(waits.median), span_of(waits.p95)


def _gain(gain: Gain, made: ReplayDocument) -> Iterator[str]:
    yield headline(gain, made.match)
    yield from filter(None, [spread(gain)])
    yield from _people_and_jobs(gain)
    yield from _classes([*gain.sizes, *gain.types[:TYPES]], clear=True)
    yield f"sooner, later: so in each {parts_of(gain)}; else unclear, and after a name ?"
    idle = gain.idle
    yield (
        f"device-hours idle while a waiting job fitted: {idle.plain_fitted:.0f} plain,"
        f" {idle.ours_fitted:.0f} slurm-het; fitted but for its vendor, type or partition:"
        f" {idle.plain_elsewhere:.0f}, {idle.ours_elsewhere:.0f}"
    )
    shares = ", ".join(
        f"{pool.pool} {_mean(pool.plain):.0%}→{_mean(pool.ours):.0%}" for pool in gain.pools[:6]
    )
    yield f"busy: {made.match.plain.busy:.1%} plain, {gain.ours.busy:.1%} slurm-het; {shares}"
    yield _by_week(gain)


def _people_and_jobs(changes: WaitChanges) -> Iterator[str]:
    for title, those in (("user", changes.users), ("account", changes.accounts)):
        yield from _people(title, those, isinstance(changes, Gain))
    if changes.worst:
        later = ", ".join(
            f"{one.job} ({cut(one.user, 12)}, {one.devices} dev.) +{span_of(one.ours - one.plain)}"
            for one in changes.worst[:WORST]
        )
        yield f"most later: {later}"


def _by_week(changes: WaitChanges) -> str:
    weeks = ", ".join(f"{_change(w.plain, w.ours)}" for w in changes.weeks)
    return f"mean wait by week: {weeks}"


def _people(title: str, changes: Sequence[WaitChange], doubts: bool) -> Iterator[str]:
    """Who gains most, who loses most; with `doubts`, a mark after who may not."""
    gains = [c for c in changes if c.ours.mean < c.plain.mean][:ENDS]
    loses = [c for c in reversed(changes) if c.ours.mean > c.plain.mean][:ENDS]
    for word, those in (("gains", gains), ("loses", loses)):
        told = "; ".join(
            f"{cut(c.name, NAME)}{'?' if c.clear == 'unclear' and doubts else ''}"
            f" {span_of(c.plain.mean)}→{span_of(c.ours.mean)} ({c.jobs} jobs)"
            for c in those
        )
        yield f"{title} who {word} most: {told or 'none'}"


def _classes(changes: Sequence[WaitChange], *, clear: bool = False) -> list[str]:
    rows = [
        (
            cut(c.name, NAME), str(c.jobs), span_of(c.plain.median), span_of(c.ours.median),
            span_of(c.plain.mean), span_of(c.ours.mean), span_of(c.plain.p95), span_of(c.ours.p95),
            *([c.clear] if clear else []),
        )
        for c in changes
    ]  # fmt: skip
    head = ("asks for", "jobs", "median", "het", "mean", "het", "95 of 100", "het")
    rights = (False, *[True] * 7, *([False] if clear else []))
    return table((*head, *(["clear"] if clear else [])), rows, rights)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _change(before: float, after: float) -> str:
    return f"{(after - before) / before:+.0%}" if before else "0"


def _causes(title: str, causes: Sequence[CauseCount]) -> Iterator[str]:
    for cause in causes[:CAUSES]:
        yield f"{title}: {cause.jobs} {cause.cause}"
    if rest := sum(cause.jobs for cause in causes[CAUSES:]):
        yield f"{title}: {rest} for {len(causes) - CAUSES} more causes"
