"""Slurm's own reservations: what they close is left alone, and what they hold is used."""

from __future__ import annotations

import pwd
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, PATIENCE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
NODES = """\
- {name: "nv[1-2]", type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}
"""
CUDA = "module load cuda; torchrun train.py; sleep {}"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    planner = {"planner": {"reserve_after_seconds": 0, "poll_seconds": 1.0}}
    with own_sandbox(NODES, overrides=AMPLE | planner) as sandbox:
        conf = sandbox.layout.slurm_conf
        conf.write_text(f"{conf.read_text()}Licenses=solver:4\n")
        assert sandbox.run(["scontrol", "reconfigure"]).returncode == 0
        yield sandbox


@pytest.fixture(params=["planned", "plain"])
def planned(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[bool]:
    """The same with the gate open, too: it is plain Slurm then that does what the test expects."""
    if request.param == "plain":
        cluster.tool("admin", "bypass", "on")
        cluster.wait("the gate is open", lambda: cluster.gate() == "UP")
    yield request.param == "planned"
    if request.param == "plain":
        cluster.clear()
        cluster.tool("admin", "bypass", "off")
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")


@contextmanager
def reservation(cluster: Cluster, name: str, *settings: str) -> Iterator[None]:
    """A reservation of Slurm's while this lasts, and hetd knows of it."""
    cluster.ok("scontrol", "create", "reservation", f"ReservationName={name}", *settings)
    time.sleep(2.5)  # hetd looks once a second
    try:
        yield
    finally:
        cluster.clear()  # Slurm deletes no reservation that has jobs
        cluster.box.run(["scontrol", "delete", f"ReservationName={name}"])


def ask(
    cluster: Cluster, devices: int, minutes: int, *options: str, seconds: float = 1, user: str = ""
) -> str:
    """Submit a training job; its id."""
    asked = (f"--gres=gpu:{devices}", "-t", str(minutes), "-D", "/", *options)
    return cluster.sbatch(*asked, script=CUDA.format(seconds), user=user or None)


def planned_and_kept(cluster: Cluster, key: str, planned: bool) -> None:
    """A job that has started did so at its first release, if it was planned."""
    expected = ["released", "started"] if planned else []
    cluster.wait(f"{key} is {expected}", lambda: cluster.outcomes(key) == expected)


def wait_until_over(cluster: Cluster, keys: Iterable[str]) -> None:
    left = set(keys)

    def over() -> bool:
        left.difference_update(j.key for j in cluster.jobs() if j.state == "COMPLETED")
        return not left

    cluster.wait("they all ran", over, 2 * PATIENCE)


@pytest.mark.parametrize("flags", ["MAINT,IGNORE_JOBS", "DAILY"])
def test_what_is_to_come_idles_nothing(cluster: Cluster, planned: bool, flags: str) -> None:
    """The long jobs at the head wait for its end, and the short ones behind them all run."""
    settings = ("StartTime=now+30minutes", "Duration=60", "Nodes=ALL", "Users=root")
    with reservation(cluster, "maint", *settings, f"Flags={flags}"):
        long = [ask(cluster, 1, 60) for _ in range(17)]
        short = [ask(cluster, 1, 5) for _ in range(12)]
        wait_until_over(cluster, short)
        assert all(cluster.job(key)["JobState"] == "PENDING" for key in long)
        if planned:
            why = "its limit of 60 min reaches into the reservation maint (from "
            assert why in cluster.tool("squeue", "-j", long[-1])
            assert why in cluster.tool("admin", "why", long[-1])
        cluster.ok("scontrol", "delete", "ReservationName=maint")
        wait_until_over(cluster, long)
    for key in long + short:
        if "returned" in cluster.outcomes(key):  # a pin ahead may move, once it is over
            told = cluster.tool("admin", "why", key).splitlines()
            assert all("sooner" in line for line in told if " returned: " in line), told


def test_a_job_of_a_reservation_runs_in_it(cluster: Cluster, planned: bool) -> None:
    """It waits until the reservation begins, however much is free, and then has its nodes alone."""
    settings = ("StartTime=now+12", "Duration=30", "Nodes=nv2", "Users=root")
    with reservation(cluster, "course", *settings):
        inside = ask(cluster, 4, 10, "--reservation=course", seconds=30)
        outside = [ask(cluster, 4, 10, seconds=30) for _ in range(4)]
        for key in outside[:2]:
            assert cluster.wait_started(key)["NodeList"] == "nv1"
        if planned:
            why = "it is for the reservation course, which begins at "
            assert why in cluster.tool("squeue", "-j", inside)
        assert cluster.wait_started(inside)["NodeList"] == "nv2"
        assert cluster.job(outside[-1])["JobState"] == "PENDING", "four cards of nv2 are free"
        planned_and_kept(cluster, inside, planned)
        if planned:
            assert "nv2 is reserved (course)" in cluster.tool("squeue", "-j", outside[-1])


def test_a_flexible_one_lets_its_jobs_begin_before(cluster: Cluster, planned: bool) -> None:
    settings = ("StartTime=now+20minutes", "Duration=30", "Nodes=nv2", "Users=root", "Flags=FLEX")
    with reservation(cluster, "flex", *settings):
        keys = [ask(cluster, 8, 60, "--reservation=flex", seconds=20) for _ in range(2)]
        assert {cluster.wait_started(key)["NodeList"] for key in keys} == {"nv1", "nv2"}
        planned_and_kept(cluster, keys[0], planned)


def test_a_magnetic_one_draws_in_the_jobs_of_its_user(cluster: Cluster, planned: bool) -> None:
    uid = pwd.getpwnam("daemon").pw_uid  # Slurm shows him as he is written here
    settings = ("StartTime=now", "Duration=60", "Nodes=nv2", f"Users={uid}", "Flags=MAGNETIC")
    with reservation(cluster, "magnet", *settings):
        # Not root's: from 24.11 on root may use every reservation, and so they all draw it in.
        others = [ask(cluster, 8, 10, seconds=30, user="nobody") for _ in range(2)]
        assert cluster.wait_started(others[0])["NodeList"] == "nv1"
        drawn = [ask(cluster, 4, 10, seconds=20, user="daemon") for _ in range(2)]
        for key in drawn:
            assert cluster.wait_started(key)["NodeList"] == "nv2"
            planned_and_kept(cluster, key, planned)
        assert cluster.job(others[1])["JobState"] == "PENDING"


@pytest.mark.usefixtures("planned")
def test_one_of_a_part_of_a_node_leaves_the_rest_in_use(cluster: Cluster) -> None:
    settings = ("StartTime=now", "Duration=60", "Nodes=nv1", "CoreCnt=8", "Users=root")
    with reservation(cluster, "part", *settings):
        keys = [ask(cluster, 2, 10, seconds=20) for _ in range(8)]
        nodes = [cluster.wait_started(key)["NodeList"] for key in keys]
        assert sorted(nodes) == ["nv1"] * 4 + ["nv2"] * 4
        inside = ask(cluster, 1, 10, "--reservation=part")
        cluster.wait("plain Slurm has it", lambda: cluster.job(inside)["JobState"] == "PENDING")
        cluster.ok("scancel", *keys)
        assert cluster.wait_started(inside)["NodeList"] == "nv1"
        assert cluster.outcomes(inside) == [], "the cores of the reservation are Slurm's to choose"


def test_no_job_is_pinned_to_the_cores_of_a_part(cluster: Cluster, planned: bool) -> None:
    """Four cores of nv1 are left beside eight cards: jobs of eight cores all go to nv2."""
    settings = ("StartTime=now", "Duration=60", "Nodes=nv1", "CoreCnt=60", "Users=daemon")
    with reservation(cluster, "part", *settings):
        keys = [ask(cluster, 1, 10, "-c", "8", seconds=15) for _ in range(8)]
        for key in keys:
            assert cluster.wait_started(key)["NodeList"] == "nv2"
            planned_and_kept(cluster, key, planned)


def test_licences_of_a_reservation_are_for_its_jobs(cluster: Cluster, planned: bool) -> None:
    """Its own jobs have them all. For the others they count as taken, and once more once used."""
    held = ("Licenses=solver:2", "Users=daemon")
    with reservation(cluster, "course", "StartTime=now", "Duration=60", "Nodes=nv2", *held):
        few = ("-L", "solver:1")
        outside = [ask(cluster, 1, 10, *few, seconds=60) for _ in range(3)]
        for key in outside[:2]:
            cluster.wait_started(key)
        asks = ("-L", "solver:2", "--reservation=course")
        inside = ask(cluster, 1, 10, *asks, seconds=60, user="daemon")
        assert cluster.wait_started(inside)["NodeList"] == "nv2"
        planned_and_kept(cluster, inside, planned)
        assert cluster.job(outside[2])["JobState"] == "PENDING"
        if planned:
            told = "jobs outside course may have 2 licences of solver, of which 4 are taken"
            cluster.wait(told, lambda: told in cluster.tool("squeue", "-j", outside[2]))
        cluster.ok("scancel", *outside[:2])
        cluster.wait_state(outside[0], "CANCELLED")
        beside = ask(cluster, 1, 10, seconds=60)
        cluster.wait_started(beside)  # Slurm, or hetd, has looked
        assert cluster.job(outside[2])["JobState"] == "PENDING"
        cluster.ok("scancel", inside)
        cluster.wait_started(outside[2])
        planned_and_kept(cluster, outside[2], planned)


def test_licences_of_a_reservation_to_come_are_for_what_ends_before(
    cluster: Cluster, planned: bool
) -> None:
    settings = ("StartTime=now+20minutes", "Duration=60", "Nodes=nv2", "Users=daemon")
    with reservation(cluster, "course", *settings, "Licenses=solver:4"):
        long = ask(cluster, 1, 30, "-L", "solver:1", seconds=30)
        short = ask(cluster, 1, 10, "-L", "solver:4", seconds=30)
        cluster.wait_started(short)
        planned_and_kept(cluster, short, planned)
        assert cluster.job(long)["JobState"] == "PENDING"
        if planned:
            told = "Licenses: jobs outside course may have 0 licences of solver"
            assert told in cluster.tool("squeue", "-j", long)
            assert cluster.outcomes(long) == []
