"""het-sinfo on a real Slurm: each idle device has the cause that Slurm bears out, and the largest
job that it names starts, one device more waits."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

SLEEP = "sleep 600"
BUSY: dict[str, tuple[str, ...]] = {
    "nv1": ("-p", "train-nv", "--gres=gpu:6", "-t", "30"),
    "nv2": ("-p", "train-nv", "--gres=gpu:5", "-t", "30"),
    "asc1": ("-p", "train-ascend", "-c96", "--mem=1G", "-t", "30"),
    "asc2": ("-p", "train-ascend", "-c1", "--mem=768G", "-t", "30"),
    "amd1": ("-p", "train-amd", "--gres=gpu:8", "-t", "10"),
    "l40s1": ("-p", "infer-nv", "--gres=shard:30", "-t", "30"),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A sandbox with hetd where every cause that can be staged is staged."""
    with own_sandbox() as box:
        here = Cluster(box)
        ids = [here.sbatch("-w", node, *a, script=SLEEP) for node, a in BUSY.items()]
        here.ok("scontrol", "update", "NodeName=dcu1", "State=DRAIN", "Reason=bad fan")
        here.ok(
            "scontrol", "create", "reservation", "ReservationName=upkeep", "Users=root",
            "Nodes=dcu2", "StartTime=now", "Duration=60", "Flags=MAINT",
        )  # fmt: skip
        here.ok("scontrol", "update", "PartitionName=infer-mlu", "State=DOWN")
        for key in ids:
            here.wait_started(key)
        yield here


def sinfo(cluster: Cluster, *arguments: str) -> dict[str, Any]:
    """het-sinfo's JSON."""
    document: dict[str, Any] = json.loads(cluster.tool("sinfo", "--json", *arguments))
    return document


def idle(cluster: Cluster, node: str) -> set[str]:
    """The causes of a node's idle devices."""
    (found,) = sinfo(cluster, "-n", node)["nodes"]
    return {d["idle"]["cause"] for d in found["devices"] if d["idle"]}


def test_each_idle_device_has_its_cause(cluster: Cluster) -> None:
    expected = {
        "nv1": {"unwanted"}, "asc1": {"no-cores"}, "asc2": {"no-memory"}, "dcu1": {"drained"},
        "dcu2": {"reserved"}, "mlu1": {"pool-closed"}, "asi1": {"unwanted"}, "amd1": set(),
    }  # fmt: skip
    nodes = sinfo(cluster)["nodes"]
    found = {
        n["node"]: {d["idle"]["cause"] for d in n["devices"] if d["idle"]} for n in nodes
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert all((d["idle"] is None) == bool(d["holders"]) for n in nodes for d in n["devices"])


def test_the_largest_job_starts_and_one_device_more_waits(cluster: Cluster) -> None:
    largest = {t["type"]: t["largest"]["devices"] for t in sinfo(cluster)["types"]}
    assert largest == {
        "a100": 3, "mi300x": 8, "910b": 0, "k100ai": 0, "l40s": 4, "310p": 4, "mlu370": 0
    }  # fmt: skip
    full = {"l40s": 4, "310p": 4, "mi300x": 8}
    more = {t: n + 1 for t, n in largest.items() if n < full.get(t, 8) and t != "mlu370"}
    waiting = [cluster.sbatch("-t30", f"--gres=gpu:{t}:{n}", script=SLEEP) for t, n in more.items()]
    time.sleep(3)  # several cycles of hetd's, several passes of Slurm's
    assert {cluster.job(key)["JobState"] for key in waiting} == {"PENDING"}
    cluster.ok("scancel", *waiting)
    for kind, count in largest.items():
        if count:
            key = cluster.sbatch("-t30", f"--gres=gpu:{kind}:{count}", script=SLEEP)
            cluster.wait_started(key, 10)
            cluster.ok("scancel", key)


def test_who_ends_before_the_held_time_starts(cluster: Cluster) -> None:
    large = cluster.sbatch("-t60", "-N2", "--gres=gpu:mi300x:8", script=SLEEP)
    cluster.wait("amd2 is held", lambda: idle(cluster, "amd2") == {"held"}, 20)
    (node,) = sinfo(cluster, "-n", "amd2")["nodes"]
    told = node["devices"][0]["idle"]
    assert told["job"] == large
    assert 0 < told["time"] - time.time() <= 600
    assert told["text"].startswith(f"held for job {large} until ")
    long = cluster.sbatch("-t30", "--gres=gpu:mi300x:1", script=SLEEP)
    short = cluster.sbatch("-t5", "--gres=gpu:mi300x:1", script=SLEEP)
    cluster.wait_started(short, 10)
    assert cluster.job(long)["JobState"] == "PENDING"
    assert [t["largest"]["devices"] for t in sinfo(cluster, "-p", "train-amd")["types"]] == [0]
    shorter = sinfo(cluster, "-p", "train-amd", "-t", "5")["types"]
    assert [t["largest"]["devices"] for t in shorter] == [7]


@pytest.mark.skipif(not shutil.which("script"), reason="script (util-linux) is missing")
def test_the_screen_is_80_columns_wide_without_utf_8(cluster: Cluster) -> None:
    command = f"stty cols 80; LC_ALL=C {sys.executable} -m slurm_het.cli.sinfo"
    done = cluster.ok("script", "-qec", command, "/dev/null")
    lines = [line.rstrip() for line in done.splitlines()]
    assert max(map(len, lines)) <= 80, done
    assert any("bad fan" in line for line in lines)
