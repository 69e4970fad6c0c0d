"""slurm-het why: what was decided about one job, on which evidence, and what came of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from slurm_het.cli import story
from slurm_het.cli.filters import one_job
from slurm_het.cli.hetd_client import call
from slurm_het.cli.hetd_status import ask_hetd
from slurm_het.cli.options import CONFIG
from slurm_het.cli.sooner import sooner_lines
from slurm_het.cli.wording import load_wording, reworded
from slurm_het.cli.would import with_would
from slurm_het.config import load_config
from slurm_het.core.jobs.classify import classification_of
from slurm_het.core.jobs.ending import end_of
from slurm_het.core.model import Classification, Job, Snapshot
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.arrays import array_indexes
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.job_rows import View, make_view
from slurm_het.errors import HetError
from slurm_het.journal import History, Journal
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.times import local_time


@click.command()
@click.argument("job_id")
@CONFIG
def why(job_id: str, config: Path | None) -> None:
    """Show why a job waits, why it is where it is, or how it ended.

    Of an array's id, one line for the tasks that fare alike.

    \b
    Example:
      slurm-het why 1234
      slurm-het why 1234_7
    """
    job_id = one_job(job_id)
    settings = load_config(config)
    snapshot, jobs = asyncio.run(_records(CliSlurm(settings.slurm), job_id))
    array = "_" not in job_id and any(str(job.array_job_id) == job_id for job in jobs)
    history, silence = History(), ""
    # The id of one task alone, as squeue -o %A prints it, is not what the journal knows it by.
    single = jobs[0].key if jobs and not array and "_" not in job_id else job_id
    try:
        history = _own(_recall(single, settings), jobs)
    except HetError as error:
        if not jobs:
            raise HetError(f"Slurm knows no job {job_id}; {error.message}", error.hint) from error
        silence = error.message
    if not jobs and history.empty:
        raise HetError(f"Slurm knows no job {job_id}, and the journal neither", "see sacct")
    tell = _array if array or history.tasks else _job
    lines = tell(job_id, snapshot, jobs, history, settings)
    lines += [f"  no history: {silence}"] if silence else []
    lines += _shadow_lines(single, settings)
    for line in lines:
        click.echo(clean(line))


async def _records(slurm: CliSlurm, job_id: str) -> tuple[Snapshot, list[Job]]:
    """All that Slurm lists, and its records of that job, or of the tasks of that array.

    Those that ended too, until Slurm forgets them.
    """
    snapshot = await slurm.snapshot()
    jobs = _named(snapshot.jobs, job_id)
    number = int(job_id.partition("_")[0])
    if not jobs or any(job.array_job_id == number for job in jobs):
        ended = await slurm.ended_jobs((number,))
        known = {job.id: job for job in (*ended, *snapshot.jobs)}
        jobs = _named(known.values(), job_id)
    return snapshot, jobs


def _named(jobs: Iterable[Job], job_id: str) -> list[Job]:
    """The records that an id stands for: a job, the tasks of an array, or one of them."""
    array, _, task = job_id.partition("_")
    family = [job for job in jobs if str(job.array_job_id) == array]
    if not task:
        return family or [job for job in jobs if str(job.id) == job_id]
    rest = [j for j in family if int(task) in array_indexes(j.array_tasks, story.MAX_INDEXES)]
    return [job for job in family if job.key == job_id] or rest


def _job(
    job_id: str, snapshot: Snapshot, jobs: list[Job], history: History, settings: Config
) -> list[str]:
    """The story of one job."""
    job = jobs[0] if jobs else None
    end = history.end
    if job:
        head = f"{job.state} in {job.partition}, Slurm's reason {job.reason}"
        lines = [f"job {job_id} of {job.user}: {head}"]
        times = "once" if job.restarts == 1 else f"{job.restarts} times"
        lines += [f"  requeued {times}"] if job.restarts else []
        features = "" if job.finished else job.features
        lines += story.what_lines(job, history, _by_record(job, settings.policy), features)
        if job.state == "PENDING":
            view = _view(snapshot, settings)
            row = next(r for r in view.rows if r.job.id == job.id)
            lines += [f"  waits: {row.reason}", f"  do: {row.action}"]
            lines += sooner_lines(row.job, view, settings, CliSlurm(settings.slurm))
        end = end_of(job)
        if end and history.end and end.ended == history.end.ended:  # Slurm does not tell of devices
            end = history.end
    else:
        owner = f" of {history.user}" if history.user else ""
        lines = [f"job {job_id}{owner} is not in Slurm's queue any more"]
        lines += story.what_lines(None, history, None)
    lines += [*story.planned_lines(history), *story.told_line(history)]
    lines += [*story.outcome_lines(history), *story.waited_line(end, job, history)]
    return [*lines, story.end_line(end)] if end or not job else lines


def _array(
    array: str, snapshot: Snapshot, jobs: list[Job], history: History, settings: Config
) -> list[str]:
    """The story of an array: what it is, and how its tasks fare."""
    job = jobs[0] if jobs else None
    rest = next((job for job in jobs if job.state == "PENDING"), None)
    view = _view(snapshot, settings) if rest else None
    reasons = {row.job.id: row.reason for row in view.rows} if view else {}
    owner = job.user if job else history.user
    known = story.count_of(jobs, history)
    made = _by_record(job, settings.policy) if job else None
    return [
        f"job {array} of {owner} is an array; {known} of its tasks are known",
        *story.what_lines(job, history, made),
        *story.array_lines(array, jobs, reasons, history),
        *(sooner_lines(rest, view, settings, CliSlurm(settings.slurm)) if rest and view else ()),
    ]


def _by_record(job: Job, policy: Policy) -> Classification | None:
    """What a job is by its record in Slurm; None where that cannot be read."""
    try:
        return classification_of(job, policy)
    except HetError:
        return None


def _view(snapshot: Snapshot, settings: Config) -> View:
    """The jobs as het-squeue shows them."""
    hidden = asyncio.run(CliSlurm(settings.slurm).hidden())
    hetd = ask_hetd(settings.paths.control_socket, hidden=hidden)
    memory, limits = hetd.remembers(settings, hidden), settings.planner.limits
    snapshot = hetd.with_devices(snapshot)
    view = make_view(snapshot, settings.policy, limits, memory, local_time)
    view = reworded(view, load_wording(settings.paths.reasons))
    return with_would(view, hetd.shadow.would)


def _own(history: History, jobs: list[Job]) -> History:
    """The history, if it is of the job that Slurm has now: ids come again."""
    # One that was requeued is submitted anew, and is the same.
    other = any(
        job.user != history.user
        or (history.submitted and not job.restarts and job.submit_time > history.submitted)
        for job in jobs
    )
    return History() if history.user and other else history


def _recall(key: str, settings: Config) -> History:
    """From the journal, for those who may read it; else from hetd, who knows whose job it is."""
    if os.access(settings.paths.journal, os.R_OK):
        return _read(settings.paths.journal, key)
    return _ask(settings, key) if settings.plans else History()  # else it has shadow's alone


def _recall_shadow(key: str, settings: Config) -> History:
    """What shadow decided, from its journal, or from a hetd that has no other."""
    path = settings.paths.shadow_journal
    try:
        if os.access(path, os.R_OK):
            return _read(path, key)
        return History() if settings.plans else _ask(settings, key)
    except HetError:
        return History()


def _shadow_lines(key: str, settings: Config) -> list[str]:
    """The same in words; each line says that nothing of it was done."""
    history = _recall_shadow(key, settings)
    lines = [*story.planned_lines(history), *story.outcome_lines(history)]
    return [f"  shadow:{line[1:]}" for line in lines]


def _read(path: Path, key: str) -> History:
    journal = Journal(path, read_only=True)
    try:
        return journal.history(key)
    finally:
        journal.close()


def _ask(settings: Config, key: str) -> History:
    reply = call(settings.paths.control_socket, {"op": "history", "job": key})
    try:
        return msgspec.convert(reply["history"], History)
    except (KeyError, msgspec.ValidationError) as error:
        raise HetError("hetd is of another version", "restart it after an update") from error
