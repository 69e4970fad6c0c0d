"""End to end: a site with a job_submit.lua of its own, before ours and after it."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
SLURM_USER, ANN = "slurm", "nobody"
OURS = "slurm-het"
CUDA = "module load cuda\nsleep 30"

FREE_MODIFY = "function slurm_job_modify() return slurm.SUCCESS end\n"
SETTER = """
function slurm_job_submit(job, part_list, uid)
  if job.partition == nil then
    local names = {}
    for name in pairs(part_list) do names[#names + 1] = name end
    job.partition = table.concat(names, ",")
  end
  return slurm.SUCCESS
end
""" + FREE_MODIFY  # fmt: skip
REFUSER = """
function slurm_job_submit(job, part_list, uid)
  local asked = job.tres_per_node or ""
  if asked:find("gpu:%d") or asked:find("gpu$") then
    slurm.log_user("the site: name the type of your GPUs")
    return slurm.ERROR
  end
  return slurm.SUCCESS
end
""" + FREE_MODIFY  # fmt: skip
STRICT = """
function slurm_job_submit() return slurm.SUCCESS end
function slurm_job_modify(change, job, part_list, uid)
  if uid ~= 0 then
    slurm.log_user("the site: only root changes jobs")
    return slurm.ERROR
  end
  return slurm.SUCCESS
end
"""
AFTER = """
dofile("{ours}/job_submit.lua")
local het_submit, het_modify = slurm_job_submit, slurm_job_modify
{site}
local site_submit = slurm_job_submit
function slurm_job_submit(job, part_list, uid)
  local code = het_submit(job, part_list, uid)
  if code ~= slurm.SUCCESS or job.partition == "accel" then return code end
  return site_submit(job, part_list, uid)
end
slurm_job_modify = het_modify
return slurm.SUCCESS
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox as a site with a job_submit.lua of its own has it: ours is in a directory."""
    try:
        pwd.getpwnam(SLURM_USER)
    except KeyError:
        pytest.skip(f"there is no user {SLURM_USER}; Debian's slurm packages make it")
    with own_sandbox(overrides=AMPLE, slurm_user=SLURM_USER) as sandbox:
        etc = sandbox.layout.etc
        (etc / OURS).mkdir()
        for path in etc.glob("*.lua"):
            if path.name != "het_event.lua":
                path.rename(etc / OURS / path.name)
        (etc / OURS / "het_event.lua").symlink_to(etc / "het_event.lua")
        yield sandbox


def install(cluster: Cluster, text: str) -> None:
    """Make this the site's job_submit.lua; slurmctld reads one whose mtime has grown."""
    path = cluster.box.layout.etc / "job_submit.lua"
    before = path.stat().st_mtime if path.exists() else time.time()
    path.write_text(text)
    os.utime(path, (before + 2, before + 2))


def chained(cluster: Cluster, site: str) -> None:
    """The site's text with ours behind it, as docs/install.md says."""
    chain = cluster.box.layout.etc / OURS / "het_chain.lua"
    install(cluster, f'{site}\ndofile("{chain}")\nreturn slurm.SUCCESS\n')


def starts_as_planned(cluster: Cluster, *options: str) -> str:
    key = cluster.sbatch(*options, script=CUDA, user=ANN)
    record = cluster.wait_started(key, 30)
    placement = cluster.planned(key)
    assert placement, cluster.story(key)
    assert placement.nodes == (record["NodeList"],)
    return key


def test_a_setter_that_lists_every_partition(cluster: Cluster) -> None:
    chained(cluster, SETTER)
    key = starts_as_planned(cluster, "--gres=gpu:1")
    assert cluster.job(key)["Partition"] == "train-nv"
    plain = cluster.sbatch(user=ANN)
    cluster.wait_started(plain, 30)
    passed = cluster.sbatch("--gres=gpu:1", "-w", "nv1", script=CUDA, user=ANN)
    assert "accel" in cluster.job(passed)["Partition"].split(","), "as the site set it"
    cluster.clear()


def test_a_refuser_of_untyped_gpus(cluster: Cluster) -> None:
    chained(cluster, REFUSER)
    done = cluster.box.run(["sbatch", "--gres=gpu:1", "--wrap", "true"], user=ANN)
    assert done.returncode != 0
    assert "the site: name the type of your GPUs" in done.stderr
    starts_as_planned(cluster, "--gres=gpu:a100:1")
    cluster.clear()


def test_a_site_that_lets_only_root_change_jobs(cluster: Cluster) -> None:
    chained(cluster, STRICT)
    key = starts_as_planned(cluster, "--gres=gpu:1")
    done = cluster.box.run(["scontrol", "update", f"JobId={key}", "Comment=mine"], user=ANN)
    assert done.returncode != 0, "the site's own rule holds for its users"
    cluster.clear()


@pytest.mark.parametrize("site", [SETTER, STRICT], ids=["setter", "strict"])
def test_ours_before_the_sites(cluster: Cluster, site: str) -> None:
    install(cluster, AFTER.format(ours=cluster.box.layout.etc / OURS, site=site))
    starts_as_planned(cluster, "--gres=gpu:1")
    cluster.wait_started(cluster.sbatch(user=ANN), 30)
    cluster.clear()


def test_check_says_whether_the_sites_own_calls_ours(cluster: Cluster) -> None:
    chained(cluster, SETTER)
    check = ["slurm-het", "check", "--config", str(cluster.box.config_path)]
    assert "0 wrong" in cluster.ok(*check)
    install(cluster, SETTER + "return slurm.SUCCESS\n")
    done = cluster.box.run(check)
    assert "is the site's own and does not call the hook" in done.stdout
    assert f'dofile("{cluster.box.layout.etc}/{OURS}/het_chain.lua")' in done.stdout
