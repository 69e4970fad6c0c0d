"""The gate's table: what no run of events may lead to, and what a quiet run always leads to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.gate import TABLE, GateEvent, GateOrder, GateState, step

events = st.lists(st.sampled_from(list(GateEvent)), max_size=30)


def walk(
    run: list[GateEvent], state: GateState = GateState.RECOVERING
) -> list[tuple[GateState, GateEvent, GateOrder]]:
    """The state before, the event and the order of each step."""
    trail = []
    for event in run:
        after, order = step(state, event)
        trail.append((state, event, order))
        state = after
    return trail


def test_every_state_has_a_move_for_every_event() -> None:
    assert {s: set(moves) for s, moves in TABLE.items()} == {s: set(GateEvent) for s in GateState}


@given(events)
def test_only_what_was_seen_down_is_planned_and_never_out_of_an_open_gate(
    run: list[GateEvent],
) -> None:
    for before, event, order in walk(run):
        assert (order is GateOrder.PLAN) == (
            event is GateEvent.DOWN and before is not GateState.OPEN
        )


@given(events, st.sampled_from([GateEvent.STOP, GateEvent.BYPASS, GateEvent.FAILING]))
def test_stop_bypass_and_failing_open_it_whatever_was_before(
    run: list[GateEvent], last: GateEvent
) -> None:
    state = GateState.RECOVERING
    for event in run:
        state, _ = step(state, event)
    assert step(state, last) == (GateState.OPEN, GateOrder.OPEN)


@given(events)
def test_a_lost_slurmctld_is_ordered_nothing(run: list[GateEvent]) -> None:
    for _, event, order in walk([*run, GateEvent.LOST]):
        assert event is not GateEvent.LOST or order is GateOrder.NONE


@given(events, st.booleans(), st.booleans())
def test_it_settles_within_three_snapshots(run: list[GateEvent], up: bool, bypass: bool) -> None:
    """Against a partition that obeys, from wherever the events led: closed, or open by bypass."""
    state = GateState.RECOVERING
    for event in run:
        state, _ = step(state, event)
    for _ in range(3):
        seen = GateEvent.BYPASS if bypass else (GateEvent.UP if up else GateEvent.DOWN)
        state, order = step(state, seen)
        up = {GateOrder.OPEN: True, GateOrder.CLOSE: False}.get(order, up)
    assert (state, up) == ((GateState.OPEN, True) if bypass else (GateState.CLOSED, False))


@pytest.mark.parametrize("state", list(GateState))
def test_the_table_in_the_docs_is_the_table(state: GateState) -> None:
    text = Path("docs/gate.md").read_text()
    rows = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in text.splitlines() if "|" in line]
    at = next(n for n, r in enumerate(rows) if r[0] == "state \\ event")
    head, row = rows[at], next(r for r in rows[at:] if r[0] == state)
    told = dict(zip(head[1:], row[1:], strict=True))
    moves = TABLE[state].items()
    assert told == {e: f"{s}, {o}" if o is not GateOrder.NONE else str(s) for e, (s, o) in moves}
