"""End to end: nodes of mixed device types and cards with GRES names of their own (npu, mlu)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = pytest.mark.slurm

TOPOLOGY = """
- {name: mix1, type: t4, vendor: nvidia, devices: 2, memory_gib_per_device: 16,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training, more: [
     {type: a100, vendor: nvidia, devices: 2, memory_gib_per_device: 80},
     {type: l40s, vendor: nvidia, devices: 2, memory_gib_per_device: 48}]}
- {name: asc1, type: 910b, vendor: ascend, gres_name: npu, devices: 4, memory_gib_per_device: 64,
   cpus: 16, memory_gib: 64, pool: train-ascend, scenario: training}
- {name: mlu1, type: mlu370, vendor: cambricon, gres_name: mlu, devices: 4,
   memory_gib_per_device: 48, cpus: 16, threads_per_core: 2, memory_gib: 64, pool: train-mlu,
   scenario: training}
- {name: x1-ib, type: gaudi2, vendor: habana, devices: 2, memory_gib_per_device: 96,
   cpus: 16, memory_gib: 64, pool: train-habana, scenario: training}
- {name: x2-ib, type: gaudi2, vendor: habana, devices: 2, memory_gib_per_device: 96,
   cpus: 16, memory_gib: 64, pool: train-habana, scenario: training}
"""
NODES = ("mix1", "asc1", "mlu1", "x1-ib", "x2-ib")
AT_LEAST_40 = "#HET memory=40G\nmodule load cuda\nsrun env\nsleep 60"  # an a100 or an l40s, no t4


def with_scratch(box: Sandbox) -> None:
    """Give each node a GRES that is no device, as sites have for disks: scratch:100."""
    etc = box.layout.etc
    text = box.layout.slurm_conf.read_text().replace(" Gres=", " Gres=scratch:100,")
    text = re.sub(r"(?m)^GresTypes=.*", r"\g<0>,scratch", text)
    box.layout.slurm_conf.write_text(text)
    with (etc / "gres.conf").open("a") as file:
        file.write("\nName=scratch Count=100\n")
    for node in NODES:
        box.kill_slurmd(node)
    box.restart_slurmctld()
    for node in NODES:
        box.start_slurmd(node)
    it = Cluster(box)
    it.wait(
        "the nodes are back",
        lambda: (
            it.ok("sinfo", "-h", "-N", "-o", "%T", "-p", "accel").split() == ["idle"] * len(NODES)
        ),
        40,
    )
    it.wait("the gate is closed", lambda: it.gate() == "DOWN")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(TOPOLOGY, overrides=AMPLE) as sandbox:
        with_scratch(sandbox)
        yield sandbox


@pytest.fixture
def rewrites() -> bool:
    """Whether this Slurm lets a pending job's GRES be replaced; the tests say what is so if not."""
    return slurm_version().rewrites_gres


def gres_of(cluster: Cluster, key: str) -> tuple[str, ...]:
    """What a running job holds, such as `gpu:l40s:1(IDX:4)`."""
    return next(job.gres_detail for job in cluster.jobs() if job.key == key)


@pytest.mark.parametrize(
    ("options", "script", "held"),
    [
        (["--gres=gpu:1"], "#HET types=l40s", "gpu:l40s:1(IDX:4)"),
        (["--gres=gpu:a100:2"], "module load cuda", "gpu:a100:2(IDX:2-3)"),
        (["--gpus=2"], "#HET types=l40s", "gpu:l40s:2(IDX:4-5)"),
        (["--gres=npu:2"], "torchrun", "npu:910b:2(IDX:0-1)"),
        (["--gres=npu:910b:4"], "torchrun", "npu:910b:4(IDX:0-3)"),
        (["--gres=mlu:mlu370:1"], "torchrun", "mlu:mlu370:1(IDX:0)"),
        (["--gres=gpu:2"], "npu-smi info", "npu:910b:2(IDX:0-1)"),
    ],
)
def test_what_is_the_only_fit_is_asked_for_at_submit(
    cluster: Cluster, options: list[str], script: str, held: str
) -> None:
    """On every version: the type that the job may use, or the name its cards are registered by."""
    key = cluster.sbatch(*options, script=f"{script}\nsleep 60")
    cluster.wait_state(key, "RUNNING")
    assert gres_of(cluster, key) == (held,)
    assert cluster.planned(key)


def _says(path: Path, word: str) -> bool:
    return path.exists() and word in path.read_text()


@pytest.mark.parametrize("options", [["--gres=gpu:2"], ["--gpus=2"], ["--gpus-per-node=2"]])
def test_the_type_is_added_when_it_is_known(
    cluster: Cluster, rewrites: bool, options: list[str]
) -> None:
    """Two of three types of the node fit: first one pair goes, then the other, never a t4."""
    output = cluster.box.dir / "work" / "env"
    keys = [cluster.sbatch(*options, "-o", f"{output}.%j", script=AT_LEAST_40) for _ in range(2)]
    if not rewrites:
        cluster.wait("it says why", lambda: "mixes device types" in cluster.tool("squeue"))
        assert cluster.planned(keys[0]) is None
        return
    for key in keys:
        cluster.wait_state(key, "RUNNING")
    held = {gres for key in keys for gres in gres_of(cluster, key)}
    assert held == {"gpu:a100:2(IDX:2-3)", "gpu:l40s:2(IDX:4-5)"}
    assert " as gpu:" in cluster.tool("admin", "why", keys[0])
    for key in keys:
        path = output.with_suffix(f".{key}")
        cluster.wait("srun ran", partial(_says, path, "CUDA_VISIBLE_DEVICES="))


