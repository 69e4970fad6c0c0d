"""End to end: `slurm-het check` on a real Slurm with the mistakes of a first installation."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]

SITE = """
nodes:
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}
- {name: "b[1-2]", type: l40s, vendor: nvidia, devices: 4, memory_gib_per_device: 48,
   shards_per_device: 40, cpus: 64, memory_gib: 512, pool: infer-nv, scenario: inference}
accounting:
  accounts: {vision: {}}
  users: {daemon: {Account: vision}}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE, accounting=True) as sandbox:
        yield sandbox


def wrong(box: Sandbox) -> dict[str, str]:
    """What `check --json` finds wrong, by place."""
    done = box.run(["slurm-het", "check", "--config", str(box.config_path), "--json"])
    found = [f for f in json.loads(done.stdout)["findings"] if not f["remark"]]
    assert done.returncode == (1 if found else 0), done.stdout + done.stderr
    return {f["place"]: f["what"] for f in found}


def spoilt(text: str) -> str:
    """slurm.conf as a site may have it at first."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("PartitionName=accel"):
            words = [w for w in words if not w.startswith("DefaultTime=")]
            words = ["State=DOWN" if w == "State=UP" else w for w in words]
            words = ["MaxTime=60" if w.startswith("MaxTime=") else w for w in words]
        if line.startswith("SchedulerParameters="):
            words = ["SchedulerParameters=bf_interval=120"]
        if line.startswith("DefMemPerCPU="):
            words = []
        if line.startswith("GresTypes="):
            words = ["GresTypes=gpu,shard,mlu,dcu"]
        lines.append(" ".join(words))
    return "\n".join([*lines, "PartitionName=gpu Nodes=a[1-2] MaxTime=7-0", ""])


def test_shards_that_are_no_gibibytes(box: Sandbox) -> None:
    assert list(wrong(box)) == ["node b[1-2]"]
    assert "has 160 shards for 4 l40s of 48 GiB, which are 192 GiB" in wrong(box)["node b[1-2]"]


def test_a_slurm_conf_of_a_first_installation(box: Sandbox) -> None:
    path = box.layout.etc / "slurm.conf"
    before = path.read_text()
    path.write_text(spoilt(before))
    try:
        Cluster(box).ok("scontrol", "reconfigure")
        Cluster(box).wait("slurmctld has read it", lambda: "partition accel" in wrong(box), 20)
        found = wrong(box)
    finally:
        path.write_text(before)
        Cluster(box).ok("scontrol", "reconfigure")
    # From 24.11 on another slurmctld reads all anew, the hook too: the next test spoils that.
    Cluster(box).wait("slurmctld has read it back", lambda: list(wrong(box)) == ["node b[1-2]"])
    assert found["slurm.conf, PartitionName=accel"].startswith("says State=DOWN")
    assert "is narrower than train-nv, infer-nv" in found["partition accel"] or (
        "is narrower than gpu" in found["partition accel"]
    )
    assert "no memory takes all of its node" in found["partition accel, train-nv, infer-nv"]
    assert found["slurm.conf, SchedulerParameters"].startswith("lacks disable_job_shrink")
    assert "bf_interval is 120 s" in found["het.yaml, planner.grace_seconds"]
    assert found["slurm.conf, GresTypes"].startswith("lacks npu")


def test_a_hook_in_parts_and_no_hetd(box: Sandbox) -> None:
    part = box.layout.etc / "het_transport.lua"
    kept = part.read_text()
    part.unlink()
    box.stop_hetd()
    try:
        found = wrong(box)
    finally:
        part.write_text(kept)
        part.chmod(0o755)
        box.start_hetd()
    assert found[str(part)] == "is missing: the hook is not active, all jobs pass"
    assert found["hetd"].startswith("hetd is not answering")
    Cluster(box).wait("all is well again", lambda: list(wrong(box)) == ["node b[1-2]"], 20)


def test_an_association_of_the_old_partition_only(box: Sandbox) -> None:
    add = ["sacctmgr", "-i", "add", "user", "games", "account=vision", "partition=train-nv"]
    Cluster(box).ok(*add)
    what = wrong(box)["slurmdbd"]
    assert "the associations of games of vision are bound to partitions" in what
    assert "none is to accel, infer-nv: Slurm refuses their jobs there" in what
    done = box.run(["sbatch", "-A", "vision", "-p", "accel", "--wrap", "true"], user="games")
    assert done.returncode != 0, "it is as said"
    assert "Invalid account or account/partition combination" in done.stderr
