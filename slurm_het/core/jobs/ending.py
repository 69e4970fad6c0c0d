"""How a job ended, from its last record."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_het.core.model import Job


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended. Times are epoch seconds.

    `key` is as `Job.label` has it: the tasks of an array that ended before Slurm split them off
    have one record (`123_[4-9]`). `state` is Slurm's word (COMPLETED, FAILED, …). Of `exit_code`
    and `signal` at most one is not 0. A job that never started has no `nodes`. `peak_mib` is the
    most that it was seen to take of one device; 0: not known. `eligible` is from when on Slurm let
    it start; 0: never, and None: not known, of what an older hetd saw end.
    """

    key: str
    submitted: int
    state: str
    started: int
    ended: int
    partition: str = ""
    nodes: str = ""
    exit_code: int = 0
    signal: int = 0
    peak_mib: int = 0
    eligible: int | None = None


def end_of(job: Job) -> JobEnd | None:
    """How a job ended; None of one that has not."""
    if not job.finished:
        return None
    return JobEnd(
        key=job.label,
        submitted=job.submit_time,
        state=job.state,
        started=job.start_time if job.nodes else 0,
        ended=job.end_time,
        partition=job.partition,
        nodes=job.nodes,
        exit_code=job.exit_code,
        signal=job.exit_signal,
        eligible=job.eligible_time or (None if job.nodes else 0),
    )
