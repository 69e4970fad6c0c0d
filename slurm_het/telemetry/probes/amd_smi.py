"""AMD's devices, by the JSON of amd-smi, which took rocm-smi's place with ROCm 6."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slurm_het.errors import ProbeError
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.pci import normal_address
from slurm_het.telemetry.program import fraction, mib, output_of, whole

PROGRAM = "amd-smi"
MAX_CARDS = 256
Rows = Mapping[int, Mapping[str, Any]]


class AmdSmi:
    """Reads through what the program prints for the words that it is asked with."""

    vendor = "amd"

    def __init__(self, asked: Callable[..., str] | None = None) -> None:
        self._asked = asked or (lambda *words: output_of(PROGRAM, *words))

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices by amd-smi's number; what a part of it does not tell is unknown."""
        metrics = self._rows("metric", "--usage", "--mem-usage")
        if not metrics:
            raise ProbeError(f"{PROGRAM} tells of no card")
        listed, static = self._perhaps("list"), self._perhaps("static", "--asic")
        held = self._perhaps("process")
        return tuple(
            _reading(
                place, metrics[gpu], listed.get(gpu, {}), static.get(gpu, {}), held.get(gpu, {})
            )
            for place, gpu in enumerate(sorted(metrics)[:MAX_CARDS])
        )

    def _perhaps(self, *words: str) -> Rows:
        try:
            return self._rows(*words)
        except ProbeError:
            return {}

    def _rows(self, *words: str) -> Rows:
        """A row for each card: a list, or a list under `gpu_data` (ROCm 7)."""
        try:
            read = json.loads(self._asked(*words, "--json"))
        except (ValueError, RecursionError) as error:
            raise ProbeError(f"{PROGRAM} {' '.join(words)} prints no JSON") from error
        rows = read.get("gpu_data") if isinstance(read, dict) else read
        if not isinstance(rows, list):
            raise ProbeError(f"{PROGRAM} {' '.join(words)} prints no list")
        pairs = [(whole(row.get("gpu")), row) for row in rows if isinstance(row, dict)]
        return {gpu: row for gpu, row in pairs if gpu is not None}


def probe(vendor: str) -> AmdSmi:
    """For AMD."""
    del vendor
    return AmdSmi()


def _reading(place: int, *rows: Mapping[str, Any]) -> DeviceReading:
    metric, listed, static, held = rows
    total = mib(_told(metric, "mem_usage", "total_vram"))
    return DeviceReading(
        place,
        "amd",
        address=normal_address(str(listed.get("bdf") or "")),
        model=str(_told(static, "asic", "market_name") or ""),
        memory_total_mib=total,
        memory_used_mib=mib(_told(metric, "mem_usage", "used_vram")),
        processes=tuple(_processes(held)),
        utilization=fraction(_told(metric, "usage", "gfx_activity")),
        unhealthy="" if total else "its driver does not tell its memory",
    )


def _told(row: Any, *path: str) -> Any:
    """What stands at a path, with its unit if it has one: `{"value": 16, "unit": "MB"}`."""
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    if isinstance(row, dict):
        unit = row.get("unit")
        return f"{row.get('value')} {unit}" if unit and unit != "%" else row.get("value")
    return row


def _processes(row: Mapping[str, Any]) -> Iterator[DeviceProcess]:
    listed = row.get("process_list")
    for one in listed if isinstance(listed, list) else []:
        process = one.get("process_info") if isinstance(one, dict) else None
        pid = whole(process.get("pid")) if isinstance(process, dict) else None
        if pid:
            used = _told(process, "memory_usage", "vram_mem")
            yield DeviceProcess(pid, mib(used, "B"))
