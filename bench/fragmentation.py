"""The price of fragmentation: what a placement takes away from the jobs the site really runs.

Nodes on which the same is free (`Free`) are interchangeable, so everything is said of what is free,
not of nodes. A device is divided in thousandths (of its memory). CPUs are whole numbers in any unit
that the caller uses throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bench.gaps import Free, Shape
from slurm_het.core.assignment.memo import Memo

Mix = Mapping["Shape", float]
"""How frequent each shape of job is; the shares add up to 1."""


class _Size(NamedTuple):
    """The shapes of a mix that take equally many devices and as much of each, and their share.

    `needs` has CPUs, memory (MiB) and share of each shape.
    """

    devices: int
    milli: int
    share: float
    needs: tuple[tuple[int, int, float], ...]


class Measure:
    """The fragmentation of nodes of one model by one mix: F_n(M) of FGD (Weng et al., ATC '23).

    What is lost for lack of CPUs or memory is worked out once for all nodes with as many free.
    """

    def __init__(self, model: str, mix: Mix) -> None:
        needs_of: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
        for shape, share in mix.items():
            fits = shape.devices > 0 and (not shape.models or model in shape.models)
            size = (shape.devices, shape.milli) if fits else (0, 0)
            needs_of.setdefault(size, []).append((shape.cpus, shape.memory_mib, share))
        self._nowhere = sum(share for _, _, share in needs_of.pop((0, 0), ()))
        self._sizes = tuple(
            _Size(*size, sum(share for _, _, share in needs), tuple(needs))
            for size, needs in sorted(needs_of.items())
        )
        self._lacking: Memo[tuple[int, int], tuple[float, ...]] = Memo()  # by CPUs and memory

    def of(self, free: Free) -> float:
        """Expected thousandths of devices that a job drawn from the mix could not use here.

        All that is free, if the job does not fit on the node; else the gaps too small for it.
        """
        gaps = free.gaps
        total, count = sum(gaps), len(gaps)
        lost = self._nowhere * total
        for (devices, milli, share, _), lacking in zip(
            self._sizes, self._without(free.cpus, free.memory_mib), strict=True
        ):
            if devices > count or gaps[devices - 1] < milli:
                lost += share * total
                continue
            small = 0
            if gaps[-1] < milli:
                small = sum([gap for gap in gaps if gap < milli])
            lost += share * small + lacking * (total - small)
        return lost

    def _without(self, cpus: int, memory_mib: int) -> tuple[float, ...]:
        """By size, the share of the shapes for which so many CPUs and so much memory do not do."""
        key = cpus, memory_mib
        if key not in self._lacking:
            self._lacking[key] = tuple(
                sum([share for c, m, share in size.needs if c > cpus or m > memory_mib])
                for size in self._sizes
            )
        return self._lacking[key]
