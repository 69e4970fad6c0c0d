"""The accelerators that are on this host's PCI bus, whether their driver answers or not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slurm_het.vendors.profile import Vendor

SYSFS = Path("/sys/bus/pci/devices")
_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Card:
    """A card on the bus: its address as sysfs writes it, `0000:3b:00.0`."""

    vendor: str
    address: str


def normal_address(told: str) -> str:
    """A PCI address in sysfs's way, from NVML's (`00000000:3B:00.0`); another text as it is."""
    found = _ADDRESS.fullmatch(told.strip())
    if not found:
        return told.strip()
    domain, bus, device, function = (int(part, 16) for part in found.groups())
    return f"{domain:04x}:{bus:02x}:{device:02x}.{function:x}"


class OnBus(NamedTuple):
    """What is on the bus: its address, the maker's id, its class; '' where that is not told."""

    address: str
    maker: str
    kind: str


def on_bus(sysfs: Path = SYSFS) -> tuple[OnBus, ...]:
    """All that is on the bus, in the order of addresses; nothing where there is no sysfs."""
    try:
        places = sorted(sysfs.iterdir(), key=lambda place: _order(place.name))
    except OSError:
        return ()
    return tuple(OnBus(p.name.lower(), _said(p / "vendor"), _said(p / "class")) for p in places)


def cards(vendor: Vendor, bus: Iterable[OnBus]) -> tuple[Card, ...]:
    """A vendor's accelerators, of what is on the bus."""
    ids = {word.lower() for word in vendor.pci.ids}
    classes = {word.lower() for word in vendor.pci.classes}
    return tuple(
        Card(vendor.vendor, there.address)
        for there in bus
        if there.maker in ids and (not classes or there.kind[:4] in classes)
    )


def render_node(address: str, sysfs: Path = SYSFS) -> int | None:
    """The number of a card's render node, /dev/dri/renderDN; None unless it has exactly one."""
    found = [place.name for place in (sysfs / address / "drm").glob("renderD*")]
    number = found[0].removeprefix("renderD") if len(found) == 1 else ""
    return int(number) if re.fullmatch("[0-9]{1,6}", number) else None


def device_file(vendor: Vendor, index: int, address: str, sysfs: Path = SYSFS) -> str:
    """The file of a vendor's device: by its address where that tells, else by its number."""
    node = render_node(address, sysfs) if "renderD" in vendor.devices.each else None
    return vendor.devices.numbered(1, index if node is None else node - vendor.devices.first)


def _order(address: str) -> tuple[int, ...]:
    found = _ADDRESS.fullmatch(address)
    return tuple(int(part, 16) for part in found.groups()) if found else (1 << 32,)


def _said(path: Path) -> str:
    """A number that sysfs writes as 0x10de, without the 0x; '' if it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip().lower().removeprefix("0x")
    except OSError:
        return ""
