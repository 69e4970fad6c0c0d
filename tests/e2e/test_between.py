"""End to end on real Slurm: what happens to a job between hetd's snapshot and its update.

hetd runs Slurm's own scontrol through a wrapper, which first does what the test put in its way:
so each race is hit every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from slurm_het.config import load_config
from slurm_het.journal import Journal
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.daemons import SUPERVISOR
from slurm_het.sandbox.layout import program
from tests.chaos.events import TOPOLOGY
from tests.support.cluster import AMPLE, ENDED, SIDE_DOOR, Cluster, sandbox_dir

pytestmark = pytest.mark.slurm
CUDA = "module load cuda\n"
WRAPPER = """#!/bin/sh
# scontrol; the first release of a job runs BASE/before, once; BASE/busy holds how often to refuse.
set -f; [ $# != 0 ] || {{ read -r line; set -- $line; }}  # updates of jobs come on stdin
case "$*" in
"update JobId="*ReqNodeList=?*)
    export JOB=$(echo "$*" | sed 's/.*JobId=\\([0-9_]*\\).*/\\1/')
    export NODE=$(echo "$*" | sed 's/.*ReqNodeList=\\([a-z0-9]*\\).*/\\1/')
    if mv {base}/before {base}/before.$$ 2>/dev/null; then
        sh {base}/before.$$
        for i in $(seq 60); do # what has changed now must be seen by this release, not the next
            out=$({path} "$@" 2>&1); rc=$?
            case $out in *"temporarily unavailable"*) sleep 0.05 ;; *) break ;; esac
        done
        [ -z "$out" ] || echo "$out" >&2
        exit $rc
    fi
    if [ -s {base}/busy ]; then
        sed -i 1d {base}/busy
        echo "slurm_update error: Resource temporarily unavailable" >&2
        exit 1
    fi ;;
esac
exec {path} "$@"
"""


DRAIN = "scontrol update NodeName=$NODE State=DRAIN Reason=test"
DEAD = "kill -9 $(cut -d ' ' -f 1 {run}/slurmd-$NODE.pid)\n"  # as if its power had failed
# With ReturnToService=2 an answer under way brings the node back, seen by slurmctld at its next
# second (24.11, 26.05): one that is still down after two, its slurmd dead, stays so.
DOWN = (
    DEAD
    + """
for i in $(seq 5); do
    scontrol update NodeName=$NODE State=DOWN Reason=test
    sleep 2
    sinfo -h -N -n $NODE -o %t | grep -q down && break
done
"""
)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A small sandbox; hetd's scontrol is the wrapper."""
    with sandbox_dir() as base:
        bin_dir, topology = base / "bin", base / "topology.yaml"
        bin_dir.mkdir()
        (bin_dir / "squeue").symlink_to(program("squeue"))
        (bin_dir / "scontrol").write_text(WRAPPER.format(base=base, path=program("scontrol")))
        (bin_dir / "scontrol").chmod(0o755)
        topology.write_text(TOPOLOGY)
        planner = {
            "grace_seconds": 8.0, "retry_seconds": 3.0, "poll_seconds": 1.0, "reservations": 1,
        }  # fmt: skip
        overrides = {"planner": planner, "slurm": {"bin_dir": str(bin_dir)}} | AMPLE
        with Sandbox.up(base / "box", topology, overrides=overrides) as sandbox:
            yield sandbox


@pytest.fixture
def cluster(box: Sandbox) -> Iterator[Cluster]:
    it = Cluster(box)
    it.wait("the gate is closed", lambda: it.gate() == "DOWN")
    yield it
    base = box.dir.parent
    for path in (*base.glob("before*"), base / "busy"):
        path.unlink(missing_ok=True)
    for name in ("nv1", "nv2", "amd1", "amd2"):
        if it.box.start_slurmd(name):  # once it registers it is up by itself
            it.wait(f"{name} is back", partial(_is_up, it, name))
        it.box.run(["scontrol", "update", f"NodeName={name}", "State=RESUME"])
    it.ok("scontrol", "update", "PartitionName=train-nv", "State=UP", "AllowGroups=ALL")
    it.clear()
    assert box.hetd_pid(), f"hetd died of it:\n{box.layout.log_tail(SUPERVISOR)}"


