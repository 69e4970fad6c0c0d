"""No job starves: a whole-node job starts by its reserved time amid a stream of small ones."""

from __future__ import annotations

import threading
import time

import pytest

from slurm_het.slurm.versions import parse_version
from tests.support.cluster import Cluster

pytestmark = pytest.mark.slurm


@pytest.mark.parametrize("door", [True, False])
def test_a_whole_node_job_is_not_starved(cluster: Cluster, door: bool) -> None:
    """Sixteen cards of one pool, two-card jobs of 12 s coming every 0.7 s: always full."""
    if door:
        cluster.open_side_door()
    stop = threading.Event()
    small: list[str] = []

    def stream() -> None:
        while not stop.is_set() and len(small) < 160:
            small.append(
                cluster.sbatch("--gres=gpu:2", "-t", "1", script="module load dtk; sleep 12")
            )
            stop.wait(0.7)  # so they end one by one, too

    def running() -> int:
        return sum(j.key in small and j.state == "RUNNING" for j in cluster.jobs())

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        cluster.wait("the pool is full", lambda: running() == 8)
        before = len(small)
        key = cluster.sbatch("--gres=gpu:8", "-t", "1", script="module load dtk; torchrun; sleep 3")
        if door:
            cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(key), job=key)
        record = cluster.wait_started(key)
        assert len(small) > before, "small jobs kept coming"
        assert cluster.outcomes(key)[0] == ("reserved" if door else "released")
        assert "returned" not in cluster.outcomes(key)
    finally:
        stop.set()
        thread.join()
    plan = cluster.planned(key)
    assert plan is not None
    assert record["NodeList"] == plan.nodes[0]


@pytest.mark.parametrize("door", [True, False])
def test_what_ends_in_time_fills_the_gap(cluster: Cluster, door: bool) -> None:
    """A reserved node is not left idle for tasks that end before it is needed."""
    if door:
        cluster.open_side_door()
    blocker = cluster.sbatch("--gres=gpu:4", "-N2", "-t", "30", script="module load dtk; sleep 300")
    cluster.wait_state(blocker, "RUNNING")
    big = cluster.sbatch("--gres=gpu:8", "-N2", "-t", "5", script="module load dtk; sleep 1")
    if door:
        cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(big))
    late = cluster.sbatch("--gres=gpu:1", "-t", "60", script="module load dtk; sleep 1")
    in_time = cluster.sbatch("--gres=gpu:1", "-t", "5", script="module load dtk; sleep 1")
    cluster.wait_started(in_time)
    assert cluster.job(late)["JobState"] == "PENDING"
    kept = f"kept for job {big} until"
    cluster.wait("it says why", lambda: kept in cluster.tool("squeue", "-j", late))
    cluster.ok("scancel", blocker)
    cluster.wait_started(big)
    cluster.wait_started(late)


def test_nothing_that_outlasts_the_wait_goes_beside_it(cluster: Cluster) -> None:
    """Two cards of the node would be spare, but Slurm's backfill keeps the whole node free."""
    cluster.open_side_door()
    full = cluster.sbatch("--gres=gpu:8", "-t", "60", script="module load dtk; sleep 300")
    ending = cluster.sbatch("--gres=gpu:4", "-t", "4", script="module load dtk; sleep 300")
    for key in (full, ending):
        cluster.wait_state(key, "RUNNING")
    big = cluster.sbatch("--gres=gpu:6", "-t", "5", script="module load dtk; sleep 1")
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(big))
    late = cluster.sbatch("--gres=gpu:1", "-t", "60", script="module load dtk; sleep 1")
    kept = f"kept for job {big} until"
    cluster.wait("it is kept off", lambda: kept in cluster.tool("squeue", "-j", late))
    cluster.ok("scancel", ending)
    cluster.wait_started(big)
    cluster.wait_started(late)
    assert "returned" not in cluster.outcomes(late)


def test_what_is_to_spare_beside_who_waits_is_given_out(cluster: Cluster) -> None:
    """Two of eight cards, for longer than it waits: nobody is pinned where the gate is all."""
    full = cluster.sbatch("--gres=gpu:8", "-t", "60", script="module load dtk; sleep 300")
    ending = cluster.sbatch("--gres=gpu:4", "-t", "4", script="module load dtk; sleep 300")
    for key in (full, ending):
        cluster.wait_state(key, "RUNNING")
    big = cluster.sbatch("--gres=gpu:6", "-t", "5", script="module load dtk; sleep 1")
    late = [
        cluster.sbatch("--gres=gpu:1", "-t", "60", script="module load dtk; sleep 300")
        for _ in range(3)
    ]
    for key in late[:2]:
        cluster.wait_started(key)
    kept = f"kept for job {big} until"
    cluster.wait("the third is kept off", lambda: kept in cluster.tool("squeue", "-j", late[2]))
    assert cluster.job(big)["JobState"] == "PENDING"
    cluster.ok("scancel", ending)
    cluster.wait_started(big)


