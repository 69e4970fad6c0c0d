"""Modes on a real Slurm: shadow changes nothing, and pools go to plan and back while jobs wait."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from slurm_het.cli.hetd_client import call
from slurm_het.config import load_config
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.daemons import SUPERVISOR
from slurm_het.slurm.records import parse_fields
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]

JOBS = 200
# Each says on how many nodes: left open, Slurm gives -G2 one node, or two that have a card free
# each, and NumNodes, NumTasks and AllocTRES tell which. That is of the moment, not of hetd.
ASKS = (
    ("-p", "accel", "--gres=gpu:1"),
    ("-p", "train-nv", "--gres=gpu:a100:4"),
    ("-p", "accel", "--gres=gpu:8", "-C", "a100"),
    ("-p", "infer-nv", "--gres=shard:12"),
    ("-p", "accel", "-N1", "-G2", "--comment=het:vendors=amd"),
    ("-p", "train-amd", "--gres=gpu:2"),
    ("-p", "cpu", "-n1"),
)
TIMES = re.compile(
    r"(Time|Eligible|Start|End|Epoch|LastSched)|^(RunTime|SubmitLine|Command|StdErr)$"
)
PLACES = frozenset(
    {"NodeList", "BatchHost", "SchedNodeList", "Scheduler", "AllocNode:Sid", "WorkDir"}
)
"""And which of Slurm's two loops found it, and from where they came."""
ALL_SHADOW = {"mode": "shadow"}


@pytest.fixture(scope="module")
def shadow() -> Iterator[Cluster]:
    with own_sandbox(overrides=ALL_SHADOW) as box:
        yield Cluster(box)


def submitted(cluster: Cluster, count: int) -> list[str]:
    """Jobs of two users, while no node takes any; then all nodes do."""
    nodes = ",".join(cluster.ok("sinfo", "-h", "-N", "-o", "%N").split())
    cluster.ok("scontrol", "update", f"nodename={nodes}", "state=drain", "reason=test")
    keys = [
        cluster.sbatch(*ASKS[n % len(ASKS)], "-t", str(1 + n % 9), f"-Jj{n}", script="sleep 2")
        for n in range(count)
    ]
    cluster.ok("scontrol", "update", f"nodename={nodes}", "state=resume")
    return keys


def records(cluster: Cluster, keys: list[str]) -> list[dict[str, str]]:
    """What Slurm has of the jobs, but for the times, the places and what comes of both."""
    found = []
    for key in keys:
        done = cluster.ok("scontrol", "-o", "show", "job", key)
        fields = parse_fields(done.strip())
        found.append({k: v for k, v in fields.items() if not (TIMES.search(k) or k in PLACES)})
    return found


def updates(box: Sandbox) -> dict[str, int]:
    """How many updates of jobs and partitions slurmctld has had, by sdiag; of anybody."""
    text = box.run(["sdiag"]).stdout
    rows = re.findall(r"(REQUEST_UPDATE_(?:JOB|PARTITION))\s*\(\s*\d+\)\s*count:(\d+)", text)
    return {name: int(count) for name, count in rows}


def status(cluster: Cluster) -> dict[str, Any]:
    """hetd's own."""
    return call(load_config(cluster.box.config_path).paths.control_socket, {"op": "status"})


def test_shadow_changes_nothing_of_200_jobs_and_decides_about_them(shadow: Cluster) -> None:
    keys = submitted(shadow, JOBS)
    shadow.wait("it has decided", lambda: status(shadow)["shadow"]["outcomes"].get("released"))
    queue = json.loads(shadow.tool("squeue", "--json"))
    assert set(queue["gate"]["modes"].values()) == {"shadow"}
    shadow.wait("the queue is empty", lambda: not shadow.ok("squeue", "-h"), 300)
    here, told = records(shadow, keys), status(shadow)["shadow"]["outcomes"]
    assert updates(shadow.box) == {}, "neither a job nor a partition was updated, by anybody"
    shadow.box.stop_hetd()
    assert updates(shadow.box) == {}, "there is no gate to open either"
    shadow.box.start_hetd()
    log = shadow.box.layout.log_of("slurmctld").read_text(errors="replace")
    assert not re.search(r"_slurm_rpc_update_(job|partition)|update_job|setting state_up", log)
    assert told["released"] > 10
    assert told.get("started", 0) + told.get("elsewhere", 0) > 10
    with own_sandbox(hetd=False, hook=False) as box:
        plain = Cluster(box)
        there = submitted(plain, JOBS)
        plain.wait("the queue is empty", lambda: not plain.ok("squeue", "-h"), 300)
        differ = [
            {k: (a.get(k), b.get(k)) for k in a.keys() | b.keys() if a.get(k) != b.get(k)}
            for a, b in zip(here, records(plain, there), strict=True)
        ]
        assert [fields for fields in differ if fields] == []


def test_all_lines_of_its_log_and_screens_say_shadow(shadow: Cluster) -> None:
    log = shadow.box.layout.output_of(SUPERVISOR).read_text(errors="replace")
    told = [line for line in log.splitlines() if " hetd.cycle:" in line or "hetd.gate:" in line]
    assert told
    assert all(": shadow: " in line for line in told)
    done = shadow.box.run(["slurm-het", "status"])
    assert done.returncode == 5
    assert done.stdout.startswith("shadow, all pools: slurm-het changes nothing; gate open")


def test_a_pool_goes_to_plan_and_back_while_jobs_wait(shadow: Cluster) -> None:
    blocker = shadow.sbatch("-p", "train-nv", "--gres=gpu:8", "-N2", "-t", "5", script="sleep 300")
    shadow.wait_started(blocker)
    before = shadow.sbatch("-p", "train-nv", "--gres=gpu:8", "-t", "5", script="sleep 1")
    set_modes(shadow, {"train-nv": "plan"})
    shadow.wait("the gate is closed", lambda: shadow.gate() == "DOWN")
    amd = shadow.sbatch("-p", "accel", "--gres=gpu:mi300x:1", "-t", "5", script="sleep 1")
    assert shadow.wait_started(amd)["Partition"] == "train-amd", "it is no pool in plan: it passes"
    nv = shadow.sbatch("-p", "accel", "--gres=gpu:a100:8", "-t", "5", script="sleep 1")
    assert shadow.job(nv)["Partition"] in {"accel", "train-nv"}
    assert updates(shadow.box)["REQUEST_UPDATE_PARTITION"] == 1, "so it is seen"
    set_modes(shadow, {})
    shadow.wait("the gate is open", lambda: shadow.gate() == "UP")
    shadow.ok("scancel", blocker)
    for key in (before, nv):
        shadow.wait_started(key)


def set_modes(cluster: Cluster, modes: dict[str, str]) -> None:
    """Give pools a mode in het.yaml, the others shadow, and have hetd read it."""
    path = cluster.box.config_path
    data = yaml.safe_load(path.read_text())
    for name, pool in data["pools"].items():
        pool["mode"] = modes.get(name, "shadow")
    path.write_text(yaml.safe_dump(data))
    os.kill(status(cluster)["pid"], signal.SIGHUP)
