"""What would start a waiting job sooner: single changes, each proved by solving again with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from slurm_het.core.jobs.reading import read_job
from slurm_het.core.model import Task
from slurm_het.core.planner.build_problem import Hurry, never
from slurm_het.core.views.changes import Change, Changes, Knob, Known
from slurm_het.core.views.whatif import Foreseen, WhatIf
from slurm_het.errors import HetError

MOST = 3
"""So many changes are named."""
WORTH = 60.0
"""A change is worth its price if the job starts so many seconds sooner."""


class Proved(NamedTuple):
    """A change, and when the job starts with it."""

    kind: str
    change: Change
    foreseen: Foreseen


@dataclass(frozen=True, slots=True)
class Sooner:
    """When the job starts as it is, and what would start it sooner, the soonest first.

    `cut_short`: time ran out before all that promised something was tried.
    """

    as_it_is: Foreseen
    changes: tuple[Proved, ...] = ()
    cut_short: bool = False


def sooner(whatif: WhatIf, known: Known, hurry: Hurry = never) -> Sooner:
    """Find what the user of the job can change, one thing at a time, so that it starts sooner.

    Once `hurry` says so, what is found by then is all.
    """
    as_it_is = whatif.foresee(whatif.job)
    if as_it_is.start == whatif.now:
        return Sooner(as_it_is)
    promising = sorted(_promising(whatif, known, as_it_is, hurry), key=lambda one: one[0])
    proved: list[Proved] = []
    for _, kind, change in promising:
        if len(proved) == MOST:
            break
        if any(kind == one.kind for one in proved):
            continue
        if hurry():
            return Sooner(as_it_is, _in_order(proved), cut_short=True)
        foreseen = whatif.foresee(change.job)
        if foreseen.sooner_than(as_it_is, WORTH):
            proved.append(Proved(kind, change, foreseen))
    return Sooner(as_it_is, _in_order(proved))


def _in_order(proved: list[Proved]) -> tuple[Proved, ...]:
    return tuple(sorted(proved, key=lambda one: one.foreseen.start or 0.0))


def _promising(
    whatif: WhatIf, known: Known, as_it_is: Foreseen, hurry: Hurry
) -> Iterator[tuple[float, str, Change]]:
    """Of each knob the least change that makes most of it, by the look ahead alone; and the start
    that it promises."""
    outcome = read_job(whatif.job, whatif.facts).outcome
    task = outcome if isinstance(outcome, Task) else None
    for knob in Changes(whatif, task, known).knobs():
        if hurry():
            return

        @cache
        def start(value: int, knob: Knob = knob) -> float | None:
            try:
                record = knob.at(value).job
            except HetError:  # as `slurm-het ask` would refuse it
                return None
            # The look ahead knows no limits: of those that are at one the whole cycle is asked.
            return whatif.foresee(record).start if as_it_is.at_limit else whatif.estimate(record)

        best = start(knob.values[-1])
        if best is not None and Foreseen(best).sooner_than(as_it_is, WORTH):
            most = _least_change(knob, start, best)
            yield best, knob.kind, knob.at(knob.rounded(most))


def _least_change(knob: Knob, start: Callable[[int], float | None], best: float) -> int:
    """The value nearest to the job as it is with which it starts as soon as with the last one."""
    works, fails = len(knob.values) - 1, -1
    while works - fails > 1:
        middle = (works + fails) // 2
        begun = start(knob.values[middle])
        if begun is not None and begun <= best:
            works = middle
        else:
            fails = middle
    return knob.values[works]
