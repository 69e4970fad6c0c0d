"""End to end on real Slurm: unchanged sbatch → classified, solved, pinned, started as planned."""

from __future__ import annotations

import re

import pytest

from slurm_het.config import load_config
from slurm_het.core.cluster.holdings import held_indexes
from slurm_het.core.syntax import hostlist
from tests.support.cluster import Cluster

pytestmark = pytest.mark.slurm


TRAIN = "torchrun train.py"
CASES = [
    # options, script, partition, nodes, devices per node
    (["--gres=gpu:8"], f"module load cuda\n{TRAIN}", "train-nv", 1, 8),
    (["--gpus=8"], f"module load rocm/6.1\n{TRAIN}", "train-amd", 1, 8),
    (["--gpus-per-node=8", "-N2"], f"module load rocm\nsrun {TRAIN}", "train-amd", 2, 8),
    (["--gpus=16"], f"module load cuda\nsrun {TRAIN}", "train-nv", 2, 8),
    (["--gpus-per-task=1", "-n4", "-N1"], f"npu-smi info\n{TRAIN}", "train-ascend", 1, 4),
    (["--gres=npu:8"], TRAIN, "train-ascend", 1, 8),
    (["--gres=gpu:k100ai:2"], TRAIN, "train-dcu", 1, 2),
    (["--gres=gpu:4"], f"module load dtk\n{TRAIN}", "train-dcu", 1, 4),
    (["--gres=shard:24"], "vllm serve m", "infer-nv", 1, 1),
    (["--gres=gpu:1"], "cnmon\nvllm serve m", "infer-mlu", 1, 1),
    (["--gres=gpu:2", "-p", "infer-ascend"], "sleep 1", "infer-ascend", 1, 2),
    (["--gres=gpu:1", "-C", "mi300x"], TRAIN, "train-amd", 1, 1),
    (["--gres=gpu:1", "-C", "(a100|l40s)"], f"module load cuda\n{TRAIN}", "train-nv", 1, 1),
    (["--gpus=8", "-C", "(a100|mi300x)&train-amd"], TRAIN, "train-amd", 1, 8),
    (["--gres=gpu:1", "-C", "(a100&train-nv)|mi300x"], f"module load rocm\n{TRAIN}", "train-amd", 1,
     1),
    (["--gres=gpu:1", "-C", "mi300x|a100"], f"module load cuda\n{TRAIN}", "train-nv", 1, 1),
]  # fmt: skip


@pytest.mark.parametrize(("options", "script", "partition", "nodes", "devices"), CASES)
def test_job_starts_where_the_plan_said(
    cluster: Cluster, options: list[str], script: str, partition: str, nodes: int, devices: int
) -> None:
    key = cluster.sbatch(*options, script=f"{script}\nsleep 5")
    cluster.wait_state(key, "RUNNING")
    record = cluster.job(key)
    plan = cluster.planned(key)
    assert plan is not None
    assert record["Partition"] == plan.partition == partition
    names = hostlist.expand(record["NodeList"])
    assert sorted(names) == sorted(plan.nodes)
    assert len(names) == nodes
    truth = _indexes(cluster, key)
    assert truth == dict(zip(plan.nodes, plan.devices, strict=True))
    assert {len(indexes) for indexes in truth.values()} == {devices}


def test_what_a_job_prefers_is_sought_in_all_pools(cluster: Cluster) -> None:
    """Slurm may hold a job that prefers what no node of its partitions has: priority 0."""
    script = f"module load cuda\n{TRAIN}\nsleep 60"
    keys = [cluster.sbatch("--gres=gpu:1", "--prefer=l40s", script=script) for _ in range(4)]
    assert {cluster.wait_started(key)["Partition"] for key in keys} == {"infer-nv"}
    cluster.ok("scancel", *keys)


