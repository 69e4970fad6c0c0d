"""slurm-het status and totals on a real Slurm: each state is told, and the counts are Slurm's."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from slurm_het.core.syntax.gres import parse
from slurm_het.slurm.records import parse_fields
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]

ENOUGH = 15.0
"""Seconds: it waits for two at most; the rest is Python's start where much else runs."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_sandbox() as box:
        yield Cluster(box)


def state(cluster: Cluster) -> str:
    """The state that `status -q` tells, which its exit code agrees with; and soon enough."""
    began = time.monotonic()
    argv = [sys.executable, "-m", "slurm_het.cli.admin", "status", "-q", "--json"]
    done = cluster.box.run(argv)
    assert time.monotonic() - began < ENOUGH
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == document["code"]
    return str(document["state"])


def test_each_state_is_told_from_the_others(cluster: Cluster) -> None:
    daemons = {p.name: p for p in cluster.box.daemons()}
    assert state(cluster) == "well"
    cluster.tool("admin", "bypass", "on")
    cluster.wait("bypass is told", lambda: state(cluster) == "bypass", 10)
    cluster.tool("admin", "bypass", "off")
    cluster.wait("all is well again", lambda: state(cluster) == "well", 20)
    daemons["slurmctld"].signal(signal.SIGSTOP)
    try:
        assert state(cluster) == "slurm-silent"
    finally:
        daemons["slurmctld"].signal(signal.SIGCONT)
    cluster.wait("slurmctld is back", lambda: state(cluster) == "well", 20)
    hetd = cluster.box.hetd_pid()
    assert hetd
    os.kill(hetd, signal.SIGSTOP)
    assert state(cluster) == "hetd-silent"
    os.kill(hetd, signal.SIGCONT)
    cluster.wait("hetd goes on", lambda: state(cluster) == "well", 30)


def _slurms(cluster: Cluster) -> tuple[int, int, int]:
    """What runs and waits by squeue -r, and the whole devices in use by GresUsed."""
    lines = cluster.ok("squeue", "-r", "-h", "-o", "%T").split()
    used = 0
    for line in cluster.ok("scontrol", "-o", "-d", "show", "node").splitlines():
        fields = parse_fields(line)
        gres = parse(fields.get("GresUsed", ""))
        used += sum(g.count for g in gres if g.name == "gpu")
    return lines.count("RUNNING"), lines.count("PENDING"), used


def test_header_and_totals_agree_with_slurm(cluster: Cluster) -> None:
    keys = [
        cluster.sbatch(f"--gres=gpu:{1 + number % 8}", "-t60", script="sleep 900")
        for number in range(8)
    ]
    keys.append(cluster.sbatch("-a", "1-30%6", "--gres=gpu:1", "-t60", script="sleep 900"))
    argv = [sys.executable, "-m", "slurm_het.cli.admin", "status", "--json"]
    for key in keys[:3]:
        cluster.ok("scancel", key)
        for _ in range(8):  # until nothing starts or ends meanwhile
            before = _slurms(cluster)
            queue = json.loads(cluster.tool("squeue", "--json", "--totals"))
            shown = json.loads(cluster.box.run(argv).stdout)["summary"]
            if before == _slurms(cluster):
                break
        else:
            pytest.fail("the cluster does not come to rest")
        total, jobs = queue["totals"]["all"], queue["totals"]["users"]
        assert (total["running"], total["waiting"], total["devices"]) == before
        assert sum(user["devices"] for user in jobs) == total["devices"]
        used = sum(pool["used"] for pool in shown["pools"])
        assert (shown["running"], shown["waiting"], used) == before
