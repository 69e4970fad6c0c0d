"""Whether it is clear that jobs would wait shorter, or longer: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Sign = Literal["sooner", "later", "unclear"]
LEAST_PARTS = 4
"""So many renditions, or weeks, must agree at least."""


def sign_of(changes: Sequence[float], none: float) -> Sign:
    """What the mean changes of the wait in each part, seconds, have in common; a change of at most
    `none` seconds is none.

    Ten queues that ran on a real Slurm with and without hetd say that it takes all of them: where
    most of the renditions agreed and not all, the sign was wrong as often as right (`./dev bench
    truth`).
    """
    if len(changes) < LEAST_PARTS:
        return "unclear"
    mean = sum(changes) / len(changes)
    if all(change < 0 for change in changes) and mean < -none:
        return "sooner"
    if all(change > 0 for change in changes) and mean > none:
        return "later"
    return "unclear"
