"""slurm-het status: is all well? Three lines for people, an exit code for scripts."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from slurm_het.cli.health import HealthCode, Verdict, columns_of_terminal, header_lines, verdict_on
from slurm_het.cli.hetd_client import slurm_of
from slurm_het.cli.hetd_status import HetdStatus, ask_hetd
from slurm_het.cli.live import Screen, print_once
from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.core.views.accuracy import Accuracy
from slurm_het.core.views.job_rows import as_observed
from slurm_het.core.views.totals import Summary, summary_of
from slurm_het.errors import SlurmError
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.records import parse_partitions

SECONDS = 1.5
"""So long slurmctld has to say how the intake stands; more is silence."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The same as JSON with stable keys.")
@click.option("-q", "--quick", is_flag=True, help="The state alone, without counting jobs.")
@CONFIG
def status(as_json: bool, quick: bool, config: Path | None) -> None:
    """Show whether all is well, what runs and waits, and the use of the devices.

    \b
    The exit code says which state it is:
      0   the gate is closed, and hetd plans
      3   bypass is on: plain Slurm schedules
      4   this hetd stands by, another one leads
      5   no pool is in plan: hetd decides, and changes nothing
      6   hetd answers, and something does not work
      7   hetd does not answer
      8   hetd and its supervisor are dead
      9   slurmctld does not answer
      10  there is no hetd on this host

    \b
    Example:
      slurm-het status -q || mail -s "slurm-het" root
    """
    settings = load_config(config)
    verdict, told, intake = asyncio.run(_state(settings, devices=not quick))
    summary = None
    if not quick and intake is not None:
        try:
            summary = asyncio.run(_summary(settings, told))
        except SlurmError:
            verdict = Verdict(
                HealthCode.SLURM_SILENT, f"slurmctld answers too slowly; {verdict.words}"
            )
    if as_json:
        click.echo(json.dumps(document_of(verdict, summary, intake, settings, told.accuracy)))
    else:
        print_once("slurm-het", Screen((), header_lines(verdict, summary, columns_of_terminal())))
    sys.exit(verdict.health)


async def _state(settings: Config, *, devices: bool) -> tuple[Verdict, HetdStatus, str | None]:
    """The state, by what hetd and slurmctld say within two seconds."""
    limits = replace(settings.slurm, timeout_seconds=min(SECONDS, settings.slurm.timeout_seconds))
    told, intake = await asyncio.gather(
        asyncio.to_thread(ask_hetd, settings.paths.control_socket, devices=devices),
        _intake(CliSlurm(limits), settings.policy.intake_partition),
    )
    return verdict_on(told, intake, settings.paths, time.time()), told, intake


async def _intake(slurm: CliSlurm, name: str) -> str | None:
    """The intake's State; None where slurmctld does not answer."""
    try:
        text = await slurm.ask("scontrol", "-o", "-a", "show", "partition", name)
    except SlurmError as error:
        return "missing" if "not found" in error.message else None
    return next((p.state for p in parse_partitions(text) if p.name == name), "missing")


async def _summary(settings: Config, told: HetdStatus) -> Summary:
    # A hetd that is silent is not asked for its records either: that is a second more. Slurm may
    # take its own time to answer.
    slurm = CliSlurm(settings.slurm) if told.silence else slurm_of(settings)
    snapshot = told.with_devices(await slurm.snapshot())
    seen = as_observed(snapshot, settings.policy)
    return summary_of(seen.snapshot, seen.inventory, settings.policy)


def document_of(
    verdict: Verdict,
    summary: Summary | None,
    intake: str | None,
    settings: Config,
    accuracy: Accuracy | None = None,
) -> dict[str, Any]:
    """What --json prints."""
    return {
        "state": verdict.health.name.lower().replace("_", "-"),
        "code": int(verdict.health),
        "words": verdict.words,
        "intake": settings.policy.intake_partition,
        "intake_state": intake,
        "summary": asdict(summary) if summary else None,
        "told": asdict(accuracy) if accuracy else None,
    }
