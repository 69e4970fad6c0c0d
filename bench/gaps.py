"""What is free on a node in thousandths of devices, and what a job takes of it.

CPUs are whole numbers in any unit that the caller uses throughout: hetd counts CPUs, the benchmark
on openb's traces thousandths of them.
"""

from __future__ import annotations

from typing import NamedTuple

WHOLE = 1000
"""A whole device."""


class NodeModel(NamedTuple):
    """Nodes that are equal when empty: the model of their devices, and how many they have."""

    model: str
    cpus: int
    memory_mib: int
    devices: int

    def empty(self) -> Free:
        """What is free on such a node with nothing on it."""
        return Free(self.model, self.cpus, self.memory_mib, (WHOLE,) * self.devices)


class Shape(NamedTuple):
    """What a job asks of one node: so many `devices`, and `milli` thousandths of each.

    `models` are those of the devices that will do; empty is any.
    """

    cpus: int
    memory_mib: int
    devices: int
    milli: int
    models: frozenset[str]

    @property
    def total(self) -> int:
        """Thousandths of devices in all."""
        return self.devices * self.milli


class Free(NamedTuple):
    """What is free on a node: `gaps` are its devices' free thousandths, descending."""

    model: str
    cpus: int
    memory_mib: int
    gaps: tuple[int, ...]


def options(free: Free, shape: Shape) -> list[Free]:
    """What may be free on a node once it has taken such a job; empty if the job does not fit.

    A share may go on any device; several devices, or whole ones, are those with the largest gaps.
    """
    cpus, memory_mib = free.cpus - shape.cpus, free.memory_mib - shape.memory_mib
    if cpus < 0 or memory_mib < 0 or (shape.models and free.model not in shape.models):
        return []
    gaps, milli, count = free.gaps, shape.milli, shape.devices
    if not count:
        return [Free(free.model, cpus, memory_mib, gaps)]
    if len(gaps) < count or gaps[count - 1] < milli:
        return []
    if count > 1 or milli == WHOLE:
        rest = gaps[count:] + (0,) * count if milli == WHOLE else _less(gaps, count, milli)
        return [Free(free.model, cpus, memory_mib, rest)]
    after = []
    for i, gap in enumerate(gaps):
        if gap < milli:
            break
        if i and gap == gaps[i - 1]:
            continue
        rest = tuple(sorted((*gaps[:i], gap - milli, *gaps[i + 1 :]), reverse=True))
        after.append(Free(free.model, cpus, memory_mib, rest))
    return after


def _less(gaps: tuple[int, ...], count: int, milli: int) -> tuple[int, ...]:
    return tuple(sorted((*(g - milli for g in gaps[:count]), *gaps[count:]), reverse=True))