@pytest.mark.parametrize(
    ("options", "devices"),
    [
        (["--gpus-per-task=2", "-n5"], [8, 2]),  # a task's devices are on one node
        (["--gpus-per-task=4", "-n3"], [8, 4]),
        (["--gpus=9", "-N2"], [8, 1]),
        (["--gpus=12"], [8, 4]),
        (["--gpus-per-task=1", "-n4", "-c32"], [2, 2]),  # by their 64 CPUs
        (["--gpus=8", "--cpus-per-gpu=16", "-N2"], [4, 4]),
        (["--gpus-per-task=1", "-n4", "--ntasks-per-node=2", "-N2"], [2, 2]),
        (["--gres=gpu:4", "-n66"], [4, 4]),  # 64 CPUs a node; the largest of the intake has 96
        (["--gpus=4", "--cpus-per-gpu=24"], [2, 2]),
        (["--gpus=4", "--mem-per-gpu=150G"], [3, 1]),  # 512 GiB a node, and the largest has 1 TiB
        (["--gpus-per-task=1", "-n7", "--mem-per-cpu=100G"], [5, 2]),
        (["--gres=gpu:1", "-n8", "--mem-per-cpu=100G"], [1, 1]),
        (["--gres=gpu:2", "-n9", "--ntasks-per-node=8"], [2, 2]),
    ],
)
def test_a_job_is_planned_on_as_many_nodes_as_its_tasks_need(
    cluster: Cluster, options: list[str], devices: list[int]
) -> None:
    key = cluster.sbatch(*options, script="module load cuda\nsleep 60")
    cluster.wait_state(key, "RUNNING")
    truth = _indexes(cluster, key)
    plan = cluster.planned(key)
    assert plan is not None
    assert truth == dict(zip(plan.nodes, plan.devices, strict=True))
    assert [len(truth[node]) for node in sorted(truth)] == devices


def _indexes(cluster: Cluster, key: str) -> dict[str, tuple[int, ...]]:
    """Device indexes by node, from Slurm's own record."""
    policy = load_config(cluster.box.config_path).policy
    return held_indexes(next(j for j in cluster.jobs() if j.key == key), policy)


@pytest.mark.parametrize(
    ("options", "devices"),
    [
        (["--gpus=a100:6"], [3, 3]),
        (["--gpus=a100:4"], [3, 1]),
        (["--gpus-per-task=a100:1", "-n5"], [3, 2]),
    ],
)
def test_a_job_that_leaves_its_nodes_open_starts_on_several_where_one_has_no_room(
    cluster: Cluster, options: list[str], devices: list[int]
) -> None:
    """As plain Slurm does (22.05, 24.11, 26.05), which leaves one of -n1 waiting."""
    script = f"{TRAIN}\nsleep 60"
    first = [cluster.sbatch("--gres=gpu:a100:5", "-t", "9", script=script) for _ in range(2)]
    for key in first:
        cluster.wait_started(key)
    one = cluster.sbatch("--gpus=a100:6", "-n1", "-t", "9", script=script)
    key = cluster.sbatch(*options, "-t", "1", script=f"{TRAIN}\nsleep 5")
    cluster.wait_started(key, 20)
    assert sorted(map(len, _indexes(cluster, key).values()), reverse=True) == devices
    assert cluster.job(one)["JobState"] == "PENDING"
    cluster.wait_state(key, "COMPLETED")
    cluster.ok("scancel", *first)
    assert cluster.wait_started(one, 20)["NumNodes"] == "1"
    cluster.ok("scancel", one)


def test_cpu_job_is_untouched(cluster: Cluster) -> None:
    before = len(cluster.hook_log())
    key = cluster.sbatch("-c2", script="sleep 1")
    record = cluster.wait_started(key)
    assert record["Partition"] == "cpu"
    assert record["Features"] == "(null)"
    assert "AdminComment" not in record or record["AdminComment"] in {"", "(null)"}
    assert len(cluster.hook_log()) == before


