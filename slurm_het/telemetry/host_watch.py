"""Reads the devices of this host again and again, beside whoever asks for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest

from slurm_het.core.cluster.ailing import Sample, SlurmPlace
from slurm_het.errors import HetError
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.owners import JobOf, ProcessOwner, owner_of
from slurm_het.telemetry.report import HostReport, JobUse, short

log = logging.getLogger("het-exporter")
ReadDevices = Callable[[float], "HostReading"]
"""Reads all devices within so many seconds. Raises HetError."""


@dataclass(frozen=True, slots=True)
class HostReading:
    """The devices of this host as they were `age` seconds ago, and which of Slurm's each is."""

    devices: tuple[DeviceReading, ...] = ()
    age: float = 0.0
    places: tuple[SlurmPlace | None, ...] = ()


class HostWatch:
    """The latest reading. What could not be read anew stays, and grows old."""

    def __init__(
        self, read: ReadDevices, every: float, deadline: float, owner: JobOf = owner_of
    ) -> None:
        self.read, self.every, self.deadline, self.owner = read, every, deadline, owner
        self._devices: tuple[DeviceReading, ...] = ()
        self._report, self._read_at = HostReport(failure="nothing was read yet"), time.monotonic()

    def start(self) -> None:
        """Read once, then again and again in a thread of its own."""
        self.look()
        threading.Thread(target=self._run, name="devices", daemon=True).start()

    def report(self) -> HostReport:
        """What there is to tell now."""
        told, read_at = self._report, self._read_at
        return HostReport(
            told.age + time.monotonic() - read_at, told.devices, told.jobs, told.failure
        )

    def readings(self) -> tuple[DeviceReading, ...]:
        """The devices as last read."""
        return self._devices

    def look(self) -> None:
        """Read the devices once."""
        try:
            reading = self.read(self.deadline)
        except HetError as error:
            if self._report.failure != error.message:
                log.warning("the devices cannot be read: %s", error.message)
            held = self._report
            self._report = HostReport(held.age, held.devices, held.jobs, error.message)
            return
        self._devices = reading.devices
        owners = {p.pid: self.owner(p.pid) for d in reading.devices for p in d.processes}
        both = zip_longest(reading.devices, reading.places)
        samples = tuple(_sample(device, owners, place) for device, place in both)
        self._report = HostReport(reading.age, samples, _uses(reading.devices, owners))
        self._read_at = time.monotonic()

    def _run(self) -> None:
        while True:
            time.sleep(self.every)
            self.look()


Owners = dict[int, ProcessOwner | None]
"""Whose each process is."""


def _sample(device: DeviceReading, owners: Owners, place: SlurmPlace | None) -> Sample:
    return Sample(
        device.index, device.vendor, device.memory_used_mib, device.memory_total_mib,
        _foreign(device, owners), short(device.unhealthy), short(device.model), place,
    )  # fmt: skip


def _foreign(device: DeviceReading, owners: Owners) -> int | None:
    """What processes of no job have of it; None if that is not known of any of them."""
    total = 0
    for process in device.processes:
        owner = owners[process.pid]
        if process.memory_mib is None or owner is None:
            return None
        total += process.memory_mib if not owner.job else 0
    return total


def _uses(devices: Iterable[DeviceReading], owners: Owners) -> tuple[JobUse, ...]:
    used: dict[tuple[int, int, int, str], int] = {}
    for device in devices:
        for process in device.processes:
            if (owner := owners[process.pid]) and owner.job and process.memory_mib:
                key = *owner, device.index, device.vendor
                used[key] = used.get(key, 0) + process.memory_mib
    return tuple(JobUse(*key, mib) for key, mib in used.items())
