"""What no policy can exceed on openb, from an LP relaxation: the jobs that came, over node models.

With d_s jobs of shape s, and x_sk how many of them go to nodes of model k:

    maximise   sum worth_s x_sk
    subject to sum_k x_sk                          <= d_s                 each s
               sum_s cpus_s x_sk                   <= free CPUs           each k; memory likewise
               whole devices taken and opened      <= free whole devices  each k
               openings of gap g for size z        <= gaps g + gaps left by larger ones, each k, g
               sum_s [size of s is z] x_sk         <= openings for size z each k, z

Shares of devices are thus packed exactly, as a flow through the gap sizes that can arise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.gaps import WHOLE, Free, NodeModel, Shape
from bench.linear_program import LinearProgram


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
class Relaxation:
    """The program. `uses` is by shape and model the column that says how many of them go there."""

    program: LinearProgram = field(default_factory=LinearProgram)
    uses: dict[tuple[Shape, NodeModel], int] = field(default_factory=dict)


def relaxation(free: Mapping[NodeModel, TotalFree], expected: Mapping[Shape, float]) -> Relaxation:
    """The LP over these models of nodes for so many jobs of each shape."""
    relaxed = Relaxation()
    lp = relaxed.program
    rows = {shape: lp.row(count) for shape, count in expected.items()}
    for model, here in free.items():
        shapes = [s for s, count in expected.items() if count > 0 and _fits(s, model, here)]
        cpus, memory = lp.row(here.cpus), lp.row(here.memory_mib)
        levels, sizes = _gap_flow(lp, here, shapes)
        for shape in shapes:
            terms = {rows[shape]: 1.0, cpus: float(shape.cpus), memory: float(shape.memory_mib)}
            if shape.devices and shape.milli == WHOLE:
                terms[levels[WHOLE]] = float(shape.devices)
            elif shape.devices:
                terms[sizes[shape.milli]] = float(shape.devices)
            relaxed.uses[shape, model] = lp.column(shape.total / WHOLE, terms)
    return relaxed


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
