"""slurm-het bypass: open the gate by hand, and keep it open. Works without the daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from slurm_het.cli.control import call
from slurm_het.config import Config, load_config
from slurm_het.daemon.gate import bypass_flag
from slurm_het.errors import HetError
from slurm_het.slurm.cli import CliSlurm


@click.command()
@click.argument("state", type=click.Choice(["on", "off", "status"]))
@click.option("--config", type=click.Path(path_type=Path), help="The configuration (het.yaml).")
def bypass(state: str, config: Path | None) -> None:
    """Switch planning off (on) or back on (off).

    With bypass on the intake partition is UP and plain Slurm schedules every waiting job, whether
    hetd runs or not; hetd leaves the gate open until bypass is off.

    \b
    Example:
      slurm-het bypass on
    """
    settings = load_config(config)
    flag = bypass_flag(settings.paths.state_dir)
    if state == "on":
        _on(settings, flag)
    elif state == "off":
        flag.unlink(missing_ok=True)
        _wake(settings)
        click.echo("bypass is off: hetd closes the gate at its next cycle")
    else:
        click.echo(f"bypass is {'on' if flag.exists() else 'off'}")


def _on(settings: Config, flag: Path) -> None:
    intake = settings.policy.intake_partition
    try:
        flag.parent.mkdir(parents=True, exist_ok=True)
        flag.touch()
    except OSError as error:
        hint = "as SlurmUser or root; or by hand: scontrol update PartitionName=... State=UP"
        raise HetError(f"cannot write {flag}: {error.strerror}", hint) from error
    asyncio.run(CliSlurm(settings.slurm).set_partition_state(intake, "UP"))
    _wake(settings)
    click.echo(f"bypass is on: {intake} is UP, plain Slurm schedules what waits there")


def _wake(settings: Config) -> None:
    try:
        call(settings.paths.control_socket, {"op": "wake"})
    except HetError as error:
        click.echo(f"(hetd was not told: {error.message})", err=True)
