"""Alive is not well: whether hetd's reads and updates of Slurm have come to anything lately."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_het.core.planner.outcomes import Event, Outcome

OWN_FAULT = (
    "Access/permission denied", "Invalid user id", "authentication", "cannot run",
    "did not answer", "Unable to contact", "Resource temporarily unavailable",
)  # fmt: skip
"""Slurm's words about a refused update that say nothing about the job: no job would be moved."""
NOT_DONE = frozenset({Event.REFUSED, Event.BUSY, Event.KEPT})
BACK_USERS = 2
"""A job that is back in the gate may have been put there by its user; jobs of two, hardly."""


class Health:
    """What failed, and since when; times are seconds of a clock that never goes back.

    `patience` is how long reads, or updates, may all fail before the gate must not stay closed.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.failures = 0
        self._failing_since = 0.0
        self._vain_since: float | None = None
        self._vain = 0
        self._back: set[str] = set()  # users
        self._words = ""

    def failed(self, began: float) -> None:
        """A cycle that began then was given up: Slurm could not be read."""
        self._failing_since = self._failing_since if self.failures else began
        self.failures += 1
        self._forget()  # what failed to be updated was no fault of the updates

    def _forget(self) -> None:
        self._vain_since, self._vain = None, 0
        self._back.clear()

    def worked(self, happened: Iterable[tuple[Outcome, str]], now: float) -> None:
        """A cycle came to its end; what became of jobs in it, each with the job's user."""
        self.failures = 0
        for (_, event, detail), user in happened:
            if event in {Event.STARTED, Event.ELSEWHERE}:
                self._forget()
            elif event is Event.BACK:
                self._back.add(user)
                if len(self._back) >= BACK_USERS:
                    self._in_vain("released jobs are in the intake again", now)
            elif event in NOT_DONE and any(word in detail for word in OWN_FAULT):
                self._in_vain(detail, now)

    def _in_vain(self, words: str, now: float) -> None:
        self._vain_since = now if self._vain_since is None else self._vain_since
        self._vain, self._words = self._vain + 1, words

    def failing(self, now: float) -> bool:
        """Whether reads have failed for so long that the gate must not stay closed for it."""
        return self.failures > 0 and now - self._failing_since >= self.patience

    def useless(self, now: float) -> str:
        """Why this hetd does no good: its updates have no effect. '' if they have some."""
        if self._vain_since is None or self._vain < 2 or now - self._vain_since < self.patience:
            return ""
        return (
            f"{self._vain} updates of jobs in {now - self._vain_since:.0f} s had no effect"
            f" ({self._words[-120:]}): the gate is left to plain Slurm"
        )
