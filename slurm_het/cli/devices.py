"""slurm-het devices: what the devices of this host say of themselves."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from slurm_het.core.syntax.printable import clean
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.host import SECONDS, Host
from slurm_het.vendors import SITE, load_vendors

_HEAD = ("DEVICE", "ADDRESS", "MODEL", "MEMORY", "BUSY", "PROCESSES", "STATE")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--vendor", "only", multiple=True, help="Ask these, whether on the PCI bus or not.")
@click.option(
    "--seconds", default=SECONDS, show_default=True, type=click.FloatRange(0.1, 600),
    help="How long a driver has to answer.",
)  # fmt: skip
@click.option(
    "--vendors", "site", type=click.Path(path_type=Path, file_okay=False), default=SITE,
    show_default=True, help="A directory of profiles laid over the built-in ones.",
)  # fmt: skip
def devices(as_json: bool, only: tuple[str, ...], seconds: float, site: Path) -> None:
    """Print the accelerators of this host as their drivers tell of them."""
    vendors = load_vendors(site)
    if lost := [name for name in only if name not in vendors]:
        raise click.UsageError(f"no vendor {lost[0]!r}; valid: {', '.join(vendors)}")
    host = Host(vendors)
    readings = host.read(seconds, only or None)
    for name, why in host.failed.items():
        click.echo(f"slurm-het: {name}: {clean(why)}", err=True)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(readings)).decode())
        return
    if not readings:
        click.echo("no accelerator is on this host's PCI bus" if not only else "no device")
        return
    rows = [_HEAD, *(_row(reading) for reading in readings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        click.echo("  ".join(cells).rstrip())


def _row(reading: DeviceReading) -> tuple[str, ...]:
    used, total = (
        "?" if mib is None else f"{mib / 1024:.1f}"
        for mib in (reading.memory_used_mib, reading.memory_total_mib)
    )
    busy = "?" if reading.utilization is None else f"{reading.utilization:.0%}"
    held = [
        f"{one.pid}" + ("" if one.memory_mib is None else f" ({one.memory_mib / 1024:.1f} GiB)")
        for one in reading.processes
    ]
    return (
        f"{reading.vendor}:{reading.index}",
        clean(reading.address) or "-",
        clean(reading.model) or "-",
        f"{used} of {total} GiB",
        busy,
        ", ".join(held) or "-",
        clean(reading.unhealthy) or "well",
    )
