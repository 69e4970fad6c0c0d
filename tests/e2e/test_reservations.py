"""Slurm's own reservations: what they close is left alone, what they hold is used, as Slurm does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, PATIENCE, Cluster, own_sandbox

pytestmark = pytest.mark.slurm
NODES = """\
- {name: "nv[1-2]", type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}
"""
CUDA = "module load cuda; torchrun train.py; sleep {}"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    planner = {"planner": {"reserve_after_seconds": 0}}
    with own_sandbox(NODES, overrides=AMPLE | planner) as sandbox:
        yield sandbox


@contextmanager
def reservation(cluster: Cluster, name: str, *settings: str) -> Iterator[None]:
    """A reservation of Slurm's while this lasts."""
    cluster.ok("scontrol", "create", "reservation", f"ReservationName={name}", *settings)
    try:
        yield
    finally:
        cluster.clear()  # Slurm deletes no reservation that has jobs
        cluster.box.run(["scontrol", "delete", f"ReservationName={name}"])


def ask(cluster: Cluster, devices: int, minutes: int, *options: str, seconds: float = 1) -> str:
    """Submit a training job; its id."""
    asked = (f"--gres=gpu:{devices}", "-t", str(minutes), *options)
    return cluster.sbatch(*asked, script=CUDA.format(seconds))


def wait_until_over(cluster: Cluster, keys: Iterable[str]) -> None:
    left = set(keys)

    def over() -> bool:
        left.difference_update(j.key for j in cluster.jobs() if j.state == "COMPLETED")
        return not left

    cluster.wait("they all ran", over, 2 * PATIENCE)


def test_a_maintenance_to_come_idles_nothing(cluster: Cluster) -> None:
    """The long jobs at the head wait for its end, and the short ones behind them all run."""
    settings = ("StartTime=now+30minutes", "Duration=60", "Nodes=ALL", "Users=root", "Flags=MAINT")
    with reservation(cluster, "maint", *settings):
        long = [ask(cluster, 1, 60) for _ in range(18)]
        short = [ask(cluster, 1, 5) for _ in range(20)]
        wait_until_over(cluster, short)
        assert all(cluster.job(key)["JobState"] == "PENDING" for key in long)
        why = "its limit of 60 min reaches into the reservation maint (from "
        assert why in cluster.tool("squeue", "-j", long[-1])
        assert why in cluster.tool("admin", "why", long[-1])
        cluster.ok("scontrol", "delete", "ReservationName=maint")
        wait_until_over(cluster, long)
    events = {event for key in long + short for event in cluster.outcomes(key)}
    assert events <= {"released", "reserved", "started"}, "nothing came back"
