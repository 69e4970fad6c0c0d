"""The rule of a run with faults (pure): the gate is not shut for long while nobody plans."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.deeds import Violation
from tests.chaos.faults import BY_NAME, LATE_SECONDS, OPEN_SECONDS, SLOW_SECONDS
from tests.chaos.records import Action, Poll, Records
from tests.chaos.room import detailed
from tests.chaos.site_rules import Site
from tests.chaos.waits import GAP_SECONDS, Barred, with_room_of_their_own

LOOK_SECONDS = 1.5  # a look comes so late


def left_shut(records: Records) -> Iterator[Violation]:
    """Somebody plans, or the gate is open, soon after each fault.

    Nobody plans where no hetd lives, or where a job waits beside room and none at all starts.
    """
    faults = [a for a in records.actions if a.event.verb == "fault"]
    told = 0.0
    for poll, since in shut(records):
        bound, during = _bound(faults, since, poll.time)
        if poll.time - since > bound + LOOK_SECONDS and told != since:
            told = since
            hetd = "hetd lives" if poll.hetd else "no hetd"
            text = f"shut for {poll.time - since:.0f} s and nobody plans ({hetd}): {during}"
            yield Violation("shut", "gate", since, text)


def shut(records: Records) -> Iterator[tuple[Poll, float]]:
    """Each look, and since when the gate is shut while nobody plans: its own time if it is not."""
    barred = Barred([], {}, Site.of(records))
    since = 0.0
    before: Poll | None = None
    for poll in records.polls:
        full = detailed(poll, before)
        apart = before is None or full.time - before.time > GAP_SECONDS
        if apart or full.gate != "DOWN" or (full.hetd and _busy(before, full, barred)):
            since = full.time
        before = full
        yield full, since


def _bound(faults: list[Action], began: float, ended: float) -> tuple[float, str]:
    """Within how long it must open, and what was at fault."""
    found = [a for a in faults if a.began <= ended and began - OPEN_SECONDS <= a.ended]
    names = [a.event.args[0] for a in found]
    bound = max((BY_NAME[name].bound for name in names), default=OPEN_SECONDS)
    bound += 5.0 * ("gate-order-fails" in names)
    bound += LATE_SECONDS * ("update-late" in names and bound > SLOW_SECONDS)
    return bound, ", ".join(names) or "no fault"


def _busy(before: Poll | None, poll: Poll, barred: Barred) -> bool:
    """Whether a job has started since the last look, or none could."""
    ran = {j.id for j in before.jobs if j.holds_nodes} if before else set()
    started = any(j.holds_nodes and j.id not in ran for j in poll.jobs)
    return started or not with_room_of_their_own(poll, barred)
