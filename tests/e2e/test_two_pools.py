"""Pools that share nodes, or whose defaults differ: each one's rules are for its own jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.core.syntax import hostlist
from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox, with_partitions

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
NODES = """
- {name: a1, type: a100, devices: 4, cpus: 16, memory_gib: 64, pool: train-a, scenario: training}
- {name: b1, type: h100, devices: 4, cpus: 16, memory_gib: 24, pool: train-b, scenario: training}
- {name: x1, type: mi300x, devices: 4, cpus: 16, memory_gib: 64, pool: infer-x, scenario: inference}
- {name: x2, type: mi300x, devices: 4, cpus: 16, memory_gib: 64, pool: train-x, scenario: training}
- {name: y1, type: mi210, devices: 4, cpus: 16, memory_gib: 64, pool: infer-y, scenario: inference}
- {name: y2, type: mi210, devices: 4, cpus: 16, memory_gib: 64, pool: train-y, scenario: training}
- {name: "z[1-2]", type: h200, devices: 4, cpus: 16, memory_gib: 64, pool: train-z,
   scenario: training}
- {name: w1, type: mi250, devices: 4, cpus: 16, memory_gib: 32, pool: infer-w, scenario: inference}
- {name: "w[2-3]", type: mi250, devices: 4, cpus: 16, memory_gib: 64, pool: train-w,
   scenario: training}
"""
OPTIONS = {
    "train-a": "DefMemPerGPU=32000",
    "train-b": "DefMemPerGPU=4096 DefCpuPerGPU=2",
    "train-x": "Nodes=x[1-2] OverSubscribe=EXCLUSIVE",
    "train-y": "Nodes=y[1-2] MaxCPUsPerNode=6",
    "train-z": "MinNodes=2",
    "infer-w": "MaxTime=60",
}
TRAIN = "torchrun train.py\nsleep 60"
SERVE = "vllm serve x &\nsleep 60"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        conf = sandbox.layout.slurm_conf
        text = conf.read_text().replace("DefMemPerCPU=1024\n", "")
        conf.write_text(with_partitions(text, OPTIONS))
        sandbox.restart_slurmctld()
        sandbox.start_hetd()
        yield sandbox


def row(cluster: Cluster, key: str) -> str:
    """What het-squeue says of a job."""
    return cluster.tool("squeue", "-h", "-j", key)


@pytest.fixture(autouse=True)
def _empty(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.clear()


def test_a_job_without_mem_needs_in_each_pool_what_that_gives_it(cluster: Cluster) -> None:
    """By what one pool gives it, no node of the other would have the memory."""
    keys = [cluster.sbatch("--gres=gpu:1", "-xz[1-2]", "-t5", script=TRAIN) for _ in range(6)]
    nodes = [cluster.wait_started(key, 20)["NodeList"] for key in keys]
    assert sorted(nodes) == ["a1", "a1", "b1", "b1", "b1", "b1"]
    assert not any("reserved" in cluster.outcomes(key) for key in keys), "they were planned there"
    more = cluster.sbatch("--gres=gpu:1", "-xz[1-2]", "-t5", script=TRAIN)
    cluster.wait("it waits", lambda: "needs" in row(cluster, more), 20)
    assert not any("returned" in cluster.outcomes(key) for key in (*keys, more))


def test_only_the_jobs_of_an_exclusive_pool_get_whole_nodes(cluster: Cluster) -> None:
    gpu = "--gres=gpu:mi300x:1", "--mem=1G", "-t5"
    serving = [cluster.sbatch(*gpu, script=SERVE) for _ in range(2)]
    assert [cluster.wait_started(key, 20)["NodeList"] for key in serving] == ["x1", "x1"]
    alone = cluster.sbatch(*gpu, script=TRAIN)
    assert cluster.wait_started(alone, 20)["NodeList"] == "x2"
    second = cluster.sbatch(*gpu, script=TRAIN)
    cluster.wait("it waits for a node of its own", lambda: "needs" in row(cluster, second), 20)
    cluster.ok("scancel", *serving)
    assert cluster.wait_started(second, 20)["NodeList"] == "x1"
    late = cluster.sbatch(*gpu, script=SERVE)
    cluster.ok("scancel", alone)  # a cycle, which has seen the late one
    cluster.wait("it waits", lambda: "needs" in row(cluster, late), 20)
    cluster.ok("scancel", second)
    assert cluster.wait_started(late, 20)["NodeList"] == "x1"
    assert not any("returned" in cluster.outcomes(key) for key in (second, late, alone))


def test_what_a_pool_allows_of_a_nodes_cpus_is_for_its_own_jobs(cluster: Cluster) -> None:
    asked = "--gres=gpu:mi210:1", "-c4", "--mem=1G", "-t5"
    keys = [cluster.sbatch(*asked, script=TRAIN) for _ in range(3)]
    for key in keys[:2]:
        cluster.wait_started(key, 20)
    serving = [cluster.sbatch(*asked, script=SERVE) for _ in range(2)]
    assert [cluster.wait_started(key, 20)["NodeList"] for key in serving] == ["y1", "y1"]
    cluster.ok("scancel", keys[0])
    cluster.wait_started(keys[2], 20)
    assert not any("returned" in cluster.outcomes(key) for key in keys)


def test_a_job_that_leaves_its_nodes_open_gets_as_many_as_its_pool_wants(cluster: Cluster) -> None:
    key = cluster.sbatch("--gres=gpu:h200:1", "--mem=1G", "-t5", script=TRAIN)
    assert cluster.wait_started(key, 20)["NodeList"] == "z[1-2]"
    one = cluster.sbatch("--gres=gpu:h200:1", "-N1", "--mem=1G", "-t5", script=TRAIN)
    cluster.wait("it waits", lambda: "MinNodes=2" in row(cluster, one), 20)


@pytest.mark.parametrize(
    "options",
    [("--gres=gpu:mi250:4", "-N2"), ("--gres=gpu:mi250:1", "--mem=50G"),
     ("--gres=gpu:mi250:1", "-t180"), ("--gres=gpu:mi250:4", "-N2", "-paccel")],
)  # fmt: skip
def test_a_job_that_its_own_pools_cannot_take_uses_the_others(
    cluster: Cluster, options: tuple[str, ...]
) -> None:
    """As plain Slurm would: it does not wait beside idle devices for ever."""
    key = cluster.sbatch("-t5", "--mem=1G", *options, script=SERVE)
    assert {"w2", "w3"} >= set(hostlist.expand(cluster.wait_started(key, 20)["NodeList"]))
    assert "no inference pool can hold it and allows it" in cluster.tool("admin", "why", key)


def test_a_job_whose_own_pool_is_closed_after_it_came_uses_the_others(cluster: Cluster) -> None:
    """And that one again once it is open."""
    asked = "--gres=gpu:mi250:4", "--mem=1G", "-t5"
    first, second = (cluster.sbatch(*asked, script=SERVE) for _ in range(2))
    assert cluster.wait_started(first, 20)["NodeList"] == "w1"
    cluster.wait("it waits", lambda: "needs" in row(cluster, second), 20)
    assert "infer-w" in cluster.job(second)["Features"]
    cluster.ok("scontrol", "update", "partition=infer-w", "State=DOWN")
    try:
        assert cluster.wait_started(second, 30)["NodeList"] in {"w2", "w3"}
    finally:
        cluster.ok("scontrol", "update", "partition=infer-w", "State=UP")
    cluster.ok("scancel", first)
    third = cluster.sbatch(*asked, script=SERVE)
    assert cluster.wait_started(third, 20)["NodeList"] == "w1"
