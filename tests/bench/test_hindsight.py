"""What planners win that know all: never more than the bound, and not less than is there."""

from __future__ import annotations

import pytest

from bench.mixes.bound import most_busy
from bench.mixes.generate import generate
from bench.mixes.hindsight import found_by
from bench.mixes.world import SANDBOX, read_world
from slurm_het.simulation import run
from tests.bench.test_mixes import HOUR, mix, wants


@pytest.mark.parametrize("seed", [1, 2, 3, 7])
def test_no_plan_exceeds_the_bound_and_a_free_order_is_worth_no_less(seed: int) -> None:
    world = read_world(generate(seed, HOUR, 6))
    found = found_by(world, 0.3)
    assert 0 < found.order_kept <= found.bound + 1e-3
    assert 0 < found.order_free <= found.bound + 1e-3
    assert run.plain(world, SANDBOX).busy <= found.bound + 1e-3


def test_a_bound_that_is_reached() -> None:
    """Eight devices for an hour, and work for more than that."""
    many = {"sbatch": wants(4, 60), "count": 4, "sleep": HOUR}
    world = read_world(mix(many))
    assert most_busy(world) == pytest.approx(8 * HOUR)
    assert found_by(world, 0.01).order_kept == pytest.approx(8 * HOUR)


def test_limits_and_late_arrivals_bound_it() -> None:
    """Four devices at most for one user of that QOS; others come after half an hour."""
    first = {"sbatch": wants(4, 60, "--qos=first"), "count": 2, "sleep": HOUR}
    late = {"sbatch": wants(4, 60), "user": "games", "at": HOUR / 2, "sleep": HOUR}
    assert most_busy(read_world(mix(first))) == pytest.approx(4 * HOUR)
    assert most_busy(read_world(mix(first, late))) == pytest.approx(6 * HOUR)


def test_nobody_runs_on_nodes_that_are_kept_for_others() -> None:
    made = ["scontrol", "create", "reservation", "ReservationName=r", "StartTime=now+0minutes",
            "Duration=30", "Nodes=a1", "Users=root", "Flags=MAINT"]  # fmt: skip
    many = {"sbatch": wants(4, 10), "count": 20, "sleep": 600.0}
    world = read_world(mix(many, events=[{"run": made}]))
    assert most_busy(world) == pytest.approx(6 * HOUR)
    assert found_by(world, 0.01).order_kept == pytest.approx(6 * HOUR)
