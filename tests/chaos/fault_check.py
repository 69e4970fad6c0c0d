"""The rule of a run with faults (pure): the gate is not shut for long while nobody plans."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.deeds import Violation
from tests.chaos.faults import BY_NAME, OPEN_SECONDS
from tests.chaos.records import Action, Poll, Records
from tests.chaos.room import detailed
from tests.chaos.site_rules import Site
from tests.chaos.waits import GAP_SECONDS, Barred, with_room_of_their_own

LATE_SECONDS = 1.5  # a look comes so late


def left_shut(records: Records) -> Iterator[Violation]:
    """Somebody plans, or the gate is open, soon after each fault.

    Nobody plans where no hetd lives, or where a job waits beside room and none at all starts.
    """
    barred = Barred([], {}, Site.of(records))
    faults = [a for a in records.actions if a.event.verb == "fault"]
    since, told = 0.0, False
    before: Poll | None = None
    for poll in records.polls:
        full = detailed(poll, before)
        apart = before is None or full.time - before.time > GAP_SECONDS
        if apart or full.gate != "DOWN" or (full.hetd and _busy(before, full, barred)):
            since, told = full.time, False
        before = full
        bound, during = _bound(faults, since, full.time)
        if full.time - since > bound + LATE_SECONDS and not told:
            told = True
            hetd = "hetd lives" if full.hetd else "no hetd"
            text = f"shut for {full.time - since:.0f} s and nobody plans ({hetd}): {during}"
            yield Violation("shut", "gate", since, text)


def _bound(faults: list[Action], began: float, ended: float) -> tuple[float, str]:
    """Within how long it must open, and what was at fault."""
    found = [a for a in faults if a.began <= ended and began - OPEN_SECONDS <= a.ended]
    names = [a.event.args[0] for a in found]
    bound = max((BY_NAME[name].bound for name in names), default=OPEN_SECONDS)
    return bound + 5.0 * ("gate-order-fails" in names), ", ".join(names) or "no fault"


def _busy(before: Poll | None, poll: Poll, barred: Barred) -> bool:
    """Whether a job has started since the last look, or none could."""
    ran = {j.id for j in before.jobs if j.holds_nodes} if before else set()
    started = any(j.holds_nodes and j.id not in ran for j in poll.jobs)
    return started or not with_room_of_their_own(poll, barred)