def test_a_node_is_kept_free_of_shares_for_a_whole_device(cluster: Cluster) -> None:
    """Both nodes of the pool have sharers: the next shares keep off one until the card is taken."""
    if not parse_version(cluster.ok("scontrol", "--version")).forgets_sharers:
        pytest.skip("this Slurm gives out whole devices beside sharers")
    script = "#HET scenario=inference\nmodule load neuware; python infer.py; sleep {}"
    for node in ("mlu1", "mlu2"):
        sharer = cluster.sbatch("--gres=shard:8", "-x", node, script=script.format(300))
        cluster.wait_state(sharer, "RUNNING")
    whole = cluster.sbatch("--gres=gpu:1", script=script.format(1))
    late = cluster.sbatch("--gres=shard:8", "-x", "mlu2", "-t", "1", script=script.format(30))
    kept = f"mlu1 is kept free of shares for job {whole}"
    cluster.wait("shares keep off", lambda: kept in cluster.tool("squeue", "-j", late))
    cluster.ok("scancel", sharer)
    assert cluster.wait_started(whole)["NodeList"] == "mlu1"
    cluster.wait_started(late)


@pytest.mark.both_ways
@pytest.mark.parametrize("how", ["hold", "Dependency"])
def test_a_pin_that_cannot_start_gives_its_nodes_back(cluster: Cluster, how: str) -> None:
    """Its owner may hold it, or have it wait for another job: nobody else is to wait for that."""
    cluster.open_side_door()
    blocker = cluster.sbatch("--gres=gpu:8", "-N2", "-t", "30", script="module load dtk; sleep 300")
    cluster.wait_state(blocker, "RUNNING")
    pinned = cluster.sbatch("--gres=gpu:8", "-N2", "-t", "60", script="module load dtk; sleep 1")
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(pinned))
    if how == "hold":
        cluster.ok("scontrol", "hold", pinned)
    else:
        cluster.ok("scontrol", "update", f"JobId={pinned}", f"Dependency=after:{blocker}+600")
    other = cluster.sbatch("--gres=gpu:8", "-t", "60", script="module load dtk; sleep 1")
    cluster.ok("scancel", blocker)
    cluster.wait_started(other)
    assert "returned" in cluster.outcomes(pinned)
    assert cluster.job(pinned)["JobState"] == "PENDING"
    if how == "hold":
        assert cluster.job(pinned)["Priority"] == "0", "it is still held"


@pytest.mark.both_ways
def test_a_reservation_moves_away_from_a_node_that_is_drained(cluster: Cluster) -> None:
    """It is dropped at the next look, in Slurm's record too, and made elsewhere."""
    cluster.open_side_door()
    for minutes in ("4", "30"):
        blocker = cluster.sbatch("--gres=gpu:8", "-t", minutes, script="module load dtk; sleep 300")
        cluster.wait_state(blocker, "RUNNING")
    big = cluster.sbatch("--gres=gpu:8", "-t", "5", script="module load dtk; sleep 1")
    cluster.wait("it is pinned ahead", lambda: cluster.job(big)["ReqNodeList"] != "(null)", job=big)
    first = cluster.job(big)["ReqNodeList"]
    (other,) = {"dcu1", "dcu2"} - {first}
    late = cluster.sbatch("--gres=gpu:1", "-t", "60", script="module load dtk; sleep 1")
    cluster.ok("scontrol", "update", f"NodeName={first}", "State=DRAIN", "Reason=test")
    try:
        row = cluster.tool("squeue", "-j", f"{big},{late}")
        assert "expected by" not in row or other in row
        cluster.wait(
            "it is pinned elsewhere", lambda: cluster.job(big)["ReqNodeList"] == other, job=big
        )
        assert cluster.outcomes(big)[:3] == ["reserved", "returned", "reserved"]
        why = cluster.tool("squeue", "-j", late)
        assert first not in why.split("kept for")[0]
    finally:
        cluster.ok("scontrol", "update", f"NodeName={first}", "State=RESUME")


