"""slurm-het systemd-unit: hetd's unit for this configuration, this installation and this site."""

from __future__ import annotations

import asyncio
import grp
import pwd
from collections.abc import Mapping
from pathlib import Path

import click

from slurm_het.cli.checks.site import slurm_user
from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.settings import Config
from slurm_het.sizes import JOBS
from slurm_het.slurm.cli import CliSlurm
from slurm_het.templating import exporter_unit
from slurm_het.templating import systemd_unit as render_unit


@click.command("systemd-unit")
@CONFIG
@click.option("--user", help="Who hetd runs as.  [default: SlurmUser of slurm.conf]")
@click.option("--group", help="Its group.  [default: the user's]")
@click.option(
    "--jobs", type=click.IntRange(1),
    help=f"For so many jobs its memory is enough.  [default: MaxJobCount, at least {JOBS}]",
)  # fmt: skip
@click.option(
    "--exporter", metavar="[ADDRESS]:PORT",
    help="In place of it het-exporter's, for compute nodes; it listens there.",
)  # fmt: skip
def systemd_unit(
    config: Path | None, user: str | None, group: str | None, jobs: int | None, exporter: str | None
) -> None:
    """Print a systemd unit for hetd: notify, watchdog, and the gate opened whenever it ends.

    What is left open is asked of slurmctld; with --user and --jobs nobody is asked.

    \b
    Example:
      slurm-het systemd-unit > /etc/systemd/system/hetd.service
      systemctl enable --now hetd
    """
    if exporter is not None:
        click.echo(exporter_unit(exporter), nl=False)
        return
    settings = load_config(config)
    asked = not (user and jobs)
    conf = asyncio.run(CliSlurm(settings.slurm).configuration()) if asked else {}
    click.echo(unit_of_site(settings, conf, user, group, jobs), nl=False)


def unit_of_site(
    settings: Config, conf: Mapping[str, str], user: str | None = None,
    group: str | None = None, jobs: int | None = None,
) -> str:  # fmt: skip
    """hetd.service; what is not given is as slurm.conf has it (`scontrol show config`)."""
    user = user or slurm_user(conf)
    jobs = jobs or max(JOBS, int(conf.get("MaxJobCount", "0") or 0))
    return render_unit(settings, user, group or _group_of(user), jobs)


def _group_of(user: str) -> str:
    """His group on this host; where he is not known here, the one that is called as he is."""
    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return user