def _is_up(cluster: Cluster, name: str) -> bool:
    return "State=DOWN" not in cluster.ok("scontrol", "-o", "show", "node", name)


def before_release(cluster: Cluster, commands: str) -> None:
    """Have shell commands run when hetd is about to release the next job ($JOB to $NODE)."""
    base = cluster.box.dir.parent
    (base / "new").write_text(commands)
    (base / "new").rename(base / "before")


def details(cluster: Cluster, key: str) -> list[str]:
    """`event: detail` of each of the job's outcomes."""
    journal = Journal(load_config(cluster.box.config_path).paths.journal, read_only=True)
    try:
        return [f"{event}: {detail}" for _, event, detail in journal.outcomes_of(key)]
    finally:
        journal.close()


def test_cancelled(cluster: Cluster) -> None:
    before_release(cluster, "scancel $JOB")
    key = cluster.sbatch("--gres=gpu:1", script=CUDA)
    cluster.wait_state(key, "CANCELLED")
    assert cluster.job(key)["RunTime"] == "00:00:00"
    cluster.wait_started(cluster.sbatch("--gres=gpu:4", "-N2", script=CUDA))


def test_held(cluster: Cluster) -> None:
    """It is not started, it is no pin for ever, and it starts when it is let go."""
    before_release(cluster, "scontrol hold $JOB")
    key = cluster.sbatch("--gres=gpu:1", script=CUDA)
    cluster.wait("it is held", lambda: "Held" in cluster.job(key)["Reason"])
    cluster.wait_started(cluster.sbatch("--gres=gpu:4", "-N2", script=CUDA))
    cluster.ok("scontrol", "release", key)
    cluster.wait_started(key)


def test_changed_by_its_user(cluster: Cluster) -> None:
    """The plan was for one card; it runs with two, and the next job finds what is true."""
    before_release(cluster, "scontrol update JobId=$JOB TimeLimit=7 Gres=gpu:2")
    key = cluster.sbatch("--gres=gpu:1", script=CUDA + "sleep 60")
    record = cluster.wait_state(key, "RUNNING")
    assert record["TimeLimit"] == "00:07:00"
    assert "gpu:a100:2(IDX:0-1)" in cluster.box.run(["scontrol", "-d", "show", "job", key]).stdout
    other = cluster.sbatch("--gres=gpu:2", "-w", record["NodeList"], "-p", "train-nv")
    cluster.wait_started(other)


def test_started_natively(cluster: Cluster) -> None:
    """Slurm refuses the update as a whole; the job runs on as it is."""
    before_release(
        cluster,
        "scontrol update PartitionName=accel State=UP\n"
        "for i in $(seq 100); do squeue -h -j $JOB -t R | grep -q . && break; sleep 0.1; done\n",
    )
    key = cluster.sbatch("--gres=gpu:1", script=CUDA + "sleep 15")
    started = cluster.wait_state(key, "RUNNING")
    cluster.wait("hetd's update was refused", lambda: "refused" in cluster.outcomes(key))
    cluster.wait("hetd closed the gate again", lambda: cluster.gate() == "DOWN")
    record = cluster.wait_state(key, "COMPLETED")
    assert record["Partition"] == "accel"
    assert (record["NodeList"], record["StartTime"]) == (
        started["NodeList"], started["StartTime"],
    )  # fmt: skip
    assert record["Restarts"] == "0"


@pytest.mark.parametrize("state", ["DRAIN", "DOWN"])
def test_its_node_is_gone(cluster: Cluster, state: str) -> None:
    """Taken back as soon as the next snapshot shows it, not after the grace time."""
    commands = {"DRAIN": DRAIN, "DOWN": DOWN.format(run=cluster.box.layout.run)}
    before_release(cluster, commands[state])
    key = cluster.sbatch("--gres=gpu:1", script=CUDA)
    used = cluster.wait_started(key)["NodeList"]
    (gone,) = {"nv1", "nv2"} - {used}
    assert state in cluster.ok("scontrol", "-o", "show", "node", gone)
    # Slurm may have been too busy (EAGAIN) for so long that it was never released to that node.
    if f"released: train-nv {gone}" in details(cluster, key):
        assert any("returned" in d and state in d for d in details(cluster, key))


