"""slurm-het report: what a replay came to, as text, HTML or JSON."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from slurm_het.cli.replay_html import html_of
from slurm_het.cli.replay_text import text_of
from slurm_het.cli.whole_file import write_whole
from slurm_het.core.syntax.printable import clean
from slurm_het.errors import HetError
from slurm_het.replay.documents import ReplayDocument

MAX_BYTES = 64 << 20


@click.command()
@click.argument("result", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as one HTML file that loads nothing and has no script.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as JSON with stable keys.")
def report(result: Path, html: Path | None, as_json: bool) -> None:
    """Tell what a replay came to: RESULT is the file of `slurm-het replay --out`.

    First how well the simulation meets the past, then who gains and who loses, then the rest. Where
    it does not meet the past there is no rest.

    \b
    Examples:
      slurm-het report october.json
      slurm-het report october.json --html october.html
    """
    made = _read(result)
    if html:
        write_whole(html, html_of(made).encode(), 0o640)  # it has users' names
    if as_json:
        click.echo(msgspec.json.encode(made).decode())
    elif not html:
        for line in text_of(made):
            click.echo(clean(line))


def _read(path: Path) -> ReplayDocument:
    hint = "it is made by `slurm-het replay --out`"
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_BYTES), type=ReplayDocument)
    except OSError as error:
        raise HetError(f"cannot read {path}: {error.strerror}", hint) from error
    except msgspec.MsgspecError as error:
        raise HetError(f"{path}: {error}", hint) from error
