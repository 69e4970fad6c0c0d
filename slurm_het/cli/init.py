"""slurm-het init: a first configuration, from the Slurm that runs here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from slurm_het.cli.checks.reading import conf_dir, included, shown_partitions
from slurm_het.cli.checks.slurm_conf import partition_words
from slurm_het.core.catalog import Catalog
from slurm_het.core.syntax.printable import clean_lines
from slurm_het.errors import HetError
from slurm_het.settings import SlurmSettings
from slurm_het.setup.files import conf_lines, het_yaml
from slurm_het.setup.proposal import GresVendors, SiteProposal, propose_site
from slurm_het.slurm.cli import CliSlurm
from slurm_het.vendors import catalogue, load_vendors

HET, SLURM = "het.yaml", "slurm.conf.add"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option(
    "--slurm-conf", type=click.Path(path_type=Path, dir_okay=False),
    help="slurm.conf of the cluster.  [default: as Slurm's programs find it]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def init(directory: Path | None, slurm_conf: Path | None, force: bool) -> None:
    """Write het.yaml for this cluster, and the lines that slurm.conf needs.

    It reads Slurm and changes nothing there. Without DIRECTORY both are printed. Partitions that
    are there become the intake and the pools where they can be; what is guessed is marked so.

    \b
    Examples:
      slurm-het init                    print what would be written
      slurm-het init /etc/slurm-het     write het.yaml and slurm.conf.add there
    """
    proposal, texts = asyncio.run(_propose(slurm_conf))
    if directory is None:
        click.echo("\n".join(texts.values()), nl=False)
        return
    _write(directory, texts, force)
    for line in _summary(proposal, directory):
        click.echo(clean_lines(line))


async def _propose(path: Path | None) -> tuple[SiteProposal, dict[str, str]]:
    settings = SlurmSettings(conf=path)
    slurm = CliSlurm(settings)
    vendors = load_vendors()
    names = GresVendors({"gpu": "", **{n: v.vendor for v in vendors.values() for n in v.gres}})
    snapshot, conf = await slurm.snapshot(), await slurm.configuration()
    proposal = propose_site(snapshot, Catalog(catalogue(vendors)), names)
    text = included(conf_dir(settings, conf) / "slurm.conf", conf.get("ClusterName", ""))
    default = partition_words(text, "DEFAULT").keys() if text else None
    lines = conf_lines(proposal, conf, await shown_partitions(slurm), default)
    return proposal, {HET: het_yaml(proposal), SLURM: lines}


def _write(directory: Path, texts: dict[str, str], force: bool) -> None:
    """All or nothing of what is refused is refused before the first is written."""
    there = [str(directory / name) for name in texts if (directory / name).exists()]
    if there and not force:
        raise HetError(f"{', '.join(there)} is there already", "another directory, or --force")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise HetError(f"cannot write {error.filename or directory}: {error.strerror}") from error


def _summary(proposal: SiteProposal, directory: Path) -> list[str]:
    intake, new = proposal.intake, [p for p in proposal.pools if p.partition.new]
    pools = ", ".join(pool.partition.name for pool in proposal.pools)
    return [
        f"intake: {intake.name}{' (new)' if intake.new else ''}; pools: {pools}"
        + (f"; {len(new)} of them new" if new else ""),
        *(f"left out: {line}" for line in proposal.left_out),
        f"next: look at {directory / HET}; slurm-het render --install --config {directory / HET}",
        f"      puts the rest in place; {directory / SLURM} is what slurm.conf lacks",
    ]
