"""End to end: sites that are right, each in its own way, and of which `check` says nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]

ONE_POOL = """
nodes:
- {name: "a[1-4]", type: h100, devices: 4, cpus: 64, memory_gib: 512, pool: gpus,
   scenario: training}
"""
MIXED = """
nodes:
- {name: "am[1-2]", type: mi300x, devices: 8, cpus: 96, memory_gib: 1024, pool: train-amd,
   scenario: training}
- {name: "l4[1-2]", type: l40s, devices: 4, shards_per_device: 48, cpus: 64, memory_gib: 256,
   pool: infer-mixed, scenario: inference}
- {name: "as[1-2]", type: 310p, devices: 4, shards_per_device: 24, cpus: 48, memory_gib: 256,
   pool: infer-mixed, scenario: inference}
- {name: "ml[1-2]", type: mlu370, devices: 4, shards_per_device: 48, cpus: 48, memory_gib: 256,
   pool: infer-mixed, scenario: inference}
- {name: cpu1, cpus: 32, memory_gib: 128, pool: cpu}
"""
OLD = """
nodes:
- {name: "a[1-2]", type: a100, devices: 4, memory_gib_per_device: 80, cpus: 64, memory_gib: 512,
   pool: long, scenario: training}
- {name: "b[1-2]", type: l40s, devices: 4, shards_per_device: 48, cpus: 64, memory_gib: 512,
   pool: short, scenario: inference}
accounting:
  accounts: {vision: {}}
  users: {daemon: {Account: vision}}
  partitions:
    gpu: {Nodes: "a[1-2],b[1-2]", MaxTime: "365-0", DefaultTime: 60, State: UP}
"""
OWN_SCRIPT = """
function slurm_job_submit(job, part_list, uid)
  if job.account == nil then job.account = "none" end
  return slurm.SUCCESS
end
function slurm_job_modify() return slurm.SUCCESS end
dofile("{chain}")
return slurm.SUCCESS
"""


def own_script(box: Sandbox) -> None:
    """The site's own job_submit.lua, with ours behind it."""
    etc = box.layout.etc
    room = etc / "slurm-het"
    room.mkdir()
    for path in etc.glob("*.lua"):
        if path.name != "het_event.lua":
            path.rename(room / path.name)
    path = etc / "job_submit.lua"
    path.write_text(OWN_SCRIPT.replace("{chain}", str(room / "het_chain.lua")))
    os.utime(path, (time.time() + 2,) * 2)


def own_epilog(box: Sandbox) -> None:
    """An EpilogSlurmctld of the site's own, which calls ours at its end."""
    etc = box.layout.etc
    script, conf = etc / "epilog.sh", etc / "slurm.conf"
    script.write_text(f"#!/bin/sh\necho $SLURM_JOB_ID >> /dev/null\n{etc}/het_event.lua\n")
    script.chmod(0o755)
    lines = [line for line in conf.read_text().splitlines() if "EpilogSlurmctld" not in line]
    conf.write_text("\n".join([*lines, f"EpilogSlurmctld={script}", ""]))
    Cluster(box).ok("scontrol", "reconfigure")


class Site(NamedTuple):
    """A topology ('': the default one), more of Sandbox.up, and what is done there."""

    nodes: str
    options: dict[str, Any]
    deed: Callable[[Sandbox], None] | None = None


SITES = {
    "one pool": Site(ONE_POOL, {}),
    "vendors mixed, and shares": Site(MIXED, {"slurm_user": "slurm"}),
    "a script of its own": Site(ONE_POOL, {"slurm_user": "slurm"}, own_script),
    "old partitions as intake and pools": Site(
        OLD, {"accounting": True, "overrides": {**AMPLE, "intake_partition": "gpu"}}, own_epilog
    ),
    "limits and preemption": Site("", {"accounting": True}),
}


@pytest.mark.parametrize("name", SITES)
def test_nothing_is_told_of_a_right_site(name: str) -> None:
    site = SITES[name]
    found: list[dict[str, Any]] = []
    with own_sandbox(site.nodes, **site.options) as box:
        if site.deed:
            site.deed(box)

        def right() -> bool:
            check = ["slurm-het", "check", "--config", str(box.config_path), "--json"]
            found[:] = json.loads(box.run(check).stdout)["findings"]
            return not found

        deadline = time.monotonic() + 10  # hetd closes the gate first
        while not right() and time.monotonic() < deadline:
            time.sleep(0.5)
    assert found == []
