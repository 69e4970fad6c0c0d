"""What a job waited for, in three parts: until Slurm let it start, in the queue, at its nodes."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_het.core.jobs.waits import AT_ONCE_SECONDS


@dataclass(frozen=True, slots=True)
class WaitSplit:
    """Seconds, which sum up to the wait.

    `before`: until Slurm found it eligible (a dependency, a hold, its begin time; sacct's Submit to
    Eligible). `queued`: until it was released to its nodes, or Slurm started it unasked. `pinned`:
    from then until its start.
    """

    before: int
    queued: int
    pinned: int

    @property
    def total(self) -> int:
        """The whole wait."""
        return self.before + self.queued + self.pinned


@dataclass(frozen=True, slots=True)
class Waited:
    """When a job was submitted, eligible, last released, and started, or ended without that.

    Epoch seconds; `eligible` and `released` are 0 where there was no such time.
    """

    submitted: int
    eligible: int
    released: float
    until: int

    def split(self) -> WaitSplit:
        """The parts of the wait. A job that was never eligible waited for that alone.

        Slurm takes a moment until it finds a job eligible: that is none of the first part.
        """
        until = max(self.submitted, self.until)
        eligible = min(until, max(self.submitted, self.eligible or until))
        if eligible <= self.submitted + AT_ONCE_SECONDS and self.eligible:
            eligible = self.submitted
        released = min(until, max(eligible, round(self.released or until)))
        return WaitSplit(eligible - self.submitted, released - eligible, until - released)