def test_who_can_never_start_stops_no_reservation(cluster: Cluster) -> None:
    """Not while a job without a limit has one of the two nodes that it needs."""
    cluster.open_side_door()
    blocker = cluster.sbatch("--gres=gpu:8", "-t", "30", script="module load dtk; sleep 300")
    cluster.wait_state(blocker, "RUNNING")
    without_a_limit(cluster, "module load dtk; sleep 300")
    two = cluster.sbatch("--gres=gpu:8", "-N2", "-t", "5", script="module load dtk; sleep 1")
    big = cluster.sbatch("--gres=gpu:8", "-t", "5", script="module load dtk; sleep 1")
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(big), job=big)
    assert cluster.outcomes(two) == []
    assert cluster.job(big)["ReqNodeList"] == cluster.job(blocker)["NodeList"]


@pytest.mark.both_ways
def test_a_reservation_gives_way_to_a_job_of_higher_priority(cluster: Cluster) -> None:
    """Plain Slurm makes its reservations anew each time, in the order of the day."""
    cluster.open_side_door()
    for minutes in ("4", "30"):
        blocker = cluster.sbatch("--gres=gpu:8", "-t", minutes, script="module load dtk; sleep 300")
        cluster.wait_state(blocker, "RUNNING")
    low = cluster.sbatch(
        "--gres=gpu:8", "-t", "60", "--nice=100", script="module load dtk; sleep 1"
    )
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(low), job=low)
    first = cluster.job(low)["ReqNodeList"]
    high = cluster.sbatch("--gres=gpu:8", "-t", "60", script="module load dtk; sleep 1")
    cluster.wait("it has its place", lambda: cluster.job(high)["ReqNodeList"] == first, job=high)
    assert cluster.job(low)["ReqNodeList"] == "(null)"
    assert cluster.outcomes(low) == ["reserved", "returned"]


def without_a_limit(cluster: Cluster, script: str) -> str:
    """A job that runs on a node of train-dcu for ever."""
    key = cluster.sbatch("--gres=gpu:8", "-t", "10", script=script)
    cluster.wait_state(key, "RUNNING")
    cluster.ok("scontrol", "update", f"JobId={key}", "TimeLimit=UNLIMITED")
    return key


def test_a_job_past_its_end_holds_no_reservation_up(cluster: Cluster) -> None:
    """Slurm looks for such jobs twice a minute: just now, maybe, were they not let run longer."""
    cluster.open_side_door()
    cluster.ok("scontrol", "update", "PartitionName=train-dcu", "OverTimeLimit=9")
    late = cluster.sbatch("--gres=gpu:8", "-t", "10", script="module load dtk; sleep 300")
    cluster.wait_state(late, "RUNNING")
    without_a_limit(cluster, "module load dtk; sleep 300")
    cluster.ok("scontrol", "update", f"JobId={late}", "EndTime=now+1")

    def over() -> bool:
        (job,) = (job for job in cluster.jobs() if job.key == late)
        return job.state == "RUNNING" and job.end_time < time.time()

    cluster.wait("its end is past", over, job=late)
    big = cluster.sbatch("--gres=gpu:8", "-t", "5", script="module load dtk; sleep 1")
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(big), job=big)
    assert cluster.job(late)["JobState"] == "RUNNING"
    assert cluster.job(big)["ReqNodeList"] == cluster.job(late)["NodeList"]
    cluster.ok("scancel", late)
    cluster.wait_started(big)
    assert "returned" not in cluster.outcomes(big)
    cluster.ok("scontrol", "update", "PartitionName=train-dcu", "OverTimeLimit=0")


def test_who_is_pinned_ahead_is_free_again_once_hetd_stops(cluster: Cluster) -> None:
    """Its nodes are the ones that are free soonest, as it looks; plain Slurm takes others."""
    cluster.open_side_door()
    longer = cluster.sbatch("--gres=gpu:8", "-t", "60", script="module load dtk; sleep 300")
    ending = cluster.sbatch("--gres=gpu:8", "-t", "4", script="module load dtk; sleep 300")
    for key in (longer, ending):
        cluster.wait_state(key, "RUNNING")
    waits = cluster.sbatch("--gres=gpu:8", "-t", "2", script="module load dtk; sleep 1")
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(waits))
    assert cluster.job(waits)["ReqNodeList"] == cluster.job(ending)["NodeList"]
    node = cluster.job(longer)["NodeList"]
    cluster.box.stop_hetd()
    try:
        cluster.ok("scancel", longer)
        cluster.wait("it starts there", lambda: cluster.job(waits).get("NodeList") == node)
    finally:
        cluster.box.start_hetd()
        cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")
