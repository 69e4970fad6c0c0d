"""Cambricon's devices, by what `cnmon info` prints: an outline, indented."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from slurm_het.errors import ProbeError
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.pci import normal_address
from slurm_het.telemetry.program import fraction, mib, output_of, whole

PROGRAM = "cnmon"
_CARD = re.compile(r"Card ([0-9]{1,4})\s*")
_LINE = re.compile(r"( *)([^:]{1,80}?)\s*:\s?(.*)")
_PROCESS = re.compile(r"Processes/Process[^/]*/")
Outline = Mapping[str, str]
"""What is told of a card, by the path of its words: `Physical Memory Usage/Total`."""


class Cnmon:
    """Reads through what the program prints."""

    vendor = "cambricon"

    def __init__(self, printed: str | None = None) -> None:
        self._printed = printed

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices by the number of their card, which /dev/cambricon_devN have."""
        printed = output_of(PROGRAM, "info") if self._printed is None else self._printed
        cards = dict(_cards(printed))
        if not cards:
            raise ProbeError(f"{PROGRAM} tells of no card")
        return tuple(_reading(number, cards[number]) for number in sorted(cards))


def probe(vendor: str) -> Cnmon:
    """For Cambricon."""
    del vendor
    return Cnmon()


def _cards(printed: str) -> Iterator[tuple[int, Outline]]:
    """Each card with its outline. A word that stands twice has a number: processes do."""
    number: int | None = None
    outline: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in printed.splitlines():
        if begins := _CARD.fullmatch(line):
            if number is not None:
                yield number, outline
            number, outline, above = int(begins.group(1)), {}, []
        elif number is not None and (told := _LINE.fullmatch(line)):
            depth, word, value = len(told.group(1)), told.group(2), told.group(3).strip()
            above = [(d, w) for d, w in above if d < depth][-8:]
            if word == "Process":  # `Process : 0`, and what is indented below it
                word = f"Process {value}"
            above.append((depth, word))
            outline.setdefault("/".join(w for _, w in above), value)
    if number is not None:
        yield number, outline


def _reading(number: int, told: Outline) -> DeviceReading:
    health = told.get("Health State/Device", "")
    total = mib(told.get("Physical Memory Usage/Total"))
    unwell = f"cnmon says {health}" if health not in ("", "Good") else ""
    return DeviceReading(
        number,
        "cambricon",
        address=_address(told) or told.get("UUID", ""),
        model=told.get("Product Name", ""),
        memory_total_mib=total,
        memory_used_mib=mib(told.get("Physical Memory Usage/Used")),
        processes=tuple(_processes(told)),
        utilization=fraction(told.get("Utilization/MLU Average")),
        unhealthy=unwell or ("" if total else "cnmon does not tell its memory"),
    )


def _address(told: Outline) -> str:
    names = ("Domain ID", "Bus num", "Device", "Function")
    parts = [told.get(f"PCI/{name}", "") for name in names]
    return normal_address("{}:{}:{}.{}".format(*parts)) if all(parts) else ""


def _processes(told: Outline) -> Iterator[DeviceProcess]:
    for path, value in told.items():
        if _PROCESS.match(path) and path.endswith("/PID"):
            pid = whole(value)
            if pid:
                yield DeviceProcess(pid, mib(told.get(f"{path[:-4]}/MLU Memory Usage")))
