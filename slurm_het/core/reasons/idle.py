"""Why a device is idle: exactly one cause for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from slurm_het.core.reasons.base import Reason, TellTime


class Cause(StrEnum):
    """What keeps a device idle; of several that are so, the first in this order is told."""

    DRAINED = "drained"  # Slurm starts nothing on its node
    RESERVED = "reserved"  # by a reservation of Slurm's, now or from a time on
    CLOSED = "pool-closed"  # its pool's partition is not UP, or it is in no pool
    UNHEALTHY = "unhealthy"  # the device itself says so
    FOREIGN = "foreign-use"  # the device tells of memory in use that no job of Slurm's has
    NO_CORES = "no-cores"  # no core is free beside it
    NO_MEMORY = "no-memory"  # too little host memory is free beside it
    HELD = "held"  # for a job, until a time: who ends before that may start
    USABLE = "usable"  # a job that fits starts now; those that wait for it need more
    UNWANTED = "unwanted"  # the same, and nobody waits for it

    @property
    def starts_now(self) -> bool:
        """Whether a job that fits would start on such a device now."""
        return self in {Cause.USABLE, Cause.UNWANTED}


@dataclass(frozen=True, slots=True)
class Idle(Reason):
    """Why a device is idle. `what` is whose or which, in words; `job` whom it is held for.

    `time` (epoch seconds; 0: not known, or there is none): until when it is held, from when it is
    reserved.
    """

    code = "idle"
    cause: Cause
    what: str = ""
    job: str = ""
    time: float = 0.0

    def told(self, at: TellTime) -> str:
        """The words; the time as `at` writes it."""
        if self.cause is Cause.HELD:
            until = f" until {at(self.time)}" if self.time else ""
            return f"{self._holder()}{until or self._next()}"
        if self.cause is Cause.RESERVED:
            return f"reserved ({self.what}){f' from {at(self.time)}' if self.time else ''}"
        said = _SAID[self.cause]
        return f"{said}: {self.what}" if said and self.what else self.what or said

    def _holder(self) -> str:
        if not self.job:
            return self.what
        return f"held for job {self.job}" if not self.what else f"job {self.job} {self.what}"

    def _next(self) -> str:
        return ", which starts next" if self.job and not self.what else ""

    def __str__(self) -> str:
        return self.told(str)


_SAID = {
    Cause.DRAINED: "",
    Cause.CLOSED: "",
    Cause.UNHEALTHY: "unhealthy",
    Cause.FOREIGN: "in use by what is no job of Slurm's",
    Cause.NO_CORES: "no free core",
    Cause.NO_MEMORY: "too little free host memory",
    Cause.USABLE: "usable now",
    Cause.UNWANTED: "nobody waits for it",
}
