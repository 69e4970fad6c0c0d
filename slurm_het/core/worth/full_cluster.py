"""The plan for a full cluster: which part of the tasks of each profile goes to which devices.

A part is a number in 0..1: of all expected tasks of a profile, those that the plan has on one class
of devices. Flexible tasks are thereby kept off what only others can use, and tasks that need many
CPUs go where CPUs are plentiful.

The plan is a linear program (relaxation.py) over profiles and classes of devices; somebody else
solves it. It decides preferences only: a wrong one breaks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from slurm_het.core.assignment.linear_program import LinearProgram
from slurm_het.core.cluster.device_class import DeviceClass, device_class_of
from slurm_het.core.cluster.gaps import WHOLE, NodeModel, Shape
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.worth.forecast import Forecast, PlannedParts, RunningNow, shape_on
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.core.worth.relaxation import Relaxation, TotalFree, relaxation, total_free

Relax = Callable[[LinearProgram], Sequence[float] | None]
"""Solves a linear program: the values of its columns, or None."""

STEP = 50
"""Thousandths of a device to which shares are rounded up, so that the program stays small."""

LEAST = 1e-6
"""A count below this is the solver's rounding."""


def with_parts(expected: Forecast, relax: Relax) -> Forecast:
    """The forecast with the parts of the plan; as it is if there is no plan."""
    program = parts_program(expected)
    parts = parts_of(expected, program, relax(program.program))
    # Not a copy: the prices that it has worked out are by the mixes of before.
    return Forecast(expected.weights, expected.devices, parts, expected.held)


def held_on(inventory: Inventory, profiles: Mapping[str, TaskProfile]) -> RunningNow:
    """By profile and class of devices, on how many nodes such tasks hold some.

    `profiles` is by the holders' keys. As in `parts_of`, coarse profiles are there too.
    """
    counts: dict[TaskProfile, dict[DeviceClass, int]] = {}
    for node in inventory.nodes.values():
        device_of = {key: device for device in node.devices for key in device.holders}
        for key, device in device_of.items():
            profile = profiles.get(key)
            if profile is None:
                continue
            device_class = device_class_of(device, node)
            for one in {profile, profile.coarse}:
                mine = counts.setdefault(one, {})
                mine[device_class] = mine.get(device_class, 0) + 1
    return counts


def parts_program(expected: Forecast) -> Relaxation[TaskProfile]:
    """The program for as many tasks as would fill the cluster, in the proportions expected."""
    classes = list(expected.devices)
    free: dict[NodeModel, TotalFree] = {}
    for number, device_class in enumerate(classes):
        model = node_model(number, device_class)
        free[model] = total_free({model.empty(): _nodes(expected, device_class)})

    def on(profile: TaskProfile, model: NodeModel) -> Shape:
        shape = shape_on(profile, classes[int(model.model)])
        return shape._replace(milli=-(-shape.milli // STEP) * STEP)

    slots = {profile: weight * profile.nodes for profile, weight in expected.weights.items()}
    taken = {
        profile: min(
            (shape.total for model in free if (shape := on(profile, model)).devices), default=0
        )
        for profile in slots
    }
    total = sum(slots[profile] * taken[profile] / WHOLE for profile in slots)
    scale = sum(expected.devices.values()) / total if total else 0.0
    return relaxation(free, {profile: slots[profile] * scale for profile in slots}, on)


def node_model(number: int, device_class: DeviceClass) -> NodeModel:
    """Nodes with devices of a class as the program has them: their model is the class's number."""
    return NodeModel(str(number), device_class.cpus, device_class.memory_mib, device_class.per_node)


def _nodes(expected: Forecast, device_class: DeviceClass) -> int:
    return max(1, expected.devices[device_class] // device_class.per_node)


def parts_of(
    expected: Forecast, program: Relaxation[TaskProfile], values: Sequence[float] | None
) -> PlannedParts:
    """The parts in the values of the program's columns, coarse profiles beside the full ones."""
    classes = list(expected.devices)
    counts: dict[TaskProfile, dict[DeviceClass, float]] = {}
    for (profile, model), column in program.uses.items() if values else ():
        count = values[column] if values else 0.0
        if count > LEAST:
            device_class = classes[int(model.model)]
            for one in {profile, profile.coarse}:
                mine = counts.setdefault(one, {})
                mine[device_class] = mine.get(device_class, 0.0) + count
    return {profile: _normal(mine) for profile, mine in counts.items()}


def _normal(counts: Mapping[DeviceClass, float]) -> dict[DeviceClass, float]:
    """The same, adding up to 1."""
    total = sum(counts.values())
    return {device_class: count / total for device_class, count in counts.items()}
