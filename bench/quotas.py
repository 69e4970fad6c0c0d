"""Quotas: how many jobs of each shape should sit on each kind of node, from an LP relaxation.

Flexible jobs are thereby kept off the nodes that only typed jobs can use, and jobs that need many
CPUs go where CPUs are plentiful. The relaxation is plain data (`relaxation`); somebody else solves
it. With d_s the expected jobs of shape s and x_sk how many of them kind k gets:

    maximise   sum worth_s x_sk + headroom
    subject to sum_k x_sk                          <= d_s                 each s
               sum_s cpus_s x_sk + headroom        <= free CPUs           each k; memory likewise
               whole devices taken and opened      <= free whole devices  each k
               openings of gap g for size z        <= gaps g + gaps left by larger ones, each k, g
               sum_s [size of s is z] x_sk         <= openings for size z each k, z

Shares of devices are thus packed exactly, as a flow through the gap sizes that can arise; CPUs and
memory are summed over the nodes of a kind. Headroom rewards a little for leaving some of both
free: what is summed over nodes does not divide up evenly among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from slurm_het.core.frag import WHOLE, Free, Mix, NodeKind, Shape

CPU_ONLY_WORTH = 2.0
"""Worth of a job without devices, in devices: enough that no plan drops it to gain one."""

HEADROOM = ((0.02, 0.06), (0.03, 0.04), (0.05, 0.02), (0.10, 0.01))
"""Bands of a kind's CPUs (or memory) left free: width, and what leaving all of it is worth in
devices per device of the kind and unit of width: 0.44 % of the devices for a fifth left free.
"""

OVERALL = 0.1
"""Share of the site's whole mix in the mix of a kind of node: others will stray there."""

Use = tuple[Shape, NodeKind]


class Room(NamedTuple):
    """What the nodes of a kind have free together, and the most that one of them has."""

    cpus: int
    memory: int
    gaps: Mapping[int, int]
    node_cpus: int
    node_memory: int
    node_whole: int


def room(states: Mapping[Free, int]) -> Room:
    """The room of so many nodes in each of these states."""
    gaps: Counter[int] = Counter()
    for free, count in states.items():
        for gap in free.gaps:
            gaps[gap] += count
    return Room(
        sum(free.cpus * count for free, count in states.items()),
        sum(free.memory * count for free, count in states.items()),
        {gap: count for gap, count in gaps.items() if gap},
        max((free.cpus for free in states), default=0),
        max((free.memory for free in states), default=0),
        max((free.gaps.count(WHOLE) for free in states), default=0),
    )


class Column(NamedTuple):
    """A variable: 0 <= value <= upper, its gain, and its coefficients by row."""

    gain: float
    upper: float
    terms: dict[int, float]


@dataclass
class Relaxation:
    """maximise Σ gain·x subject to each row's Σ coefficient·x <= its limit."""

    limits: list[float] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    uses: dict[Use, int] = field(default_factory=dict)

    def row(self, limit: float) -> int:
        """A new row's index."""
        self.limits.append(limit)
        return len(self.limits) - 1

    def column(self, gain: float, terms: dict[int, float], upper: float = float("inf")) -> int:
        """A new column's index."""
        self.columns.append(Column(gain, upper, terms))
        return len(self.columns) - 1


def relaxation(
    rooms: Mapping[NodeKind, Room], demand: Mapping[Shape, float], *, devices_only: bool = False
) -> Relaxation:
    """The LP over these kinds of nodes for an expected demand (jobs per shape).

    `devices_only`: nothing but allocated devices counts, so that the optimum bounds every policy.
    """
    lp = Relaxation()
    rows = {shape: lp.row(count) for shape, count in demand.items()}
    for kind, here in rooms.items():
        fits = [shape for shape in demand if demand[shape] > 0 and _fits(shape, kind, here)]
        cpus, memory = lp.row(here.cpus), lp.row(here.memory)
        levels, sizes = _gap_flow(lp, here, fits)
        for shape in fits:
            terms = {rows[shape]: 1.0, cpus: float(shape.cpus), memory: float(shape.memory)}
            if shape.devices and shape.milli == WHOLE:
                terms[levels[WHOLE]] = float(shape.devices)
            elif shape.devices:
                terms[sizes[shape.milli]] = float(shape.devices)
            cpu_worth = 0.0 if devices_only else CPU_ONLY_WORTH
            worth = shape.total / WHOLE if shape.devices else cpu_worth
            lp.uses[shape, kind] = lp.column(worth, terms)
        if not devices_only:
            _headroom(lp, here, ((cpus, here.cpus), (memory, here.memory)))
    return lp


