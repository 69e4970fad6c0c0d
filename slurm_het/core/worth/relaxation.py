"""Quotas: how many jobs of each shape should sit on nodes of each model, from an LP relaxation.

Flexible jobs are thereby kept off the nodes that only typed jobs can use, and jobs that need many
CPUs go where CPUs are plentiful. The relaxation is plain data (`relaxation`); somebody else solves
it. With d_s the expected jobs of shape s, and x_sk how many of them go to nodes of model k:

    maximise   sum worth_s x_sk + headroom
    subject to sum_k x_sk                          <= d_s                 each s
               sum_s cpus_s x_sk + headroom        <= free CPUs           each k; memory likewise
               whole devices taken and opened      <= free whole devices  each k
               openings of gap g for size z        <= gaps g + gaps left by larger ones, each k, g
               sum_s [size of s is z] x_sk         <= openings for size z each k, z

Shares of devices are thus packed exactly, as a flow through the gap sizes that can arise. CPUs and
memory are summed over the nodes of a model, and such a sum does not divide up evenly among nodes:
headroom rewards a little for leaving some of both free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from slurm_het.core.assignment.linear_program import LinearProgram
from slurm_het.core.cluster.gaps import WHOLE, Free, NodeModel, Shape

CPU_ONLY_WORTH = 2.0
"""Worth of a job without devices, in devices: enough that no plan drops it to gain one."""

HEADROOM = ((0.02, 0.06), (0.03, 0.04), (0.05, 0.02), (0.10, 0.01))
"""Bands of a model's CPUs (or memory) that may be left free. Of each band: its width, as a share of
all; and its worth, so that leaving all of it free gains width x worth of the model's devices. A
fifth left free gains 0.44 % of them.
"""

J = TypeVar("J", bound=Hashable)
"""A sort of job: its shape, or its profile where its shape is another one from model to model."""


class TotalFree(NamedTuple):
    """What the nodes of a model have free together, and the most that one of them has."""

    cpus: int
    memory_mib: int
    gaps: Mapping[int, int]
    node_cpus: int
    node_memory_mib: int
    node_whole: int


def total_free(states: Mapping[Free, int]) -> TotalFree:
    """What so many nodes have free together, by what is free on each."""
    gaps: Counter[int] = Counter()
    for free, count in states.items():
        for gap in free.gaps:
            gaps[gap] += count
    return TotalFree(
        sum(free.cpus * count for free, count in states.items()),
        sum(free.memory_mib * count for free, count in states.items()),
        {gap: count for gap, count in gaps.items() if gap},
        max((free.cpus for free in states), default=0),
        max((free.memory_mib for free in states), default=0),
        max((free.gaps.count(WHOLE) for free in states), default=0),
    )


@dataclass
class Relaxation(Generic[J]):
    """The program. `uses` is by job and model the column that says how many of them go there."""

    program: LinearProgram = field(default_factory=LinearProgram)
    uses: dict[tuple[J, NodeModel], int] = field(default_factory=dict)


def relaxation(
    free: Mapping[NodeModel, TotalFree],
    expected: Mapping[J, float],
    on: Callable[[J, NodeModel], Shape],
    *,
    devices_only: bool = False,
) -> Relaxation[J]:
    """The LP over these models of nodes for so many expected jobs of each sort.

    `on` tells the shape that such a job has on a model; it is worth what it takes where it takes
    least. `devices_only`: nothing else counts, so that the optimum bounds every policy.
    """
    relaxed: Relaxation[J] = Relaxation()
    lp = relaxed.program
    rows = {job: lp.row(count) for job, count in expected.items()}
    shapes = {
        model: {
            job: shape
            for job, count in expected.items()
            if count > 0 and _fits(shape := on(job, model), model, here)
        }
        for model, here in free.items()
    }
    worth = _worth(shapes.values(), cpu_only=0.0 if devices_only else CPU_ONLY_WORTH)
    for model, here in free.items():
        cpus, memory = lp.row(here.cpus), lp.row(here.memory_mib)
        levels, sizes = _gap_flow(lp, here, shapes[model].values())
        for job, shape in shapes[model].items():
            terms = {rows[job]: 1.0, cpus: float(shape.cpus), memory: float(shape.memory_mib)}
            if shape.devices and shape.milli == WHOLE:
                terms[levels[WHOLE]] = float(shape.devices)
            elif shape.devices:
                terms[sizes[shape.milli]] = float(shape.devices)
            relaxed.uses[job, model] = lp.column(worth[job], terms)
        if not devices_only:
            _headroom(lp, here, ((cpus, here.cpus), (memory, here.memory_mib)))
    return relaxed


def _worth(shapes: Iterable[Mapping[J, Shape]], cpu_only: float) -> dict[J, float]:
    """By job, the devices that it takes where it takes least; `cpu_only` if it takes none."""
    worth: dict[J, float] = {}
    for here in shapes:
        for job, shape in here.items():
            mine = shape.total / WHOLE if shape.devices else cpu_only
            worth[job] = min(worth.get(job, mine), mine)
    return worth


def _fits(shape: Shape, model: NodeModel, here: TotalFree) -> bool:
    if shape.cpus > here.node_cpus or shape.memory_mib > here.node_memory_mib:
        return False
    if shape.models and model.model not in shape.models:
        return False
    if shape.milli == WHOLE:
        return shape.devices <= here.node_whole
    return not shape.devices or any(gap >= shape.milli for gap in here.gaps)


def _gap_flow(
    lp: LinearProgram, here: TotalFree, shapes: Iterable[Shape]
) -> tuple[dict[int, int], dict[int, int]]:
    """Rows by gap and by size of share: a share of size z turns a gap g into a gap g - z."""
    wanted = sorted({s.milli for s in shapes if s.devices and s.milli < WHOLE})
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


def _headroom(lp: LinearProgram, here: TotalFree, rows: Iterable[tuple[int, int]]) -> None:
    devices = sum(here.gaps.values())
    for row, amount in rows:
        for width, worth in HEADROOM if amount else ():
            lp.column(worth * width * devices, {row: amount * width}, 1.0)
