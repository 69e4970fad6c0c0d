"""Reasons that lie in the job: Slurm lets it wait, it fits nowhere, it is none of ours to plan."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_het.core.reasons.base import FEW, MAX_SENTENCE, Reason, TellTime

# --- Slurm's own word --------------------------------------------------------------------------


_WHO_HOLDS = {"JobHeldUser": "its user holds it", "JobHeldAdmin": "an admin holds it",
              "JobHoldMaxRequeue": "Slurm holds it, for it was requeued too often"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlurmWaits(Reason):
    """Slurm lets it wait whatever is free, and says so in a `word` of its own.

    `until` is when that ends (epoch seconds), None where nobody can say.
    """

    code = "slurm-waits"
    word: str
    until: float | None = None

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        if self.until is not None:
            return f"{self.word}: it is not to start before {at(self.until)}"
        who = _WHO_HOLDS.get(self.word)
        return f"{self.word}: {who}" if who else self.word

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class Held(Reason):
    """Its user or an admin has set its priority to 0."""

    code = "held"

    def __str__(self) -> str:
        return "it is held (priority 0)"


@dataclass(frozen=True, slots=True)
class ArrayLimit(Reason):
    """As many tasks of its array run as its user lets run at once."""

    code = "array-limit"
    limit: int

    def __str__(self) -> str:
        return f"its array runs at most {_count(self.limit, 'task')} at once"


# --- it fits nowhere ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoFittingDevice(Reason):
    """No pool has a device that it could run on. `needs`: what it needs, or the evidence for it."""

    code = "no-fitting-device"
    needs: tuple[str, ...]

    def __str__(self) -> str:
        return f"no pool has a device for it ({'; '.join(self.needs)})"[:MAX_SENTENCE]


@dataclass(frozen=True, slots=True)
class PartitionRefuses(Reason):
    """Slurm would not run it in a partition: a `setting`, as scontrol spells it, forbids that."""

    code = "partition-refuses"
    partition: str
    setting: str

    def __str__(self) -> str:
        return f"{self.partition}: {self.setting}"


@dataclass(frozen=True, slots=True)
class PartitionShut(PartitionRefuses):
    """The same for its State alone: once that is UP, Slurm would run it there."""

    code = "partition-shut"


@dataclass(frozen=True, slots=True)
class NoSuchPartition(Reason):
    """A pool of the configuration is no partition of Slurm's."""

    code = "no-such-partition"
    partition: str

    def __str__(self) -> str:
        return f"{self.partition}: Slurm has no such partition"


@dataclass(frozen=True, slots=True)
class NoUsablePool(Reason):
    """Pools have devices that fit it, and each `refuses` it."""

    code = "no-usable-pool"
    refuses: tuple[Reason, ...]

    def __str__(self) -> str:
        return f"it may use no fitting pool ({_list(self.refuses)}){_until_up(self.refuses)}"

    @property
    def for_ever(self) -> bool:
        """Whether none of them would run it if it were UP."""
        return not _shut(self.refuses)


# --- none of ours to plan ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unreadable(Reason):
    """A text of its request cannot be read; `problem` is the message of that error."""

    code = "unreadable"
    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True)
class NoAccelerator(Reason):
    """It asks for no accelerator."""

    code = "no-accelerator"

    def __str__(self) -> str:
        return "it asks for no accelerator"


@dataclass(frozen=True, slots=True)
class HeterogeneousJob(Reason):
    """It is part of a job of several components, which start together."""

    code = "heterogeneous-job"

    def __str__(self) -> str:
        return "it is part of a heterogeneous job"


@dataclass(frozen=True, slots=True)
class NamesNodes(Reason):
    """Its user chose its nodes."""

    code = "names-nodes"
    nodes: str

    def __str__(self) -> str:
        return f"it names its nodes ({self.nodes})"


@dataclass(frozen=True, slots=True)
class ForReservation(Reason):
    """It runs on what a reservation of Slurm's holds."""

    code = "for-reservation"
    name: str

    def __str__(self) -> str:
        return f"it is for the reservation {self.name}"


