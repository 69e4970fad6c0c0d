"""slurm-het gres-conf and task-prolog: Slurm's files for the nodes that it has."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import click

from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.node_files import NodesAlike, alike
from slurm_het.node_files import gres_conf as render_gres_conf
from slurm_het.node_files import task_prolog as render_task_prolog
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.telemetry.gres_lines import gres_lines
from slurm_het.telemetry.host import Host
from slurm_het.vendors import SITE, load_vendors


@click.command("gres-conf")
@CONFIG
@click.option("--here", is_flag=True, help="Of this host alone, from what its devices tell.")
def gres_conf(config: Path | None, here: bool) -> None:
    """Print gres.conf for the nodes of slurm.conf: device files and Flags of each vendor.

    \b
    Examples, before the nodes' slurmds are started anew:
      slurm-het gres-conf > /etc/slurm/gres.conf
      slurm-het gres-conf --here          on a compute node, which needs no configuration
    """
    if here:
        vendors = load_vendors(SITE)
        name = socket.gethostname().split(".")[0]
        for line in gres_lines(name, Host(vendors).read(), vendors):
            click.echo(line)
        return
    settings = load_config(config)
    kinds, _ = asyncio.run(ask_nodes(CliSlurm(settings.slurm), settings))
    click.echo(render_gres_conf(kinds, load_vendors(settings.paths.vendors)), nl=False)


@click.command("task-prolog")
@CONFIG
def task_prolog(config: Path | None) -> None:
    """Print a TaskProlog: each task's devices in its vendor's variable, and no other's.

    \b
    Example, with TaskProlog=/etc/slurm/task_prolog in slurm.conf:
      slurm-het task-prolog > /etc/slurm/task_prolog; chmod 755 /etc/slurm/task_prolog
    """
    settings = load_config(config)
    kinds, constrained = asyncio.run(ask_nodes(CliSlurm(settings.slurm), settings))
    vendors = load_vendors(settings.paths.vendors)
    click.echo(render_task_prolog(kinds, vendors, constrained=constrained), nl=False)


async def ask_nodes(slurm: CliSlurm, settings: Config) -> tuple[list[NodesAlike], bool]:
    """The nodes with devices, and whether a task can open its own devices only."""
    nodes = (await slurm.snapshot()).nodes
    conf = await slurm.configuration()
    kinds = alike([(node.name, node.gres) for node in nodes], settings.policy)
    return kinds, conf.get("ConstrainDevices", "no") == "yes"