def test_a_job_without_devices_in_a_pool_is_untouched_and_learned(cluster: Cluster) -> None:
    """It takes CPUs that tasks need: such jobs are to be expected again."""
    key = cluster.sbatch("-p", "train-nv", "-c3", "--mem=3G", "-t", "7", script="sleep 20")
    record = cluster.wait_started(key)
    assert record["Partition"] == "train-nv"
    learned = ("train-nv",), 0, 1, 4, 4096

    def known() -> bool:
        asked = cluster.learned()
        return learned in {(d.pools, d.devices, d.nodes, d.cpus, d.memory_mib) for d in asked}

    cluster.wait("it is learned", known)


@pytest.mark.both_ways
def test_srun_salloc_and_arrays(cluster: Cluster) -> None:
    assert cluster.ok("srun", "--gres=gpu:1", "hostname").strip()
    assert cluster.ok("salloc", "--gres=gpu:2", "true") is not None
    key = cluster.sbatch("--array=0-5%3", "--gpus=1", script="sleep 1")
    cluster.wait(
        "all array tasks completed",
        lambda: (
            [j.state for j in cluster.jobs() if j.array_job_id == int(key)] == ["COMPLETED"] * 6
        ),
        40,
    )


def test_a_task_that_waits_elsewhere_keeps_back_no_other_of_its_array(cluster: Cluster) -> None:
    """Of `%1`: Slurm counts the tasks that run."""
    full = [cluster.sbatch("--gres=gpu:k100ai:8", "-t5", script="sleep 60") for _ in range(2)]
    for key in full:
        cluster.wait_started(key)
    array = cluster.sbatch("--hold", "--array=0-3%1", "--gres=gpu:1", "-t5")
    moved = ("Partition=train-dcu", "Features=")
    cluster.ok("scontrol", "update", f"JobId={array}_0", *moved)
    cluster.ok("scontrol", "release", array)
    for number in (1, 2, 3):
        cluster.wait_started(f"{array}_{number}", seconds=20)
    assert cluster.job(f"{array}_0")["JobState"] == "PENDING"
    cluster.ok("scancel", array, *full)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["-w", "nv1", "-p", "train-nv"], "nodelist"),
        (["--reservation=nope", "-p", "train-nv"], "reservation"),
        (["-p", "cpu"], "partition"),
        (["-p", "train-nv", "-C", "[a100*1]"], "constraint|features"),
    ],
)
def test_pass_through_is_logged_and_untouched(
    cluster: Cluster, options: list[str], why: str
) -> None:
    done = cluster.box.run(["sbatch", "--gres=gpu:1", *options, "--wrap", "sleep 1"])
    line = cluster.hook_log()[-1]
    assert "pass" in line
    assert re.search(why, line), line
    if done.returncode == 0:
        record = cluster.job(str(done.stdout).split()[-1])
        assert record["Partition"] == options[options.index("-p") + 1]


def test_het_job_passes_through(cluster: Cluster) -> None:
    """Components of a heterogeneous job are never pinned."""
    options = ["-p", "train-nv", "--gres=gpu:1", ":", "-p", "train-amd", "--gres=gpu:1"]
    done = cluster.box.run(["sbatch", *options, "--wrap", "sleep 1"])
    assert done.returncode == 0, done.stderr
    assert "het job" in cluster.hook_log()[-1]
    cluster.wait_started(str(done.stdout).split()[-1])


def test_shares_never_exceed_a_device(cluster: Cluster) -> None:
    """Eighteen 20 GiB shares onto eight L40S of 48 GiB: two fit on each device, two shares wait."""
    keys = [cluster.sbatch("--gres=shard:20", script="vllm serve\nsleep 4") for _ in range(18)]
    running: set[str] = set()
    policy = load_config(cluster.box.config_path).policy

    def all_started() -> bool:
        held: dict[tuple[str, int], int] = {}
        for job in cluster.jobs():
            if job.key in keys and job.state == "RUNNING":
                for node, indexes in held_indexes(job, policy).items():
                    held[node, indexes[0]] = held.get((node, indexes[0]), 0) + 20
            if job.key in keys and job.state in {"RUNNING", "COMPLETING", "COMPLETED"}:
                running.add(job.key)
        assert all(gib <= 48 for gib in held.values()), held
        return running >= set(keys)

    cluster.wait("all shares have run", all_started)


