"""The bounds on the first cycles of a pool in plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from slurm_het.core.views.watch import Look, broken

BEFORE = Look(0.0, used=14, devices=16)
WELL = Look(10.0, used=14, devices=16, waiting=3, released=5)


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ([WELL] * 6, ""),
        ([replace(WELL, silence="hetd is not answering")] * 2, ""),
        ([replace(WELL, silence="hetd is not answering")] * 3, "not answering"),
        ([replace(WELL, gate="closing")], ""),
        ([replace(WELL, gate="closing", seconds=31.0)], "the gate is closing 31 s after"),
        ([replace(WELL, troubles=("the journal is off",))] * 2, "the journal is off"),
        ([replace(WELL, failed=2, released=0)], ""),
        ([replace(WELL, failed=3, released=9)], "3 of 12 releases failed"),
        ([replace(WELL, failed=3, released=90)], ""),
        ([replace(WELL, used=12)] * 5, "12 of 16 devices are in use, 14 were before, and 3 tasks"),
        ([replace(WELL, used=12)] * 4, ""),
        ([replace(WELL, used=2, waiting=0)] * 6, ""),
    ],
)  # fmt: skip
def test_each_bound_is_told_from_the_others(looks: Sequence[Look], words: str) -> None:
    found = broken(BEFORE, looks)
    assert words in found
    assert bool(words) == bool(found)
