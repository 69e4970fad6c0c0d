"""End to end: slurm-het on one cluster of a federation whose other one is plain Slurm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slurm_het.sandbox import procs
from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
NODE = """
nodes:
- {name: "%s[1-2]", type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 32, memory_gib: 64, pool: train-nv, scenario: training}
"""
CLUSTERS = ("het", "other")
SLEEP = "exec sleep 60"


@contextmanager
def other_cluster(first: Sandbox) -> Iterator[Sandbox]:
    """A cluster of plain Slurm that keeps its accounts where the first one does."""
    with own_sandbox(NODE % "o", hetd=False, hook=False) as box:
        ours = first.layout.slurm_conf.read_text().splitlines()
        accounting = [line for line in ours if line.startswith("AccountingStorage")]
        text = box.layout.slurm_conf.read_text()
        text = text.replace("ClusterName=het", "ClusterName=other")
        text = text.replace(str(box.layout.munge_socket), str(first.layout.munge_socket))
        own = [line for line in text.splitlines() if not line.startswith("AccountingStorage")]
        box.layout.slurm_conf.write_text("\n".join([*own, *accounting, ""]))
        for node in ("o1", "o2"):
            box.kill_slurmd(node)
        procs.end([p for p in box.daemons() if p.name == "slurmctld" and p.alive], 30.0)
        (box.dir / "state" / "slurmctld" / "clustername").unlink()
        first.sacctmgr([("add", "cluster", "other")])
        box.start_slurmctld()
        for node in ("o1", "o2"):
            box.start_slurmd(node)
        box.wait_idle(2)
        first.sacctmgr([("add", "federation", "fed", f"clusters={','.join(CLUSTERS)}")])
        yield box


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODE % "nv", accounting=True, overrides=AMPLE) as sandbox:
        yield sandbox


def test_a_job_starts_on_whichever_cluster_has_room(box: Sandbox) -> None:
    """Plain Slurm's has it at once; where that is full, ours places it as ever."""
    cluster = Cluster(box)  # which ends with its jobs: a revoked one's record stays for long
    with other_cluster(cluster.box) as other:
        there = Cluster(other)
        cluster.wait("they know each other", lambda: _synced(cluster), 30)
        local = cluster.sbatch("-M", "het", "--gres=gpu:1", script=SLEEP)
        assert int(local) >= 1 << 26
        cluster.wait_started(local, seconds=20)
        assert cluster.planned(local)
        there.ok("scontrol", "update", "nodename=o[1-2]", "state=drain", "reason=full")
        key = cluster.sbatch("--gres=gpu:2", script=SLEEP)
        array = cluster.sbatch("--gres=gpu:1", "--array=0-1", script=SLEEP)
        for started in (key, f"{array}_0", f"{array}_1"):
            assert cluster.wait_started(started, seconds=30)["Partition"] == "train-nv"
            _wait_seen(cluster, started)
        # Now it is ours that is full, and theirs takes what comes.
        there.ok("scontrol", "update", "nodename=o[1-2]", "state=resume")
        cluster.ok("scontrol", "update", "nodename=nv[1-2]", "state=drain", "reason=full")
        away = cluster.sbatch("--gres=gpu:1", script=SLEEP)
        cluster.wait("it is revoked here", lambda: _state(cluster, away) == "REVOKED", 30)
        cluster.wait("hetd heard", lambda: cluster.end(away) is not None, 20)
        assert away not in cluster.tool("squeue")


def _synced(cluster: Cluster) -> bool:
    told = cluster.ok("scontrol", "show", "federation")
    return "Sibling:" in told and "Synced:Yes" in told


def _wait_seen(cluster: Cluster, key: str) -> None:
    cluster.wait("hetd saw it start", lambda: cluster.outcomes(key)[-1] == "started", 20)


def _state(cluster: Cluster, key: str) -> str:
    """Of our copy: scontrol may show the sibling's."""
    return cluster.ok("squeue", "--local", "-h", "-a", "-t", "all", "-j", key, "-o", "%T").strip()
