"""The gate as a state machine: a table of who moves it where, and what is done then.

The gate is the intake partition: DOWN holds what is submitted, UP lets plain Slurm schedule it.
`daemon/gate.py` turns snapshots and failures into events and carries the orders out; systemd's
ExecStopPost, or `supervise.py`, plays STOP when hetd itself no longer can.
"""

from __future__ import annotations

from enum import StrEnum


class GateState(StrEnum):
    """What hetd knows of the gate."""

    RECOVERING = "recovering"  # Slurm's truth is not known: nothing is planned
    CLOSING = "closing"  # DOWN was sent; what plain Slurm started before is not seen yet
    CLOSED = "closed"  # seen DOWN: what waits is planned
    OPEN = "open"  # plain Slurm schedules, as it should


class GateEvent(StrEnum):
    """What moves the gate. The first three are what a snapshot shows while hetd is to plan."""

    UP = "up"  # not closed yet; slurmctld restarted or reconfigured; bypass is off again
    DOWN = "down"
    OTHER = "other"  # DRAIN, or no such partition: the admin's word
    BYPASS = "bypass"  # a snapshot while `slurm-het bypass on` holds
    LOST = "lost"  # slurmctld did not answer, or refused to close the gate
    FAILING = "failing"  # LOST for so long that the gate must not stay closed for it
    STOP = "stop"  # hetd stops, crashes, or misses its watchdog


class GateOrder(StrEnum):
    """What is done on a transition."""

    NONE = "-"
    CLOSE = "set DOWN"
    OPEN = "set UP"
    PLAN = "plan"


Move = tuple[GateState, GateOrder]

_OPEN: Move = (GateState.OPEN, GateOrder.OPEN)
_LEAVE: Move = (GateState.OPEN, GateOrder.NONE)
_CLOSE: Move = (GateState.CLOSING, GateOrder.CLOSE)
_PLAN: Move = (GateState.CLOSED, GateOrder.PLAN)
_LEARN: Move = (GateState.RECOVERING, GateOrder.NONE)

# In an open gate jobs start by themselves: a hand that closed it is no reason to plan from a
# snapshot whose jobs may be older than that. One more is taken first.
TABLE: dict[GateState, dict[GateEvent, Move]] = {
    state: {
        GateEvent.UP: _CLOSE,
        GateEvent.DOWN: _LEARN if state is GateState.OPEN else _PLAN,
        GateEvent.OTHER: _LEAVE,
        GateEvent.BYPASS: _OPEN,
        GateEvent.LOST: _LEAVE if state is GateState.OPEN else _LEARN,
        GateEvent.FAILING: _OPEN,
        GateEvent.STOP: _OPEN,
    }
    for state in GateState
}


def step(state: GateState, event: GateEvent) -> Move:
    """The next state, and what is done on the way there."""
    return TABLE[state][event]
