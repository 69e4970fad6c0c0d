"""slurm-het report: what a replay, or a time in shadow, came to, as text, HTML or JSON."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from slurm_het.cli.options import CONFIG, seconds_of, zone_of
from slurm_het.cli.replay_html import html_of, shadow_html
from slurm_het.cli.replay_text import shadow_text, text_of
from slurm_het.cli.whole_file import write_whole
from slurm_het.config import load_config
from slurm_het.core.syntax.printable import clean
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.journal.file import UNREADABLE
from slurm_het.journal.shadowed import ShadowPast, read_shadow
from slurm_het.replay.documents import ReplayDocument, ShadowDocument
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import Tally
from slurm_het.replay.shadow import shadow_findings
from slurm_het.replay.source import lines_of, read_past, read_site, sacct_lines, site_text
from slurm_het.replay.trace import make_trace
from slurm_het.settings import Config

MAX_BYTES = 64 << 20
THERE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("result", type=THERE, required=False)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as one HTML file that loads nothing and has no script.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as JSON with stable keys.")
@click.option("--since", metavar="TIME", help="Of shadow.  [default: all that its journal has]")
@click.option("--until", metavar="TIME", help="The same for the end.  [default: now]")
@click.option("--past", type=THERE, help="What sacct printed, or the file of jobcomp/filetxt.")
@click.option("--timezone", "zone", metavar="NAME", help="As `slurm-het replay` has it.")
@CONFIG
def report(
    result: Path | None, html: Path | None, as_json: bool, since: str | None, until: str | None,
    past: Path | None, zone: str | None, config: Path | None,
) -> None:  # fmt: skip
    """Tell what a replay came to: RESULT is the file of `slurm-het replay --out`. Without it, what
    shadow would have done.

    Of a replay: first how well the simulation meets the past, then who gains and who loses, then
    the rest. Where it does not meet the past there is no rest. Of shadow: who would have started
    sooner and who later than plain Slurm really started him, and what a shadow cannot tell. It
    reads shadow's journal (as SlurmUser or root) and sacct; give --past where there is no slurmdbd.

    \b
    Examples:
      slurm-het report october.json
      slurm-het report october.json --html october.html
      slurm-het report --since 2026-10-01
    """
    times = since, until
    made = _read(result) if result else _of_shadow(load_config(config), past, zone, times)
    if html:
        page = html_of(made) if isinstance(made, ReplayDocument) else shadow_html(made)
        write_whole(html, page.encode(), 0o640)  # it has users' names
    if as_json:
        click.echo(msgspec.json.encode(made).decode())
    elif not html:
        lines = text_of(made) if isinstance(made, ReplayDocument) else shadow_text(made)
        for line in lines:
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


def _of_shadow(
    settings: Config, past: Path | None, zone: str | None, times: tuple[str | None, str | None]
) -> ShadowDocument:
    clock = WallClock(zone_of(zone))
    since, until = (
        seconds_of(text, clock.zone, option)
        for text, option in zip(times, ("--since", "--until"), strict=True)
    )
    decided = _decided(settings.paths.shadow_journal, since or 0.0)
    now = time.time()
    end = min(until or now, now)
    there = read_site(site_text(None, settings.slurm), settings)
    lines = lines_of(past) if past else sacct_lines(decided.begin, end, settings.slurm)
    tally = Tally()
    pasts = read_past(lines, clock, tally)
    trace = make_trace(pasts, there, tally, decided.begin, end, drop=0.0)
    return shadow_findings(trace, there, decided, tally, now)


def _decided(path: Path, since: float) -> ShadowPast:
    how = "a pool is in shadow by `mode: shadow` in het.yaml, while hetd runs"
    with suppress(PermissionError):  # that the journal says
        if not path.exists():
            raise HetError(f"shadow has seen no job yet: there is no {path}", how)
    journal = Journal(path, read_only=True)
    try:
        found = read_shadow(journal.db, since)
    except UNREADABLE as error:
        raise journal.unreadable(error) from error
    finally:
        journal.close()
    if found is None:
        raise HetError(f"shadow has seen no job yet: {path} is empty", how)
    return found
