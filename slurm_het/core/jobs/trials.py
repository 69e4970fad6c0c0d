"""Trials: how a user's programs fared before on each vendor's devices: evidence of where they run.

A program is known by what its script launches, not by its parameters. One that failed within
moments on a vendor's devices, and not on others', most likely cannot use them; one that ran well
can. Each user's trials are evidence for the same user's jobs alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from slurm_het.core.jobs.by_user import ByUser
from slurm_het.core.jobs.launched import passes_on, shown_by
from slurm_het.core.jobs.sizes import size_of_runs, wanted_mib, with_run
from slurm_het.core.model import Job
from slurm_het.core.syntax.script import Script

MOMENTS = 60
"""What fails within so many seconds most likely never came to its work."""
AFRESH = 3
"""So many failures in a row outweigh that it ran well before: it is not what it was."""
MOST, MOST_OF_USER = 20_000, 200
"""So many trials are kept, in all and of one user; the newest ones."""
MAX_NAME = 64
AHEAD = 30 * 86400
"""What ended so many seconds later than a job that ends now was noted by a clock that was ahead. It
does not keep what comes after from counting."""
_OF_PROGRAMS = frozenset({"modules", "images", "programs", "options", "imports"})
_STOPPED = frozenset({130, 137, 143})
"""Exit codes of what was interrupted or killed from outside: they say nothing of the program."""
_CRASHES = frozenset({4, 6, 7, 8, 11})
"""Signals by which a program itself ends: ILL, ABRT, BUS, FPE, SEGV."""


Says = Literal["failed", "worked", ""]


class Trial(NamedTuple):
    """How a user's program fared on a vendor's devices.

    `well`: it has run well there; `failures`: so many submissions have failed within moments since;
    without either there is nothing to know. `time`: when the last of its `job`s ended, `submitted`:
    when the last one that failed was submitted (both epoch seconds). `peaks`: the MiB of one device
    that its last runs took at their peaks, as far as devices tell.
    """

    user: str
    program: str
    vendor: str
    time: float = 0.0
    well: bool = False
    failures: int = 0
    submitted: int = 0
    job: str = ""
    peaks: tuple[int, ...] = ()

    @property
    def says(self) -> Says:
        """Whether it speaks for the vendor, or against it."""
        if self.failures >= (AFRESH if self.well else 1):
            return "failed"
        return "worked" if self.well else ""


def program_of(script: Script) -> str:
    """A short name for what a script launches, and with which software; '' if that is nothing.

    Variables, arguments and comments do not count, nor how often a thing is launched. A shell or an
    interpreter alone is no program: one session of it is not like the next.
    """
    shown = [s for s in shown_by(script) if s.place in _OF_PROGRAMS]
    if not any(s.place == "programs" and not passes_on(s.text) for s in shown):
        return ""
    text = "\n".join(dict.fromkeys(s.place + s.text for s in shown))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=6).hexdigest()


def went_well(job: Job) -> bool | None:
    """Whether a job that ended ran well; False if it failed within moments; None: it says nothing.

    A cancelled job says nothing, nor does one that lost its node, ran out of time, or was killed.
    """
    if not job.nodes or not job.start_time:
        return None
    if job.state == "COMPLETED":
        return True
    by_itself = job.exit_signal in _CRASHES or (job.exit_code and job.exit_code not in _STOPPED)
    soon = 0 <= job.end_time - job.start_time <= MOMENTS
    return False if job.state == "FAILED" and by_itself and soon else None


class Trials:
    """A bounded table of the trials that are known."""

    def __init__(self, trials: Iterable[Trial] = ()) -> None:
        self._known = ByUser[Trial](MOST, MOST_OF_USER)
        for trial in trials:
            self.put(trial)

    def of(self, user: str, program: str, vendors: Iterable[str]) -> tuple[Trial, ...]:
        """A user's trials of a program on these vendors' devices."""
        if not (user and program):
            return ()
        found = (self._known.get(user, (program, vendor)) for vendor in sorted(vendors))
        return tuple(trial for trial in found if trial)

    def of_user(self, user: str) -> list[Trial]:
        """All of a user, the oldest first."""
        return self._known.of(user)

    def all(self) -> list[Trial]:
        """All of them, each user's oldest first."""
        return self._known.all()

    def older(self, oldest: float) -> list[Trial]:
        """Those whose last job ended before that (epoch seconds)."""
        return [trial for trial in self.all() if trial.time < oldest]

    def put(self, trial: Trial) -> list[Trial]:
        """Know this of it, in place of what was known; returns what is forgotten for that."""
        told = trial if trial.well or trial.failures else None
        gone = self._known.put(trial.user, (trial.program, trial.vendor), told)
        return list(map(forgotten, gone))

    def after(
        self, job: Job, program: str, vendor: str, peak_mib: int = 0, died_of: int = 0
    ) -> tuple[Trial, Trial]:
        """The trial before and after a job of a program has ended there; 0: its peak is not known,
        or it did not die of its share (of so many GiB).

        What has been taken in already may come again. An array that fails has failed once. Who died
        of his share says nothing of the vendor; what he needs is more than he had.
        """
        well = None if died_of else went_well(job)
        known = self._known.get(job.user, (program, vendor))
        before = known or Trial(job.user, program, vendor)
        names = (job.user, program, vendor)
        said = died_of or well is not None
        if not said or not all(0 < len(name) <= MAX_NAME for name in names):
            return before, before
        if (job.end_time, job.key) == (before.time, before.job):
            return before, before
        if job.end_time < before.time <= job.end_time + AHEAD:
            return before, before
        if died_of:
            lacked = with_run(before.peaks, max(peak_mib, wanted_mib(died_of)))
            return before, before._replace(time=float(job.end_time), job=job.key, peaks=lacked)
        if not well and job.submit_time == before.submitted:
            return before, before
        after = before._replace(
            time=float(job.end_time), well=before.well or bool(well), job=job.key,
            failures=0 if well else min(before.failures + 1, AFRESH),
            submitted=before.submitted if well else job.submit_time,
            peaks=with_run(before.peaks, peak_mib) if well and peak_mib else before.peaks,
        )  # fmt: skip
        return before, after


