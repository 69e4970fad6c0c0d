"""Simple orders on the trace of bench slurm."""

from __future__ import annotations

from dataclasses import replace

from bench.slurm_bound import Order, waits
from bench.slurm_trace import Entry, make_trace


def job(number: int, arrival: float, nodes: int, devices: int, seconds: float = 30.0) -> Entry:
    """A job for the two NVIDIA nodes of eight cards, with a limit of a minute."""
    options = f"--nodes={nodes}", f"--gres=gpu:{devices}", "--time=1"
    total = float(nodes * devices)
    return Entry(
        number, arrival, "train nvidia", "training", seconds, total, options, "", ("train-nv",)
    )


def test_who_is_protected_does_not_wait_for_those_after_him() -> None:
    """One card is busy for thirty seconds; the second wants all, the third a card for a minute."""
    trace = [job(0, 0.0, 1, 1), job(1, 1.0, 2, 8), job(2, 2.0, 1, 1)]
    assert waits(trace, Order(0), 0.0) == {0: 0.0, 1: 31.0, 2: 0.0}
    assert waits(trace, Order(1), 0.0) == {0: 0.0, 1: 29.0, 2: 58.0}
    short = [*trace[:2], replace(trace[2], seconds=20.0)]
    assert waits(short, Order(1, known=True), 0.0) == {0: 0.0, 1: 29.0, 2: 0.0}


def test_all_start_under_each_order() -> None:
    trace = make_trace(40, 0.8, 1)
    for order in (Order(0), Order(8), Order(8, pins=True), Order(8, known=True)):
        found = waits(trace, order, 1.0)
        assert sorted(found) == [entry.number for entry in trace]
        assert all(0 <= wait < 100 for wait in found.values())
