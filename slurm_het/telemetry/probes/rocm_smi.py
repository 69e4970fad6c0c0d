"""AMD's devices by rocm-smi, Hygon's by hy-smi, which is made from it: both print JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from slurm_het.errors import ProbeError
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.pci import normal_address
from slurm_het.telemetry.program import fraction, mib, output_of, whole

PROGRAMS: Mapping[str, str] = {"amd": "rocm-smi", "hygon": "hy-smi"}
ARGUMENTS = ("--showbus", "--showproductname", "--showuse", "--showmeminfo", "vram", "--json")
MAX_CARDS = 256
_CARD = re.compile(r"card([0-9]{1,4})")
# hy-smi leaves out commas: {"Power (W)": "91.0""Average GFX Core Power (W)": "20.0"
_NO_COMMA = re.compile(r'("(?:[^"\\]|\\.)*"\s*:\s*"(?:[^"\\]|\\.)*")\s*(?=")')


class RocmSmi:
    """Reads through what the program prints."""

    def __init__(self, vendor: str, printed: str | None = None) -> None:
        self.vendor = vendor
        self._printed = printed

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices in the order of their numbers, which is that of their render nodes."""
        program = PROGRAMS[self.vendor]
        printed = output_of(program, *ARGUMENTS) if self._printed is None else self._printed
        found = sorted(_cards(_decoded(program, printed)))[:MAX_CARDS]
        if not found:
            raise ProbeError(f"{program} tells of no card")
        return tuple(self._reading(place, card) for place, (_, card) in enumerate(found))

    def _reading(self, place: int, card: Mapping[str, Any]) -> DeviceReading:
        total, used = _memory(card, "Total Memory"), _memory(card, "Total Used Memory")
        return DeviceReading(
            place,
            self.vendor,
            address=normal_address(str(card.get("PCI Bus", ""))),
            model=_first(card, "Card Series", "Card series", "Card Model", "Card model"),
            memory_total_mib=total,
            memory_used_mib=used,
            utilization=fraction(_first(card, "GPU use (%)", "DCU use (%)", "HCU use (%)")),
            unhealthy="" if total else "its driver does not tell its memory",
        )


def probe(vendor: str) -> RocmSmi:
    """For AMD or Hygon."""
    return RocmSmi(vendor)


def _decoded(program: str, printed: str) -> Mapping[str, Any]:
    # Warnings may stand before it and after it.
    text = printed[printed.find("{") : printed.rfind("}") + 1]
    for attempt in (text, _NO_COMMA.sub(r"\1,", text)):
        try:
            read = json.loads(attempt)
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict):
            return read
    raise ProbeError(f"{program} prints no JSON")


def _cards(read: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    seen = set()
    for name, card in read.items():
        number = _CARD.fullmatch(name)
        place = whole(number.group(1)) if number else None
        if place is not None and isinstance(card, dict) and place not in seen:
            seen.add(place)
            yield place, card


def _memory(card: Mapping[str, Any], what: str) -> int | None:
    """`VRAM Total Memory (B)` of rocm-smi, `vram Total Memory (MiB)` of hy-smi."""
    for key, value in card.items():
        told = re.fullmatch(rf"vram {what} \((B|KiB|MiB|GiB)\)", key, re.IGNORECASE)
        if told:
            return mib(value, told.group(1))
    return None


def _first(card: Mapping[str, Any], *keys: str) -> str:
    return next((str(card[key]) for key in keys if card.get(key)), "")
