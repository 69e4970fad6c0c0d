"""End to end: steps of a job that ask for devices by their vendor's GRES name (cli_filter.lua)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]

HOOKS = Path(__file__).parents[2] / "job_submit"
STEP = "srun --gres=npu:1 sh -c 'echo devices=$ASCEND_RT_VISIBLE_DEVICES'"


@pytest.fixture(scope="module")
def it() -> Iterator[Cluster]:
    with own_sandbox(overrides=AMPLE) as box:
        cluster = Cluster(box)
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
        yield cluster


def test_a_step_may_use_the_vendors_name_as_its_job_did(it: Cluster, tmp_path: Path) -> None:
    """Without the filter Slurm refuses it: the job was given gpu, and no npu."""
    tmp_path.chmod(0o777)
    assert "devices=" not in run_step(it, tmp_path / "without")
    etc = it.box.layout.etc
    for name in ("cli_filter.lua", "het_gres_steps.lua"):
        shutil.copy(HOOKS / name, etc)
    (etc / "het_gres_aliases.lua").write_text(it.tool("admin", "hook-config", "--aliases"))
    with it.box.layout.slurm_conf.open("a") as conf:
        conf.write("\nCliFilterPlugins=lua\n")
    assert "devices=0\n" in run_step(it, tmp_path / "with") + "\n"
    (etc / "het_gres_aliases.lua").write_text("not Lua")
    hostname = it.sbatch("--gres=npu:1", "-o", str(tmp_path / "broken"), script="srun hostname")
    it.wait_state(hostname, "COMPLETED")


def run_step(it: Cluster, output: Path) -> str:
    job = it.sbatch("--gres=npu:2", "-o", str(output), script=STEP)
    it.wait_state(job, "COMPLETED", "FAILED")
    return output.read_text()
