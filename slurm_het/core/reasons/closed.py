"""Reasons that lie in Slurm's own reservations."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_het.core.reasons.base import Reason, TellTime, few


@dataclass(frozen=True, slots=True)
class Closed(Reason):
    """Its limit, in `minutes` (None: it has none), reaches into a reservation of Slurm's.

    The reservation of `nodes` lasts already, or begins at `begin` (epoch seconds).
    """

    code = "closed"
    name: str
    nodes: tuple[str, ...]
    minutes: int | None
    begin: float | None = None

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        if self.begin is None:
            return f"{few(self.nodes)} {_are(self.nodes)} reserved ({self.name})"
        limit = "it has no time limit and" if self.minutes is None else (
            f"its limit of {self.minutes} min")  # fmt: skip
        where = f"from {at(self.begin)}, {few(self.nodes)}"
        return f"{limit} reaches into the reservation {self.name} ({where})"

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class OpensLater(Reason):
    """It is for a reservation that begins at `begin` (epoch seconds), or is not in force (None)."""

    code = "opens-later"
    name: str
    begin: float | None = None

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        if self.begin is None:
            return f"it is for the reservation {self.name}, which is not in force"
        return f"it is for the reservation {self.name}, which begins at {at(self.begin)}"

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class LeftOut(Reason):
    """It is for a reservation that has not, or no longer, these nodes."""

    code = "left-out"
    name: str
    nodes: tuple[str, ...]

    def __str__(self) -> str:
        return f"the reservation {self.name} has {few(self.nodes)} no more"


def _are(names: tuple[str, ...]) -> str:
    return "are" if len(names) > 1 else "is"
