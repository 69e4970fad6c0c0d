"""End to end: memory, CPUs and time that a user leaves open are those of the pool's partition."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
NODES = """
- {name: "nv[1-4]", type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 32, memory_gib: 64, pool: train-nv, scenario: training}
- {name: l1, type: l40s, vendor: nvidia, devices: 4, memory_gib_per_device: 48,
   cpus: 8, memory_gib: 64, pool: infer-nv, scenario: inference}
"""
DEFAULTS = {
    "accel": "DefaultTime=10 MaxTime=600 DefCpuPerGPU=4",
    "train-nv": "DefMemPerGPU=4096 DefaultTime=30 MaxTime=60",
    "infer-nv": "DefMemPerGPU=1024 DefCpuPerGPU=4 MaxTime=120",
}
SERVE = "vllm serve x &\nsleep 120"
SCRIPT = "module load cuda\ntorchrun train.py\nsleep 120"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        conf = sandbox.layout.slurm_conf
        text = conf.read_text().replace("DefMemPerCPU=1024\n", "")
        for partition, defaults in DEFAULTS.items():
            line = re.search(rf"^PartitionName={partition} .*$", text, re.MULTILINE)
            assert line
            kept = re.sub(r" (DefaultTime|MaxTime)=\S+", "", line.group())
            text = text.replace(line.group(), f"{kept} {defaults}")
        conf.write_text(text)
        sandbox.restart_slurmctld()
        sandbox.start_hetd()
        yield sandbox


def running(cluster: Cluster) -> list[str]:
    return cluster.ok("squeue", "-h", "-t", "running", "-o", "%A").split()


def test_jobs_without_mem_share_the_nodes_as_the_pools_default_says(cluster: Cluster) -> None:
    """32 on four nodes of eight; without the default each would take a node's whole memory."""
    jobs = [cluster.sbatch("--gres=gpu:1", script=SCRIPT) for _ in range(32)]
    cluster.wait("all of them run", lambda: set(jobs) <= set(running(cluster)), 20)
    assert not any("returned" in cluster.outcomes(key) for key in jobs)


def test_a_job_that_asks_for_all_memory_gets_a_node_that_has_it(cluster: Cluster) -> None:
    others = [cluster.sbatch("--gres=gpu:1", script=SCRIPT) for _ in range(3)]
    for key in others:
        cluster.wait_started(key)
    whole = cluster.sbatch("--gres=gpu:1", "--mem=0", script=SCRIPT)
    node = cluster.wait_started(whole, seconds=20)["NodeList"]
    assert node not in {cluster.job(key)["NodeList"] for key in others}
    assert "returned" not in cluster.outcomes(whole)


@pytest.mark.parametrize(
    ("options", "script", "limit"),
    [
        ((), SCRIPT, "00:30:00"),  # DefaultTime of train-nv
        (("-t", "7"), SCRIPT, "00:07:00"),
        (("-t", "10"), SCRIPT, "00:10:00"),  # as much as the intake gives
        ((), SERVE, "02:00:00"),  # infer-nv has no DefaultTime: its MaxTime
    ],
)
def test_a_job_has_its_users_time_or_that_of_its_pool(
    cluster: Cluster, options: tuple[str, ...], script: str, limit: str
) -> None:
    key = cluster.sbatch("--gres=gpu:1", *options, script=script)
    assert cluster.wait_started(key, seconds=20)["TimeLimit"] == limit


def test_time_min_is_kept_and_lets_a_job_into_a_pool_of_shorter_ones(cluster: Cluster) -> None:
    key = cluster.sbatch("--gres=gpu:1", "-t", "90", "--time-min=20", script=SCRIPT)
    record = cluster.wait_started(key, seconds=20)
    assert record["TimeMin"] == "00:20:00"
    # All that its pool allows, or what Slurm's backfill, if it was that, has made of it.
    assert record["TimeLimit"] in ("01:00:00", "00:20:00")


