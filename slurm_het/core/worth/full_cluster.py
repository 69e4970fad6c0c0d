"""Which part of the tasks of each demand the plan for a full cluster has on each kind of node.

Flexible tasks are thereby kept off what only others can use, and tasks that need many CPUs go where
CPUs are plentiful. The plan is a linear program (core/worth/relaxation.py) over the expected
profiles and the classes of devices; somebody else solves it. It decides preferences only: a wrong
one breaks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from slurm_het.core.assignment.linear_program import (
    LinearProgram,
)
from slurm_het.core.cluster.device_class import DeviceClass, device_class_of
from slurm_het.core.cluster.gaps import (
    WHOLE,
    NodeModel,
    Shape,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.worth.forecast import (
    Forecast,
    PlannedParts,
    RunningNow,
    shape_on,
)
from slurm_het.core.worth.profiles import (
    TaskProfile,
)
from slurm_het.core.worth.relaxation import (
    Relaxation,
    relaxation,
    total_free,
)

Relax = Callable[[LinearProgram], Sequence[float] | None]
"""Solves a linear program: the values of its columns, or None."""

STEP = 50
"""Thousandths of a device to which shares are rounded up, so that the program stays small."""

LEAST = 1e-6
"""A part below this is the solver's rounding."""


def with_parts(expected: Forecast, relax: Relax) -> Forecast:
    """The forecast with the plan for a full cluster, or as it is if there is none."""
    program = parts_program(expected)
    parts = parts_of(expected, program, relax(program.program))
    # Not a copy: the prices that it has worked out are by the mixes of before.
    return Forecast(expected.weights, expected.devices, parts, expected.held)


def held_on(inventory: Inventory, demands: Mapping[str, TaskProfile]) -> RunningNow:
    """By demand, on how many nodes of each kind its tasks are; `demands` is by the holders' keys.

    As `parts_of` has them, demands whatever their CPUs and host memory are there too.
    """
    found: dict[TaskProfile, dict[DeviceClass, int]] = {}
    for node in inventory.nodes.values():
        where = {key: device for device in node.devices for key in device.holders}
        for key, device in where.items():
            demand = demands.get(key)
            if demand is None:
                continue
            kind = device_class_of(device, node)
            for one in {demand, demand.anyhow}:
                mine = found.setdefault(one, {})
                mine[kind] = mine.get(kind, 0) + 1
    return found


def parts_program(expected: Forecast) -> Relaxation[TaskProfile]:
    """The program: as many tasks of each demand as would fill the cluster, in their proportions."""
    kinds = dict(enumerate(expected.devices))
    rooms = {
        node_model(number, kind): total_free(
            {node_model(number, kind).empty(): _nodes(expected, kind)}
        )
        for number, kind in kinds.items()
    }

    def on(demand: TaskProfile, where: NodeModel) -> Shape:
        shape = shape_on(demand, kinds[int(where.model)])
        return shape._replace(milli=-(-shape.milli // STEP) * STEP)

    slots = {demand: weight * demand.nodes for demand, weight in expected.weights.items()}
    taken = {
        demand: min(
            (shape.total for where in rooms if (shape := on(demand, where)).devices), default=0
        )
        for demand in slots
    }
    total = sum(slots[demand] * taken[demand] / WHOLE for demand in slots)
    scale = sum(expected.devices.values()) / total if total else 0.0
    return relaxation(rooms, {d: slots[d] * scale for d in slots}, on)


def node_model(number: int, kind: DeviceClass) -> NodeModel:
    """A kind of node as the program knows it; its model is the number of the kind."""
    return NodeModel(str(number), kind.cpus, kind.memory_mib, kind.per_node)


def _nodes(expected: Forecast, kind: DeviceClass) -> int:
    return max(1, expected.devices[kind] // kind.per_node)


def parts_of(
    expected: Forecast, program: Relaxation[TaskProfile], values: Sequence[float] | None
) -> PlannedParts:
    """The part on each kind, 0..1, by demand, and whatever its CPUs and host memory (anyhow)."""
    kinds = list(expected.devices)
    found: dict[TaskProfile, dict[DeviceClass, float]] = {}
    for (demand, where), column in program.uses.items() if values else ():
        count = values[column] if values else 0.0
        if count > LEAST:
            for key in {demand, demand.anyhow}:
                mine = found.setdefault(key, {})
                kind = kinds[int(where.model)]
                mine[kind] = mine.get(kind, 0.0) + count
    return {key: _normal(mine) for key, mine in found.items()}


def _normal(mine: Mapping[DeviceClass, float]) -> dict[DeviceClass, float]:
    total = sum(mine.values())
    return {kind: count / total for kind, count in mine.items()}
