"""slurm-het learned: what hetd has learned of users' programs from how long their jobs ran."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import msgspec

from slurm_het.cli.hetd_client import call
from slurm_het.cli.options import CONFIG
from slurm_het.cli.render import table
from slurm_het.config import load_config
from slurm_het.core.jobs.paces import Pace
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.learned import LearnedProgram, LearnedSpeed, learned_of
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.settings import Config

_LIMITS = ("USER", "PROGRAM", "LAST_JOB", "RUNS", "USUAL", "LIKELY")
_SPEEDS = ("USER", "PROGRAM", "DEVICES", "TYPE", "RUNS", "SPEED", "BETWEEN", "USED")


@click.command()
@click.option("-u", "--user", default="", help="Of this user alone.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON with stable keys.")
@CONFIG
def learned(user: str, as_json: bool, config: Path | None) -> None:
    """Show what is learned from how long jobs ran: of yours, or as an admin of all.

    A PROGRAM is what a script launches and with which software, whatever its arguments. Of their
    limits its jobs take the part USUAL in the mean; 80 of 100 have ended by LIKELY. SPEED is
    relative to the type with the most RUNS, and with a probability of 95 % in BETWEEN; it is USED
    in plans once it is certain enough. DEVICES 0 are shares of devices.

    \b
    Example:
      slurm-het learned
      slurm-het learned -u alice --json
    """
    settings = load_config(config)
    rows = learned_of(p for p in _paces(settings) if user in {"", p.user})
    if as_json:
        click.echo(json.dumps({"programs": [asdict(row) for row in rows]}))
        return
    for line in _lines(rows) or [_why_nothing(settings, user)]:
        click.echo(clean(line))


def _paces(settings: Config) -> list[Pace]:
    """From the journal, for those who may read it; else from hetd, who knows whose they are."""
    if os.access(settings.paths.journal, os.R_OK):
        journal = Journal(settings.paths.journal, read_only=True)
        try:
            days, nothing = settings.policy.history_days, list[Pace]()
            return journal.answer(lambda kept: kept.paces(kept.since(days)), nothing)
        finally:
            journal.close()
    reply = call(settings.paths.control_socket, {"op": "learned"})
    try:
        return msgspec.convert(reply["paces"], list[Pace])
    except (KeyError, msgspec.ValidationError) as error:
        raise HetError("hetd is of another version", "restart it after an update") from error


def _why_nothing(settings: Config, user: str) -> str:
    if not settings.policy.history_days:
        return "nothing is learned: the configuration says history_days: 0"
    if user:
        return f"nothing is learned of the programs of {user}, or it is not for you to see"
    return "nothing is learned yet: no job of a known program has ended"


def _lines(rows: Sequence[LearnedProgram]) -> list[str]:
    if not rows:
        return []
    limits = [
        (row.user, row.program, row.job, str(row.runs), _part(row.usual), _part(row.likely))
        for row in rows
    ]
    speeds = [
        (row.user, row.program, str(size.devices), one.type, str(one.runs), f"{one.speed:.2f}",
         _between(one), "yes" if one.used else "not yet")
        for row in rows for size in row.sizes if len(size.speeds) > 1 for one in size.speeds
    ]  # fmt: skip
    lines = table(_LIMITS, limits, (False, False, True, True, True, True))
    if speeds:
        rights = (False, False, True, False, True, True, False, False)
        lines += ["", *table(_SPEEDS, speeds, rights)]
    return lines


def _part(part: float | None) -> str:
    return "-" if part is None else f"{part:.0%}"


def _between(one: LearnedSpeed) -> str:
    return f"{one.low:.2f}-{one.high:.2f}" if one.low < one.high else "-"
