"""The gate as a state machine: a table of who moves it where, and what is done then.

The gate is the intake partition: DOWN holds what is submitted, UP lets plain Slurm schedule it.
`daemon/gate.py` turns snapshots and failures into events and carries the orders out; systemd's
ExecStopPost, or `supervise.py`, plays STOP when hetd itself no longer can.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What hetd knows of the gate."""

    RECOVERING = "recovering"  # Slurm's truth is not known: nothing is planned
    CLOSING = "closing"  # DOWN was sent; what plain Slurm started before is not seen yet
    CLOSED = "closed"  # seen DOWN: what waits is planned
    OPEN = "open"  # plain Slurm schedules, as it should


class Event(StrEnum):
    """What moves the gate. The first three are what a snapshot shows while hetd is to plan."""

    UP = "up"  # not closed yet; slurmctld restarted or reconfigured; bypass is off again
    DOWN = "down"
    OTHER = "other"  # DRAIN, or no such partition: the admin's word
    BYPASS = "bypass"  # a snapshot while `slurm-het bypass on` holds
    LOST = "lost"  # slurmctld did not answer, or refused to close the gate
    FAILING = "failing"  # LOST for so long that the gate must not stay closed for it
    STOP = "stop"  # hetd stops, crashes, or misses its watchdog


class Order(StrEnum):
    """What is done on a transition."""

    NONE = "-"
    CLOSE = "set DOWN"
    OPEN = "set UP"
    PLAN = "plan"


Move = tuple[State, Order]

_OPEN: Move = (State.OPEN, Order.OPEN)
_LEAVE: Move = (State.OPEN, Order.NONE)
_CLOSE: Move = (State.CLOSING, Order.CLOSE)
_PLAN: Move = (State.CLOSED, Order.PLAN)
_LEARN: Move = (State.RECOVERING, Order.NONE)

# In an open gate jobs start by themselves: a hand that closed it is no reason to plan from a
# snapshot whose jobs may be older than that. One more is taken first.
TABLE: dict[State, dict[Event, Move]] = {
    state: {
        Event.UP: _CLOSE,
        Event.DOWN: _LEARN if state is State.OPEN else _PLAN,
        Event.OTHER: _LEAVE,
        Event.BYPASS: _OPEN,
        Event.LOST: _LEAVE if state is State.OPEN else _LEARN,
        Event.FAILING: _OPEN,
        Event.STOP: _OPEN,
    }
    for state in State
}


def step(state: State, event: Event) -> Move:
    """The next state, and what is done on the way there."""
    return TABLE[state][event]
