"""Why a job waits, or is none of ours to plan: each reason that a user reads has its class here.

A reason holds facts, and `str()` makes a sentence of them, in which "it" is the job. `code` is for
programs; there is one to a class, and it is only ever added to. To add a reason, add a class.
"""

from __future__ import annotations

from slurm_het.core.reasons.base import FEW, MAX_SENTENCE, Reason, TellTime, few
from slurm_het.core.reasons.closed import Closed, OpensLater
from slurm_het.core.reasons.job import (
    ArrayLimit,
    AsksForSeveral,
    ForReservation,
    Held,
    HeterogeneousJob,
    MovedAway,
    NamesNodes,
    NoAccelerator,
    NoFittingDevice,
    NoSuchPartition,
    NoUsablePool,
    PartitionRefuses,
    PlacedByNobody,
    PlacedBySlurm,
    SlurmWaits,
    TooFewDevices,
    TooManyDevices,
    TooManyNodes,
    Unreadable,
)
from slurm_het.core.reasons.limit import AtLimit
from slurm_het.core.reasons.node import Misfit, Unfit
from slurm_het.core.reasons.order import (
    All,
    CanStart,
    GoesToOthers,
    HeldAlike,
    Kept,
    NotLookedAt,
    OutOfTime,
    PlanRefused,
    ReturnedBefore,
    SlurmsOrder,
)
from slurm_het.core.reasons.room import (
    HostTooSmall,
    NeedsWholeNode,
    NoCandidate,
    NodesTooSmall,
    NodeTaken,
    NotTogether,
    TooFewFree,
    TooFewNodes,
    Wanted,
    WouldMix,
)

__all__ = [
    "FEW",
    "MAX_SENTENCE",
    "All",
    "ArrayLimit",
    "AsksForSeveral",
    "AtLimit",
    "CanStart",
    "Closed",
    "ForReservation",
    "GoesToOthers",
    "Held",
    "HeldAlike",
    "HeterogeneousJob",
    "HostTooSmall",
    "Kept",
    "Misfit",
    "MovedAway",
    "NamesNodes",
    "NeedsWholeNode",
    "NoAccelerator",
    "NoCandidate",
    "NoFittingDevice",
    "NoSuchPartition",
    "NoUsablePool",
    "NodeTaken",
    "NodesTooSmall",
    "NotLookedAt",
    "NotTogether",
    "OpensLater",
    "OutOfTime",
    "PartitionRefuses",
    "PlacedByNobody",
    "PlacedBySlurm",
    "PlanRefused",
    "Reason",
    "ReturnedBefore",
    "SlurmWaits",
    "SlurmsOrder",
    "TellTime",
    "TooFewDevices",
    "TooFewFree",
    "TooFewNodes",
    "TooManyDevices",
    "TooManyNodes",
    "Unfit",
    "Unreadable",
    "Wanted",
    "WouldMix",
    "few",
]
