"""slurm-het try: what would become of a job if it were submitted now."""

from __future__ import annotations

import asyncio
import grp
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from slurm_het.cli.hetd_client import slurm_of
from slurm_het.cli.hetd_status import OF_ROOM, ask_hetd
from slurm_het.cli.options import CONFIG
from slurm_het.cli.program import result_of
from slurm_het.cli.sooner import SECONDS, change_lines, own_name, start_told, trials_of
from slurm_het.cli.try_documents import try_document
from slurm_het.config import load_config
from slurm_het.core.jobs.submission import UNLOOKED, Submission, Submitter, as_waiting
from slurm_het.core.jobs.told import understood
from slurm_het.core.syntax.printable import clean
from slurm_het.core.syntax.sbatch import (
    of_plugins,
    read_arguments,
    read_environment,
    read_script_options,
)
from slurm_het.core.syntax.script import MAX_SCRIPT
from slurm_het.core.views.tried import Answer, Circumstances, Tried, try_it
from slurm_het.errors import HetError
from slurm_het.settings import Config
from slurm_het.slurm.charged import charged_to
from slurm_het.slurm.records import memory_defaults
from slurm_het.times import local_time

CODES: dict[Answer, int] = {"now": 0, "later": 3, "unknown": 3, "slurm": 3, "never": 4}
HEADS: dict[Answer, str] = {
    "unknown": "nobody knows when it would start",
    "never": "never",
    "slurm": "plain Slurm would place it",
}


@click.command(
    "try",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="[--json] [--config PATH] [SBATCH OPTIONS]",
)
@CONFIG
@click.option("--json", "as_document", is_flag=True, help="The same as JSON with stable keys.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="SCRIPT [ARGUMENTS]...")
def try_job(config: Path | None, as_document: bool, arguments: tuple[str, ...]) -> None:
    """Say what would become of a job if it were submitted now; nothing is submitted.

    Takes what sbatch takes: its options, a script (or --wrap, or the script from standard input).
    Says whether the job would start now, at a time, or never; where, why there, and what would
    start it sooner. The job is held to be the last of those that wait.

    The exit code is 0 if it would start now, 3 if later, or when nobody knows, 4 if never.

    \b
    Example:
      slurm-het try --gres=gpu:2 -t 4:00:00 train.sh
      slurm-het try --json -N2 --gpus-per-node=8 --wrap 'torchrun train.py'
    """
    settings = load_config(config)
    submission = _read(arguments)
    site, hidden = result_of(asyncio.run, _site(settings, submission))
    until = time.monotonic() + SECONDS
    made = try_it(submission, site, local_time, lambda: time.monotonic() > until)
    now, remarks = site.snapshot.time, tuple(_remarks(submission, hidden, site))
    if as_document:
        click.echo(msgspec.json.encode(try_document(made, remarks, now)).decode())
    else:
        for line in (*_told(made, now), *(f"  {remark}" for remark in remarks)):
            click.echo(clean(line))
    sys.exit(CODES[made.answer])


def _read(words: tuple[str, ...]) -> Submission:
    """What is to be submitted, read as sbatch reads it. Raises HetError."""
    given = read_arguments(words)
    if wrapped := given.options.get("wrap"):
        script, name = f"#!/bin/sh\n{wrapped}\n", "wrap"
    elif given.rest and given.rest[0] != "-":
        script, name = _script(Path(given.rest[0])), Path(given.rest[0]).name
    else:
        script, name = sys.stdin.buffer.read(MAX_SCRIPT).decode(errors="replace"), "sbatch"
    written = read_script_options(script)
    options = {"job-name": name} | written | read_environment(os.environ) | given.options
    options = {name: _sendable(value) for name, value in options.items()}
    groups = tuple(name for gid in os.getgroups() if (name := _group(gid)))
    return Submission(options, _sendable(script), Submitter(own_name(), os.getuid(), groups))


def _script(path: Path) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(MAX_SCRIPT)
    except OSError as error:
        raise HetError(f"{path} cannot be read: {error.strerror}", "name a batch script") from error


def _sendable(text: str) -> str:
    """The text without the surrogates that stand for bytes which are no UTF-8."""
    return text.encode(errors="replace").decode()


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""


async def _site(settings: Config, it: Submission) -> tuple[Circumstances, frozenset[str]]:
    """What it is held against, and what Slurm may hide from us."""
    slurm, policy, user = slurm_of(settings), settings.policy, it.who.name
    gate = await asyncio.to_thread(ask_hetd, settings.paths.control_socket)
    conf = await slurm.configuration()
    charged = await charged_to(slurm.ask, conf, user, it.named, policy.intake_partition)
    snapshot = gate.with_devices(await slurm.snapshot(as_waiting(it, charged or it.named)))
    trials = await asyncio.to_thread(trials_of, user, settings)
    site = Circumstances(
        snapshot, policy, settings.planner.limits, memory_defaults(conf), trials, charged
    )
    return site, await slurm.hidden()


def _told(made: Tried, now: float) -> Iterator[str]:
    start = start_told(made.foreseen, now)
    start = f"its first task: {start}" if made.tasks > 1 else start
    head = HEADS.get(made.answer) or (start if made.answer == "now" else f"{start}, at the latest")
    yield f"{head}: {made.why}" if made.why else head
    if made.what:
        yield f"  read as: {understood(made.what)}"
        yield from (f"    because {text}" for text in made.what.evidence)
    yield from (f"  wrong: {problem}" for problem in made.problems)
    yield from (f"  {line}" for line in change_lines(made.changes, now, as_options=True))


def _remarks(it: Submission, hidden: frozenset[str], site: Circumstances) -> Iterator[str]:
    """What the answer leaves out."""
    intake = site.policy.intake_partition
    if any(p.name == intake and p.state == "UP" for p in site.snapshot.partitions):
        yield "the gate is open: plain Slurm schedules, and may start it elsewhere"
    if kept := " and ".join(sorted(OF_ROOM & hidden)):
        yield f"Slurm may keep {kept} from you (PrivateData): what is taken may look free"
    if site.charged is None:
        yield "limits of accounts and QOS are not looked at: name -A and -q"
    if names := sorted(set(UNLOOKED) & it.options.keys()):
        yield f"not looked at: {', '.join(f'--{name}' for name in names)}"
    if names := of_plugins(it.options):
        told = ", ".join(f"--{name}" for name in names)
        yield f"not looked at: {told}, which sbatch takes only where a plugin adds it"