@dataclass(frozen=True, slots=True)
class SlurmChooses(Reason):
    """It has `options` that Slurm keeps only where it chooses the nodes itself."""

    code = "slurm-chooses"
    options: tuple[str, ...]

    def __str__(self) -> str:
        return f"Slurm itself has to choose its nodes ({', '.join(self.options)})"


@dataclass(frozen=True, slots=True)
class RefusesNodes(Reason):
    """Slurm said `word` of the nodes that it was given, so many `times`."""

    code = "refuses-nodes"
    word: str
    times: int

    def __str__(self) -> str:
        often = f", {self.times} times" if self.times > 1 else ""
        return f"Slurm does not start it on the nodes chosen for it ({self.word}{often})"


@dataclass(frozen=True, slots=True)
class TooLate(Reason):
    """It cannot end before its --deadline any more: Slurm cancels such jobs as it looks at them."""

    code = "too-late"

    def __str__(self) -> str:
        return "it cannot end before its --deadline any more, so Slurm cancels it"


@dataclass(frozen=True, slots=True)
class AsksForSeveral(Reason):
    """It asks for devices in several ways at once; `things` says which, as in "GRES names"."""

    code = "asks-for-several"
    things: str

    def __str__(self) -> str:
        return f"it asks for several {self.things} at once"


@dataclass(frozen=True, slots=True)
class TooManyDevices(Reason):
    """It asks for more devices on a node than can be planned."""

    code = "too-many-devices"
    devices: int
    most: int

    def __str__(self) -> str:
        asked = f"it asks for {self.devices} devices on one node"
        return f"{asked}, and at most {self.most} can be planned"


@dataclass(frozen=True, slots=True)
class TooFewDevices(Reason):
    """It has fewer devices than nodes."""

    code = "too-few-devices"
    devices: int
    nodes: int

    def __str__(self) -> str:
        return f"it asks for {_count(self.devices, 'device')} on {self.nodes} nodes"


@dataclass(frozen=True, slots=True)
class TooManyNodes(Reason):
    """It has no room on as many nodes as its user allows, or as can be planned."""

    code = "too-many-nodes"
    nodes: int
    most: int

    def __str__(self) -> str:
        return f"it needs {self.nodes} nodes, and at most {self.most} are allowed"


@dataclass(frozen=True, slots=True)
class MovedAway(Reason):
    """Somebody moved it, once released, to a partition that its nodes are not in."""

    code = "moved-away"
    partition: str

    def __str__(self) -> str:
        return f"it was moved to {self.partition}"


@dataclass(frozen=True, slots=True)
class PlacedBySlurm(Reason):
    """It is none of ours to plan, and plain Slurm places it."""

    code = "placed-by-slurm"
    why: Reason

    def __str__(self) -> str:
        return f"{self.why}; plain Slurm places it"


@dataclass(frozen=True, slots=True)
class PlacedByNobody(Reason):
    """It is none of ours to plan, and each pool `refuses` it: it waits in the gate."""

    code = "placed-by-nobody"
    why: Reason
    refuses: tuple[Reason, ...]

    def __str__(self) -> str:
        where = f"plain Slurm may place it in no pool ({_list(self.refuses)})"
        return f"{self.why}; {where}{_until_up(self.refuses)}"

    @property
    def for_ever(self) -> bool:
        """Whether none of them would run it if it were UP."""
        return not _shut(self.refuses)


def waits_in_the_gate(intake: str) -> str:
    """For whoever waits before a terminal, where Slurm says no more than `Partition DOWN`."""
    return (
        f"partition {intake} is DOWN on purpose: jobs wait there until they are given devices, "
        "mostly at once (het-squeue says why)"
    )


def _shut(refuses: tuple[Reason, ...]) -> list[str]:
    """The partitions that only have to be UP."""
    return [reason.partition for reason in refuses if isinstance(reason, PartitionShut)]


def _until_up(refuses: tuple[Reason, ...]) -> str:
    shut = _shut(refuses)
    return f"; it waits until {' or '.join(shut[:FEW])} is UP" if shut else ""


def _list(reasons: tuple[Reason, ...]) -> str:
    return "; ".join(map(str, reasons))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
