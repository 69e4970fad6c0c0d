"""Reasons that lie in the site's limits: of a QOS, of an account, of a user."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_het.core.reasons.base import Reason


@dataclass(frozen=True, slots=True)
class AtLimit(Reason):
    """A limit leaves too little for it: Slurm's `word` for that, whose it is, of what, how much.

    `what` stands after `most`, in the singular or the plural. `used` is in use or promised to
    released jobs, `asks` is what it needs.
    """

    code = "at-limit"
    word: str
    of: str
    what: str
    most: int
    used: int
    asks: int

    def __str__(self) -> str:
        are = "is" if self.used == 1 else "are"
        taken = f", of which {self.used} {are} taken" if self.used else ""
        has = f"{self.of} may have {self.most} {self.what}{taken}"
        return f"{self.word}: {has}; it asks for {self.asks}"

    @property
    def for_ever(self) -> bool:
        """Whether it asks for more than that, whoever else ends."""
        return self.asks > self.most
