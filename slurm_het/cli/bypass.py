"""slurm-het bypass: open the gate by hand, and keep it open. Works without the daemon."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from slurm_het.cli.hetd_client import call
from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.daemon.gate import Gate, bypass_flag
from slurm_het.errors import HetError, SilenceError, SlurmError
from slurm_het.opener import Holds
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm


@click.command()
@click.argument("state", type=click.Choice(["on", "off", "status"]))
@CONFIG
def bypass(state: str, config: Path | None) -> None:
    """Switch planning off (on) or back on (off), or say whether bypass is on (status).

    With bypass on the intake partition is UP and plain Slurm schedules every waiting job, whether
    hetd runs or not; hetd leaves the gate open until bypass is off. For root, SlurmUser, and the
    configuration's operators (these while hetd runs, or if Slurm lets them update partitions).

    \b
    Examples:
      slurm-het bypass on
      slurm-het bypass status
    """
    settings = load_config(config)
    on = state == "on"
    if state == "status":
        click.echo(f"bypass is {'on' if _holds(settings) else 'off'}")
    elif not _does_without_hetd(settings) and _asked(settings, on=on):
        click.echo(f"bypass is {state}: hetd moves the gate at its next cycle, which is now")
    elif on:
        switch_on(settings)
    else:
        _gate(settings).set_bypass(on=False)
        _wake(settings)
        click.echo("bypass is off: hetd closes the gate at its next cycle")


def _does_without_hetd(settings: Config) -> bool:
    """Whether this is root or SlurmUser; of operators hetd's word is needed."""
    return os.geteuid() == 0 or os.access(settings.paths.state_dir, os.W_OK | os.X_OK)


def _asked(settings: Config, *, on: bool) -> bool:
    """Have hetd do it; False if it is not there, and Slurm is to say who may open the gate."""
    try:
        call(settings.paths.control_socket, {"op": "bypass", "on": on})
    except SilenceError:
        if on:
            return False
        raise
    return True


def _gate(settings: Config) -> Gate:
    intake, paths = settings.policy.intake_partition, settings.paths
    holds = Holds(paths.control_socket.parent)
    return Gate(CliSlurm(settings.slurm), intake, paths.state_dir, holds)


def _holds(settings: Config) -> bool:
    try:
        return bypass_flag(settings.paths.state_dir).exists()
    except PermissionError:
        return bool(call(settings.paths.control_socket, {"op": "status"}).get("bypass"))


def switch_on(settings: Config) -> None:
    """Both, whatever becomes of the other: open the gate, and have hetd leave it open."""
    intake = settings.policy.intake_partition
    closed: SlurmError | None = None
    try:
        asyncio.run(CliSlurm(settings.slurm).set_partition_state(intake, "UP"))
    except SlurmError as error:
        closed = error
    try:
        _gate(settings).set_bypass(on=True)
    except HetError as error:
        raise closed or HetError(
            f"{intake} is UP now, but a hetd that runs closes it again: {error.message}",
            "stop hetd (systemctl stop hetd), or make that file writable and say it again",
        ) from error
    _wake(settings)
    if closed:
        raise HetError(
            f"bypass is on, but {intake} could not be set UP: {closed.message}",
            "hetd does it, and a slurmctld that starts anew; or say it again",
        )
    click.echo(f"bypass is on: {intake} is UP, plain Slurm schedules what waits there")


def _wake(settings: Config) -> None:
    try:
        call(settings.paths.control_socket, {"op": "wake"})
    except HetError as error:
        click.echo(f"(hetd was not told: {error.message})", err=True)
