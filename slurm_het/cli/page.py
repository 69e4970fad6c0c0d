"""slurm-het page: the cluster in one HTML file, for a web server of the site's."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click
import msgspec

from slurm_het.cli.documents import PageDocument
from slurm_het.cli.health import verdict_on
from slurm_het.cli.hetd_client import slurm_of
from slurm_het.cli.hetd_status import HetdStatus, ask_hetd
from slurm_het.cli.options import CONFIG
from slurm_het.cli.page_html import html_of
from slurm_het.cli.page_view import Making, Seen, page_in_silence, page_of, public_form
from slurm_het.cli.whole_file import write_whole
from slurm_het.cli.wording import load_wording, reworded
from slurm_het.config import load_config
from slurm_het.core.views.device_map import MapOptions, device_map
from slurm_het.core.views.job_rows import make_view
from slurm_het.core.views.probes import ProbeOptions
from slurm_het.core.views.starts import with_starts
from slurm_het.core.views.totals import summary_of
from slurm_het.errors import HetError, SlurmError
from slurm_het.settings import Config
from slurm_het.slurm.records import memory_defaults
from slurm_het.times import local_time

GRACE_SECONDS = 15
"""So much later than it is due may the next page be before this one is old."""
OLD_BY_HAND = 300
MAX_BYTES = 16 << 20
MODES = {"public": (0o755, 0o644), "staff": (0o750, 0o640)}
"""By form, the modes of its directory, as it is made, and of its files."""
REMEDY = "make it for the user who writes the page (docs/operators.md, The page)"


@click.command()
@click.option(
    "--out", "directory", type=click.Path(path_type=Path, file_okay=False), required=True,
    help="Where to: public/ and staff/ are made in it.",
)  # fmt: skip
@click.option(
    "--renewed", type=click.IntRange(5, 86400), metavar="SECONDS",
    help="The next one comes in so many seconds: the page says that it is old when none does.",
)  # fmt: skip
@CONFIG
def page(directory: Path, renewed: int | None, config: Path | None) -> None:
    """Write what there is to see as one HTML file and its JSON, for the site's web server.

    public/ has no names of users and jobs, staff/ has them: a directory that its group alone may
    read. Each has index.html, which needs no other file and no script, and page.json. hetd writes
    them by itself where the configuration has `page: {dir: DIR}`.

    \b
    Examples:
      slurm-het page --out /var/www/cluster
      * * * * * root slurm-het page --out /var/www/cluster --renewed 60    (a line for cron)
    """
    settings = load_config(config)
    before = _before(directory / "staff" / "page.json")
    staff = asyncio.run(_staff_form(settings, before, renewed))
    for form in (staff, public_form(staff, settings.policy, local_time)):
        _put(directory, form)


async def _staff_form(
    settings: Config, before: PageDocument | None, renewed: int | None
) -> PageDocument:
    """The staff form, of the cluster as it is now."""
    status = await asyncio.to_thread(ask_hetd, settings.paths.control_socket)
    try:
        seen = await _seen(settings, status)
    except SlurmError:
        seen = None  # the verdict says so
    now = int(time.time())
    verdict = verdict_on(status, seen.view.intake if seen else None, settings.paths, now)
    old_after = now + (renewed + GRACE_SECONDS if renewed else OLD_BY_HAND)
    making = Making(now, renewed, old_after, verdict, status.accuracy)
    if seen is None:
        return page_in_silence(making, before)
    return page_of(making, seen, before.day if before else [], local_time)


async def _seen(settings: Config, status: HetdStatus) -> Seen:
    """What there is to see. Raises SlurmError."""
    slurm, policy = slurm_of(settings), settings.policy
    snapshot = status.with_devices(await slurm.snapshot())
    memory = memory_defaults(await slurm.configuration())
    known = status.remembers(settings, await slurm.hidden())
    view = make_view(snapshot, policy, settings.planner.limits, known, local_time)
    view = with_starts(reworded(view, load_wording(settings.paths.reasons)))
    options = MapOptions(ProbeOptions(memory=memory, gate_open=view.intake == "UP"))
    summary = summary_of(view.snapshot, view.inventory, policy)
    return Seen(view, device_map(view.prepared, options), summary)


def _before(path: Path) -> PageDocument | None:
    """The page that is there; None without one that can be read: the day begins anew then."""
    try:
        with path.open("rb") as opened:
            return msgspec.json.decode(opened.read(MAX_BYTES), type=PageDocument)
    except (OSError, msgspec.MsgspecError):
        return None


def _put(directory: Path, page: PageDocument) -> None:
    """Write a form of the page into its directory."""
    folder, files = MODES[page.form]
    there = directory / page.form
    try:
        for path, mode in ((directory, 0o755), (there, folder)):
            if not path.is_dir():
                path.mkdir()
                path.chmod(mode)  # whatever the umask
    except OSError as error:
        raise HetError(f"cannot make {path}: {error.strerror}", REMEDY) from error
    write_whole(there / "page.json", msgspec.json.encode(page), files)
    write_whole(there / "index.html", html_of(page).encode(), files)
