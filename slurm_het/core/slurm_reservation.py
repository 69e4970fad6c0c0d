"""What Slurm says of a reservation of its own: a record, like those in model.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReservationRecord:
    """One reservation of Slurm's, as `scontrol create reservation` makes it.

    It has its `nodes` from `start` to `end` (epoch seconds; the next time, of one that comes again
    and again), or if it is `partial` only so many `cores` of them, or some devices. `users`,
    `groups` and `accounts` say who may use it; a name behind a `-` may not, and an empty list lets
    in everybody. `qos` and `partitions` are those of its jobs.
    """

    name: str
    start: float
    end: float
    nodes: tuple[str, ...] = ()
    partial: bool = False
    cores: int = 0
    flags: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    qos: frozenset[str] = frozenset()
    partitions: frozenset[str] = frozenset()
    licenses: str = ""
