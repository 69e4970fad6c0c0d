"""Reasons that lie in others: who goes first, for whom nodes are kept, what a plan left out."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_het.core.reasons.base import Reason, TellTime, few
from slurm_het.core.reasons.room import Wanted

# --- others go first ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GoesToOthers(Reason):
    """This plan gives what is free to jobs of higher priority."""

    code = "goes-to-others"
    wanted: Wanted
    jobs: tuple[str, ...]

    def __str__(self) -> str:
        return f"needs {self.wanted}; what is free goes to {few(self.jobs)}, of higher priority"


@dataclass(frozen=True, slots=True)
class Kept(Reason):
    """Only `nodes` that are kept for job `owner` hold it back, at the latest `until` (epoch
    seconds); 0: they are kept free of shares until they are free of them."""

    code = "kept"
    nodes: tuple[str, ...]
    owner: str
    until: float = 0.0

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        are = "are" if len(self.nodes) > 1 else "is"
        if not self.until:
            return f"{few(self.nodes)} {are} kept free of shares for job {self.owner}"
        until = f"until {at(self.until)} at the latest, and this job might still run then"
        return f"{few(self.nodes)} {are} kept for job {self.owner} {until}"

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class All(Reason):
    """Several reasons, each of which holds it back."""

    code = "all"
    reasons: tuple[Reason, ...]

    def told(self, at: TellTime) -> str:
        """The sentences."""
        return "; ".join(reason.told(at) for reason in self.reasons)

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class NotLookedAt(Reason):
    """It is behind jobs that nodes are kept for, and nobody has found out whether that is why."""

    code = "not-looked-at"

    def __str__(self) -> str:
        return "waits behind jobs that nodes are kept for; not looked at in this plan"


@dataclass(frozen=True, slots=True)
class InSlurmsLine(Reason):
    """Jobs that hetd does not place wait for its nodes, and Slurm is to start it before them if it
    comes first."""

    code = "in-slurms-line"

    def __str__(self) -> str:
        return "in Slurm's own line, for jobs that slurm-het does not place wait for its nodes too"


@dataclass(frozen=True, slots=True)
class BehindTheLine(Reason):
    """Others stand in Slurm's line for its pools, and it is to join them later."""

    code = "behind-the-line"

    def __str__(self) -> str:
        return "waits behind jobs that Slurm starts as soon as it can, before those of others"


@dataclass(frozen=True, slots=True)
class OutOfTime(Reason):
    """The time for the plan was up before its place in it was worked out."""

    code = "out-of-time"

    def __str__(self) -> str:
        return "not looked at in this plan, whose time was up (planner.deadline_seconds)"


@dataclass(frozen=True, slots=True)
class PlanRefused(Reason):
    """The plan breaks a constraint, first-fit's in its place too: nothing of it is done."""

    code = "plan-refused"
    broken: str

    def __str__(self) -> str:
        return f"the plan was refused: {self.broken}"


@dataclass(frozen=True, slots=True)
class SlurmsOrder(Reason):
    """Slurm takes devices in an order of its own, and that leaves it no room for now."""

    code = "slurms-order"

    def __str__(self) -> str:
        return "Slurm's order of devices leaves it no room in this cycle"


@dataclass(frozen=True, slots=True)
class PreemptsFirst(Reason):
    """It may preempt so many `jobs` on its `nodes`, and Slurm has yet to do that."""

    code = "preempts-first"
    jobs: int
    nodes: tuple[str, ...]

    def __str__(self) -> str:
        jobs = f"{self.jobs} jobs are" if self.jobs > 1 else "1 job is"
        return f"starts once {jobs} preempted on {few(self.nodes)}"


@dataclass(frozen=True, slots=True)
class RoomIsMade(Reason):
    """Others are preempted on `nodes` already, and what they leave is enough for it too."""

    code = "room-is-made"
    nodes: tuple[str, ...]

    def __str__(self) -> str:
        return f"starts once the jobs that are being preempted on {few(self.nodes)} have ended"


@dataclass(frozen=True, slots=True)
class CanStart(Reason):
    """Nothing holds it back but that `whom` has not released it yet: the next plan, hetd."""

    code = "can-start"
    whom: str

    def __str__(self) -> str:
        return f"can start now; waits for {self.whom}"


@dataclass(frozen=True, slots=True)
class WaitsForSpeed(Reason):
    """Its program is faster on these `types`, and it waits for them `until` (epoch seconds)."""

    code = "waits-for-speed"
    types: tuple[str, ...]
    until: float

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        return (
            f"waits for {few(self.types)}, on which its program ends so much sooner; from"
            f" {at(self.until)} on it takes others"
        )

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class NotKnown(Reason):
    """What hetd knows beside Slurm's records is not known: since it planned last (epoch seconds),
    or, where that is None, to whoever looks. `alone` is what the records say without it."""

    code = "not-known"
    since: float | None
    alone: str

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        when = "here" if self.since is None else f"since {at(self.since)}"
        return f"not known {when}; by Slurm's records alone: {self.alone}"

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class HeldAlike(Reason):
    """Slurm held back job `key`, which counts against the same limit, for its `reason`."""

    code = "held-alike"
    reason: str
    key: str

    def __str__(self) -> str:
        again = "it is tried again when a job that counts there starts or ends, and now and then"
        return f"{self.reason}: Slurm did not start job {self.key}, which is alike; {again}"


@dataclass(frozen=True, slots=True)
class ReturnedBefore(Reason):
    """It was released `times` times and did not start, for Slurm's `reason`; `now` it waits for
    more than that."""

    code = "returned-before"
    reason: str
    times: int
    now: str

    def __str__(self) -> str:
        often = f" {self.times} times" if self.times > 1 else ""
        return f"returned{often} ({self.reason}); {self.now}"