def test_its_node_is_dead_and_slurm_does_not_know(cluster: Cluster) -> None:
    """Slurm starts it there, finds out (`SlurmdTimeout`; here an admin), and requeues it."""
    before_release(cluster, DEAD.format(run=cluster.box.layout.run))
    key = cluster.sbatch("--gres=gpu:1", "--requeue", script=CUDA + "sleep 2")
    lost = cluster.wait_state(key, "RUNNING", "COMPLETING")["NodeList"]
    cluster.wait_state(key, "COMPLETING", "PENDING")  # its launch failed
    cluster.ok("scontrol", "update", f"NodeName={lost}", "State=DOWN", "Reason=test")
    cluster.wait_state(key, "PENDING")
    # From 24.11 on Slurm holds it back for two minutes.
    cluster.box.run(["scontrol", "update", f"JobId={key}", "StartTime=now"])  # refused if it runs
    record = cluster.wait_started(key)
    assert (record["Restarts"], record["NodeList"] == lost) == ("1", False)
    told = details(cluster, key)
    # Slurm may have requeued it, to begin later, before hetd saw the node DOWN.
    assert told[2].startswith((f"returned: {lost} is DOWN", "returned: it was requeued")), told


def test_a_node_dies_that_a_job_is_pinned_ahead_to(cluster: Cluster) -> None:
    cluster.open_side_door()
    blocker = cluster.sbatch("--gres=gpu:4", "-N2", "-t", "3", script=CUDA + "sleep 170")
    cluster.wait_state(blocker, "RUNNING")
    key = cluster.sbatch("--gres=gpu:4", "-t", "3", script=CUDA)
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(key))
    plan = cluster.planned(key)
    assert plan is not None
    node = plan.nodes[0]
    cluster.ok("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    cluster.wait("it was taken back", lambda: "returned" in cluster.outcomes(key))
    cluster.ok("scancel", blocker)
    assert cluster.wait_started(key)["NodeList"] != node


def test_another_admin_closes_the_pool(cluster: Cluster) -> None:
    before_release(cluster, "scontrol update PartitionName=train-nv State=DOWN")
    # No other pool has this type; without it the job would go to an inference pool meanwhile.
    key = cluster.sbatch("--gres=gpu:a100:1", script=CUDA)
    cluster.wait("it came back", lambda: "returned" in cluster.outcomes(key))
    down = "State=DOWN"
    cluster.wait("it says why", lambda: down in cluster.tool("admin", "why", key), job=key)
    cluster.ok("scontrol", "update", "PartitionName=train-nv", "State=UP")
    cluster.wait_started(key)


@pytest.mark.parametrize(
    ("closed", "opened", "said"),
    [("State=INACTIVE", "State=UP", {"refused"}),
     # From 24.11 on root may move a job where its user may not go: it waits there, and comes back.
     ("AllowGroups=daemon", "AllowGroups=ALL", {"refused", "returned"})],
)  # fmt: skip
def test_an_update_that_is_refused_half_way(
    cluster: Cluster, closed: str, opened: str, said: set[str]
) -> None:
    """Slurm refuses the partition, and keeps or not what came before: it is undone."""
    before_release(cluster, f"scontrol update PartitionName=train-nv {closed}")
    key = cluster.sbatch("--gres=gpu:1", script=CUDA, user="nobody")
    cluster.wait("it was refused", lambda: said & set(cluster.outcomes(key)))

    def where() -> tuple[str, str]:
        record = cluster.job(key)
        return record["Partition"], record["ReqNodeList"]

    cluster.wait("it is as before", lambda: where() == ("accel", "(null)"))
    cluster.ok("scontrol", "update", "PartitionName=train-nv", opened)
    cluster.wait_started(key)


def test_eagain(cluster: Cluster) -> None:
    """The update is sent again; the job has no penalty."""
    busy = cluster.box.dir.parent / "busy"
    busy.write_text("x\n" * 4)
    key = cluster.sbatch("--gres=gpu:1", script=CUDA)
    cluster.wait_started(key)
    assert not busy.read_text()
    assert "refused" not in cluster.outcomes(key)


def test_an_array_splits(cluster: Cluster) -> None:
    """Some of its tasks are changed by themselves, one is cancelled; the others run once each."""
    before_release(
        cluster,
        "scontrol update JobId=${JOB%_*}_3 Nice=5\nscancel ${JOB%_*}_4\n"
        "scontrol hold ${JOB%_*}_5\nscontrol release ${JOB%_*}_5\n",
    )
    key = cluster.sbatch("--array=0-5", "--gres=gpu:1", script=CUDA)

    def states() -> list[str]:
        return [j.state for j in cluster.jobs() if j.array_job_id == int(key)]

    cluster.wait("all have ended", lambda: set(states()) <= ENDED)
    tasks = [j for j in cluster.jobs() if j.array_job_id == int(key)]
    ran = [j.array_task_id for j in tasks if j.state == "COMPLETED"]
    # Task 4 may have run already where this machine was slow to cancel it.
    assert sorted({task or 0 for task in ran} - {4}) == [0, 1, 2, 3, 5]
    assert len(ran) == len(set(ran))
    # A pending task has no record of its own unless it was split off before it was cancelled:
    # Slurm strikes it off the array's list, and ends the array's record with the last on it
    # (job_mgr.c, 22.05.8 to 26.05.3). hetd may have split task 4 off by then, or not.
    rest = [j.state for j in tasks if j.state != "COMPLETED"]
    assert rest in ([], ["CANCELLED"])
    assert all(j.restarts == 0 for j in tasks)


def test_the_only_task_of_an_array_keeps_its_name(cluster: Cluster) -> None:
    """Its record is the array's, and Slurm splits nothing off when it is pinned."""
    cluster.open_side_door()
    blocker = cluster.sbatch("--gres=gpu:4", "-N2", "-t", "3", script=CUDA + "sleep 170")
    cluster.wait_state(blocker, "RUNNING")
    array = cluster.sbatch("--array=3", "--gres=gpu:4", "-t", "3", script=CUDA + "sleep 20")
    key = f"{array}_3"
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(key))
    cluster.ok("scancel", blocker)
    cluster.wait_started(key)
    cluster.wait("it was seen to run", lambda: "started" in cluster.outcomes(key))
    # It may be kept in between: its start was a moment before it was to be moved.
    seen = [event for event in cluster.outcomes(key) if event != "kept"]
    assert (seen, cluster.outcomes(array)) == (["reserved", "started"], [])


