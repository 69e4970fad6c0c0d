"""slurm-het why: what was decided about one job, on which evidence, and what came of it."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path
from typing import Any

import click

from slurm_het.cli.hetd_client import call
from slurm_het.cli.hetd_status import ask_hetd
from slurm_het.config import load_config
from slurm_het.core.jobs.classify import classification_of
from slurm_het.core.jobs.mark import (
    decode_comment,
)
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.syntax.gres import format_places
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.job_rows import make_view
from slurm_het.errors import HetError
from slurm_het.journal import Journal, placement_from
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.times import local_time


@click.command()
@click.argument("job_id")
@click.option("--config", type=click.Path(path_type=Path), help="The configuration (het.yaml).")
def why(job_id: str, config: Path | None) -> None:
    """Show why a job waits, or why it is where it is.

    \b
    Example:
      slurm-het why 1234
      slurm-het why 1234_7
    """
    if not re.fullmatch(r"\d{1,10}(_\d{1,8})?", job_id):
        raise HetError(f"not a job id: {job_id[:40]!r}", "such as 1234 or 1234_7")
    settings = load_config(config)
    snapshot = asyncio.run(CliSlurm(settings.slurm).snapshot())
    job = _find(snapshot, job_id)
    lines = _lines(job, job_id, snapshot, settings) if job else _past(job_id, settings)
    for line in lines:
        click.echo(clean(line))


def _find(snapshot: Snapshot, job_id: str) -> Job | None:
    array = job_id.split("_", maxsplit=1)[0]
    exact = next((j for j in snapshot.jobs if job_id in {j.key, str(j.id)}), None)
    return exact or next((j for j in snapshot.jobs if str(j.array_job_id) == array), None)


def _lines(job: Job, job_id: str, snapshot: Snapshot, settings: Config) -> list[str]:
    what = classification_of(job, settings.policy)
    kept = decode_comment(job.admin_comment)
    memory = f"≥{what.memory_gib} GiB" if what.memory_gib else "any"
    lines = [
        f"job {job_id} of {job.user}: {job.state} in {job.partition}, Slurm's reason {job.reason}",
        f"  classified: {what.scenario}; vendors {'|'.join(what.vendors) or 'any'};"
        f" types {'|'.join(what.types) or 'any'}; memory per device {memory}",
        *(f"    because {text}" for text in what.evidence),
    ]
    if kept:
        asked = " ".join(f"{k}={v}" for k, v in kept.original.items())
        lines.append(
            f"  asked for: {asked or '(nothing but devices)'}; features now {job.features}"
        )
    else:
        lines.append("  the hook did not see this job (passed through, or hetd was down)")
    if is_gated(job, settings.policy):
        lines += _waiting(job, snapshot, settings)
    return lines + _history(job_id, settings)


def _past(job_id: str, settings: Config) -> list[str]:
    """Of a job that Slurm no longer lists: from 24.11 on squeue leaves out those that ended."""
    try:
        lines = _remembered(_recall(job_id, settings))
    except HetError as error:
        raise HetError(f"Slurm knows no job {job_id}; {error.message}", error.hint) from error
    if not lines:
        raise HetError(f"Slurm knows no job {job_id}, and the journal neither", "see sacct")
    return [f"job {job_id} is not in Slurm's queue any more", *lines]


def _waiting(job: Job, snapshot: Snapshot, settings: Config) -> list[str]:
    """The words of het-squeue."""
    memory = ask_hetd(settings.paths.control_socket).memory
    limits = settings.planner.limits
    rows = make_view(snapshot, settings.policy, limits, memory, local_time).rows
    return [f"  waits: {row.reason}" for row in rows if row.job.id == job.id]


def _history(job_id: str, settings: Config) -> list[str]:
    try:
        history = _recall(job_id, settings)
    except HetError as error:
        return [f"  no history: {error.message}"]
    return _remembered(history)


def _remembered(history: dict[str, Any]) -> list[str]:
    return [*_planned(history), *_outcomes(history)]


def _recall(job_id: str, settings: Config) -> dict[str, Any]:
    """From the journal, for those who may read it; else from hetd, who knows whose job it is."""
    if os.access(settings.paths.journal, os.R_OK):
        journal = Journal(settings.paths.journal, read_only=True)
        try:
            return journal.history(job_id)
        finally:
            journal.close()
    reply = call(settings.paths.control_socket, {"op": "history", "job": job_id})
    return dict(reply["history"])


def _planned(history: dict[str, Any]) -> list[str]:
    cycle = history["cycle"]
    if not (history["placement"] and cycle):
        return []
    placement = placement_from(history["placement"])
    where = format_places(zip(placement.nodes, placement.devices, strict=True))
    total = sum(placement.terms.values())
    terms = " ".join(f"{name} {value:+.2f}" for name, value in placement.terms.items())
    return [
        f"  planned: {placement.partition} {where} ({'|'.join(placement.types)})",
        f"    weight {total:+.2f} = {terms}",
        f"    plan of {cycle['tasks']} tasks: {cycle['status']}, gap {cycle['gap']:.2%}",
    ]


def _outcomes(history: dict[str, Any]) -> list[str]:
    lines = []
    for when, event, detail in history["outcomes"]:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
        lines.append(f"  {stamp} {event}: {detail}")
    return lines
