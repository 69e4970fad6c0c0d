"""What a package does before slurm-het is removed: nothing of it may hold a job, or a partition.

    python -m slurm_het.cli.removal --config HET.yaml give-back    # while hetd runs
    python -m slurm_het.cli.removal --config HET.yaml open         # when it has ended

On a host whose hetd never led, and where another hetd leads, neither does anything: the gate is not
this host's.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import sys
from pathlib import Path

import click

from slurm_het.cli.hetd_client import call
from slurm_het.config import load_config
from slurm_het.core.syntax.printable import clean_lines
from slurm_het.daemon.gate import closed_flag
from slurm_het.daemon.lease import lease_path
from slurm_het.errors import HetError, SilenceError, SlurmError
from slurm_het.opener import Holds
from slurm_het.settings import Config
from slurm_het.slurm import SlurmClient
from slurm_het.slurm.cli import CliSlurm

REFUSED = 3  # Python's own ends are 1 and 2


def main(argv: list[str] | None = None) -> None:
    """Command line; ends with REFUSED where slurm-het must stay, or a step came to nothing."""
    parser = argparse.ArgumentParser(prog="removal", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("step", choices=("give-back", "open"))
    options = parser.parse_args(argv)
    try:
        config = load_config(options.config)
        if options.step == "give-back":
            give_back(config, options.config)
        else:
            say(asyncio.run(opened(config, CliSlurm(config.slurm))))
    except HetError as error:
        say(str(error))
        sys.exit(REFUSED)


def say(text: str) -> None:
    """A line for whoever removes the package; none if there is nothing to say."""
    if text:
        click.echo(clean_lines(f"slurm-het: {text}"), err=True)


def give_back(config: Config, path: Path) -> None:
    """Pools in plan go to plain Slurm, their waiting jobs as submitted. Raises HetError."""
    try:
        status = call(config.paths.control_socket, {"op": "status"})
    except SilenceError:
        return
    planned = [name for name, mode in status.get("modes", {}).items() if mode == "plan"]
    if status.get("leading") is True and planned:
        from slurm_het.cli.switch import disable  # much is loaded for it: only here

        words = [word for name in planned for word in ("--pool", name)]
        disable.main(args=["--config", str(path), *words], standalone_mode=False)


async def opened(config: Config, slurm: SlurmClient) -> str:
    """Open the gate if it is closed and ours; what there is to say. Raises HetError if it stays."""
    intake = config.policy.intake_partition
    if not _ours(config):
        return ""
    try:
        state = await _state(slurm, intake)
    except SlurmError as error:
        return f"Slurm does not answer ({error.message}); a slurmctld that starts has {intake} UP"
    if state != "DOWN":
        return ""
    if not (config.plans or _noted(config)):
        return f"{intake} is DOWN, but not by slurm-het: it is left so"
    remedy = f"scontrol update PartitionName={intake} State=UP; then remove the package again"
    try:
        await slurm.set_partition_state(intake, "UP")
        state = await _state(slurm, intake)
    except SlurmError as error:
        raise HetError(f"{intake} is DOWN and cannot be set UP: {error.message}", remedy) from error
    if state == "DOWN":
        raise HetError(f"{intake} is still DOWN: another hetd may hold it", remedy)
    return f"opened the gate: {intake} is UP"


async def _state(slurm: SlurmClient, partition: str) -> str:
    snapshot = await slurm.snapshot()
    return next((p.state for p in snapshot.partitions if p.name == partition), "")


def _ours(config: Config) -> bool:
    """Whether a hetd of this state directory has led, and none leads now."""
    try:
        with lease_path(config.paths.state_dir).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _noted(config: Config) -> bool:
    intake, paths = config.policy.intake_partition, config.paths
    held = Holds(paths.control_socket.parent).read("") == intake
    return held or closed_flag(paths.state_dir).exists()


if __name__ == "__main__":
    main()
