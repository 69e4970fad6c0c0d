"""Devices of any vendor that gpustack-runtime detects, where that is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_het.errors import ProbeError, pip
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.pci import normal_address
from slurm_het.telemetry.program import fraction, mib, whole

MANUFACTURERS: Mapping[str, str] = {"moorethreads": "mthreads"}
"""Our word for a vendor to gpustack's, where they differ."""


class Gpustack:
    """Reads through a function that gives gpustack's devices."""

    def __init__(self, vendor: str, detect: Callable[[], Iterable[Any] | None]) -> None:
        self.vendor = vendor
        self._detect = detect

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices of one vendor by gpustack's index, a physical one."""
        name = MANUFACTURERS.get(self.vendor, self.vendor)
        own = [one for one in self._detect() or () if _manufacturer(one) == name]
        if not own:
            raise ProbeError(f"gpustack-runtime tells of no device of {self.vendor}")
        return tuple(sorted(map(self._reading, own), key=lambda reading: reading.index))

    def _reading(self, one: Any) -> DeviceReading:
        appendix = one.appendix if isinstance(one.appendix, Mapping) else {}
        bus = appendix.get("bdf") or appendix.get("pci_bus_id")
        total = mib(one.memory)
        status = getattr(one, "memory_status", "")
        unwell = str(getattr(status, "value", status)) == "unhealthy"
        return DeviceReading(
            whole(one.index) or 0,
            self.vendor,
            address=normal_address(str(bus or one.uuid or "")),
            model=str(one.name or ""),
            memory_total_mib=total or None,
            memory_used_mib=mib(one.memory_used),
            utilization=fraction(one.cores_utilization),
            unhealthy="gpustack-runtime says that its memory fails"
            if unwell
            else ("" if total else "gpustack-runtime does not tell its memory"),
        )


def probe(vendor: str) -> Gpustack:
    """Raises ProbeError where gpustack-runtime is not installed."""
    os.environ["GPUSTACK_RUNTIME_DETECT_PHYSICAL_INDEX_PRIORITY"] = "1"
    try:
        from gpustack_runtime.detector import detect_devices
    except ImportError as error:
        raise ProbeError("gpustack-runtime is not installed", pip("gpustack-runtime")) from error
    return Gpustack(vendor, lambda: detect_devices(fast=False))


def _manufacturer(one: Any) -> str:
    told = getattr(one, "manufacturer", "")
    return str(getattr(told, "value", told)).lower()
