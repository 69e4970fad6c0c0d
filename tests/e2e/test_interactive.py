"""End to end: srun and salloc, whose users sit before a terminal."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
SRUN = ("srun", "--gres=gpu:1", "--mem=1000", "-t", "2")
NODES = """
nodes:
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80, cpus: 8,
   memory_gib: 64, pool: train-nv, scenario: training}
"""
Start = Callable[..., str]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE) as box:
        yield box


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Start]:
    """Starts an srun with these options and leaves it to itself: the job's id."""
    processes: list[subprocess.Popen[bytes]] = []
    names = iter(range(1000))

    def begin(*options: str, seconds: int = 60) -> str:
        name = f"terminal{next(names)}"
        argv = [*SRUN, *options, "-J", name, "sleep", str(seconds)]
        process = subprocess.Popen(
            argv, env=cluster.box.env, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        processes.append(process)
        ids: list[str] = []

        def there() -> bool:
            ids[:] = cluster.ok("squeue", "-h", "-n", name, "-o", "%A").split()
            return bool(ids)

        cluster.wait(f"{name} is in the queue", there)
        return ids[0]

    yield begin
    cluster.clear()
    for process in processes:
        process.wait(30)


def went_to(cluster: Cluster) -> str:
    """Where the hook sent the last job: the intake, or a pool at once."""
    return cluster.hook_log()[-1].partition(" -> ")[2].partition(":")[0]


def calm(cluster: Cluster) -> None:
    """Wait until hetd leaves openings for interactive jobs."""

    def at_once() -> bool:
        cluster.ok(*SRUN, "true")
        return went_to(cluster) == "train-nv"

    cluster.wait("an interactive job starts at once", at_once, 30)


def test_on_an_idle_cluster_it_does_not_wait_in_the_gate(cluster: Cluster, start: Start) -> None:
    calm(cluster)
    key = start()
    assert went_to(cluster) == "train-nv"
    assert cluster.wait_started(key)["Partition"] == "train-nv"
    cluster.wait("hetd tells of it", lambda: cluster.outcomes(key) == ["at once"], job=key)
    why = cluster.tool("admin", "why", key)
    assert "did not wait in the gate" in why
    assert "asked for: tres_per_node=gpu:1" in why
    assert key in cluster.tool("squeue")


def test_each_has_devices_of_its_own_and_who_finds_none_waits(
    cluster: Cluster, start: Start
) -> None:
    """Between two cycles the hook's process itself counts what it has given."""
    calm(cluster)
    keys = []
    for _ in range(3):
        keys.append(start())
        assert went_to(cluster) == "train-nv"
    for key in keys:
        cluster.wait_started(key)
    last = start("-N2", "--gres=gpu:4")
    assert went_to(cluster) == "accel"
    assert cluster.job(last)["JobState"] == "PENDING"
    cluster.box.run(["scancel", *keys])
    cluster.wait_started(last)


def test_one_line_says_why_the_partition_is_down(cluster: Cluster) -> None:
    calm(cluster)
    cluster.sbatch("--gres=gpu:1", script="sleep 5")  # it waits until hetd has looked
    done = cluster.box.run([*SRUN, "true"])
    assert done.returncode == 0, done.stderr
    assert went_to(cluster) == "accel"
    said = [line for line in done.stderr.splitlines() if "slurm-het:" in line]
    if slurm_version().tuple < (24, 11) and not said:
        return  # srun of 22.05 prints none of a job that waits
    assert len(said) == 1, done.stderr
    assert "partition accel is DOWN on purpose" in said[0]


def test_who_waits_goes_first_and_kept_nodes_stay_kept(cluster: Cluster, start: Start) -> None:
    cluster.open_side_door()
    calm(cluster)
    runs = cluster.sbatch("--gres=gpu:1", "--mem=1000", "-t", "1", script="sleep 50")
    cluster.wait_started(runs)
    calm(cluster)
    big = cluster.sbatch("--gres=gpu:4", "-N2", "--mem=1000", "-t", "1", script="sleep 3")
    cluster.wait("nodes are kept", lambda: "reserved" in cluster.outcomes(big), job=big)
    lent = start("-t", "60", seconds=1)
    assert went_to(cluster) == "accel"
    cluster.box.run(["scancel", runs])
    cluster.wait_started(big)
    assert cluster.job(lent)["JobState"] == "PENDING", "it would have outlasted the wait"
    cluster.wait_started(lent)


def test_hetd_is_restarted_while_one_runs(cluster: Cluster, start: Start) -> None:
    calm(cluster)
    first = start("--gres=gpu:4")
    before = cluster.box.hetd_pid()
    cluster.box.kill_hetd()
    cluster.wait("hetd is back", lambda: cluster.box.hetd_pid() not in {None, before})
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    calm(cluster)
    second = start()
    assert went_to(cluster) == "train-nv"
    nodes = {cluster.wait_started(key)["NodeList"] for key in (first, second)}
    assert nodes == {"a1", "a2"}


def test_where_its_node_is_not_free_after_all_it_gets_another(
    cluster: Cluster, start: Start
) -> None:
    """Somebody has taken what the last cycle left, past the hook: --nodelist is plain Slurm's."""
    calm(cluster)
    cluster.sbatch("--gres=gpu:4", "-w", "a1", script="sleep 60")
    cluster.sbatch("--gres=gpu:3", "-w", "a2", script="sleep 60")
    key = start()
    assert cluster.wait_started(key, 30)["NodeList"] == "a2"  # after grace_seconds, 10


def test_a_batch_job_is_told_nothing(cluster: Cluster) -> None:
    script = cluster.box.layout.work / "quiet.sh"
    script.write_text("#!/bin/bash\ntrue\n")
    done = cluster.box.run(["sbatch", "-o", "/dev/null", "--gres=gpu:1", str(script)])
    assert done.returncode == 0
    assert not done.stderr
