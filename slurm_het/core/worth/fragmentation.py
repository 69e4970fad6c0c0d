"""The price of fragmentation: what a placement takes away from the jobs the site really runs.

Nodes in the same state (`Free`) are interchangeable, so everything is said of states, not of
nodes. A device is divided in thousandths (of its memory). CPUs are whole numbers in any unit that
the caller uses throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from slurm_het.core.cluster.gaps import Free, Shape
from slurm_het.core.worth.memo import Memo

Mix = Mapping["Shape", float]
"""How frequent each shape of job is; the shares add up to 1."""


class _Size(NamedTuple):
    """The shapes of a mix that take as many devices and as much of each; their shares together.

    `needs`: CPUs, memory and share of each.
    """

    devices: int
    milli: int
    share: float
    needs: tuple[tuple[int, int, float], ...]


class Measure:
    """The fragmentation of nodes of one model by one mix (FGD's measure).

    What is lost for lack of CPUs or memory is worked out once for all nodes that have as many.
    """

    def __init__(self, model: str, mix: Mix) -> None:
        found: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
        for shape, share in mix.items():
            fits = shape.devices > 0 and (not shape.models or model in shape.models)
            size = (shape.devices, shape.milli) if fits else (0, 0)
            found.setdefault(size, []).append((shape.cpus, shape.memory_mib, share))
        self._nowhere = sum(share for _, _, share in found.pop((0, 0), ()))
        self._sizes = tuple(
            _Size(*size, sum(share for _, _, share in needs), tuple(needs))
            for size, needs in sorted(found.items())
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
        """By size, the share of the shapes for which so much is not enough."""
        key = cpus, memory_mib
        if key not in self._lacking:
            self._lacking[key] = tuple(
                sum([share for c, m, share in size.needs if c > cpus or m > memory_mib])
                for size in self._sizes
            )
        return self._lacking[key]
