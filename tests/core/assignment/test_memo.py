"""What is worked out is kept, but not without end."""

from __future__ import annotations

import pytest

from slurm_het.core.assignment import memo
from slurm_het.core.assignment.memo import Memo


def test_a_memo_stays_small_and_keeps_what_came_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MOST", 3)
    squares: Memo[int, int] = Memo()
    for n in range(10):
        squares[n] = n * n
        assert squares[n] == n * n
        assert len(squares) <= 3
