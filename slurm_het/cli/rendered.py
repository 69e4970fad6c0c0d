"""slurm-het render: every file that a site installs, for its configuration; what differs."""

from __future__ import annotations

import asyncio
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from slurm_het.cli.checks.hook import MAIN, is_hook
from slurm_het.cli.checks.reading import conf_dir, text_of
from slurm_het.cli.installing import CHAIN, UNIT, Rendered, install, read
from slurm_het.cli.node_files import ask_nodes
from slurm_het.cli.options import CONFIG
from slurm_het.cli.systemd_unit import unit_of_site
from slurm_het.config import load_config
from slurm_het.core.syntax.printable import clean_lines
from slurm_het.errors import HetError
from slurm_het.node_files import gres_conf, task_prolog
from slurm_het.resources import data_dir
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.telemetry.exporter import PORT
from slurm_het.templating import exporter_unit, gres_aliases, hook_config
from slurm_het.vendors import load_vendors

UNITS = Path("/etc/systemd/system")
OWN_ROOM = "slurm-het"  # beside slurm.conf, where the site has a job_submit.lua of its own


@click.command("render")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), required=False)
@CONFIG
@click.option("--user", help="Who hetd runs as.  [default: SlurmUser of slurm.conf]")
@click.option("--diff", is_flag=True, help="Write nothing; print what the installed files lack.")
@click.option(
    "--install", "into_place", is_flag=True, help="Put the hook and hetd's unit in place."
)
def rendered(
    directory: Path | None, config: Path | None, user: str | None, *, diff: bool, into_place: bool
) -> None:
    """Write every file of a site, from het.yaml and the Slurm that runs: the hook, gres.conf, the
    TaskProlog, the systemd units.

    With DIRECTORY it installs nothing: each line says where a file belongs. With --diff the files
    that are installed on this host are compared, and the exit code is 1 if one differs or is
    missing. With --install the hook's files and hetd.service are put there, or replaced by newer
    ones, the old ones kept beside them as NAME.~1~; a file of the site's own is never written.

    \b
    Examples:
      slurm-het render /tmp/site
      slurm-het render --diff
      slurm-het render --install
    """
    files, etc = asyncio.run(_render(load_config(config), user))
    if into_place:
        for line in install(files, etc):
            click.echo(clean_lines(line))
        return
    if diff:
        lines = [line for file in files for line in _difference(file)]
        click.echo(clean_lines("\n".join(lines)) if lines else "all that is installed is as here")
        sys.exit(1 if lines else 0)
    if directory is None:
        raise HetError("no directory is named", "slurm-het render DIR, or slurm-het render --diff")
    for file in files:
        click.echo(clean_lines(f"{_written(file, directory)} -> {file.place}"))


async def _render(settings: Config, user: str | None) -> tuple[list[Rendered], Path]:
    """All files, and the directory of slurm.conf."""
    slurm = CliSlurm(settings.slurm)
    kinds, constrained = await ask_nodes(slurm, settings)
    conf = await slurm.configuration()
    etc = conf_dir(settings.slurm, conf)
    vendors = load_vendors(settings.paths.vendors)
    prolog = conf.get("TaskProlog", "(null)")
    files = [
        *_hook(settings, etc),
        Rendered("gres.conf", gres_conf(kinds, vendors), etc / "gres.conf"),
        Rendered(
            "task_prolog", task_prolog(kinds, vendors, constrained=constrained),
            Path(prolog) if prolog.startswith("/") else etc / "task_prolog", runs=True,
        ),
        Rendered(UNIT, unit_of_site(settings, conf, user), UNITS / UNIT),
        Rendered(
            "het-exporter.service", exporter_unit(f":{PORT}"),
            UNITS / "het-exporter.service", needed=False,  # it is for compute nodes
        ),
    ]  # fmt: skip
    return files, etc


def _hook(settings: Config, etc: Path) -> Iterator[Rendered]:
    """The Lua files; where the site has a job_submit.lua of its own, in a room beside it."""
    scripts = {path.name: text_of(path) for path in sorted(data_dir("job_submit").glob("*.lua"))}
    there = text_of(etc / MAIN)
    beside = (etc / OWN_ROOM).is_dir() or (there and not is_hook(there))
    room = etc / OWN_ROOM if beside else etc
    for name, text in scripts.items():
        optional = name in {"cli_filter.lua", "het_gres_steps.lua", CHAIN}
        yield Rendered(name, text, room / name, runs=True, needed=not optional)
    yield Rendered("het_hook_config.lua", hook_config(settings), room / "het_hook_config.lua")
    aliases = "het_gres_aliases.lua"
    yield Rendered(aliases, gres_aliases(settings), etc / aliases, needed=False)


def _difference(file: Rendered) -> Iterator[str]:
    there = read(file.place)
    if there is None:
        if file.needed:
            yield f"missing: {file.place}"
        return
    yield from difflib.unified_diff(
        there.splitlines(), file.text.splitlines(), str(file.place), file.name, lineterm=""
    )


def _written(file: Rendered, directory: Path) -> Path:
    path = directory / file.name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
        path.chmod(0o755 if file.runs else 0o644)
    except OSError as error:
        raise HetError(f"cannot write {path}: {error.strerror}") from error
    return path
