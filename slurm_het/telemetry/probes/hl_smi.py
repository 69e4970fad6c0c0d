"""Intel Gaudi's devices, by the tables that `hl-smi` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from slurm_het.errors import ProbeError
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.pci import normal_address
from slurm_het.telemetry.program import cells, fraction, mib, output_of, whole

PROGRAM = "hl-smi"
_PAIR = re.compile(r"(\d{1,9})\s*Mi[Bb]\s*/\s*(\d{1,9})\s*Mi[Bb]")


class HlSmi:
    """Reads through what the program prints."""

    vendor = "habana"

    def __init__(self, printed: str | None = None) -> None:
        self._printed = printed

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices by hl-smi's index, which /dev/accel/accelN have."""
        printed = output_of(PROGRAM) if self._printed is None else self._printed
        rows = [cells(line) for line in printed.splitlines()]
        devices = {reading.index: reading for reading in _devices(rows)}
        if not devices:
            raise ProbeError(f"{PROGRAM} tells of no device")
        held: dict[int, list[DeviceProcess]] = {}
        for index, process in _processes(rows):
            held.setdefault(index, []).append(process)
        return tuple(
            replace(devices[index], processes=tuple(held.get(index, ())))
            for index in sorted(devices)
        )


def probe(vendor: str) -> HlSmi:
    """For Gaudi."""
    del vendor
    return HlSmi()


def _devices(rows: list[list[str]]) -> Iterator[DeviceReading]:
    for first, second in pairwise(rows):
        if len(first) != 3 or len(second) != 3:
            continue
        name, bus, memory = first[0].split(), first[1].split(), _PAIR.search(second[1])
        index = whole(name[0]) if name else None
        if index is None or len(name) < 2 or not bus or not memory:
            continue
        busy = second[2].split()
        yield DeviceReading(
            index,
            "habana",
            address=normal_address(bus[0]),
            model=name[1],
            memory_total_mib=int(memory.group(2)),
            memory_used_mib=int(memory.group(1)),
            utilization=fraction(busy[0]) if busy else None,
        )


def _processes(rows: list[list[str]]) -> Iterator[tuple[int, DeviceProcess]]:
    """`0  4711  C  python  768MiB`; N/A where a device has none."""
    for row in rows:
        words = row[0].split() if len(row) == 1 else []
        if len(words) >= 5:
            index, pid = whole(words[0]), whole(words[1])
            if index is not None and pid:
                yield index, DeviceProcess(pid, mib(words[-1]))
