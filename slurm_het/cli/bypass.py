"""slurm-het bypass: open the gate by hand, and keep it open. Works without the daemon."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from slurm_het.cli.control import call
from slurm_het.config import Config, load_config
from slurm_het.daemon.gate import Gate
from slurm_het.errors import HetError
from slurm_het.slurm.cli import CliSlurm


@click.command()
@click.argument("state", type=click.Choice(["on", "off", "status"]))
@click.option("--config", type=click.Path(path_type=Path), help="The configuration (het.yaml).")
def bypass(state: str, config: Path | None) -> None:
    """Switch planning off (on) or back on (off).

    With bypass on the intake partition is UP and plain Slurm schedules every waiting job, whether
    hetd runs or not; hetd leaves the gate open until bypass is off. For root, SlurmUser, and the
    configuration's operators (these while hetd runs).

    \b
    Example:
      slurm-het bypass on
    """
    settings = load_config(config)
    if state == "status":
        click.echo(f"bypass is {'on' if _holds(settings) else 'off'}")
    elif not os.access(settings.paths.state_dir, os.W_OK | os.X_OK):
        # An operator: hetd's word is needed. SlurmUser and root do without hetd.
        call(settings.paths.control_socket, {"op": "bypass", "on": state == "on"})
        click.echo(f"bypass is {state}: hetd moves the gate at its next cycle, which is now")
    elif state == "on":
        _on(settings)
    else:
        _gate(settings).set_bypass(on=False)
        _wake(settings)
        click.echo("bypass is off: hetd closes the gate at its next cycle")


def _gate(settings: Config) -> Gate:
    intake = settings.policy.intake_partition
    return Gate(CliSlurm(settings.slurm), intake, settings.paths.state_dir)


def _holds(settings: Config) -> bool:
    try:
        return _gate(settings).bypass
    except PermissionError:
        return bool(call(settings.paths.control_socket, {"op": "status"}).get("bypass"))


def _on(settings: Config) -> None:
    intake = settings.policy.intake_partition
    _gate(settings).set_bypass(on=True)
    asyncio.run(CliSlurm(settings.slurm).set_partition_state(intake, "UP"))
    _wake(settings)
    click.echo(f"bypass is on: {intake} is UP, plain Slurm schedules what waits there")


def _wake(settings: Config) -> None:
    try:
        call(settings.paths.control_socket, {"op": "wake"})
    except HetError as error:
        click.echo(f"(hetd was not told: {error.message})", err=True)
