"""Pods that come and end, on a tiny cluster: the books, and that a bad policy is caught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

import pytest

from bench.fgd import Chooser, fgd
from bench.gaps import WHOLE, NodeModel, Shape
from bench.openb_plan import Outlook
from bench.steady import LeastCost, Planned, Pod, Run, Spot, coming
from bench.traces import Trace

ANY: frozenset[str] = frozenset()
MODEL = NodeModel("G2", 16_000, 16_384, 2)
PODS = (Shape(1000, 1024, 1, WHOLE, ANY), Shape(1000, 1024, 1, 500, ANY),
        Shape(2000, 1024, 2, WHOLE, ANY), Shape(1000, 512, 0, 0, ANY))  # fmt: skip
TRACE = Trace("tiny", {MODEL: 6}, PODS)
MODELS = [MODEL] * 6


class Heap:
    """Puts everything on the first device."""

    def place(self, pods: Sequence[Pod]) -> Iterator[tuple[Pod, Spot]]:
        """All of them."""
        yield from ((pod, Spot(0, tuple(range(pod.shape.devices)))) for pod in pods)

    def end(self, pod: Pod, spot: Spot) -> None:
        """Nothing is known of it."""


@pytest.mark.parametrize("load", [0.5, 1.5])
def test_what_is_asked_is_in_use_or_turned_away(load: float) -> None:
    chooser = Chooser(fgd(TRACE.mix()))
    for policy in (LeastCost(MODELS, chooser), Planned(Outlook(TRACE.nodes, TRACE.mix()))):
        seen = Run(policy, MODELS).seen(coming(TRACE, load, 7), 300.0)
        assert seen.infeasible == 0
        assert 0.2 < seen.allocated <= min(1.0, load) + 0.1
        assert seen.allocated == pytest.approx(load * (1 - seen.turned_away), rel=0.1)


def test_who_gives_a_device_twice_is_caught() -> None:
    assert Run(Heap(), MODELS).seen(coming(TRACE, 1.0, 7), 3.0).infeasible > 0


def test_so_many_come_as_the_load_says() -> None:
    pods = list(takewhile(lambda pod: pod.at < 400, coming(TRACE, 0.8, 3)))
    area = sum((pod.end - pod.at) * pod.shape.total for pod in pods if pod.at > 0) / 400
    assert area / TRACE.milli == pytest.approx(0.8, rel=0.1)
