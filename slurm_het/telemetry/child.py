"""Reads one vendor's devices and writes them to standard output; `host.py` runs it.

    python -m slurm_het.telemetry.child VENDOR PROBE...

It is a process of its own because a driver that hangs hangs who asks it, and cannot be interrupted.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import msgspec

from slurm_het.core.syntax.printable import clean
from slurm_het.errors import ProbeError, lacks
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.probes import probe_named

MAX_DEVICES = 256
MAX_PROCESSES = 4096
MAX_TEXT = 200
MAX_MIB = 1 << 30


class ChildAnswer(msgspec.Struct, frozen=True):
    """What a child writes: the readings, or why there are none.

    `asked`: whether the devices were asked at all; this host may have had no process for it.
    `late`: whether nothing was heard; they may be ill, or the host busy.
    """

    devices: tuple[DeviceReading, ...] = ()
    failed: str = ""
    asked: bool = True
    late: bool = False


def answer(vendor: str, probes: list[str]) -> ChildAnswer:
    """Of the first probe that reads; the last one's failure if none does."""
    failed = f"there is no probe for {vendor}"
    for name in probes:
        try:
            readings = probe_named(name, vendor).read()[:MAX_DEVICES]
            return ChildAnswer(tuple(map(tidy, readings)))
        except Exception as error:  # noqa: BLE001 - a vendor's library may raise anything
            if lacking := lacks(error) or lacks(error.__cause__ or error):
                return ChildAnswer(failed=f"cannot ask: {lacking}", asked=False)
            why = f"{name}: {type(error).__name__}: {error}"
            failed = error.message if isinstance(error, ProbeError) else why
    return ChildAnswer(failed=clean(failed[:MAX_TEXT]))


def tidy(reading: DeviceReading) -> DeviceReading:
    """A reading that nobody stumbles over: short printable texts, numbers that can be."""
    total, used = (
        mib if mib is None or 0 <= mib <= MAX_MIB else None
        for mib in (reading.memory_total_mib, reading.memory_used_mib)
    )
    return replace(
        reading,
        address=clean(reading.address[:MAX_TEXT]),
        model=clean(reading.model[:MAX_TEXT]),
        unhealthy=clean(reading.unhealthy[:MAX_TEXT]),
        memory_total_mib=total,
        memory_used_mib=used,
        processes=reading.processes[:MAX_PROCESSES],
    )


def main() -> None:
    """Entry point."""
    vendor, *probes = sys.argv[1:]
    told = msgspec.json.encode(answer(vendor, probes))
    sys.stdout.buffer.write(told)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
