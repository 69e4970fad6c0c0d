"""slurm-het hook-config: what the hook needs to know, as the Lua file beside job_submit.lua."""

from __future__ import annotations

from pathlib import Path

import click

from slurm_het.config import load_config
from slurm_het.templating import hook_config as render_hook_config


@click.command("hook-config")
@click.option("--config", type=click.Path(path_type=Path), help="The configuration (het.yaml).")
def hook_config(config: Path | None) -> None:
    """Print het_hook_config.lua for this configuration.

    After a change, touch job_submit.lua: slurmctld then reads it all again. Written beside it and
    renamed, the file is never half there.

    \b
    Example:
      slurm-het hook-config > /etc/slurm/het_hook_config.lua.new
      mv /etc/slurm/het_hook_config.lua.new /etc/slurm/het_hook_config.lua
    """
    click.echo(render_hook_config(load_config(config)), nl=False)
