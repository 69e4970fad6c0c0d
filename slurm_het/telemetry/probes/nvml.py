"""NVIDIA's devices, by NVML (nvidia-ml-py, which is imported as pynvml)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from slurm_het.errors import ProbeError, pip
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.pci import normal_address

_MIB = 1 << 20
_NOT_SUPPORTED = 3
MIG_MINORS = Path("/proc/driver/nvidia-caps/mig-minors")
"""The driver's numbers of /dev/nvidia-caps/nvidia-capN, by card and instance."""
MOST_MINORS = 4096
"""A driver that tells a larger number of a device file tells nonsense."""
# NVML's words for what must happen before a device is used again (GPU recovery action).
_RECOVERY = {
    1: "needs a reset", 2: "needs a reboot of its node", 4: "is to be drained and reset",
    6: "needs a reset of its bus", 7: "needs a reboot of its node",
}  # fmt: skip


class Nvml:
    """Reads through a `pynvml` module, or what stands in for it."""

    vendor = "nvidia"

    def __init__(self, library: Any, minors: Path = MIG_MINORS) -> None:
        self._nvml = library
        self._caps = _numbers_in(minors)

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices in the order of their minor numbers, each MIG slice a device of its own."""
        nvml = self._nvml
        try:
            nvml.nvmlInit()
            try:
                cards = [self._card(number) for number in range(int(nvml.nvmlDeviceGetCount()))]
            finally:
                self._asked(nvml.nvmlShutdown)
        except nvml.NVMLError as error:
            raise ProbeError(f"NVML: {error}", "is NVIDIA's driver loaded?") from error
        return tuple(_numbered(cards))

    def _card(self, number: int) -> list[tuple[int | None, DeviceReading]]:
        """A card's minor number, if it tells it, with its reading; of its slices where it has."""
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
        except nvml.NVMLError as error:
            return [(None, DeviceReading(number, self.vendor, unhealthy=f"NVML: {error}"))]
        minor = self._asked(nvml.nvmlDeviceGetMinorNumber, handle)
        minor = minor if minor is not None and 0 <= minor < MOST_MINORS else None
        card = self._reading(handle, number)
        if minor is not None:
            card = replace(card, files=(f"/dev/nvidia{minor}",))
        slices = [self._slice(one, card, minor) for one in self._slices(handle)]
        return [(minor, reading) for reading in slices or [card]]

    def _reading(self, handle: Any, number: int) -> DeviceReading:
        nvml = self._nvml
        pci = self._asked(nvml.nvmlDeviceGetPciInfo, handle)
        memory, lost = self._memory(handle)
        rates = self._asked(nvml.nvmlDeviceGetUtilizationRates, handle)
        return DeviceReading(
            number,
            self.vendor,
            address=normal_address(_text(getattr(pci, "busId", ""))),
            model=_text(self._asked(nvml.nvmlDeviceGetName, handle)),
            memory_total_mib=memory and int(memory.total) // _MIB,
            memory_used_mib=memory and -(-int(memory.used) // _MIB),
            processes=self._processes(handle),
            utilization=None if rates is None else min(1.0, max(0.0, int(rates.gpu) / 100)),
            unhealthy=lost or self._unwell(handle),
        )

    def _memory(self, handle: Any) -> tuple[Any, str]:
        """What NVML tells of the memory, or why it does not."""
        nvml = self._nvml
        # The second form does not count what the driver keeps for itself as used, as nvidia-smi.
        version = getattr(nvml, "nvmlMemory_v2", None)
        if version is not None:
            memory = self._asked(nvml.nvmlDeviceGetMemoryInfo, handle, version)
            if memory is not None:
                return memory, ""
        try:
            return nvml.nvmlDeviceGetMemoryInfo(handle), ""
        except nvml.NVMLError as error:
            # A device that shares its CPU's memory (GB10) has none of its own to tell of.
            shared = getattr(error, "value", None) == _NOT_SUPPORTED
            return None, "" if shared else f"NVML cannot read it: {error}"

    def _unwell(self, handle: Any) -> str:
        nvml = self._nvml
        field = getattr(nvml, "NVML_FI_DEV_GET_GPU_RECOVERY_ACTION", None)
        told = self._asked(nvml.nvmlDeviceGetFieldValues, handle, [field]) if field else None
        if told and getattr(told[0], "nvmlReturn", 1) == 0:
            action = _RECOVERY.get(int(told[0].value.uiVal))
            if action:
                return f"it {action}"
        rows = self._asked(nvml.nvmlDeviceGetRemappedRows, handle)
        return "its memory has no spare rows left" if rows and rows[3] else ""

    def _processes(self, handle: Any) -> tuple[DeviceProcess, ...]:
        """By pid; one that draws and computes is told twice."""
        found: dict[int, DeviceProcess] = {}
        for kind in ("Compute", "Graphics", "MPSCompute"):
            ask = getattr(self._nvml, f"nvmlDeviceGet{kind}RunningProcesses", None)
            for one in (ask and self._asked(ask, handle)) or ():
                used = one.usedGpuMemory
                mib = None if used is None else int(used) // _MIB
                found.setdefault(int(one.pid), DeviceProcess(int(one.pid), mib))
        return tuple(found[pid] for pid in sorted(found))

    def _slices(self, handle: Any) -> Iterator[Any]:
        """The MIG slices of a card; Slurm counts these and not the card."""
        nvml = self._nvml
        mode = self._asked(nvml.nvmlDeviceGetMigMode, handle)
        if not mode or not mode[0]:
            return
        for number in range(self._asked(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            one = self._asked(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            if one is not None:
                yield one

    def _slice(self, handle: Any, card: DeviceReading, minor: int | None) -> DeviceReading:
        memory, lost = self._memory(handle)
        return DeviceReading(
            card.index,
            self.vendor,
            address=card.address,
            model=_text(self._asked(self._nvml.nvmlDeviceGetName, handle)) or card.model,
            memory_total_mib=memory and int(memory.total) // _MIB,
            memory_used_mib=memory and -(-int(memory.used) // _MIB),
            processes=self._processes(handle),
            unhealthy=card.unhealthy or lost,
            files=self._slice_files(handle, card, minor),
        )

    def _slice_files(self, handle: Any, card: DeviceReading, minor: int | None) -> tuple[str, ...]:
        """The card's file and those of the two instances, as Slurm's own NVML plugin lists them."""
        nvml = self._nvml
        whole = self._asked(nvml.nvmlDeviceGetGpuInstanceId, handle)
        part = self._asked(nvml.nvmlDeviceGetComputeInstanceId, handle)
        home = f"gpu{minor}/gi{whole}"
        caps = [self._caps.get(f"{home}/access"), self._caps.get(f"{home}/ci{part}/access")]
        if None in caps:
            return ()
        return (*(card.files or ()), *(f"/dev/nvidia-caps/nvidia-cap{number}" for number in caps))

    def _asked(self, call: Callable[..., Any], *words: Any) -> Any:
        """What NVML answers, or None where this device or this driver does not support that."""
        try:
            return call(*words)
        except self._nvml.NVMLError:
            return None


def probe(vendor: str) -> Nvml:
    """Raises ProbeError where nvidia-ml-py is not installed."""
    del vendor  # NVML is NVIDIA's alone
    try:
        import pynvml
    except ImportError as error:
        raise ProbeError("nvidia-ml-py is not installed", pip("nvidia-ml-py>=12")) from error
    return Nvml(pynvml)


def _numbers_in(minors: Path) -> dict[str, int]:
    """By what it is (`gpu0/gi1/ci0/access`) its number; none where no card has slices."""
    try:
        pairs = (line.split() for line in minors.read_text(errors="replace").splitlines())
    except OSError:
        return {}
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _numbered(cards: list[list[tuple[int | None, DeviceReading]]]) -> Iterator[DeviceReading]:
    """The readings with indexes by minor number, and through where there are slices.

    A card that is lost tells no minor number: it has the one that is left.
    """
    told = {card[0][0] for card in cards}
    left = (number for number in range(2 * len(cards)) if number not in told)
    by_minor = [(card[0][0] if card[0][0] is not None else next(left), card) for card in cards]
    by_minor.sort(key=lambda pair: pair[0])
    sliced = any(len(card) > 1 for card in cards)
    readings = [(minor, reading) for minor, card in by_minor for _, reading in card]
    for place, (minor, reading) in enumerate(readings):
        yield replace(reading, index=place if sliced else int(minor))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
