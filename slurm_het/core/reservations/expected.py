"""When and where the waiting tasks start, as far as that is known: the rest of the look ahead."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from slurm_het.core.model import Task
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.reservation import Reservation

MOST = 500
"""So many tasks get an expected start: as many as Slurm's backfill looks at where nothing is said
(bf_max_job_test). Of more the look ahead takes too long: seconds on 500 nodes."""


def expect(
    tasks: Iterable[Task],
    kept: Iterable[Reservation],
    axis: Axis,
    most: int = MOST,
    at_once: Iterable[Task] = (),
) -> dict[str, Reservation]:
    """By key, the latest start of the reserved tasks, and of the first `most` others.

    Those of `at_once`, which are kept off the nodes of who goes before them, start now where there
    is room. Those that nodes are `kept` for have them for themselves: Slurm's backfill starts
    nothing beside them. The others get, in Slurm's priority order, the soonest start beside those
    before them. None is said of a task that has no room at any time, which takes nobody's place.
    """
    found: dict[str, Reservation] = {}
    for task in at_once:
        if made := axis.at_once(task):
            axis.take(made)
            found[task.key] = made
    for reservation in kept:
        axis.take(reservation, whole_nodes=True)
        found[reservation.task.key] = reservation
    for task in islice(tasks, most):
        if task.key not in found and (made := axis.soonest(task)):
            axis.take(made)
            found[task.key] = made
    return found
