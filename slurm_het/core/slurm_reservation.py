"""What Slurm says of a reservation of its own: a record, like those in model.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReservationRecord:
    """One reservation of Slurm's, as `scontrol create reservation` makes it.

    It has its `nodes` from `start` to `end` (epoch seconds; the next time, of one that comes again
    and again), or only some cores or devices of them if it is `partial`. `users`, `groups` and
    `accounts` say who may use it; a name behind a `-` may not, and an empty list lets in everybody.
    """

    name: str
    start: float
    end: float
    nodes: tuple[str, ...] = ()
    partial: bool = False
    flags: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    qos: frozenset[str] = frozenset()
    partitions: frozenset[str] = frozenset()
    licenses: str = ""
