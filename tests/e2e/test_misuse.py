"""What an ordinary user may do, and another's job that starts as it would without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
NODES = """
nodes:
- {name: "nv[1-2]", type: a100, vendor: nvidia, devices: 2, memory_gib_per_device: 80, cpus: 16,
   memory_gib: 64, pool: train-nv, scenario: training}
- {name: l40s1, type: l40s, vendor: nvidia, devices: 2, memory_gib_per_device: 48, cpus: 8,
   memory_gib: 64, pool: infer-nv, scenario: inference}
"""
ABUSER, OTHER = "nobody", "daemon"
SOON = 20.0  # a second without the abuser; the machines that test are slow at times
CUDA = "module load cuda\nsleep 1"
SMALL = ("--gres=gpu:1", "--mem=100", "-t1")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE) as box:
        yield box


def test_jobs_that_slurm_will_not_start_keep_no_devices_from_others(cluster: Cluster) -> None:
    """Each would take all devices; none has its nodes' sockets."""
    for _ in range(9):
        argv = ["sbatch", "-N2", "--gpus-per-node=2", "--sockets-per-node=4", "-t5", "--wrap", CUDA]
        cluster.box.run(argv, user=ABUSER)  # refused at submit, or accepted: both will do
    for _ in range(2):
        cluster.wait_started(cluster.sbatch(*SMALL, script=CUDA, user=OTHER), SOON)
    cluster.clear()


def test_giant_node_lists_hold_up_nobody(cluster: Cluster) -> None:
    hetd = cluster.box.hetd_pid()
    names = ",".join(["l40s1"] * 10_900)
    keys = [cluster.sbatch("--hold", *SMALL, script=CUDA, user=ABUSER) for _ in range(12)]
    for key in keys:
        cluster.ok("scontrol", "update", f"JobId={key}", f"ExcNodeList={names}", user=ABUSER)
    cluster.ok("scontrol", "release", ",".join(keys), user=ABUSER)
    cluster.wait_started(cluster.sbatch(*SMALL, script=CUDA, user=OTHER), SOON)
    assert cluster.box.hetd_pid() == hetd
    cluster.clear()


def test_a_flood_for_one_pool_keeps_nobody_from_another(cluster: Cluster) -> None:
    loop = (
        "for i in $(seq 40); do sbatch -Q -o /dev/null -C a100 --gres=gpu:1 --mem=100 -t1 $0; done"
    )
    script = cluster.box.layout.work / "flood.sh"
    script.write_text("#!/bin/bash\nmodule load cuda\nsleep 5\n")
    script.chmod(0o755)
    flood = f"for n in 1 2 3 4; do ({loop}) & done; wait"
    cluster.box.run(["bash", "-c", flood, str(script)], user=ABUSER, timeout=120)
    serve = "#HET scenario=inference vendors=nvidia\nsleep 1"
    cluster.wait_started(cluster.sbatch(*SMALL, script=serve, user=OTHER), SOON)
    waiting = cluster.ok("squeue", "-h", "-t", "PD", "-o", "%i", "-u", ABUSER).split()
    assert len(waiting) > 80, "the flood still waits"
    cluster.clear()
