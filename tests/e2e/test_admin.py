"""The admin's commands against a real Slurm."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from slurm_het.config import load_config
from slurm_het.daemon.gate import bypass_flag
from tests.support.cluster import Cluster

pytestmark = pytest.mark.slurm


def checked(cluster: Cluster, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`slurm-het check` of the sandbox's configuration, or of another one."""
    path = config or cluster.box.config_path
    return cluster.box.run(["slurm-het", "check", "--config", str(path)])


def test_check_finds_nothing_wrong_with_the_sandbox(cluster: Cluster) -> None:
    assert "0 wrong, 0 remarks; 7 pools, 14 accelerator nodes" in cluster.tool("admin", "check")


def test_check_names_what_does_not_fit(cluster: Cluster) -> None:
    data = yaml.safe_load(cluster.box.config_path.read_text())
    data["pools"]["train-nv"]["vendors"] = ["amd"]
    data["pools"]["infer-x"] = {"scenario": "inference", "vendors": ["nvidia"]}
    del data["pools"]["train-dcu"]
    wrong = cluster.box.dir / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(data))
    done = checked(cluster, wrong)
    assert done.returncode == 1
    for text in (
        "node nv[1-2]: a100 is of nvidia, its pool train-nv is for amd",
        "Slurm has no partition 'infer-x'; it has: accel, cpu, ",
        "pool infer-x has no node with accelerators",
        "has accelerators and is in no pool",
    ):
        assert text in done.stdout


def test_check_names_what_others_may_write(cluster: Cluster) -> None:
    hook = cluster.box.dir / "etc" / "het_protocol.lua"
    mode = hook.stat().st_mode
    hook.chmod(0o666)
    try:
        done = checked(cluster)
    finally:
        hook.chmod(mode)
    assert done.returncode == 1
    assert f"{hook}: is -rw-rw-rw-: " in done.stdout
    assert "1 wrong, 0 remarks" in done.stdout


def test_why_tells_the_whole_story(cluster: Cluster) -> None:
    key = cluster.sbatch("--gres=gpu:2", script="module load rocm\ntorchrun train.py\nsleep 60")
    cluster.wait("hetd saw it start", lambda: "started" in cluster.outcomes(key))
    text = cluster.tool("admin", "why", key)
    for part in (
        "training",
        "vendors amd",
        "loads rocm",
        "planned: train-amd",
        "weight",
        "started",
    ):
        assert part in text
    for bad in ("999999", "1;rm", "../1"):
        done = cluster.box.run(["slurm-het", "why", bad])
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_plan_is_a_dry_run(cluster: Cluster) -> None:
    cluster.tool("admin", "bypass", "on")
    cluster.wait("the gate is open", lambda: cluster.gate() == "UP")
    cluster.box.stop_hetd()
    try:
        cluster.ok("scontrol", "update", "PartitionName=accel", "State=DOWN")
        key = cluster.sbatch("-p", "accel", "--gres=gpu:2", script="module load rocm")
        made = json.loads(cluster.tool("admin", "plan", "--json"))
        assert [p["key"] for p in made["placements"]] == [key]
        model = cluster.tool("admin", "plan", "--dump-lp")
        assert f"y({key})" in model
        assert f"x({key},0,1,amd1#3)" in model, "its script is read, as hetd would"
        assert cluster.job(key)["Partition"] == "accel"
    finally:
        cluster.box.start_hetd()
        cluster.tool("admin", "bypass", "off")
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    cluster.wait_started(key)


def test_plan_knows_what_is_pinned_ahead(cluster: Cluster) -> None:
    """What hetd keeps nodes for is planned nowhere else, and its nodes are given to nobody."""
    cluster.open_side_door()
    cuda = "module load cuda\nsleep 300"
    blocker = cluster.sbatch("--gres=gpu:8", "-N2", script=cuda)
    cluster.wait_state(blocker, "RUNNING")
    first = cluster.sbatch("--gres=gpu:8", "-N2", script=cuda)
    cluster.wait("the first is pinned ahead", lambda: "reserved" in cluster.outcomes(first))
    second = cluster.sbatch("--gres=gpu:8", script=cuda)
    cluster.wait("it is gated", lambda: cluster.job(second).get("Reason") == "PartitionDown")
    made = json.loads(cluster.tool("admin", "plan", "--json"))
    assert made["placements"] == []
    assert made["reserved"] == []
    assert list(made["waiting"]) == [second]
    assert "0 of 1 waiting tasks would start" in cluster.tool("admin", "plan")


def test_check_compares_what_the_hook_reads(cluster: Cluster) -> None:
    hook = cluster.box.dir / "etc" / "het_hook_config.lua"
    before = hook.read_text()
    hook.write_text(before.replace("breaker_failures = ", "breaker_failures = 1"))
    try:
        done = checked(cluster)
    finally:
        hook.write_text(before)
    assert done.returncode == 1
    assert f"{hook}: is not what this configuration says" in done.stdout


def test_bypass_opens_the_gate_where_its_flag_cannot_be_kept(cluster: Cluster) -> None:
    """A full disk, or storage that is not mounted: the gate opens, and that it will not last is
    said."""
    flag = bypass_flag(load_config(cluster.box.config_path).paths.state_dir)
    cluster.box.stop_hetd()
    flag.symlink_to("/nonexistent/bypass")
    try:
        cluster.ok("scontrol", "update", "PartitionName=accel", "State=DOWN")
        done = cluster.box.run(["slurm-het", "bypass", "on"])
        assert done.returncode == 1
        assert "accel is UP now, but a hetd that runs closes it again: cannot write" in done.stderr
        assert "stop hetd" in done.stderr
        assert cluster.gate() == "UP"
    finally:
        flag.unlink()
        cluster.box.start_hetd()
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")


def test_bypass_is_kept_where_slurm_does_not_answer(cluster: Cluster) -> None:
    """hetd opens the gate when slurmctld is back, if that does not start anew with it open."""
    flag = bypass_flag(load_config(cluster.box.config_path).paths.state_dir)
    cluster.box.stop_hetd()
    wrong = cluster.box.dir / "no_slurm.yaml"
    data = yaml.safe_load(cluster.box.config_path.read_text())
    data["slurm"] = (data.get("slurm") or {}) | {"bin_dir": "/nonexistent"}
    wrong.write_text(yaml.safe_dump(data))
    try:
        done = cluster.box.run(["slurm-het", "bypass", "on", "--config", str(wrong)])
        assert done.returncode == 1
        assert "bypass is on, but accel could not be set UP" in done.stderr
        assert flag.exists()
    finally:
        flag.unlink(missing_ok=True)
        cluster.box.start_hetd()
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")


def test_hook_config_is_what_the_sandbox_wrote(cluster: Cluster) -> None:
    written = (cluster.box.dir / "etc" / "het_hook_config.lua").read_text()
    assert cluster.tool("admin", "hook-config") == written
