"""Why Slurm refuses a job at submit: what no node can ever hold, what a partition never allows.

Each has Slurm's own number of the error, by which its programs print the message they always print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from slurm_het.core.reasons.base import MAX_SENTENCE, Reason

NODE_COUNT, NODE_CONFIGURATION, TIME_LIMIT = 2006, 2014, 2051
TOO_MANY_CPUS, MEMORY = 2005, 2044


class Never(Reason):
    """It can never start; `errno` is Slurm's number of the error."""

    __slots__ = ()
    errno: ClassVar[int] = NODE_CONFIGURATION


@dataclass(frozen=True, slots=True)
class NoNodeHas(Never):
    """No node `within` (a partition; '' is all) has so much; `there` are nodes with `most` of it.

    Without `most`, `there` are the types that there are.
    """

    code = "no-node-has"
    asked: str
    within: str = ""
    there: str = ""
    most: str = ""

    def __str__(self) -> str:
        sentence = f"no node{_of(self.within)} has {self.asked}"
        if self.most:
            sentence += f"; the largest ({self.there}) has {self.most}"
        elif self.there:
            sentence += f"; there are {self.there}"
        return sentence[:MAX_SENTENCE]


@dataclass(frozen=True, slots=True)
class NotSoMany(Never):
    """It asks for more than the nodes that could hold a part of it have all together."""

    code = "not-so-many"
    asked: str
    most: str
    within: str = ""

    def __str__(self) -> str:
        return f"it asks for {self.asked}, and the nodes{_of(self.within)} have {self.most}"[
            :MAX_SENTENCE
        ]


@dataclass(frozen=True, slots=True)
class PartitionNever(Never):
    """A partition never runs it; with EnforcePartLimits Slurm says so at submit."""

    code = "partition-never"
    asked: str
    partition: str
    most: str
    number: int

    @property
    def errno(self) -> int:  # type: ignore[override]  # which of Slurm's depends on the limit
        """Slurm's number of the error."""
        return self.number

    def __str__(self) -> str:
        return f"it asks for {self.asked}, and {self.partition} allows {self.most}"[:MAX_SENTENCE]


@dataclass(frozen=True, slots=True)
class NodeHasNot(Never):
    """A node that it names has not what it asks for."""

    code = "node-has-not"
    node: str
    asked: str

    def __str__(self) -> str:
        return f"{self.node}, which it names, has not {self.asked}"[:MAX_SENTENCE]


@dataclass(frozen=True, slots=True)
class TooMuchMemory(Never):
    """No device has the memory that its user asked for, and the site refuses such jobs."""

    code = "too-much-memory"
    asked: str

    def __str__(self) -> str:
        return self.asked[:MAX_SENTENCE]


@dataclass(frozen=True, slots=True)
class NoPoolHolds(Reason):
    """No pool could ever hold it by itself, and the nodes of several might."""

    code = "no-pool-holds"

    def __str__(self) -> str:
        return "no pool has nodes enough for it; those of several pools together might hold it"


@dataclass(frozen=True, slots=True)
class NotOurs(Reason):
    """The hook lets it pass as it is, and plain Slurm would not refuse it."""

    code = "not-ours"

    def __str__(self) -> str:
        return "it stays as it is"


@dataclass(frozen=True, slots=True)
class NotInPlan(Reason):
    """The pools for it are in shadow, or in advise: plain Slurm schedules there."""

    code = "not-in-plan"

    def __str__(self) -> str:
        return "no pool in plan is for it: plain Slurm schedules there"


def _of(within: str) -> str:
    return f" of {within}" if within else ""
