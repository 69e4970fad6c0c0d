"""End to end: who may preempt starts as soon as under plain Slurm, and costs others less."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]

NODES = """
nodes:
- {name: "a[1-3]", type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}
"""
BY_QOS = """
accounting:
  slurm_conf: {PreemptType: preempt/qos, PreemptMode: REQUEUE, PriorityWeightQOS: 10000}
  qos:
    idle: {}
    lost: {PreemptMode: cancel}
    calm: {PreemptExemptTime: "00:00:12"}
    slow: {GraceTime: 3}
    high: {Priority: 100, Preempt: [idle, lost, calm, slow]}
  accounts:
    research: {QOS: [normal, idle, lost, calm, slow, high]}
  users:
    daemon: {Account: research}
"""
WHO = "daemon"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES + BY_QOS, accounting=True, overrides=AMPLE) as sandbox:
        yield sandbox


@contextmanager
def plain(cluster: Cluster) -> Iterator[None]:
    """The gate is open here: plain Slurm schedules."""
    cluster.tool("admin", "bypass", "on")
    cluster.wait("the gate is open", lambda: cluster.gate() == "UP")
    try:
        yield
    finally:
        cluster.clear()
        cluster.tool("admin", "bypass", "off")
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")


def submit(cluster: Cluster, qos: str, devices: int, *options: str) -> str:
    """A job of a QOS for so many devices of one node; its id."""
    asked = (f"--gres=gpu:{devices}", "--cpus-per-task=2", "--mem=1G", "--time=60")
    named = (f"--qos={qos}",) if qos else ()
    return cluster.sbatch(*asked, *named, *options, script="sleep 300", user=WHO)


def fill(cluster: Cluster, qos: str, *options: str, pause: float = 0.0) -> list[str]:
    """A job on all devices of each node, the first one so many seconds before the others."""
    keys = []
    for seconds in (pause, 0.0, 0.0):
        keys.append(submit(cluster, qos, 8, *options))
        cluster.wait_state(keys[-1], "RUNNING")
        time.sleep(seconds)
    return keys


def running(cluster: Cluster) -> dict[str, float]:
    """When the running jobs started, by key."""
    return {job.key: job.start_time for job in cluster.jobs() if job.state == "RUNNING"}


def preempt(cluster: Cluster, qos: str, *options: str) -> tuple[float, float]:
    """Two that preempt come to a full cluster: seconds until both run, and what that costs others
    in device-seconds."""
    victims = fill(cluster, qos, *options, pause=5.0)
    before, now, began = running(cluster), time.time(), time.monotonic()
    keys = [submit(cluster, "high" if qos else "", 8) for _ in range(2)]
    for key in keys:
        cluster.wait_state(key, "RUNNING", seconds=30)
    took, left = time.monotonic() - began, running(cluster)
    return took, sum(8 * (now - before[key]) for key in victims if key not in left)


@pytest.mark.parametrize("qos", ["idle", "lost"])
def test_it_starts_as_soon_as_under_plain_slurm_and_costs_less(cluster: Cluster, qos: str) -> None:
    with plain(cluster):
        theirs, all_lost = preempt(cluster, qos)
    ours, lost = preempt(cluster, qos)
    assert ours <= theirs + 2.0
    assert 0 < lost <= 0.7 * all_lost


def test_who_has_room_preempts_nobody(cluster: Cluster) -> None:
    victims = [submit(cluster, "idle", 5) for _ in range(3)]
    for key in victims:
        cluster.wait_state(key, "RUNNING")
    for key in [submit(cluster, "high", 3) for _ in range(3)]:
        cluster.wait_state(key, "RUNNING")
    assert set(victims) <= set(running(cluster))


def test_one_makes_room_for_several(cluster: Cluster) -> None:
    victims = fill(cluster, "idle")
    for key in [submit(cluster, "high", 2) for _ in range(4)]:
        cluster.wait_state(key, "RUNNING")
    assert len(set(victims) & set(running(cluster))) == 2


def test_slurm_preempts_whom_the_plan_says(cluster: Cluster) -> None:
    """The node is the plan's to choose. On it Slurm takes one after the other, then fewer."""
    for _ in range(2):
        cluster.wait_state(submit(cluster, "normal", 8), "RUNNING")
    small, enough, other = (submit(cluster, "idle", devices) for devices in (1, 5, 2))
    for key in (small, enough, other):
        cluster.wait_state(key, "RUNNING")
    first = submit(cluster, "high", 4)
    cluster.wait_state(first, "RUNNING")
    assert {small, other} <= set(running(cluster))
    cluster.wait("that is told", lambda: "preempted" in cluster.outcomes(enough), 10, job=enough)
    assert f"once Slurm has preempted {enough}" in cluster.tool("admin", "why", first)


