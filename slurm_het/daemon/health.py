"""Alive is not well: whether hetd's reads and updates of Slurm have come to anything lately."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from slurm_het.core.planner.outcomes import Event, Outcome

MAX_BACKOFF = 30.0
"""The longest pause (seconds) between cycles that fail."""
OWN_FAULT = (
    "Access/permission denied", "Invalid user id", "authentication", "cannot run",
    "did not answer", "Unable to contact", "Resource temporarily unavailable",
    "did not move the job",
)  # fmt: skip
"""Slurm's words about a refused update that say nothing about the job: no job would be moved."""
NOT_DONE = frozenset({Event.REFUSED, Event.BUSY, Event.KEPT})
DONE = frozenset({Event.RELEASED, Event.RESERVED, Event.RETURNED})  # Slurm took the update
STARTED = frozenset({Event.STARTED, Event.ELSEWHERE})
BACK_USERS = 2
"""A job that is back in the gate may have been put there by its user; jobs of two, hardly."""


@dataclass
class _Vain:
    """Updates without effect in a row: how many, since when, and when the last one was."""

    times: int = 0
    since: float = 0.0
    last: float = 0.0
    words: str = ""
    users: set[str] = field(default_factory=set)

    def add(self, words: str, user: str, now: float, spacing: float) -> None:
        if not self.times or now - self.last > spacing:
            self.times, self.since = 0, now
            self.users.clear()
        self.times, self.last, self.words = self.times + 1, now, words
        self.users.add(user)

    def lasts(self, patience: float, spacing: float, now: float) -> bool:
        return self.times >= 2 and now - self.since >= patience and now - self.last <= spacing


class Health:
    """What failed, and since when; times are seconds of a clock that never goes back.

    `patience` is how long reads, or updates, may all fail before the gate must not stay closed.
    Updates that fail more than `spacing` apart have nothing to do with each other: what is refused
    is tried again sooner.
    """

    def __init__(self, patience: float, spacing: float) -> None:
        self.patience, self.spacing = patience, max(spacing, 2 * patience)
        self.failures = 0
        self._failing_since = 0.0
        self._forget()

    def _forget(self) -> None:
        self._refused, self._back = _Vain(), _Vain()

    def failed(self, began: float) -> None:
        """A cycle that began then was given up: Slurm could not be read.

        Where updates were refused until then, it is since the first of these that nothing works.
        """
        if not self.failures:
            vain = self._refused
            lately = vain.times >= 2 and began - vain.last <= self.patience
            self._failing_since = vain.since if lately else began
        self.failures += 1
        self._forget()  # what failed to be updated was no fault of the updates

    def worked(self, happened: Iterable[tuple[Outcome, str]], now: float) -> None:
        """A cycle came to its end; what became of jobs in it, each with the job's user."""
        self.failures = 0
        for (_, event, detail), user in happened:
            if event in STARTED:
                self._forget()
            elif event in DONE:
                self._refused = _Vain()
            elif event is Event.BACK:
                words = "released jobs are in the intake again"
                self._back.add(words, user, now, self.spacing)
            elif event in NOT_DONE and any(word in detail for word in OWN_FAULT):
                self._refused.add(detail, user, now, self.spacing)

    def failing(self, now: float) -> bool:
        """Whether reads have failed for so long that the gate must not stay closed for it."""
        return self.failures > 0 and now - self._failing_since >= self.patience

    def told(self, now: float) -> str:
        """What fails at present, in words that name no job; '' if nothing does."""
        if self.failures > 1:
            return f"Slurm could not be read {self.failures} times in a row"
        refused = self._refused
        if refused.times < 2 or now - refused.last > self.spacing:
            return ""
        why = next(word for word in OWN_FAULT if word in refused.words)
        return f"{refused.times} updates of jobs in a row were refused ({why})"

    def useless(self, now: float) -> str:
        """Why this hetd does no good: its updates have no effect. '' if they have some."""
        counted = [self._refused] + [self._back] * (len(self._back.users) >= BACK_USERS)
        for vain in counted:
            if vain.lasts(self.patience, self.spacing, now):
                return (
                    f"{vain.times} updates of jobs in {now - vain.since:.0f} s had no effect"
                    f" ({vain.words[-120:]}): the gate is left to plain Slurm"
                )
        return ""