NO_TRIALS = Trials()
"""Nothing is known."""


def forgotten(trial: Trial) -> Trial:
    """What takes a trial's place when there is nothing to know any longer."""
    return Trial(trial.user, trial.program, trial.vendor)


def weigh_trials(allowed: Collection[str], trials: Iterable[Trial]) -> tuple[tuple[str, ...], str]:
    """Of the vendors that a job may use for all that else is known those that are left, and why.

    Where it failed is left out, as long as any remain: what failed everywhere says nothing. Where
    none of them has been tried with success, and another has, it goes there.
    """
    trials = tuple(trials)
    failed = [t for t in trials if t.says == "failed" and t.vendor in allowed]
    worked = [t for t in trials if t.says == "worked"]
    left = set(allowed) - {t.vendor for t in failed}
    if worked and left.isdisjoint(t.vendor for t in worked):
        return tuple(t.vendor for t in worked), f"it ran well there ({_jobs(worked)})"
    if failed and left:
        where = "|".join(t.vendor for t in failed)
        return tuple(sorted(left)), f"it failed within moments on {where} ({_jobs(failed)})"
    return tuple(sorted(allowed)), ""


def learned_gib(trials: Iterable[Trial]) -> int:
    """The GiB of a device that such a job is given by how it ran before, wherever; 0: not known."""
    return max((size_of_runs(trial.peaks) for trial in trials), default=0)


def _jobs(trials: Iterable[Trial]) -> str:
    return ", ".join(f"job {trial.job}" for trial in list(trials)[:3])
