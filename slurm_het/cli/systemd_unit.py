"""slurm-het systemd-unit: hetd's unit for this configuration and this installation."""

from __future__ import annotations

from pathlib import Path

import click

from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.sizes import JOBS
from slurm_het.templating import exporter_unit
from slurm_het.templating import systemd_unit as render_unit


@click.command("systemd-unit")
@CONFIG
@click.option("--user", default="slurm", show_default=True, help="SlurmUser of slurm.conf.")
@click.option("--group", help="Its group.  [default: as the user]")
@click.option(
    "--jobs", type=click.IntRange(1), default=JOBS, show_default=True,
    help="For so many jobs its memory is enough: slurm.conf's MaxJobCount.",
)  # fmt: skip
@click.option(
    "--exporter", metavar="[ADDRESS]:PORT",
    help="In place of it het-exporter's, for compute nodes; it listens there.",
)  # fmt: skip
def systemd_unit(
    config: Path | None, user: str, group: str | None, jobs: int, exporter: str | None
) -> None:
    """Print a systemd unit for hetd: notify, watchdog, and the gate opened whenever it ends.

    \b
    Example:
      slurm-het systemd-unit > /etc/systemd/system/hetd.service
      systemctl enable --now hetd
    """
    if exporter is not None:
        click.echo(exporter_unit(exporter), nl=False)
        return
    click.echo(render_unit(load_config(config), user, group or user, jobs), nl=False)
