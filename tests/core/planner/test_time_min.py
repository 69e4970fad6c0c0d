"""A job with --time-min is released with the time that there is, and delays nobody above it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Prepared, decide, observe, prepare
from slurm_het.core.planner.time_min import in_time
from slurm_het.core.planner.updates import release_fields
from slurm_het.core.policy import Limits
from slurm_het.core.worth.forecast import Forecast
from tests.support.world import gated, inventory, policy, running, snapshot, with_side_door

NOW, FREE = 1000.0, 1000 + 3600
"""Half of nv1 is held until FREE, an hour from now; nv2 for ever."""
HELD = (
    running(1, "nv1", "gpu:a100:4(IDX:0-3)", end_time=FREE, cpus=4),
    running(2, "nv2", "gpu:a100:8(IDX:0-7)", end_time=0, cpus=8),
)


def asks(number: int, devices: int, **record: Any) -> Job:
    """A gated job of A100s as it was submitted."""
    sent = {"tres_per_node": f"gpu:a100:{devices}", "user_name": "ann"}
    sent |= {"time_limit": str(record.get("time_limit_minutes", 60))}
    sent |= {"time_min": str(least)} if (least := record.pop("time_min", 0)) else {}
    made = admit_message(sent, policy(), inventory())
    assert isinstance(made, Admitted)
    fields = {"admin_comment": made.fields["admin_comment"], "tres_per_node": sent["tres_per_node"]}
    return gated(number, **fields, **record)


def released(shot: Snapshot) -> dict[str, dict[str, str]]:
    """By key of the jobs that start, the fields of their release."""
    memory = Memory(Pins(10.0, 60.0))
    ready: Prepared = prepare(observe(shot, policy(), memory, 0.0), Limits(), memory, 0.0)
    tasks, jobs = {t.key: t for t in ready.window}, {j.key: j for j in shot.jobs}
    made = decide(ready, Forecast(), greedy)
    return {
        p.key: release_fields(p, jobs[p.key], limits=in_time(tasks[p.key], p, ready).time_limits)
        for p in made.placements
    }


@pytest.mark.parametrize("door", [False, True], ids=["a place", "pinned ahead"])
@pytest.mark.parametrize(
    ("limit", "least", "above", "sent"),
    [
        (600, 10, True, "60"),  # until the first who waits for the node starts
        (600, 59, True, "60"),
        (600, 0, True, None),  # without --time-min it does not start
        (600, 90, True, None),
        (50, 10, True, ""),  # it has all that it asks for
        (600, 10, False, ""),  # nobody waits
    ],
)
def test_it_gets_the_time_until_the_first_who_waits_starts(
    door: bool, limit: int, least: int, above: bool, sent: str | None
) -> None:
    first = asks(7, 8, priority=2000, time_limit_minutes=60)
    low = asks(8, 4, priority=1000, time_limit_minutes=limit, time_min=least)
    shot = replace(snapshot(*HELD, *[first] * above, low), time=NOW)
    made = released(with_side_door(shot) if door else shot)
    assert ("8" in made) is (sent is not None)
    if sent is not None:
        assert made["8"].get("TimeLimit", "") == sent
