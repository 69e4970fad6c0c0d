"""What came of a job that was planned: the events that the journal keeps."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Event(StrEnum):
    """What happened to a job. The words stand in the journal: they are only ever added to."""

    RELEASED = "released"  # an update sent it to its nodes, which are free
    RESERVED = "reserved"  # the same, to nodes that are free later
    DUE = "due"  # in shadow: these are free now, so that Slurm would start it
    REFUSED = "refused"  # Slurm did not take the update
    BUSY = "busy"  # Slurm had no time for the update: it is sent again
    AT_ONCE = "at once"  # interactive, it did not wait in the gate
    STARTED = "started"
    ELSEWHERE = "elsewhere"  # it started on other nodes than planned
    GONE = "gone"  # it ended without having started, or has left Slurm's queue
    BACK = "back"  # it is in the intake again, and nobody took it back
    MOVED = "moved"  # somebody else sent it to another partition
    RETURNED = "returned"  # it was taken back into the gate
    KEPT = "kept"  # it could not be taken back
    PREEMPTED = "preempted"  # it made room for another job, and waits again or has ended
    HANDED_OVER = "handed over"  # plain Slurm places it
    OVERRUNS = "overruns"  # it has more of a shared device than its share
    ENDED = "ended"  # for that, after a warning
    OUTGREW = "outgrew its share"  # it died of its size: it is about to be requeued
    RESUBMITTED = "resubmitted"  # it was, and has a larger one


class Outcome(NamedTuple):
    """An event of one job (`123`, `123_4`), and more of it in words."""

    key: str
    event: Event
    detail: str