def test_with_time_min_a_job_ends_before_one_above_it_starts(cluster: Cluster) -> None:
    """It is content with a minute, and asks for 50: its nodes are wanted in four."""
    for devices, minutes in ((8, 50), (8, 50), (8, 50), (4, 4)):
        options = f"--gres=gpu:a100:{devices}", "-t", str(minutes)
        cluster.wait_started(cluster.sbatch(*options, script=SCRIPT), seconds=20)
    first = cluster.sbatch("--gres=gpu:a100:8", "-t", "10", script=SCRIPT)
    low = cluster.sbatch("--gres=gpu:a100:4", "-t", "50", "--time-min=1", script=SCRIPT)
    record = cluster.wait_started(low, seconds=20)
    # Less, if Slurm's backfill has started it: on 22.05 and 24.11 it gives just the least.
    limits = {"Main": ("00:03:00", "00:02:00"), "Backfill": ("00:03:00", "00:02:00", "00:01:00")}
    assert record["TimeLimit"] in limits[record["Scheduler"]]
    assert cluster.job(first)["JobState"] == "PENDING"
    cluster.ok("scontrol", "requeue", low)
    cluster.wait("it is back", lambda: cluster.job(low)["Partition"] == "accel", 20, job=low)
    assert cluster.job(low)["TimeLimit"] == "00:50:00"
    cluster.ok("scancel", low)


@pytest.mark.parametrize(
    ("script", "minutes"),
    [(SCRIPT, 3), (SERVE, 30)],
    ids=["any", "what another pool gives"],
)
def test_what_a_user_makes_of_the_time_since_counts(
    cluster: Cluster, script: str, minutes: int
) -> None:
    key = cluster.sbatch("--gres=gpu:1", "--hold", script=script)
    cluster.ok("scontrol", "update", f"JobId={key}", f"TimeLimit={minutes}")
    cluster.ok("scontrol", "release", key)
    assert cluster.wait_started(key, seconds=20)["TimeLimit"] == f"00:{minutes:02}:00"


@pytest.mark.parametrize(("given", "then"), [("", "00:10:00"), ("50", "00:50:00")])
def test_a_requeued_job_has_the_intakes_time_again_unless_it_was_given_another(
    cluster: Cluster, given: str, then: str
) -> None:
    key = cluster.sbatch("--gres=gpu:1", script=SCRIPT)
    assert cluster.wait_started(key, seconds=20)["TimeLimit"] == "00:30:00"
    if given:
        cluster.ok("scontrol", "update", f"JobId={key}", f"TimeLimit={given}")
    cluster.ok("scontrol", "requeue", key)
    cluster.wait("it is back", lambda: cluster.job(key)["Partition"] == "accel", 20, job=key)
    assert cluster.job(key)["TimeLimit"] == then
    cluster.ok("scancel", key)


def test_the_cpus_that_come_with_devices_are_counted(cluster: Cluster) -> None:
    """Eight CPUs, four for each device, unless the user says otherwise: two jobs, and one of 2."""
    cluster.open_side_door()  # so that the third is pinned ahead
    jobs = [cluster.sbatch("--gres=gpu:1", script=SERVE) for _ in range(3)]
    for key in jobs[:2]:
        assert cluster.wait_started(key, seconds=20)["NumCPUs"] == "4"
    cluster.wait("the third waits for it", lambda: cluster.outcomes(jobs[2]) == ["reserved"], 20)
    cluster.ok("scancel", jobs[0])
    small = [cluster.sbatch("--gres=gpu:1", "-c2", script=SERVE) for _ in range(2)]
    cluster.wait_started(jobs[2], seconds=20)
    assert "returned" not in cluster.outcomes(jobs[2])
    cluster.ok("scancel", jobs[1])
    for key in small:
        assert cluster.wait_started(key, seconds=20)["NumCPUs"] == "2"
