"""Reads one vendor's devices and writes them to standard output; `host.py` runs it.

    python -m slurm_het.telemetry.child VENDOR PROBE...

It is a process of its own because a driver that hangs hangs who asks it, and cannot be interrupted.
"""

from __future__ import annotations

import sys

import msgspec

from slurm_het.errors import ProbeError
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.probes import probe_named


class ChildAnswer(msgspec.Struct, frozen=True):
    """What a child writes: the readings, or why there are none."""

    devices: tuple[DeviceReading, ...] = ()
    failed: str = ""


def answer(vendor: str, probes: list[str]) -> ChildAnswer:
    """Of the first probe that reads; the last one's failure if none does."""
    failed = f"there is no probe for {vendor}"
    for name in probes:
        try:
            return ChildAnswer(probe_named(name, vendor).read())
        except ProbeError as error:
            failed = error.message
        except Exception as error:  # noqa: BLE001 - a vendor's library may raise anything
            failed = f"{name}: {type(error).__name__}: {error}"
    return ChildAnswer(failed=failed[:500])


def main() -> None:
    """Entry point."""
    vendor, *probes = sys.argv[1:]
    told = msgspec.json.encode(answer(vendor, probes))
    sys.stdout.buffer.write(told)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
