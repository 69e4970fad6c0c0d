"""The simulated cycle that benchmarks use: it starts and ends jobs as hetd and Slurm do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.simulate import Arrival, Simulation
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.model import Classification
from slurm_het.settings import PlannerSettings
from tests.support.world import gated, policy, snapshot

AMD = encode_comment(Classification("training", vendors=("amd",)), {})


def job(number: int, at: float, devices: int, seconds: float, minutes: int = 1) -> Arrival:
    """A job for one of the two AMD nodes."""
    waits = gated(
        number, tres_per_node=f"gpu:{devices}", admin_comment=AMD, priority=1000 - number,
        time_limit_minutes=minutes, eligible_time=int(at),
    )  # fmt: skip
    return Arrival(at, waits, lambda _: seconds)


def run(*arrivals: Arrival, **limits: Any) -> dict[int, tuple[float, float]]:
    """Start and end by job id."""
    here = snapshot()
    told = replace(PlannerSettings().limits, **limits)
    simulation = Simulation(here.nodes, here.partitions, policy(), greedy, told)
    return {o.job.id: (o.started, o.ended) for o in simulation.run(arrivals)}


def test_jobs_start_when_there_is_room_and_end_after_their_time() -> None:
    times = run(*(job(n, 0, 8, 10.0) for n in (1, 2, 3)), job(4, 3.0, 8, 5.0))
    assert times == {1: (0, 10), 2: (0, 10), 3: (10, 20), 4: (10, 15)}


def test_a_blocked_job_is_kept_for_unless_that_is_off() -> None:
    """Two nodes half full; a job for a whole one, and small ones that would outlast the halves."""
    crowd = [job(1, 0, 8, 30.0, 5), job(2, 0, 4, 20.0), job(3, 1, 8, 10.0, 5)]
    small = [job(4, 2, 4, 60.0, 5)]
    assert run(*crowd, *small)[3] == (20, 30)
    assert run(*crowd, *small, protected=0)[3] == (30, 40)
    assert run(*crowd, *small, reserve_after_seconds=5.0)[3] == (30, 40)


def test_a_job_that_no_node_can_take_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="never started"):
        run(job(1, 0, 9, 1.0))