def limits_beside_one_above(cluster: Cluster) -> dict[str, str]:
    """One of 8 devices waits for four hours for the only node that has not longer jobs on it; which
    of three below it preempt others there, by their options: the time limits that they have."""
    high = ("high", 8), ("high", 8), ("high", 4)
    for (qos, devices), minutes in zip(high, (600, 600, 240), strict=True):
        cluster.wait_state(submit(cluster, qos, devices, f"-t{minutes}"), "RUNNING")
    cluster.wait_state(submit(cluster, "idle", 4, "-t900"), "RUNNING")
    above = submit(cluster, "high", 8, "-t60")
    below = {
        options: submit(cluster, "high", 2, *options.split())
        for options in ("-t600", "-t600 --time-min=10", "-t60")
    }
    cluster.wait_state(below["-t60"], "RUNNING", seconds=30)
    time.sleep(4)
    assert cluster.job(above)["JobState"] == "PENDING"
    records = {options: cluster.job(key) for options, key in below.items()}
    return {o: r["TimeLimit"] for o, r in records.items() if r["JobState"] == "RUNNING"}


def test_who_preempts_delays_nobody_above_it(cluster: Cluster) -> None:
    """Slurm's backfill lets it start that ends before, and gives one with --time-min less."""
    with plain(cluster):
        theirs = limits_beside_one_above(cluster)
    ours = limits_beside_one_above(cluster)
    assert theirs.keys() == ours.keys() == {"-t600 --time-min=10", "-t60"}
    assert theirs["-t600 --time-min=10"] <= ours["-t600 --time-min=10"] <= "04:00:00"


def test_who_was_preempted_starts_again_where_there_is_room(cluster: Cluster) -> None:
    """Slurm lets it begin two minutes later, and its node list would bind it to the same node."""
    fill(cluster, "idle")
    first = submit(cluster, "high", 8)
    taken = cluster.wait_state(first, "RUNNING")["NodeList"]
    victim = next(job.key for job in cluster.jobs() if job.state == "PENDING")

    def back() -> bool:
        record = cluster.job(victim)
        return record["Partition"] == "accel" and record["ReqNodeList"] == "(null)"

    cluster.wait("it is in the gate", back, job=victim)
    assert "preempted" in cluster.outcomes(victim)
    assert f"for job {first}, on {taken}" in cluster.tool("admin", "why", victim)
    other = next(key for key in running(cluster) if key != first)
    cluster.ok("scancel", other)
    cluster.ok("scontrol", "update", f"JobId={victim}", "StartTime=now+4")
    assert cluster.wait_state(victim, "RUNNING", seconds=8)["NodeList"] != taken


def test_nobody_is_preempted_while_exempt(cluster: Cluster) -> None:
    fill(cluster, "calm")
    oldest = min(running(cluster).values())
    key = submit(cluster, "high", 8)
    cluster.wait_state(key, "RUNNING")
    started = running(cluster)[key] - oldest
    assert 12.0 <= started <= 15.0


def test_who_waits_for_a_grace_time_is_told_and_not_taken_back(cluster: Cluster) -> None:
    fill(cluster, "slow")
    key = submit(cluster, "high", 8)
    cluster.wait("it is pinned", lambda: cluster.job(key)["Partition"] == "train-nv")
    assert "1 job is preempted on a" in cluster.tool("squeue")
    cluster.wait_state(key, "RUNNING", seconds=50)  # Slurm looks twice a minute whose time is up
    cluster.wait("it is seen", lambda: "started" in cluster.outcomes(key), 10, job=key)
    assert cluster.outcomes(key) == ["released", "started"]


TIERS = """
PreemptType=preempt/partition_prio
PreemptMode=SUSPEND,GANG
PartitionName=scavenger Nodes=a[1-3] PriorityTier=1 MaxTime=60 PreemptMode=REQUEUE State=UP
PartitionName=paused Nodes=a[1-3] PriorityTier=1 MaxTime=60 PreemptMode=SUSPEND State=UP
"""


@pytest.fixture(scope="module")
def tiers() -> Iterator[Cluster]:
    """No slurmdbd, and partitions that are no pools over the same nodes, a tier below."""
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        conf = sandbox.layout.slurm_conf
        lines = [
            f"{line} PriorityTier=10" if line.startswith("PartitionName=") else line
            for line in conf.read_text().splitlines()
        ]
        conf.write_text("\n".join(lines) + TIERS)
        sandbox.restart_slurmctld()
        sandbox.start_hetd()
        yield Cluster(sandbox)


def test_a_scavenger_partition_that_is_no_pool_makes_room(tiers: Cluster) -> None:
    with plain(tiers):
        theirs, all_lost = preempt(tiers, "", "-p", "scavenger")
    ours, lost = preempt(tiers, "", "-p", "scavenger")
    tiers.clear()
    assert ours <= theirs + 2.0
    assert 0 < lost <= 0.7 * all_lost


def test_suspended_jobs_give_their_cpus_and_no_devices(tiers: Cluster) -> None:
    hogs = [
        tiers.sbatch("-p", "paused", "-c64", "--mem=1G", script="sleep 300", user=WHO)
        for _ in range(3)
    ]
    for key in hogs:
        tiers.wait_state(key, "RUNNING")
    first = submit(tiers, "", 8)
    tiers.wait_state(first, "RUNNING", seconds=10)
    assert {tiers.job(key)["JobState"] for key in hogs} == {"RUNNING", "SUSPENDED"}
    tiers.clear()
    holders = fill(tiers, "", "-p", "paused")
    waits = submit(tiers, "", 8)
    time.sleep(4.0)
    assert tiers.job(waits)["JobState"] == "PENDING"
    assert set(holders) <= set(running(tiers))
    tiers.clear()
