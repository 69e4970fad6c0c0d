"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="The configuration (het.yaml)."
)
VIEW_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="het.yaml; else $HET_CONFIG, /etc/slurm-het."
)
ITERATE = click.option(
    "-i", "--iterate", type=click.IntRange(min=1), metavar="SECONDS", help="Repeat, in place."
)