def test_another_name_is_asked_for_when_it_is_known(cluster: Cluster, rewrites: bool) -> None:
    """gpu:3 of a job that may run on Ascend or Cambricon, whose cards are npu and mlu."""
    script = "#HET vendors=ascend,cambricon\ntorchrun\nsleep 60"
    if not rewrites:  # no node there has a gpu, and 22.05 looks at that when a job is submitted
        done = cluster.box.run(["sbatch", "--gres=gpu:3"], input=f"#!/bin/sh\n{script}\n")
        assert "Requested node configuration is not available" in done.stderr
        return
    keys = [cluster.sbatch("--gres=gpu:3", script=script) for _ in range(2)]
    for key in keys:
        cluster.wait_state(key, "RUNNING")
    held = {gres for key in keys for gres in gres_of(cluster, key)}
    assert held == {"npu:910b:3(IDX:0-2)", "mlu:mlu370:3(IDX:0-2)"}


@pytest.mark.parametrize("script", ["#HET types=l40s\nsleep 60", AT_LEAST_40])
def test_a_gres_that_is_no_device_is_kept(cluster: Cluster, script: str) -> None:
    """--gpus with --gres=scratch:9: hetd plans the cards, and Slurm holds the scratch."""
    pid, lines = cluster.box.hetd_pid(), len(cluster.hook_log())
    options = ["--gpus=2", "--gres=scratch:9"]
    keys = [cluster.sbatch(*options, script=script) for _ in range(3)]
    calls = cluster.hook_log()[lines:]
    assert all(" admit " in line for line in calls), calls
    if "types" not in script:  # an update would replace the scratch, so it is not rewritten either
        cluster.wait("it says why", lambda: "mixes device types" in cluster.tool("squeue"))
        assert cluster.planned(keys[0]) is None
    else:
        cluster.wait_state(keys[0], "RUNNING")
        held = set(gres_of(cluster, keys[0])[0].split(","))
        assert held >= {"gpu:l40s:2(IDX:4-5)"}
        assert any(re.fullmatch(r"scratch\W.*9\)?", word) for word in held), held
    assert cluster.box.hetd_pid() == pid


def test_array_tasks_are_rewritten_one_by_one(cluster: Cluster, rewrites: bool) -> None:
    key = cluster.sbatch("--array=0-3", "--gres=gpu:1", script=AT_LEAST_40)
    if not rewrites:
        cluster.wait("it says why", lambda: "mixes device types" in cluster.tool("squeue"))
        return

    def held() -> list[str]:
        tasks = [job for job in cluster.jobs() if job.array_job_id == int(key)]
        return sorted(gres.split("(")[0] for job in tasks for gres in job.gres_detail)

    expected = ["gpu:a100:1"] * 2 + ["gpu:l40s:1"] * 2
    cluster.wait("all four run", lambda: held() == expected, job=key)


def test_taken_back_a_job_has_its_own_request_again(cluster: Cluster, rewrites: bool) -> None:
    """Pinned ahead to what is not free yet, then bypassed: plain Slurm sees what the user wrote."""
    if not rewrites:
        pytest.skip("22.05 does not rewrite")
    cluster.open_side_door()
    full = [
        cluster.sbatch(f"--gres=gpu:{t}:2", "-t", "9", script="sleep 300")
        for t in ("t4", "a100", "l40s")
    ]
    for key in full:
        cluster.wait_state(key, "RUNNING")
    key = cluster.sbatch("--gres=gpu:2", "-t", "1", script=AT_LEAST_40)
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(key), job=key)
    assert cluster.job(key)["TresPerNode"] in {"gres/gpu:a100:2", "gres/gpu:l40s:2"}
    cluster.tool("admin", "bypass", "on")
    try:
        cluster.wait("it is back", lambda: cluster.job(key)["Partition"] == "accel", job=key)
        assert cluster.job(key)["TresPerNode"] == "gres/gpu:2"
        assert cluster.job(key)["JobState"] == "PENDING"
    finally:
        cluster.tool("admin", "bypass", "off")
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    cluster.ok("scancel", *full)
    cluster.wait_started(key)


def test_a_task_that_uses_one_thread_of_a_core_takes_the_whole_core(cluster: Cluster) -> None:
    """16 CPUs are 8 cores of two threads; 6 tasks without multithreading leave 2 of them."""
    cluster.open_side_door()
    script = "#HET vendors=cambricon\nsleep 300"
    single = ["--gres=mlu:1", "--hint=nomultithread"]
    first = cluster.sbatch(*single, "-n6", script=script)
    cluster.wait_state(first, "RUNNING")
    third = cluster.sbatch("--gres=mlu:1", "-n2", script=script)
    cluster.wait_state(third, "RUNNING")
    second = cluster.sbatch(*single, "-n2", script=script)
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(second))
    assert "released" not in cluster.outcomes(second)
    last = cluster.sbatch("--gres=mlu:1", "-n1", script=script)
    kept = f"mlu1 is kept for job {second} until"
    cluster.wait("hetd says why", lambda: kept in cluster.tool("admin", "why", last))
    cluster.ok("scancel", first)
    cluster.wait_state(second, "RUNNING")
    assert "returned" not in cluster.outcomes(second)


def test_nodes_whose_names_do_not_end_in_digits(cluster: Cluster) -> None:
    """Slurm reads no x[1-2]-ib: a job of several nodes is released to names, one by one."""
    key = cluster.sbatch("--gres=gpu:gaudi2:2", "-N2", script="sleep 60")
    record = cluster.wait_state(key, "RUNNING")
    assert set(record["NodeList"].split(",")) == {"x1-ib", "x2-ib"}
    cluster.wait("hetd saw it", lambda: cluster.outcomes(key) == ["released", "started"])