@pytest.mark.parametrize("partition", ["train-amd", SIDE_DOOR])
@pytest.mark.parametrize("pinned", [False, True])
def test_moved_to_another_pool_by_its_user(cluster: Cluster, pinned: bool, partition: str) -> None:
    """Our Features, and a pin, would be BadConstraints there: they are taken off. And
    where that is no pool, they would keep it from nodes that are free."""
    cluster.open_side_door()
    blocker = cluster.sbatch("--gres=gpu:4", "-N2", "-t", "3", script=CUDA + "sleep 170")
    cluster.wait_state(blocker, "RUNNING")
    first = cluster.sbatch("--gres=gpu:4", "-t", "3", script=CUDA, user="nobody")
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(first))
    second = cluster.sbatch("--gres=gpu:4", "-t", "30", script=CUDA, user="nobody")
    cluster.wait("it waits", lambda: cluster.job(second)["Reason"] == "PartitionDown")
    key = first if pinned else second
    cluster.ok("scontrol", "update", f"JobId={key}", f"Partition={partition}", user="nobody")
    record = cluster.wait_started(key)
    assert record["Partition"] == partition
    assert record["NodeList"] not in {"nv1", "nv2"}


def test_a_returned_job_may_use_as_many_nodes_as_its_user_said(cluster: Cluster) -> None:
    """A release fixes the number of nodes of `--gpus=2`; taken back, it is open again."""
    before_release(cluster, "scontrol update PartitionName=train-amd State=DOWN")
    options = ["-N1-2", "--gpus=2", "-p", "train-amd"]
    key = cluster.sbatch(*options, script="sleep 1")
    cluster.wait("it came back", lambda: "returned" in cluster.outcomes(key))
    job = next(j for j in cluster.jobs() if j.key == key)
    assert (job.nodes_min, job.nodes_max) == (1, 2)
    cluster.ok("scontrol", "update", "PartitionName=train-amd", "State=UP")
    cluster.wait_started(key)
