"""What het-exporter tells hetd of its host: one JSON document, at /devices."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from slurm_het.core.cluster.ailing import Sample
from slurm_het.core.syntax.printable import clean

MAX_DEVICES = 1024
MAX_TEXT = 120
MISSED = 2.5  # of the time between two readings
MOST_STALE = 300.0  # Prometheus itself has nothing to say of what is older
MAX_MIB = 1 << 40
MAX_NUMBER = (1 << 32) - 1  # of jobs and users


class JobUse(msgspec.Struct, frozen=True):
    """What a user's processes, as those of one job of Slurm's, have of one device, in MiB.

    A process may say that it is of another's job: its user is what the kernel says.
    """

    job: int
    uid: int
    place: int
    vendor: str
    used_mib: int


class HostReport(msgspec.Struct, frozen=True):
    """The devices of a host as they were `age` seconds ago, and what jobs have of them.

    `failure`: why they could not be read anew since; '' if they could. `every`: seconds from one
    reading to the next, 0 if that is not known.
    """

    age: float = 0.0
    devices: tuple[Sample, ...] = ()
    jobs: tuple[JobUse, ...] = ()
    failure: str = ""
    every: float = 0.0

    def stale(self, seconds: float) -> float:
        """For so long it counts: `seconds`, or until two readings have been missed."""
        return max(seconds, min(MOST_STALE, MISSED * self.every))


def hear(body: bytes) -> HostReport:
    """Read a report. What no driver says is left out of it: a host is not to be trusted.

    Raises msgspec.MsgspecError.
    """
    told = msgspec.json.decode(body, type=HostReport)
    if not 0 <= told.age < float("inf"):
        raise msgspec.ValidationError(f"an age of {told.age} s")
    some = told.devices[:MAX_DEVICES]
    devices = tuple(_plain(sample) for sample in some if _has_place(sample))
    jobs = tuple(use for use in told.jobs[:MAX_DEVICES] if _can_be(use))
    return HostReport(told.age, devices, jobs, short(told.failure))


def _has_place(sample: Sample) -> bool:
    slurm = sample.slurm
    fits = slurm is None or 0 <= slurm.index < slurm.of <= MAX_DEVICES
    return fits and 0 <= sample.place < MAX_DEVICES


def _can_be(use: JobUse) -> bool:
    numbers = 0 < use.job <= MAX_NUMBER and 0 <= use.uid <= MAX_NUMBER
    where = 0 <= use.place < MAX_DEVICES and len(use.vendor) <= MAX_TEXT
    return numbers and where and 0 <= use.used_mib < MAX_MIB


def _plain(sample: Sample) -> Sample:
    return replace(
        sample,
        vendor=short(sample.vendor),
        used_mib=_amount(sample.used_mib),
        total_mib=_amount(sample.total_mib),
        foreign_mib=_amount(sample.foreign_mib),
        trouble=short(sample.trouble),
        model=short(sample.model),
        slurm=sample.slurm and replace(sample.slurm, gres=short(sample.slurm.gres)),
        lag=0.0,
    )


def _amount(mib: int | None) -> int | None:
    return mib if mib is not None and 0 <= mib < MAX_MIB else None


def short(text: str) -> str:
    """A text of a driver's, harmless and not long."""
    return clean(text[:MAX_TEXT])
