"""Options of partitions and of jobs that docs/site-options.md says are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox, with_partitions

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
NODES = """
- {name: "nv[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 4, memory_gib: 64, pool: shared, scenario: training}
- {name: h1, type: h100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 64, pool: capped, scenario: training}
- {name: "amd[1-2]", type: mi300x, vendor: amd, devices: 4, memory_gib_per_device: 192,
   cpus: 16, memory_gib: 64, threads_per_core: 2, pool: threads, scenario: training}
"""
OPTIONS = {"shared": "OverSubscribe=FORCE:2", "capped": "MaxCPUsPerNode=6"}
SCRIPT = "module load cuda\ntorchrun train.py\nsleep 60"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        conf = sandbox.layout.slurm_conf
        text = with_partitions(conf.read_text(), OPTIONS)
        text = re.sub(r"(NodeName=nv2 .* Features=)", r"\1ib,", text)
        text = re.sub(r"(NodeName=h1 .*) State=", r"\1 TmpDisk=600000 State=", text)
        two = r"\1Sockets=2 CoresPerSocket=2"
        text = re.sub(r"(NodeName=nv1 .*)Sockets=1 CoresPerSocket=4", two, text)
        conf.write_text(text)
        sandbox.kill_slurmd("h1")
        sandbox.restart_slurmctld()
        sandbox.start_slurmd("h1")
        sandbox.start_hetd()
        yield sandbox


def test_cpus_that_are_shared_by_force_are_used_twice(cluster: Cluster) -> None:
    keys = [cluster.sbatch("--gres=gpu:a100:1", "-c4", "-t5", script=SCRIPT) for _ in range(4)]
    nodes = [cluster.wait_started(key)["NodeList"] for key in keys]
    assert sorted(nodes) == ["nv1", "nv1", "nv2", "nv2"]
    cluster.ok("scancel", *keys)


def test_a_partitions_cpus_on_a_node_are_a_sum_over_its_jobs(cluster: Cluster) -> None:
    first = cluster.sbatch("--gres=gpu:h100:1", "-c4", "-t5", script=SCRIPT)
    cluster.wait_started(first)
    second = cluster.sbatch("--gres=gpu:h100:1", "-c4", "-t5", script=SCRIPT)
    small = cluster.sbatch("--gres=gpu:h100:1", "-c2", "-t1", script="sleep 1")
    assert cluster.wait_started(small)["NodeList"] == "h1"
    assert "released" not in cluster.outcomes(second), "Slurm would not start it"
    cluster.ok("scancel", first)
    cluster.wait_started(second)


def test_options_that_need_nothing_from_the_plan(cluster: Cluster) -> None:
    cluster.clear()
    for options in (
        ("--gres=gpu:1", "--exclude=nv1, nv2"),
        ("--gpus=2", "--ntasks-per-gpu=2", "--gpu-bind=closest"),
        ("--gres=gpu:1", "--deadline=now+1hour", "--gres-flags=disable-binding"),
    ):
        key = cluster.sbatch(*options, "-t5", script="sleep 1")
        record = cluster.wait_started(key)
        assert record["ReqNodeList"] == record["NodeList"], options
        assert "exclude" not in options[1] or record["NodeList"] == "h1"


def test_who_cannot_keep_his_deadline_any_more_is_cancelled(cluster: Cluster) -> None:
    """22.05 looks at no deadline in a DOWN partition, newer ones once a minute."""
    cluster.clear()
    options = "-N2", "--gres=gpu:a100:4", "-t1"
    first = cluster.sbatch(*options, script=SCRIPT)
    cluster.wait_started(first)
    late = cluster.sbatch(*options, "--deadline=now+65seconds", script=SCRIPT)
    cluster.wait_state(late, "DEADLINE", seconds=30)
    cluster.ok("scancel", first)


@pytest.mark.parametrize(("options", "tasks"), [
    (("--gres=gpu:1", "-N2", "-n5", "--ntasks-per-node=4"), 5),  # planned
    (("--gpus=2", "--ntasks-per-gpu=2"), 4),
    (("--gpus-per-node=2", "-N2", "--ntasks-per-gpu=2"), 8),
    (("--gres=gpu:1", "-w", "nv[1-2]", "-n5", "--ntasks-per-node=4"), 5),  # handed over
    (("-p", "accel", "-n4", "--ntasks-per-gpu=1"), 4),
])  # fmt: skip
def test_srun_starts_as_many_tasks_as_were_asked_for(
    cluster: Cluster, options: tuple[str, ...], tasks: int
) -> None:
    """Slurm counts them anew at an update, as nodes times tasks per node or per GPU (24.11 on)."""
    cluster.clear()
    key = cluster.sbatch(*options, "-t5", script="srun sleep 30")
    cluster.wait_started(key, seconds=20)
    cluster.wait("its step runs", lambda: f"{key}.0" in cluster.ok("squeue", "-s", "-h"), 20)
    step = cluster.ok("scontrol", "-o", "show", "step", f"{key}.0")
    assert f" Tasks={tasks} " in step


def test_gpus_that_slurm_deals_out_over_no_list_of_nodes_are_started_by_it(
    cluster: Cluster,
) -> None:
    """BadConstraints on any two nodes of two-threaded cores (24.11, 26.05)."""
    cluster.clear()
    key = cluster.sbatch("--gpus=mi300x:5", "-n5", "-t5", script=SCRIPT)
    record = cluster.wait_started(key, seconds=20)
    assert record["NodeList"] == "amd[1-2]"


@pytest.mark.parametrize("options", [("-n4", "--ntasks-per-socket=2"), ("--sockets-per-node=2",)])
def test_a_job_is_sent_where_enough_sockets_are(cluster: Cluster, options: tuple[str, ...]) -> None:
    """On nodes with fewer Slurm starts nothing, or gives it another node and its devices, too."""
    cluster.clear()
    key = cluster.sbatch("--gres=gpu:a100:1", *options, "-t5", script=SCRIPT)
    assert cluster.wait_started(key, seconds=20)["NodeList"] == "nv1"
    assert cluster.outcomes(key)[0] == "released"


def test_where_what_a_job_prefers_is_taken_it_starts_elsewhere(cluster: Cluster) -> None:
    """Slurm holds one that is pinned to nodes without that: BadConstraints, priority 0."""
    cluster.clear()
    taken = cluster.sbatch("--gres=gpu:a100:4", "-C", "ib", "-t5", script=SCRIPT)
    assert cluster.wait_started(taken)["NodeList"] == "nv2"
    asked = ("--gres=gpu:a100:1", "--prefer=ib", "-t5")
    key = cluster.sbatch(*asked, script=SCRIPT)
    assert cluster.wait_started(key, seconds=20)["NodeList"] == "nv1"
    assert cluster.outcomes(key) == ["handed over"]
    assert "--prefer=ib" in cluster.tool("admin", "why", key)
    cluster.ok("scancel", taken)
    cluster.wait_state(taken, "CANCELLED")
    assert cluster.wait_started(cluster.sbatch(*asked, script=SCRIPT))["NodeList"] == "nv2"


def test_slurm_finds_the_local_disk_that_a_job_asks_for(cluster: Cluster) -> None:
    cluster.clear()
    cluster.wait("h1 is back", lambda: cluster.ok("sinfo", "-hnh1", "-o%T").strip() == "idle")
    for asks in ("--tmp=1T", "--sockets-per-node=4", "--cores-per-socket=32"):
        for options in ((asks,), (asks, "-paccel")):
            with pytest.raises(AssertionError, match="node configuration is not available"):
                cluster.sbatch("--gres=gpu:1", "-t5", *options, script=SCRIPT)
    key = cluster.sbatch("--gres=gpu:1", "--tmp=500G", "-t5", script=SCRIPT)
    assert cluster.wait_started(key, 15)["NodeList"] == "h1"
    assert cluster.outcomes(key) == ["handed over"]
    cluster.ok("scancel", key)
