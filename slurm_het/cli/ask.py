"""slurm-het ask: ask for something else of a job that is queued."""

from __future__ import annotations

from pathlib import Path

import click

from slurm_het.cli.filters import one_job
from slurm_het.cli.hetd_client import call
from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.core.syntax.printable import clean

SECONDS = 20.0
"""hetd reads the queue and updates the job meanwhile."""


@click.command()
@click.argument("job_id")
@click.argument("words", nargs=-1, required=True)
@CONFIG
def ask(job_id: str, words: tuple[str, ...], config: Path | None) -> None:
    """Ask for something else of your job while it waits: the words of a #HET directive.

    Of an array's id it is for all its tasks that wait. The rest is as it was submitted. What cannot
    be is refused, and nothing is changed.

    \b
    Example:
      slurm-het ask 1234 vendors=amd memory=40G
      slurm-het ask 1234_7 vendors=any
    """
    job_id = one_job(job_id)
    socket = load_config(config).paths.control_socket
    made = call(socket, {"op": "ask", "job": job_id, "words": " ".join(words)}, SECONDS)
    click.echo(clean(f"job {job_id} is now: {made['understood']}"))
    for line in (*made["evidence"], *made["left"]):
        click.echo(clean(f"  {line}"))
