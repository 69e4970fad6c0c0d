"""Intel's devices, by the JSON of xpu-smi. (Kunlunxin's program of that name prints none.)"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slurm_het.errors import ProbeError
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.pci import normal_address
from slurm_het.telemetry.program import fraction, mib, output_of, whole

PROGRAM = "xpu-smi"
MAX_CARDS = 64
Asked = Callable[..., str]
_USED = "XPUM_STATS_MEMORY_USED"


class XpuSmi:
    """Reads a card as one device, whatever its number of stacks: it has one device file."""

    vendor = "intel"

    def __init__(self, asked: Asked | None = None) -> None:
        self._asked = asked or (lambda *words: output_of(PROGRAM, *words))

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices by xpu-smi's number, which is their order on the PCI bus."""
        listed = _listed(self._json("discovery", "-j"), "device_list")[:MAX_CARDS]
        cards = [(whole(card.get("device_id")), card) for card in listed]
        found = {number: card for number, card in cards if number is not None}
        if not found:
            raise ProbeError(f"{PROGRAM} tells of no device")
        held = self._processes()
        return tuple(
            self._reading(place, number, found[number], held.get(number, ()))
            for place, number in enumerate(sorted(found))
        )

    def _reading(
        self, place: int, number: int, card: Mapping[str, Any], held: tuple[DeviceProcess, ...]
    ) -> DeviceReading:
        unwell = ""
        try:
            more = self._json("discovery", "-d", str(number), "-j")
            stats = _stats(self._json("stats", "-d", str(number), "-j"))
        except ProbeError as error:
            more, stats, unwell = {}, {}, f"its driver does not tell of it: {error.message}"
        total = mib(more.get("memory_physical_size_byte"), "B")
        total = total or mib(more.get("memory_physical_size"))
        used = mib(stats.get(_USED))
        if used is None or (total and used > total):  # an old xpu-smi counts it in bytes
            used = mib(stats.get(_USED), "B")
        return DeviceReading(
            place,
            self.vendor,
            address=normal_address(str(card.get("pci_bdf_address", ""))),
            model=str(card.get("device_name", "")),
            memory_total_mib=total,
            memory_used_mib=used,
            processes=held,
            utilization=fraction(stats.get("XPUM_STATS_GPU_UTILIZATION")),
            unhealthy=unwell or ("" if total else "xpu-smi does not tell its memory"),
        )

    def _processes(self) -> Mapping[int, tuple[DeviceProcess, ...]]:
        try:
            listed = _listed(self._json("ps", "-j"), "device_util_by_proc_list")
        except ProbeError:
            return {}
        found: dict[int, tuple[DeviceProcess, ...]] = {}
        for one in listed:
            number, pid = whole(one.get("device_id")), whole(one.get("process_id"))
            if number is not None and pid:
                process = DeviceProcess(pid, mib(one.get("mem_size"), "K"))
                found[number] = (*found.get(number, ()), process)
        return found

    def _json(self, *words: str) -> Mapping[str, Any]:
        try:
            read = json.loads(self._asked(*words))
        except (ValueError, RecursionError) as error:
            raise ProbeError(f"{PROGRAM} {' '.join(words)} prints no JSON") from error
        if not isinstance(read, dict) or "error" in read:
            raise ProbeError(f"{PROGRAM} {' '.join(words)} fails")
        return read


def probe(vendor: str) -> XpuSmi:
    """For Intel's GPUs."""
    del vendor
    return XpuSmi()


def _listed(read: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = read.get(name)
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _stats(read: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a card; some versions tell the memory used of each tile only."""
    stats = dict(_metrics(read, "device_level"))
    tiles = [dict(_metrics(tile, "data_list")).get(_USED) for tile in _listed(read, "tile_level")]
    of_tiles = [used for used in tiles if isinstance(used, int | float)]
    if _USED not in stats and of_tiles:
        stats[_USED] = sum(of_tiles)
    return stats


def _metrics(read: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    for one in _listed(read, name):
        if isinstance(one.get("metrics_type"), str):
            yield one["metrics_type"], one.get("value")