def _fits(shape: Shape, kind: NodeKind, here: Room) -> bool:
    if shape.cpus > here.node_cpus or shape.memory > here.node_memory:
        return False
    if shape.models and kind.model not in shape.models:
        return False
    if shape.milli == WHOLE:
        return shape.devices <= here.node_whole
    return not shape.devices or any(gap >= shape.milli for gap in here.gaps)


def _gap_flow(
    lp: Relaxation, here: Room, fits: Iterable[Shape]
) -> tuple[dict[int, int], dict[int, int]]:
    """Rows by gap and by size of share: a share of size z turns a gap g into a gap g - z."""
    wanted = sorted({s.milli for s in fits if s.devices and s.milli < WHOLE})
    reached: set[int] = {WHOLE}
    open_gaps = [WHOLE, *here.gaps]
    while open_gaps:
        gap = open_gaps.pop()
        reached.add(gap)
        left = {gap - z for z in wanted if z <= gap}
        open_gaps += [g for g in left - reached if g >= wanted[0]]
    levels = {gap: lp.row(here.gaps.get(gap, 0)) for gap in sorted(reached)}
    sizes = {z: lp.row(0) for z in wanted}
    for gap, row in levels.items():
        for z in wanted:
            if z <= gap:
                terms = {row: 1.0, sizes[z]: -1.0}
                if gap - z in levels:
                    terms[levels[gap - z]] = -1.0
                lp.column(0.0, terms)
    return levels, sizes


def _headroom(lp: Relaxation, here: Room, rows: Iterable[tuple[int, int]]) -> None:
    devices = sum(here.gaps.values())
    for row, amount in rows:
        for width, worth in HEADROOM if amount else ():
            lp.column(worth * width * devices, {row: amount * width}, 1.0)


@dataclass(frozen=True)
class Quotas:
    """`planned[s, k]` jobs of shape s on kind k."""

    planned: Mapping[Use, float]

    @classmethod
    def of(cls, lp: Relaxation, values: Sequence[float]) -> Quotas:
        """The quotas in the values of the relaxation's columns."""
        found = {use: values[i] for use, i in lp.uses.items() if values[i] > 1e-7}
        return cls(found)

    def mix(self, kind: NodeKind, overall: Mix) -> Mix:
        """The mix of jobs to expect on nodes of a kind: those planned there, and some others."""
        here = {shape: n for (shape, k), n in self.planned.items() if k == kind}
        total = sum(here.values())
        stray = OVERALL if total else 1.0
        found = {shape: (1 - stray) * n / total for shape, n in here.items()}
        for shape, share in overall.items():
            found[shape] = found.get(shape, 0.0) + stray * share
        return found


class Ledger:
    """What has come and what was placed, against the quotas."""

    def __init__(self, quotas: Quotas, kinds: Iterable[NodeKind]) -> None:
        self.quotas = quotas
        self.kinds = tuple(kinds)
        self.came: Counter[Shape] = Counter()
        self.placed: Counter[Use] = Counter()
        self.total: Counter[Shape] = Counter()
        self.planned: dict[Shape, float] = {}
        for (shape, _), count in quotas.planned.items():
            self.planned[shape] = self.planned.get(shape, 0.0) + count

    def arrive(self, shape: Shape) -> None:
        """A job of this shape came."""
        self.came[shape] += 1

    def place(self, shape: Shape, kind: NodeKind) -> None:
        """A job of this shape was put on this kind of node."""
        self.placed[shape, kind] += 1
        self.total[shape] += 1

    def behind(self, shape: Shape, kind: NodeKind) -> float:
        """How many jobs the kind is behind its part of those that came; negative when ahead."""
        quota, planned = self.quotas.planned.get((shape, kind), 0.0), self.planned.get(shape)
        due = quota * self.came[shape] / planned if planned else 0.0
        return due - self.placed[shape, kind]

    def order(self, shape: Shape) -> list[NodeKind]:
        """The kinds, the one furthest behind its quota first; kinds without one go last."""
        planned = self.quotas.planned
        return sorted(
            self.kinds,
            key=lambda kind: (
                -self.behind(shape, kind) - (1e-3 if (shape, kind) in planned else 0.0)
            ),
        )

    def wanted(self, shape: Shape) -> bool:
        """Whether the plan has one more of this shape start, now or later.

        What the plan does without is turned down as late as possible: until then it does no harm
        that the jobs still to come could not make good.
        """
        return self.total[shape] < self.planned.get(shape, 0.0) + 1
