"""slurm-het replay: a month of the site's own jobs, under plain Slurm and with slurm-het."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from slurm_het.cli.options import seconds_of, zone_of
from slurm_het.cli.replay_text import text_of
from slurm_het.cli.whole_file import write_whole
from slurm_het.config import config_path, load_config
from slurm_het.core.syntax.printable import clean
from slurm_het.replay.documents import ReplayDocument
from slurm_het.replay.findings import findings
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import Tally
from slurm_het.replay.sides import Effort, SideName, run_sides
from slurm_het.replay.source import lines_of, read_past, read_site, sacct_lines, site_text
from slurm_het.replay.trace import DAY, Span, Trace, make_trace
from slurm_het.settings import SlurmSettings

MONTH = 30 * DAY
SOLVERS = ("highs", "first-fit")
NAMES: dict[SideName, str] = {"plain": "plain Slurm", "ours": "slurm-het"}


FILE = click.Path(path_type=Path, dir_okay=False)
THERE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("past", type=THERE, required=False)
@click.option(
    "--since", metavar="TIME",
    help="2026-10-01T12:00, say.  [default: 30 days ago; of a file, when its first job ended]",
)  # fmt: skip
@click.option(
    "--until", metavar="TIME",
    help="The same for the end.  [default: now; of a file, when its last job came]",
)  # fmt: skip
@click.option("--site", type=THERE, help="Slurm's answers, as a file.  [default: ask it]")
@click.option(
    "--config", type=click.Path(path_type=Path),
    help="het.yaml.  [default: the one that is there, or what `slurm-het init` would write]",
)  # fmt: skip
@click.option("--out", type=FILE, help="Keep the result there, for `slurm-het report`.")
@click.option(
    "--timezone", "zone", metavar="NAME",
    help="Of times in a file that are no epoch seconds, as Europe/Berlin.  [default: this host's]",
)  # fmt: skip
@click.option(
    "--drop", default=1.0, show_default=True, metavar="DAYS", type=click.FloatRange(0, 30),
    help="Of the first days no job counts: who waited before is not known.",
)  # fmt: skip
@click.option(
    "--look-every", metavar="SECONDS", type=click.FloatRange(0, 3600),
    help="hetd looks at most so often: cheaper, and its waits come out longer, in a crowded queue"
    " several times as long; 0: as it does.  [default: as it does]",
)  # fmt: skip
@click.option(
    "--renditions", metavar="N", type=click.IntRange(1, 50),
    help="Simulate it so often, each time with parts of seconds that no record has."
    "  [default: 8 times up to 500 jobs, fewer of more, once above 2,000]",
)  # fmt: skip
@click.option("--solver", type=click.Choice(SOLVERS), default=SOLVERS[0], show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def replay(
    past: Path | None, since: str | None, until: str | None, site: Path | None,
    config: Path | None, out: Path | None, zone: str | None, drop: float,
    look_every: float | None, renditions: int | None, solver: str, as_json: bool,
) -> None:  # fmt: skip
    """Replay a month of the cluster's own jobs, and say who would have waited less, and who longer.

    PAST is what sacct printed, or the file of jobcomp/filetxt; without it sacct is asked. First
    plain Slurm is replayed: where that is far from what really happened, nothing is claimed. Then
    hetd's own cycle decides on the same jobs. It changes nothing, and needs no part of slurm-het
    to be installed on the cluster.

    \b
    Examples:
      slurm-het replay --out october.json --since 2026-10-01 --until 2026-11-01
      slurm-het replay jobs.txt --site site.txt          (elsewhere, from files)
      slurm-het report october.json --html october.html

    \b
    The files are made by (as one who may see all jobs):
      TZ=UTC SLURM_TIME_FORMAT=%s sacct --allusers --allocations --duplicates --parsable \\
        --noconvert --delimiter=$(uuidgen) --starttime=2026-10-01 --endtime=2026-11-01 \\
        --format=JobIDRaw,JobID,User,Account,QOS,Partition,State,Submit,Eligible,Start,End,\\
      ElapsedRaw,Suspended,TimelimitRaw,Priority,ReqTRES,AllocTRES,NodeList,Reservation,\\
      Constraints,SubmitLine > jobs.txt
      (scontrol -o -a -d show node; scontrol -o -a show partition; scontrol show config) > site.txt
    """
    began = time.monotonic()
    clock = WallClock(zone_of(zone))
    settings = load_config(config) if config or config_path().exists() else None
    slurm = settings.slurm if settings else SlurmSettings()
    there = read_site(site_text(site, slurm), settings)
    begin, end = seconds_of(since, clock.zone, "--since"), seconds_of(until, clock.zone, "--until")
    if past is None:
        end = min(end or time.time(), time.time())
        begin = end - MONTH if begin is None else begin
    tally = Tally()
    lines = lines_of(past) if past else sacct_lines(begin or 0.0, end or 0.0, slurm)
    trace = make_trace(read_past(lines, clock, tally), there, tally, begin, end, drop * DAY)
    effort = Effort("first-fit" if solver == "first-fit" else "highs", look_every, renditions)
    _say(_what(trace))
    sides = run_sides(trace, there, effort, _progress())
    made = findings(trace, there, sides, tally, effort, time.time(), time.monotonic() - began)
    _give(made, out, as_json)


def _give(made: ReplayDocument, out: Path | None, as_json: bool) -> None:
    if out:
        write_whole(out, msgspec.json.encode(made), 0o640)
    if as_json:
        click.echo(msgspec.json.encode(made).decode())
        return
    for line in text_of(made):
        click.echo(clean(line))


def _what(trace: Trace) -> str:
    span: Span = trace.span
    return (
        f"{len(trace.world.jobs)} jobs in {(span.end - span.begin) / DAY:.1f} days on"
        f" {trace.world.devices} devices of {len(trace.world.hosts)} nodes"
    )


def _progress() -> Callable[[SideName, float, int], None]:
    """A line for each tenth of each side; on a terminal, one that is always new."""
    told: dict[SideName, int] = {}
    screen = sys.stderr.isatty()
    now: dict[SideName, str] = {}

    def tell(side: SideName, part: float, jobs: int) -> None:
        now[side] = f"{NAMES[side]} {part:4.0%}, {jobs} jobs"
        if screen:
            click.echo("\r\x1b[K" + "; ".join(now.values()), err=True, nl=False)
        elif int(part * 10) > told.get(side, -1):
            told[side] = int(part * 10)
            _say(now[side])

    return tell


def _say(text: str) -> None:
    click.echo(text, err=True)
