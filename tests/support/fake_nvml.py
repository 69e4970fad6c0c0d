"""A stand-in for pynvml that replays what NVML told of real devices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

_MIB = 1 << 20


class NvmlError(Exception):
    """Raised as pynvml raises its errors: `value` is NVML's number, 3 for what is unsupported."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.value = 3 if text == "Not Supported" else 999


class FakeNvml:
    """`cards`: what a card answers; an exception as the answer is raised, as is a missing one."""

    NVMLError = NvmlError
    NVML_FI_DEV_GET_GPU_RECOVERY_ACTION = 230
    nvmlMemory_v2 = 0x02000028

    def __init__(self, *cards: dict[str, Any]) -> None:
        self.cards = cards

    def nvmlInit(self) -> None:
        return None

    def nvmlShutdown(self) -> None:
        return None

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> dict[str, Any]:
        if lost := self.cards[number].get("lost"):
            raise NvmlError(lost)
        return self.cards[number]

    def nvmlDeviceGetMinorNumber(self, card: dict[str, Any]) -> Any:
        return _told(card, "minor")

    def nvmlDeviceGetPciInfo(self, card: dict[str, Any]) -> Any:
        return SimpleNamespace(busId=_told(card, "busId"))

    def nvmlDeviceGetName(self, card: dict[str, Any]) -> Any:
        return _told(card, "name")

    def nvmlDeviceGetUUID(self, card: dict[str, Any]) -> Any:
        return _told(card, "uuid")

    def nvmlDeviceGetMemoryInfo(self, card: dict[str, Any], version: int | None = None) -> Any:
        total, used = _told(card, "total_mib"), _told(card, "used_mib")
        if version is None:  # the first form counts what the driver keeps as used
            used += _told(card, "reserved_mib")
        return SimpleNamespace(total=total * _MIB, used=used * _MIB)

    def nvmlDeviceGetUtilizationRates(self, card: dict[str, Any]) -> Any:
        return SimpleNamespace(gpu=_told(card, "utilization"))

    def nvmlDeviceGetFieldValues(self, card: dict[str, Any], fields: list[int]) -> Any:
        assert fields == [self.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION]
        value = SimpleNamespace(uiVal=_told(card, "recovery"))
        return [SimpleNamespace(nvmlReturn=0, value=value)]

    def nvmlDeviceGetRemappedRows(self, card: dict[str, Any]) -> Any:
        return tuple(_told(card, "rows"))

    def nvmlDeviceGetComputeRunningProcesses(self, card: dict[str, Any]) -> Any:
        return [
            SimpleNamespace(
                pid=one["pid"],
                usedGpuMemory=None if one.get("used_mib") is None else one["used_mib"] * _MIB,
            )
            for one in _told(card, "compute")
        ]

    nvmlDeviceGetGraphicsRunningProcesses = nvmlDeviceGetComputeRunningProcesses

    def nvmlDeviceGetMigMode(self, card: dict[str, Any]) -> Any:
        _told(card, "slices")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: dict[str, Any]) -> Any:
        del card
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: dict[str, Any], number: int) -> Any:
        if number >= len(card["slices"]):
            raise NvmlError("Not Found")
        return card["slices"][number]

    def nvmlDeviceGetGpuInstanceId(self, part: dict[str, Any]) -> Any:
        return _told(part, "gi")

    def nvmlDeviceGetComputeInstanceId(self, part: dict[str, Any]) -> Any:
        return _told(part, "ci")


def _told(card: dict[str, Any], name: str) -> Any:
    value = card.get(name, NvmlError("Not Supported"))
    if isinstance(value, Exception):
        raise value
    return value
