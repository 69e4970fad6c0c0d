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
from slurm_het.cli.hetd_client import call, slurm_of
from slurm_het.cli.hetd_status import ask_hetd
from slurm_het.cli.options import CONFIG
from slurm_het.cli.program import result_of
from slurm_het.cli.sooner import seek
from slurm_het.cli.why_documents import JobStory, why_document
from slurm_het.cli.wording import load_wording, reworded
from slurm_het.cli.would import with_would
from slurm_het.config import load_config
from slurm_het.core.jobs.asked import classification_of
from slurm_het.core.model import Classification, Job, Snapshot
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.arrays import array_ranges, has_task
from slurm_het.core.syntax.gres import format_indexes
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.job_rows import View, make_view
from slurm_het.errors import HetError
from slurm_het.journal import History, Journal
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.times import local_time

MAX_TOLD = 200
"""So many characters of a list of tasks are told."""


@click.command()
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON with stable keys.")
@CONFIG
def why(job_id: str, as_json: bool, config: Path | None) -> None:
    """Show why a job waits, why it is where it is, or how it ended.

    Of an array's id, one line for the tasks that fare alike.

    \b
    Examples:
      slurm-het why 1234
      slurm-het why 1234_7
      slurm-het why --json 1234
    """
    known = _look(one_job(job_id), load_config(config))
    if as_json:
        click.echo(msgspec.json.encode(why_document(known)).decode())
        return
    lines = _array_lines(known) if known.array else _job_lines(known)
    lines += [f"  no history: {known.silence}"] if known.silence else []
    for line in [*lines, *_shadow_lines(known.shadow)]:
        click.echo(clean(line))


def _look(job_id: str, settings: Config) -> JobStory:
    """All that Slurm, the journal and the planner know of a job or an array."""
    snapshot, listed = result_of(asyncio.run, _records(slurm_of(settings), job_id))
    jobs = _named(listed, job_id)
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
    shadow = _recall_shadow(single, settings)
    if not (jobs or history.tells or shadow.tells):
        _refuse_no_task(job_id, listed, settings)
    if not jobs and history.empty:
        raise HetError(f"Slurm knows no job {job_id}, and the journal neither", "see sacct")
    known = JobStory(
        id=job_id,
        array=array or bool(history.tasks),
        jobs=jobs,
        history=history,
        shadow=shadow,
        made=_by_record(jobs[0], settings.policy) if jobs else None,
        silence=silence,
    )
    waits = next((job for job in jobs if job.state == "PENDING"), None)
    one = waits if known.array else jobs[0] if jobs and jobs[0].state == "PENDING" else None
    return _with_reasons(known, one, snapshot, settings) if one else known


def _with_reasons(known: JobStory, one: Job, snapshot: Snapshot, settings: Config) -> JobStory:
    """The same, and why those that wait do; what would start that one sooner."""
    view = _view(snapshot, settings)
    row = next(row for row in view.rows if row.job.id == one.id)
    sought = seek(row.job, view, settings, CliSlurm(settings.slurm))
    reasons = {row.job.id: row.reason for row in view.rows}
    return msgspec.structs.replace(known, row=row, reasons=reasons, sought=sought)


async def _records(slurm: CliSlurm, job_id: str) -> tuple[Snapshot, list[Job]]:
    """All that Slurm lists, and those of its records among which that job is, or the tasks of that
    array: those that ended too, until Slurm forgets them."""
    snapshot = await slurm.snapshot()
    jobs = _named(snapshot.jobs, job_id)
    number = int(job_id.partition("_")[0])
    if jobs and all(job.array_job_id != number for job in jobs):
        return snapshot, list(snapshot.jobs)
    ended = await slurm.ended_jobs((number,))
    known = {job.id: job for job in (*ended, *snapshot.jobs)}
    return snapshot, list(known.values())


def _refuse_no_task(job_id: str, listed: list[Job], settings: Config) -> None:
    """Raises HetError for the id of a task that there is not: of a job that is no array, or none of
    the tasks of the array that Slurm and the journal know."""
    array, _, task = job_id.partition("_")
    if not task:
        return
    family, past = _named(listed, array), _recall(array, settings)
    if any(job.array_job_id for job in family) or past.tasks:
        known = story.known_tasks(family, past)
        if known and not any("..." in job.array_tasks for job in family):  # Slurm tells not all
            them = format_indexes(known)[:MAX_TOLD]
            raise HetError(f"array {array} has no task {task} that is known", f"known are {them}")
    elif family or past.placement or past.end:
        raise HetError(f"job {array} is no array", f"slurm-het why {array}")


def _named(jobs: Iterable[Job], job_id: str) -> list[Job]:
    """The records that an id stands for: a job, the tasks of an array, or one of them."""
    array, _, task = job_id.partition("_")
    family = [job for job in jobs if str(job.array_job_id) == array]
    if not task:
        return family or [job for job in jobs if str(job.id) == job_id]
    rest = [j for j in family if has_task(array_ranges(j.array_tasks), int(task))]
    return [job for job in family if job.key == job_id] or rest


def _job_lines(known: JobStory) -> list[str]:
    """The story of one job."""
    job, history = known.job, known.history
    if job:
        head = f"{job.state} in {job.partition}, Slurm's reason {job.reason}"
        lines = [f"job {known.id} of {job.user}: {head}"]
        times = "once" if job.restarts == 1 else f"{job.restarts} times"
        lines += [f"  requeued {times}"] if job.restarts else []
        features = "" if job.finished else job.features
        lines += story.what_lines(job, history, known.made, features)
    else:
        owner = f" of {history.user}" if history.user else ""
        lines = [f"job {known.id}{owner} is not in Slurm's queue any more"]
        lines += story.what_lines(None, history, None)
    if known.row:
        lines += [f"  waits: {known.row.reason}", f"  do: {known.row.action}"]
    lines += known.sought.lines if known.sought else []
    lines += [*story.planned_lines(history), *story.told_line(history)]
    lines += [*story.outcome_lines(history), *story.waited_line(known.end, job, history)]
    return [*lines, story.end_line(known.end)] if known.end or not job else lines


def _array_lines(known: JobStory) -> list[str]:
    """The story of an array: what it is, and how its tasks fare."""
    job, history = known.job, known.history
    owner = job.user if job else history.user
    count = len(story.known_tasks(known.jobs, history))
    return [
        f"job {known.id} of {owner} is an array; {count} of its tasks are known",
        *story.what_lines(job, history, known.made),
        *story.array_lines(known.id, known.jobs, known.reasons, history),
        *(known.sought.lines if known.sought else ()),
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


def _shadow_lines(history: History) -> list[str]:
    """What shadow decided, in words; each line says that nothing of it was done."""
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
