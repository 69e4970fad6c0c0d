"""What an ordinary user may do, and another's job that starts as it would without."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from slurm_het.config import load_config
from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
NODES = """
nodes:
- {name: "nv[1-2]", type: a100, vendor: nvidia, devices: 2, memory_gib_per_device: 80, cpus: 16,
   memory_gib: 64, pool: train-nv, scenario: training}
- {name: l40s1, type: l40s, vendor: nvidia, devices: 2, memory_gib_per_device: 48, cpus: 8,
   memory_gib: 64, pool: infer-nv, scenario: inference}
- {name: cpu1, cpus: 32, memory_gib: 128, pool: cpu}
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


def test_giant_node_lists_of_many_tasks_hold_up_nobody(cluster: Cluster) -> None:
    """squeue folds such a list anew for each task of an array (24.11, 26.05)."""
    names = ",".join(["l40s1"] * 16_000)
    key = cluster.sbatch("--hold", "--array=0-999", *SMALL, script=CUDA, user=ABUSER)
    cluster.ok("scontrol", "update", f"JobId={key}", f"ExcNodeList={names}", user=ABUSER)
    cluster.wait_started(cluster.sbatch(*SMALL, script=CUDA, user=OTHER), SOON)
    assert cluster.gate() == "DOWN"
    assert key in cluster.ok("het-squeue", user=OTHER)
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
    # 26.05's squeue -u finds no jobs of nobody's.
    waiting = cluster.ok("squeue", "-h", "-t", "PD", "-o", "%u").split()
    assert waiting.count(ABUSER) > 80, "the flood still waits"
    cluster.clear()


def test_giant_time_limits_hang_nobody(cluster: Cluster) -> None:
    """Two such jobs that run have the backfill of 24.11.5 spin, with slurmctld's locks held."""
    for options in (("-n1", "-t", "1000000000"), ("-n1", "-t", "UNLIMITED"), ("-n32", "-t5")):
        argv = ["sbatch", "-p", "cpu", "--mem=100", *options, "--wrap", "sleep 60"]
        cluster.box.run(argv, user=ABUSER)  # refused at submit, or accepted: both will do
    for _ in range(3):
        cluster.wait_started(cluster.sbatch(*SMALL, script=CUDA, user=OTHER), SOON)
    cluster.clear()


@pytest.mark.parametrize("wanted", ["l40s", "l40s|a100", "a100"])
def test_a_constraint_on_devices_of_the_other_scenario_is_heeded(
    cluster: Cluster, wanted: str
) -> None:
    """The site's usual scenario is training, and l40s are for inference alone."""
    key = cluster.sbatch("-C", wanted, *SMALL, script="nvidia-smi\nsleep 1", user=OTHER)
    nodes = cluster.wait_started(key, SOON)["NodeList"]
    assert nodes[:2] in {name[:2] for name in wanted.replace("a100", "nv").split("|")}


def test_who_holds_all_connections_keeps_nobody_from_het_squeue(cluster: Cluster) -> None:
    hetd = cluster.box.hetd_pid()
    path = load_config(cluster.box.config_path).paths.control_socket
    with ExitStack() as held:
        for _ in range(200):
            line = held.enter_context(socket.socket(socket.AF_UNIX))
            line.setblocking(False)
            with suppress(BlockingIOError):  # the queue is full
                line.connect(str(path))
        long = CUDA.replace("sleep 1", "sleep 60")  # it is still there when het-squeue looks
        key = cluster.sbatch(*SMALL, script=long, user=OTHER)
        argv = [sys.executable, "-m", "slurm_het.cli.squeue", "-h", "-o", "%i"]
        done = cluster.box.run(argv, user=OTHER)
        assert done.returncode == 0
        assert key in done.stdout.split()
        cluster.wait_started(key, SOON)
        cluster.tool("admin", "bypass", "on")
        assert cluster.gate() == "UP", "admins open the gate all the same"
        cluster.tool("admin", "bypass", "off")
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    said = cluster.tool("squeue", "-h")
    assert "not answering" not in said
    assert cluster.box.hetd_pid() == hetd


def test_the_sandboxs_logs_are_for_its_own_users(cluster: Cluster) -> None:
    """They name whose jobs did what, which PrivateData may hide."""
    cluster.wait_started(cluster.sbatch(*SMALL, script=CUDA, user=OTHER))
    for path in (cluster.box.layout.log_of("jobcomp"), cluster.box.layout.output_of("supervisor")):
        assert path.exists()
        assert cluster.box.run(["cat", str(path)], user=ABUSER).returncode != 0
