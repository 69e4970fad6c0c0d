"""The price of fragmentation: what a placement takes away from the jobs the site really runs.

Nodes in the same state (`Free`) are interchangeable, so everything is said of states, not of
nodes. A device is divided in thousandths (of its memory); CPUs and host memory are plain
integers in whatever unit the caller uses throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

WHOLE = 1000
"""A whole device."""

Mix = Mapping["Shape", float]
"""How frequent each shape of job is; the shares add up to 1."""


class NodeKind(NamedTuple):
    """Nodes that are equal when empty."""

    model: str
    cpus: int
    memory: int
    devices: int

    def empty(self) -> Free:
        """The state of such a node with nothing on it."""
        return Free(self.model, self.cpus, self.memory, (WHOLE,) * self.devices)


class Shape(NamedTuple):
    """What a job asks of one node: `devices` of them, `milli` of each; `models` empty = any."""

    cpus: int
    memory: int
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
    memory: int
    gaps: tuple[int, ...]


def options(free: Free, shape: Shape) -> list[Free]:
    """The states that a node may be in after taking such a job; empty if it does not fit."""
    cpus, memory = free.cpus - shape.cpus, free.memory - shape.memory
    if cpus < 0 or memory < 0 or (shape.models and free.model not in shape.models):
        return []
    gaps, milli, count = free.gaps, shape.milli, shape.devices
    if not count:
        return [Free(free.model, cpus, memory, gaps)]
    if len(gaps) < count or gaps[count - 1] < milli:
        return []
    if count > 1 or milli == WHOLE:
        rest = gaps[count:] + (0,) * count if milli == WHOLE else _less(gaps, count, milli)
        return [Free(free.model, cpus, memory, rest)]
    found = []
    for i, gap in enumerate(gaps):
        if gap < milli:
            break
        if i and gap == gaps[i - 1]:
            continue
        rest = tuple(sorted((*gaps[:i], gap - milli, *gaps[i + 1 :]), reverse=True))
        found.append(Free(free.model, cpus, memory, rest))
    return found


def _less(gaps: tuple[int, ...], count: int, milli: int) -> tuple[int, ...]:
    return tuple(sorted((*(g - milli for g in gaps[:count]), *gaps[count:]), reverse=True))


def fragmentation(free: Free, mix: Mix) -> float:
    """Expected thousandths of devices that a job drawn from the mix could not use here (FGD).

    All that is free, if the job does not fit on the node; else the gaps too small for it.
    """
    return fragments(losses(free.model, free.gaps, mix), free.cpus, free.memory)


class Losses(NamedTuple):
    """What jobs drawn from a mix could not use of some gaps, in expected thousandths of devices.

    `always`, and more on a node with too few CPUs or too little host memory for a shape:
    (CPUs, memory, the loss) of each shape that fits the gaps.
    """

    always: float
    more: tuple[tuple[int, int, float], ...]


def losses(model: str, gaps: tuple[int, ...], mix: Mix) -> Losses:
    """What is lost of such gaps: worked out once for all nodes that have them."""
    total, always, more = sum(gaps), 0.0, []
    of, fits, small = (0, 0), False, 0
    for (cpus, memory, count, milli, models), share in mix.items():
        if of != (count, milli):  # shapes often differ in CPUs only, and are sorted so
            of = count, milli
            fits = 0 < count <= len(gaps) and gaps[count - 1] >= milli
            small = sum([gap for gap in gaps if gap < milli]) if fits else 0
        if not fits or (models and model not in models):
            always += share * total
            continue
        always += share * small
        more.append((cpus, memory, share * (total - small)))
    return Losses(always, tuple(more))


def fragments(of: Losses, cpus: int, memory: int) -> float:
    """`fragmentation` on a node with so much free beside the gaps."""
    always, more = of
    return always + sum([loss for c, m, loss in more if c > cpus or m > memory])
