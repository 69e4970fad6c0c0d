"""When and where the waiting tasks start, as far as that is known: the rest of the look ahead."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge
from itertools import islice

from slurm_het.core.model import Task
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.look_ahead import soonest_start
from slurm_het.core.reservations.reservation import Reservation, turn_of

MOST = 500
"""So many tasks get an expected start: as many as Slurm's backfill looks at where nothing is said
(bf_max_job_test). Of more the look ahead takes too long: seconds on 500 nodes."""


def expect(
    tasks: Iterable[Task],
    kept: Iterable[Reservation],
    axis: Axis,
    most: int = MOST,
    at_once: Iterable[Reservation] = (),
) -> dict[str, Reservation]:
    """By key, the latest start of the reserved tasks, and of the first `most` of all.

    Those that start `at_once` have their places first. The others get, in Slurm's order, the
    soonest start beside those before them. Those that nodes are `kept` for stay there, and have
    them for themselves: Slurm's backfill starts nothing beside them. None is said of a task that
    has no room at any time, which takes nobody's place.
    """
    found: dict[str, Reservation] = {}
    for start in at_once:
        axis.take(start)
        found[start.task.key] = start
    reserved = {reservation.task.key: reservation for reservation in kept}
    standing = sorted((made.task for made in reserved.values()), key=turn_of)
    for task in islice(merge(standing, tasks, key=turn_of), most + len(standing)):
        if task.key in found:
            continue
        held = reserved.get(task.key)
        made = soonest_start(axis, task)
        if held and made and made.start <= held.start:
            made = held
        if made:
            axis.take(made, whole_nodes=held is not None)
            found[task.key] = made
    return found
