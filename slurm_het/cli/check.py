"""slurm-het check: is the configuration right for the Slurm that runs here?"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from slurm_het.cli.checks import findings
from slurm_het.cli.checks.reading import read_site
from slurm_het.cli.checks.site import Finding, Installation
from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.core.syntax.printable import clean


@click.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(config: Path | None, as_json: bool) -> None:
    """Compare the configuration with the live Slurm, the hook's files and hetd.

    Each finding has its place, what is wrong there, and what to do. Run it on a controller host:
    the hook and hetd are looked at only there. Exit code 1 if something is wrong; remarks are no
    mistakes.

    \b
    Examples:
      slurm-het check
      slurm-het check --config examples/het.yaml --json
    """
    site = asyncio.run(read_site(load_config(config)))
    found = findings(site)
    click.echo(json.dumps(_document(site, found), indent=2) if as_json else _page(site, found))
    sys.exit(1 if any(not f.remark for f in found) else 0)


def _document(site: Installation, found: list[Finding]) -> dict[str, object]:
    return {
        "config": str(site.settings.source),
        "controller_host": site.controller is not None,
        "findings": [asdict(finding) for finding in found],
    }


def _page(site: Installation, found: list[Finding]) -> str:
    lines = [line for finding in found for line in _lines(finding)]
    remarks = sum(f.remark for f in found)
    nodes = sum(bool(n.gres) for n in site.snapshot.nodes)
    lines.append(
        clean(
            f"{site.settings.source}: {len(found) - remarks} wrong, {remarks} remarks;"
            f" {len(site.settings.policy.pools)} pools, {nodes} accelerator nodes"
        )
    )
    if not site.controller:
        lines.append("not looked at: the hook and hetd, which only a controller host has")
    return "\n".join(lines)


def _lines(finding: Finding) -> tuple[str, str]:
    kind, colour = ("remark:", "yellow") if finding.remark else ("wrong: ", "red")
    first = clean(f"{finding.place}: {finding.what}")
    return f"{click.style(kind, fg=colour)} {first}", f"        do: {clean(finding.remedy)}"
