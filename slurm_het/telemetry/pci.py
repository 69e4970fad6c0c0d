"""The accelerators that are on this host's PCI bus, whether their driver answers or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

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


def cards(vendor: Vendor, sysfs: Path = SYSFS) -> tuple[Card, ...]:
    """A vendor's accelerators in the order of their addresses; none where there is no sysfs."""
    ids = {word.lower() for word in vendor.pci.ids}
    classes = {word.lower() for word in vendor.pci.classes}
    found = []
    try:
        places = sorted(sysfs.iterdir(), key=lambda place: _order(place.name))
    except OSError:
        return ()
    for place in places:
        if _said(place / "vendor") in ids:
            kind = _said(place / "class")
            if not classes or kind[:4] in classes:
                found.append(Card(vendor.vendor, place.name.lower()))
    return tuple(found)


def render_node(address: str, sysfs: Path = SYSFS) -> int | None:
    """The number of a card's render node, /dev/dri/renderDN; None unless it has exactly one."""
    found = [place.name for place in (sysfs / address / "drm").glob("renderD*")]
    number = found[0].removeprefix("renderD") if len(found) == 1 else ""
    return int(number) if re.fullmatch("[0-9]{1,6}", number) else None


def _order(address: str) -> tuple[int, ...]:
    found = _ADDRESS.fullmatch(address)
    return tuple(int(part, 16) for part in found.groups()) if found else (1 << 32,)


def _said(path: Path) -> str:
    """A number that sysfs writes as 0x10de, without the 0x; '' if it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip().lower().removeprefix("0x")
    except OSError:
        return ""
