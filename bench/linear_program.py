"""A linear program as plain data; linear.py solves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class LpColumn(NamedTuple):
    """A variable, 0 <= x <= upper: its factor in the objective, and its coefficients by row."""

    gain: float
    upper: float
    terms: dict[int, float]


@dataclass
class LinearProgram:
    """maximise Σ gain·x subject to each row's Σ coefficient·x <= its limit."""

    limits: list[float] = field(default_factory=list)
    columns: list[LpColumn] = field(default_factory=list)

    def row(self, limit: float) -> int:
        """Add a row without coefficients; its index."""
        self.limits.append(limit)
        return len(self.limits) - 1

    def column(self, gain: float, terms: dict[int, float], upper: float = float("inf")) -> int:
        """Add a column; its index."""
        self.columns.append(LpColumn(gain, upper, terms))
        return len(self.columns) - 1
