"""What leaves its nodes open starts on several where one has no room, as in plain Slurm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.cluster.lots import spread
from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import Job
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.library import propose
from tests.support.world import gated, inventory, policy, running, snapshot, with_side_door


def asks(sent: dict[str, str], number: int = 7, **record: Any) -> Job:
    """A gated job that was submitted with these fields."""
    message = {"user_name": "ann", **sent}
    made = admit_message(message, policy(), inventory())
    assert isinstance(made, Admitted)
    fields = {key: text for key, text in sent.items() if key.startswith("tres_")}
    return gated(number, admin_comment=made.fields["admin_comment"], **fields, **record)


def held(number: int, node: str, devices: int) -> Job:
    indexes = ",".join(map(str, range(devices)))
    return running(number, node, f"gpu:a100:{devices}(IDX:{indexes})", end_time=9000, cpus=8)


EACH_THREE_FREE = held(1, "nv1", 5), held(2, "nv2", 5)


@pytest.mark.parametrize(
    ("sent", "record", "started"),
    [
        ({"tres_per_job": "gpu:a100:6"}, {}, {"nv1": 3, "nv2": 3}),
        ({"tres_per_job": "gpu:a100:4"}, {}, {"nv1": 3, "nv2": 1}),
        ({"tres_per_job": "gpu:a100:3"}, {}, {"nv1": 3}),
        ({"tres_per_job": "gpu:a100:7"}, {}, None),
        ({"tres_per_job": "gpu:a100:6", "num_tasks": "1"}, {}, None),  # -n1
        ({"tres_per_job": "gpu:a100:6", "max_nodes": "1"}, {"nodes_max": 1}, None),  # -N1
        ({"tres_per_node": "gpu:a100:6"}, {}, None),
        ({"tres_per_task": "gpu:a100:1", "num_tasks": "6"}, {"tasks": 6}, {"nv1": 3, "nv2": 3}),
        ({"tres_per_task": "gpu:a100:3", "num_tasks": "2"}, {"tasks": 2}, {"nv1": 3, "nv2": 3}),
        ({"tres_per_task": "gpu:a100:4", "num_tasks": "1"}, {}, None),
        (
            {"tres_per_job": "gpu:a100:4", "tres_per_task": "gpu:a100:2", "num_tasks": "2"},
            {"tasks": 2},
            None,
        ),  # a task's devices are on one node: 3 + 1 would not do
    ],
    ids=str,
)
def test_it_starts_on_several_nodes_where_one_has_no_room(
    sent: dict[str, str], record: dict[str, Any], started: dict[str, int] | None
) -> None:
    """As on real Slurm: tests/e2e/test_placement.py."""
    job = asks(sent, **record)
    made = propose(snapshot(*EACH_THREE_FREE, job), policy())
    if started is None:
        assert not made.placements
    else:
        (placed,) = made.placements
        counts = zip(placed.nodes, map(len, placed.devices), strict=True)
        assert dict(counts) == started


def test_where_one_node_has_room_it_is_that_one() -> None:
    job = asks({"tres_per_job": "gpu:a100:6"})
    made = propose(snapshot(EACH_THREE_FREE[0], job), policy())
    assert [placed.nodes for placed in made.placements] == [("nv2",)]


def test_who_is_above_keeps_what_is_his() -> None:
    """It is spread as far as there is room for it beside those above."""
    first = asks({"tres_per_job": "gpu:a100:3"}, 7)
    second = replace(asks({"tres_per_job": "gpu:a100:4"}, 8), priority=1)
    made = propose(snapshot(*EACH_THREE_FREE, first, second), policy())
    assert [placed.key for placed in made.placements] == ["7"]


def test_nodes_that_its_user_excludes_give_it_nothing() -> None:
    free = held(1, "nv1", 1), held(2, "nv2", 5)
    job = asks({"tres_per_job": "gpu:a100:8"}, exc_nodes="nv1")
    assert not propose(snapshot(*free, job), policy()).placements


@pytest.mark.parametrize("door", [False, True])
def test_where_it_may_not_start_on_several_it_keeps_its_place_on_one(door: bool) -> None:
    """nv1 is reserved from in half an hour on; nv2 has room in ten minutes."""
    jobs = held(1, "nv1", 4), replace(held(2, "nv2", 5), end_time=600)
    big = asks({"tres_per_job": "gpu:a100:7"}, 7, priority=9000)
    low = asks({"tres_per_node": "gpu:a100:3"}, 8, priority=1, time_limit_minutes=600)
    maintenance = ReservationRecord("maint", 1800.0, 9e5, ("nv1",), users=frozenset({"root"}))
    shot = replace(snapshot(*jobs, big, low), reservations=(maintenance,))
    made = propose(with_side_door(shot) if door else shot, policy())
    assert not made.placements
    assert str(made.waiting["8"]).startswith("nv2 is kept for job 7")


def test_a_task_whose_gres_are_rewritten_stays_on_one_node() -> None:
    """Its release names a number for each node, which would be that of the first on all."""
    job = asks({"tres_per_job": "gpu:6"})
    room = take_inventory(snapshot(*EACH_THREE_FREE), policy())
    (task,) = fill_task_pools(snapshot(*EACH_THREE_FREE, job), room, policy()).tasks
    assert len(spread(task, room).slots) == 2
    for other in (replace(task, rewrites=(("nv1", "gpu:a100"),)), replace(task, rewritten=True)):
        assert spread(other, room) is other
