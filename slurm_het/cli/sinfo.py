"""het-sinfo: sinfo in terms of devices: how full they are, why some are idle, what starts now."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import click

from slurm_het.cli.documents import map_document
from slurm_het.cli.filters import Filters, choose_devices
from slurm_het.cli.hetd_client import slurm_of
from slurm_het.cli.hetd_status import ask_hetd
from slurm_het.cli.live import Live, Screen, patience, print_once, show_again
from slurm_het.cli.map_screen import MapLook, legend, map_lines, type_lines
from slurm_het.cli.options import ITERATE, VIEW_CONFIG
from slurm_het.cli.program import has_blocks, hidden_told, run_program, warnings_told
from slurm_het.config import load_config
from slurm_het.core.syntax.durations import parse_time_limit
from slurm_het.core.views.device_map import MapOptions, device_map
from slurm_het.core.views.job_rows import as_planned
from slurm_het.core.views.probes import ProbeOptions
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.records import memory_defaults
from slurm_het.times import local_time

PROGRAM = "het-sinfo"

_EPILOG = """\b
Examples:
  het-sinfo                 the map of all pools
  het-sinfo -p train-nv     of one pool
  het-sinfo -s              by pool and type alone
  het-sinfo -t 4:00:00      what would start that runs for four hours

\b
A cell for each device. One in use shows how full its memory is; an idle one
shows why it is idle:
  .  usable now; who waits for it needs more        -  nobody waits for it
  h  held for a job: who ends before that may start
  c  no core is free beside it    m  too little host memory is free beside it
  d  its node is drained or down  r  reserved       p  its pool is closed
  f  used by what is no job of Slurm's              u  unhealthy
LARGEST JOB NOW is what `--gres=gpu:TYPE:N` (and -N, for 2x8) starts with at
once, with one CPU for each node and the host memory that Slurm gives by itself;
limits of users and accounts are not looked at.
--json prints the same; its schema is in docs/schemas/het-sinfo.json.
"""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What to print and how."""

    choice: Filters
    minutes: int | None
    summary: bool
    header: bool
    as_json: bool


@click.command(context_settings={"help_option_names": ["--help"]}, epilog=_EPILOG)
@click.option("-p", "--partition", default="", help="Of these pools (a list).")
@click.option("-n", "--nodes", "nodelist", default="", help="These nodes: nv[1-2],amd1.")
@click.option("-t", "--time", "limit", default="", help="For jobs of this time limit (sbatch -t).")
@click.option("-s", "--summarize", is_flag=True, help="By pool and type alone, without the map.")
@click.option("-h", "--noheader", is_flag=True, help="No headings.")
@ITERATE
@click.option("--json", "as_json", is_flag=True, help="The same as JSON with stable keys.")
@VIEW_CONFIG
@click.version_option(package_version("slurm-het"), "-V", "--version", prog_name=PROGRAM)
def sinfo(
    partition: str, nodelist: str, limit: str, summarize: bool, noheader: bool, as_json: bool,
    iterate: int | None, config: Path | None,
) -> None:  # fmt: skip
    """Show the devices: how full they are, why idle ones are idle, what would start now.

    Works without hetd: everything comes from Slurm itself.
    """
    minutes = parse_time_limit(limit) if limit else None
    choice = Filters(partitions=partition, nodes=nodelist)
    shown = _Shown(choice, minutes, summarize, not noheader, as_json)
    settings = load_config(config)
    slurm = slurm_of(settings)
    with asyncio.Runner() as runner:

        def make() -> Screen:
            return runner.run(_show(settings, slurm, shown))

        if iterate is None:
            print_once(PROGRAM, make())
            return
        slurm.spare(patience(iterate))
        title = " ".join([PROGRAM, *sys.argv[1:]])
        show_again(Live(PROGRAM, iterate, "" if shown.as_json else title), make)


async def _show(settings: Config, slurm: CliSlurm, shown: _Shown) -> Screen:
    gate = ask_hetd(settings.paths.control_socket)
    snapshot = gate.with_devices(await slurm.snapshot())
    memory = memory_defaults(await slurm.configuration())
    prepared = as_planned(snapshot, settings.policy, settings.planner.limits)
    intake = settings.policy.intake_partition
    states = {p.name: p.state for p in snapshot.partitions}
    options = MapOptions(
        ProbeOptions(shown.minutes, memory, states.get(intake) == "UP"),
        shown=frozenset(choose_devices(prepared.inventory, shown.choice, snapshot).nodes),
    )
    made = device_map(prepared, options)
    notes = [*warnings_told(prepared.inventory.warnings), *hidden_told(await slurm.hidden())]
    notes += filter(None, [gate.note(intake, states.get(intake, "missing"))])
    if shown.as_json:
        source: dict[str, Any] = {
            "time": int(snapshot.time),
            "slurm": (await slurm.version()).text,
            "config": str(settings.source),
            "warnings": prepared.inventory.warnings,
        }
        return Screen(notes, [json.dumps(map_document(made, source, local_time))])
    terminal = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    look = MapLook(has_blocks(), terminal, shown.header, local_time)
    lines = type_lines(made.types, look)
    if not shown.summary:
        lines += ["", *map_lines(made, look)]
        lines += ["", *legend(made, look)] if shown.header else []
    return Screen(notes, lines)


def main() -> None:
    """Entry point: errors of ours are messages, not tracebacks."""
    run_program(PROGRAM, sinfo)


if __name__ == "__main__":
    main()
