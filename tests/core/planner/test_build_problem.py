"""The problem that is built keeps what a Problem promises."""

from __future__ import annotations

import pytest

from bench.scale import CASES, Case, policy, snapshot
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.planner.build_problem import build
from tests.support.problems import asks_of, trimmed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_requests_have_only_what_would_fit_if_they_were_alone(case: Case) -> None:
    """The solvers rely on it: they do not look at free memory, CPUs and whole devices again."""
    records = snapshot(case, nodes=40, tasks=60, seed=1)
    inventory = take_inventory(records, policy())
    tasks = fill_task_pools(records, inventory, policy()).tasks
    problem = build(inventory, tasks, policy()).problem
    assert asks_of(problem) == asks_of(trimmed(problem))
    assert any(slot.need for request in problem.requests for slot in request.slots)
