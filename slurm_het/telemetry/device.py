"""One device as its driver tells of it, whoever its vendor is; and who reads it.

`host.Host(vendors).read(seconds)` gives every device of this host, within a deadline. The readings
are plain data: `msgspec.json` writes and reads them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DeviceProcess:
    """A process that uses a device; `memory_mib` is None where the driver does not tell it."""

    pid: int
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """What one schedulable device (a die, where a card has several) is at this moment.

    `index`: its place among the host's devices of this vendor, from 0, in the order of the device
    files' numbers; Slurm may count otherwise (slurm_order.py). `vendor`: as the catalogue writes
    it. `address`: the PCI address (`0000:3b:00.0`) or a UUID; '' if nothing tells it. `model`: as
    the driver spells it. Memory in MiB, None if unknown. `processes`: those that the driver tells
    of. `utilization`: 0..1, None if unknown. `unhealthy`: why it must not be used; '' if it is
    well.
    `files`: its device files, by which slurmd knows it; () if they are not known, None if `index`
    is their number.
    """

    index: int
    vendor: str
    address: str = ""
    model: str = ""
    memory_total_mib: int | None = None
    memory_used_mib: int | None = None
    processes: tuple[DeviceProcess, ...] = ()
    utilization: float | None = None
    unhealthy: str = ""
    files: tuple[str, ...] | None = None

    @property
    def healthy(self) -> bool:
        """Whether it can be used."""
        return not self.unhealthy


class Probe(Protocol):
    """Reads all devices of one vendor on this host. Each is one module of `telemetry.probes`."""

    @property
    def vendor(self) -> str:
        """As the catalogue writes it."""

    def read(self) -> tuple[DeviceReading, ...]:
        """The devices by index. A device that cannot be read is there, and unhealthy.

        Raises ProbeError if the library or program is missing or tells nothing. It may hang with
        the driver: it is called in a child process, which has a deadline.
        """
