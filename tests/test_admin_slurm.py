"""The admin's commands against a real Slurm."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cluster import Cluster

pytestmark = pytest.mark.slurm


def test_check_finds_nothing_wrong_with_the_sandbox(cluster: Cluster) -> None:
    assert "0 wrong, 0 remarks; 7 pools, 14 accelerator nodes" in cluster.tool("admin", "check")


def test_check_names_what_does_not_fit(cluster: Cluster) -> None:
    data = yaml.safe_load(cluster.box.config_path.read_text())
    data["pools"]["train-nv"]["vendors"] = ["amd"]
    data["pools"]["infer-x"] = {"scenario": "inference", "vendors": ["nvidia"]}
    del data["pools"]["train-dcu"]
    wrong = cluster.box.dir / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(data))
    argv = ["slurm-het", "check", "--config", str(wrong)]
    done = cluster.box.run(argv)
    assert done.returncode == 1
    for text in (
        "node nv1: a100 is of nvidia, its pool train-nv is for amd",
        "Slurm has no partition 'infer-x'; it has: accel, cpu, ",
        "pool infer-x has no node with accelerators",
        "node dcu1 has accelerators and is in no pool",
    ):
        assert text in done.stdout


def test_check_names_what_others_may_write(cluster: Cluster) -> None:
    hook = cluster.box.dir / "etc" / "het_protocol.lua"
    mode = hook.stat().st_mode
    hook.chmod(0o666)
    try:
        done = cluster.box.run(["slurm-het", "check", "--config", str(cluster.box.config_path)])
    finally:
        hook.chmod(mode)
    assert done.returncode == 1
    assert f"{hook} is -rw-rw-rw-: " in done.stdout
    assert "1 wrong, 0 remarks" in done.stdout


def test_why_tells_the_whole_story(cluster: Cluster) -> None:
    key = cluster.sbatch("--gres=gpu:2", script="module load rocm\ntorchrun train.py")
    cluster.wait("hetd saw it start", lambda: "started" in cluster.outcomes(key))
    text = cluster.tool("admin", "why", key)
    for part in (
        "training",
        "vendors amd",
        "module:rocm",
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
        assert f"x({key},0,1,nv1#3)" in model
        assert cluster.job(key)["Partition"] == "accel"
    finally:
        cluster.box.start_hetd()
        cluster.tool("admin", "bypass", "off")
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    cluster.wait_started(key)


def test_hook_config_is_what_the_sandbox_wrote(cluster: Cluster) -> None:
    written = (cluster.box.dir / "etc" / "het_hook_config.lua").read_text()
    assert cluster.tool("admin", "hook-config") == written
