"""This host's lines of gres.conf, from what its devices say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from slurm_het.core.catalog import Catalog, is_slice
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.printable import clean
from slurm_het.node_files import NodeCards, NodesAlike, flag
from slurm_het.telemetry import pci
from slurm_het.telemetry.device import DeviceReading
from slurm_het.vendors import Vendor, catalogue

_NEAR = 0.15
"""A device tells up to so much less memory than its model has: the driver's and ECC's part."""


def gres_lines(
    host: str,
    readings: Iterable[DeviceReading],
    vendors: Mapping[str, Vendor],
    sysfs: Path = pci.SYSFS,
) -> list[str]:
    """The lines, one for each type; a comment for a device of no type that is known."""
    types = Catalog(catalogue(vendors))
    files: dict[tuple[str, str], list[str]] = {}
    comments = []
    for reading in readings:
        kind = type_of(reading, types)
        file = pci.device_file(vendors[reading.vendor], reading.index, reading.address, sysfs)
        if kind and is_slice(kind):
            return [f"NodeName={host} AutoDetect={vendors[reading.vendor].autodetect}"]
        if kind:
            files.setdefault((reading.vendor, kind), []).append(file)
        else:
            what = clean(reading.model) or clean(reading.unhealthy) or "it tells nothing"
            comments.append(f"# {file}: no type is known for it ({what})")
    cards = tuple(NodeCards(kind, vendor, len(each)) for (vendor, kind), each in files.items())
    word = flag(NodesAlike((host,), host, cards), vendors) if cards else ""
    lines = [
        f"NodeName={host} Name=gpu Type={kind} File={hostlist.fold(each)} Flags={word}"
        for (_, kind), each in files.items()
    ]
    return [*lines, *comments]


def type_of(reading: DeviceReading, types: Catalog) -> str:
    """The type's name for gres.conf: `a100`, `a100-80gb` where it has another memory; '' if none.

    A slice of a device is named by the slice: `3g.20gb`.
    """
    words = re.sub(r"[^A-Za-z0-9.]+", "-", reading.model).strip("-").lower()[:120]
    if found := re.search(r"[1-7]g\.\d{1,4}gb", words):
        return found.group()
    model = types.model(words)
    if model is None or model.vendor != reading.vendor:
        return ""
    gib = round((reading.memory_total_mib or 0) / 1024)
    near = not gib or model.memory_gib * (1 - _NEAR) <= gib <= model.memory_gib * (1 + _NEAR)
    return model.name if near else f"{model.name}-{gib}gb"
