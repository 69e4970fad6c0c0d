"""The process with pyslurm: `python -m slurm_het.slurm.api.child`, started by process.py.

libslurm holds Python's lock while it waits for slurmctld, ends the process where it finds no
slurm.conf, and may crash: so nothing else is done here. It ends when hetd closes the pipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec

from slurm_het.pipes import FrameError, own_pipes
from slurm_het.slurm.api.wire import JobsAsked, ToldJob, ToldJobs

GONE = "Invalid job id"
_INDEXES = re.compile(r"[0-9,-]+\Z")


def told_job(job: Any) -> ToldJob:
    """What is told of one of pyslurm's jobs."""
    running = job.state == "RUNNING"
    return ToldJob(
        id=job.id,
        state=job.state,
        restarts=job.requeue_count or 0,
        nodes=job.allocated_nodes or "",
        array_id=job.array_id or 0,
        array_task=job.array_task_id or 0,
        array_tasks=job.array_tasks_waiting or "",
        array_limit=_number(job.array_tasks_parallel),
        max_nodes=_number(job.max_nodes),
        memory_per_cpu=_number(job.memory_per_cpu),
        memory_per_node=_number(job.memory_per_node),
        switches=_number(job.required_switches),
        switches_wait=_number(job.max_wait_time_switches),
        flags=tuple(_flags(job)),
        gres=tuple(_gres(job.get_resource_layout_per_node())) if running else (),
        shared=job.resource_sharing or "",
        ntasks_per_gpu=_number(job.ntasks_per_gpu),
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0  # also of what is unlimited


def _flags(job: Any) -> Iterator[str]:
    """The flags that layouts.py knows; that of --use-min-nodes pyslurm does not tell."""
    if job.spreads_over_nodes:
        yield "SPREAD_JOB"
    if job.gres_binding == "enforce-binding":
        yield "GRES_ENFORCE_BIND"
    if getattr(job, "spread_segments", False):
        yield "SPREAD_SEGMENTS"
    if getattr(job, "consolidate_segments", False):
        yield "CONSOLIDATE_SEGMENTS"


def _gres(
    layout: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[tuple[str, int, str | None], ...]]:
    for held in layout.values():
        yield tuple(_held(name, what) for name, what in (held["gres"] or {}).items())


def _held(name: str, what: Any) -> tuple[str, int, str | None]:
    """`{"count": 2, "indexes": "2-3"}`; of shares, and of none, just the count."""
    if not isinstance(what, Mapping):
        return name, int(what), None
    indexes = str(what["indexes"])
    return name, int(what["count"]), indexes if _INDEXES.match(indexes) else None


def read(pyslurm: Any, question: JobsAsked) -> Mapping[int, Any]:
    """pyslurm's jobs, at least those that it asks for. Raises what pyslurm raises."""
    if not question.singly or question.ids is None:
        return cast("Mapping[int, Any]", pyslurm.Jobs.load())
    found = {}
    for job_id in question.ids:
        try:
            found[job_id] = pyslurm.Job.load(job_id)
        except pyslurm.RPCError as error:
            if GONE not in str(error):
                raise
    return found


def answer(jobs: Mapping[int, Any], question: JobsAsked) -> ToldJobs:
    """Those of pyslurm's jobs that it asks for, less those that pyslurm cannot read."""
    wanted, told = None if question.ids is None else set(question.ids), []
    for job in jobs.values():
        if wanted is None or job.id in wanted:
            with suppress(Exception):  # of this job: squeue tells it
                told.append(told_job(job))
    return ToldJobs(tuple(told))


def main() -> None:
    """Answer questions until the other side closes the pipe."""
    pipes, decoder = own_pipes(), msgspec.msgpack.Decoder(JobsAsked)
    try:
        import pyslurm
    except Exception as error:  # noqa: BLE001  # not there, of another Slurm, half installed
        pipes.send(_encoded(ToldJobs(failure=f"{type(error).__name__}: {error}", useless=True)))
        return
    said = ToldJobs()
    jobs: Mapping[int, Any] = {}
    while True:
        try:
            pipes.send(_encoded(said))
            jobs = {}  # not before: to free them takes a while
            question = decoder.decode(pipes.receive())
        except FrameError:
            return
        try:
            jobs = read(pyslurm, question)
            said = answer(jobs, question)
        except Exception as error:  # noqa: BLE001  # a process boundary: the other side says it
            said = ToldJobs(failure=f"{type(error).__name__}: {error}")


def _encoded(said: ToldJobs) -> bytes:
    return msgspec.msgpack.encode(said)


if __name__ == "__main__":
    main()
