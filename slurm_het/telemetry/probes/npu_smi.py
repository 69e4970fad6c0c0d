"""Huawei's devices (Ascend), by the tables that `npu-smi info` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from slurm_het.errors import ProbeError
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.pci import normal_address
from slurm_het.telemetry.program import cells, fraction, output_of, whole

PROGRAM = "npu-smi"
# A device with a warning works; npu-smi's other words are for what does not.
_WELL = {"OK", "WARNING"}
_PAIR = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})")
Place = tuple[int, int]
"""An NPU's number and a chip's in it."""


class NpuSmi:
    """Reads through what the program prints; each chip is a device."""

    vendor = "ascend"

    def __init__(self, printed: str | None = None) -> None:
        self._printed = printed

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices by their physical number, which /dev/davinciN have."""
        printed = output_of(PROGRAM, "info") if self._printed is None else self._printed
        rows = [cells(line) for line in printed.splitlines()]
        chips = dict(_chips(rows))
        if not chips:
            raise ProbeError(f"{PROGRAM} tells of no chip")
        held = _processes(rows)
        readings = (
            replace(reading, processes=tuple(held.get(place, ())))
            for place, reading in chips.items()
        )
        return tuple(sorted(readings, key=lambda reading: reading.index))


def probe(vendor: str) -> NpuSmi:
    """For Ascend."""
    del vendor
    return NpuSmi()


def _chips(rows: list[list[str]]) -> Iterator[tuple[Place, DeviceReading]]:
    """Each chip, by its physical number; by its row where npu-smi does not tell that."""
    count = 0
    for first, second in pairwise(rows):
        if len(first) != 3 or len(second) != 3:
            continue
        card, chip = first[0].split(), second[0].split()
        npu, number = whole(card[0]) if card else None, whole(chip[0]) if chip else None
        pairs = _PAIR.findall(second[2])
        if npu is None or number is None or not pairs or len(card) < 2:
            continue
        physical = whole(chip[1]) if len(chip) > 1 else None
        yield (npu, number), _reading(first, second, count if physical is None else physical)
        count += 1


def _reading(first: list[str], second: list[str], index: int) -> DeviceReading:
    # Memory of its own comes last; an inference card has none but the first.
    pairs = [(int(used), int(total)) for used, total in _PAIR.findall(second[2])]
    used, total = next((pair for pair in reversed(pairs) if pair[1]), (None, None))
    health = first[1].strip()
    busy = second[2].split()
    return DeviceReading(
        index,
        "ascend",
        address=normal_address(second[1]),
        model=" ".join(first[0].split()[1:]),
        memory_total_mib=total,
        memory_used_mib=used,
        utilization=fraction(busy[0]) if busy else None,
        unhealthy="" if health.upper() in _WELL else f"npu-smi says {health or 'nothing'}",
    )


def _processes(rows: list[list[str]]) -> Mapping[Place, list[DeviceProcess]]:
    found: dict[Place, list[DeviceProcess]] = {}
    for row in rows:
        place = [whole(word) for word in row[0].split()] if len(row) == 4 else []
        if len(place) == 2 and place[0] is not None and place[1] is not None:
            pid = whole(row[1])
            if pid:
                process = DeviceProcess(pid, whole(row[3]))
                found.setdefault((place[0], place[1]), []).append(process)
    return found
