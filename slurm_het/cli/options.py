"""Options that several commands have."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from slurm_het.errors import HetError

CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="The configuration (het.yaml)."
)
VIEW_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="het.yaml; else $HET_CONFIG, /etc/slurm-het."
)
ITERATE = click.option(
    "-i", "--iterate", type=click.IntRange(min=1), metavar="SECONDS", help="Repeat, in place."
)


def zone_of(name: str | None) -> tzinfo | None:
    """The time zone of that name; None is this host's. Raises HetError."""
    if not name:
        return None
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise HetError(
            f"--timezone {name}: there is no such zone", "such as Europe/Berlin"
        ) from error


def seconds_of(text: str | None, zone: tzinfo | None, option: str) -> float | None:
    """The epoch seconds of an option; None without one. Raises HetError."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()
    except ValueError as error:
        raise HetError(f"{option} {text}: not a time", "such as 2026-10-01T12:00") from error
