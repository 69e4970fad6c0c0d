"""Why a node is none for a job, whatever is free on it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Unfit(StrEnum):
    """What is wrong with a node for a job."""

    POOL = "pool"  # it is in none of the job's pools
    STATE = "state"  # Slurm starts nothing there now
    EXCLUDED = "excluded"  # the job does not want it
    FEATURES = "features"  # it lacks what --constraint asks for
    GRES = "gres"  # its devices are registered under another name or type than is asked for
    DEVICE = "device"  # no device there fits the job
    SHARES = "shares"  # its devices are not shared
    SOCKETS = "sockets"  # it has too few for the job's tasks, by how these are to lie
    MIXED = "mixed"  # Slurm might give a device that does not fit


PASSES = frozenset({Unfit.STATE, Unfit.EXCLUDED, Unfit.FEATURES})
"""What an admin or the user can change: the node itself would do."""


class Misfit(NamedTuple):
    """Why a node is none for a job: `is` + `drained`. The verb is of one node."""

    what: Unfit
    verb: str
    rest: str

    def said_of(self, nodes: int) -> str:
        """The words behind the names of so many nodes."""
        return f"{_PLURAL[self.verb] if nodes > 1 else self.verb} {self.rest}"


_PLURAL = {"is": "are", "has": "have", "lacks": "lack", "mixes": "mix"}
