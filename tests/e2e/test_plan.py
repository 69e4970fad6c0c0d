"""`slurm-het plan` is hetd's next cycle: the same decision from the same cluster."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from slurm_het.config import load_config
from slurm_het.journal import Journal
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.procs import Process
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]
CUDA = "module load cuda\ntorchrun train.py\n"
WINDOW = 2
Where = tuple[str, tuple[str, ...], tuple[tuple[int, ...], ...]]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    planner = {"planner": {"window_tasks": WINDOW, "reserve_after_seconds": 0}}
    with own_sandbox(overrides=AMPLE | planner) as sandbox:
        yield sandbox


def _started(cluster: Cluster, key: str) -> bool:
    return "started" in cluster.outcomes(key)


def slurmd_of(cluster: Cluster, node: str) -> Process:
    (slurmd,) = (p for p in cluster.box.daemons() if p.name == f"slurmd-{node}")
    return slurmd


def stage(cluster: Cluster) -> dict[str, str]:
    """A queue that hetd has not seen: it is stopped, and the gate is closed. The jobs by name."""
    moved = cluster.sbatch("--gres=gpu:2", script=f"{CUDA}sleep 300")
    ending = cluster.sbatch(
        "--gres=gpu:4", script=f"{CUDA}trap '' TERM\nsleep 300 & wait; sleep 300"
    )
    full = cluster.sbatch(
        "--gres=gpu:8", "-t", "30", script="module load rocm\ntorchrun\nsleep 300"
    )
    for key in (moved, ending, full):
        cluster.wait_state(key, "RUNNING")
        cluster.wait("hetd saw it start", partial(_started, cluster, key))
    # Held, so that the hook classifies them and hetd plans none of them yet.
    blocked = cluster.sbatch("-H", "--gres=gpu:8", "-N2", script=CUDA)
    later = cluster.sbatch("-H", "--gres=gpu:8", "-N2", script="module load rocm\ntorchrun")
    more = [
        cluster.sbatch("-H", "--gres=gpu:1", "-t", "5", script="module load rocm\ntorchrun")
        for _ in range(WINDOW + 2)
    ]
    cluster.tool("admin", "bypass", "on")
    cluster.wait("the gate is open", lambda: cluster.gate() == "UP")
    cluster.box.stop_hetd()
    cluster.ok("scontrol", "update", "PartitionName=accel", "State=DOWN")
    # The leftover: back in the gate, with the node list of its release still in its record.
    cluster.ok("scontrol", "requeue", moved)
    cluster.wait_state(moved, "PENDING")
    cluster.ok("scontrol", "update", f"JobId={moved}", "Partition=accel", "StartTime=now")
    cluster.wait(
        "it is eligible", lambda: cluster.job(moved)["Reason"] in {"PartitionDown", "None"}
    )
    cluster.ok("scontrol", "release", blocked, later, *more)
    slurmd = slurmd_of(cluster, cluster.job(ending)["NodeList"])
    slurmd.signal(signal.SIGSTOP)  # so that the job does not come to its end
    cluster.ok("scancel", ending)
    cluster.wait_state(ending, "COMPLETING")
    assert cluster.job(moved)["ReqNodeList"] != "(null)"
    return {"moved": moved, "blocked": blocked, "later": later, "last": more[-1]}


def by_key(placements: list[dict[str, Any]]) -> dict[str, Where]:
    return {
        p["key"]: (p["partition"], tuple(p["nodes"]), tuple(map(tuple, p["devices"])))
        for p in placements
    }


def first_cycle(cluster: Cluster, after: int) -> tuple[dict[str, Where], dict[str, Where]]:
    """What hetd's first cycle after that entry of the journal placed, and pinned ahead."""
    journal = Journal(load_config(cluster.box.config_path).paths.journal, read_only=True)
    found: tuple[list[Any], list[Any]] = [], []
    try:
        rows = journal.db.execute(
            "SELECT cycle.id, cycle.status, placement FROM placement JOIN cycle"
            " ON cycle.id = placement.cycle WHERE cycle.id > ? ORDER BY cycle.id", (after,)
        ).fetchall()  # fmt: skip
    finally:
        journal.close()
    seen: dict[bool, int] = {}
    for cycle, status, placement in rows:
        ahead = status == "reserved"
        if cycle == seen.setdefault(ahead, cycle):
            found[ahead].append(json.loads(placement))
    return by_key(found[0]), by_key(found[1])


def last_cycle(cluster: Cluster) -> int:
    journal = Journal(load_config(cluster.box.config_path).paths.journal, read_only=True)
    try:
        return int(journal.db.execute("SELECT MAX(id) FROM cycle").fetchone()[0])
    finally:
        journal.close()


def test_plan_decides_as_hetds_next_cycle_does(cluster: Cluster) -> None:
    cluster.open_side_door()  # so that it pins ahead
    jobs = stage(cluster)
    before = last_cycle(cluster)
    made = json.loads(cluster.tool("admin", "plan", "--json"))
    told = cluster.tool("admin", "plan")
    cluster.tool("admin", "bypass", "off")  # hetd is away: the flag is taken off the disk
    cluster.box.start_hetd()
    cluster.wait("hetd has planned", lambda: first_cycle(cluster, before)[0])
    for daemon in cluster.box.daemons():
        daemon.signal(signal.SIGCONT)
    placed, pinned = first_cycle(cluster, before)
    assert by_key(made["placements"]) == placed
    assert len(placed) == WINDOW, told
    assert by_key(made["reserved"]) == pinned
    assert set(pinned) == {jobs["later"], jobs["blocked"]}
    starts = {p["key"]: p["start"] - time.time() for p in made["reserved"]}
    assert starts[jobs["later"]] > 1500, "it waits for the whole-node job, by its time limit"
    assert starts[jobs["blocked"]] < 60, "the COMPLETING job still has its devices"
    assert jobs["moved"] in placed, "the leftover node list is ours"
    assert jobs["last"] in made["waiting"], "what is beyond the window is said to wait"
    assert jobs["last"] in told
