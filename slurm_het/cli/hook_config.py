"""slurm-het hook-config: what the hook needs to know, as the Lua file beside job_submit.lua."""

from __future__ import annotations

from pathlib import Path

import click

from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.templating import gres_aliases
from slurm_het.templating import hook_config as render_hook_config


@click.command("hook-config")
@CONFIG
@click.option("--aliases", is_flag=True, help="Print het_gres_aliases.lua, for cli_filter.lua.")
def hook_config(config: Path | None, *, aliases: bool) -> None:
    """Print het_hook_config.lua for this configuration.

    After a change, touch job_submit.lua: slurmctld then reads it all again. Written beside it and
    renamed, the file is never half there.

    \b
    Example:
      slurm-het hook-config > /etc/slurm/het_hook_config.lua.new
      mv /etc/slurm/het_hook_config.lua.new /etc/slurm/het_hook_config.lua
    """
    written = gres_aliases if aliases else render_hook_config
    click.echo(written(load_config(config)), nl=False)