@pytest.mark.both_ways
def test_users_update_of_a_gated_job_goes_through(cluster: Cluster) -> None:
    cluster.open_side_door()
    blocker = cluster.sbatch("--gres=gpu:8", "-N2", script="module load cuda\nsleep 300")
    cluster.wait_state(blocker, "RUNNING")
    first = cluster.sbatch("--gres=gpu:8", script="module load cuda\nsleep 1")
    # Behind it whatever the users' fair shares are: the first in order is pinned ahead.
    after = ("--gres=gpu:8", "--nice=1000000")
    key = cluster.sbatch(*after, script="module load cuda\nsleep 1", user="daemon")
    cluster.wait("it is gated", lambda: cluster.job(key).get("Reason") == "PartitionDown")
    cluster.wait("the first is pinned ahead", lambda: "reserved" in cluster.outcomes(first))
    cluster.ok("scontrol", "update", f"JobId={key}", "TimeLimit=5", user="daemon")
    assert cluster.job(key)["TimeLimit"] == "00:05:00"
    cluster.ok("scancel", blocker)
    assert cluster.wait_started(key)["UserId"].startswith("daemon(")


def test_host_limits_count(cluster: Cluster) -> None:
    """--exclusive, --mem=0 and CPUs bind: the second job waits although devices are free."""
    cluster.open_side_door()
    first = cluster.sbatch("--gres=gpu:1", "--exclusive", "-p", "train-dcu", script="sleep 300")
    second = cluster.sbatch("--gres=gpu:1", "--mem=0", "-p", "train-dcu", script="sleep 300")
    cluster.wait_state(first, "RUNNING")
    cluster.wait_state(second, "RUNNING")
    third = cluster.sbatch("--gres=gpu:1", "-p", "train-dcu", script="sleep 1")
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(third))
    assert cluster.job(third)["JobState"] == "PENDING"
    nodes = {cluster.job(k)["NodeList"] for k in (first, second)}
    assert nodes == {"dcu1", "dcu2"}
    cluster.ok("scancel", second)
    assert cluster.wait_started(third)["NodeList"] in nodes


def test_partition_limits_are_respected(cluster: Cluster) -> None:
    """A pool that a job may not use is no choice: AllowGroups, MaxTime."""
    for pool in ("train-nv", "infer-nv"):
        cluster.ok("scontrol", "update", f"PartitionName={pool}", "AllowGroups=daemon")
    cluster.ok("scontrol", "update", "PartitionName=train-dcu", "MaxTime=10")
    try:
        key = cluster.sbatch("--gres=gpu:1", script="module load cuda", user="nobody")
        slow = cluster.sbatch("--gres=gpu:1", "-t", "30", script="module load dtk")
        quick = cluster.sbatch("--gres=gpu:1", "-t", "5", script="module load dtk")
        theirs = cluster.sbatch("--gres=gpu:1", script="module load cuda", user="daemon")
        for started in (quick, theirs):
            cluster.wait_started(started)
        for waiting in (key, slow):
            assert cluster.job(waiting)["JobState"] == "PENDING"
            assert cluster.planned(waiting) is None
        view = cluster.tool("squeue")
        assert "AllowGroups=daemon" in view
        assert "MaxTime=10" in view
    finally:
        for pool in ("train-nv", "infer-nv"):
            cluster.ok("scontrol", "update", f"PartitionName={pool}", "AllowGroups=ALL")
        cluster.ok("scontrol", "update", "PartitionName=train-dcu", "MaxTime=UNLIMITED")
    cluster.wait_started(key)
