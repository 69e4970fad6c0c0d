"""Nodes whose CPUs are their cores (`CPUs=56` with ThreadsPerCore=2): Slurm deals out no thread."""

from __future__ import annotations

import pytest

from slurm_het.core.capacity import SubmitRules
from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.jobs.admission import Admitted, Refused, admit_message
from slurm_het.core.model import Job, NodeRecord, Partition, Snapshot
from slurm_het.library import propose
from slurm_het.slurm.records import parse_nodes
from slurm_het.slurm.reservations import parse_reservations
from tests.support.world import gated, inventory, policy, running

SEVEN = {"tres_per_node": "gpu:1", "cpus": 7, "cpus_per_task": 7}
ALL_GPUS = {"tres_per_node": "gpu:8", "cpus": 40, "cpus_per_task": 40}


def node(cpus: int = 56, *, alloc: int = 0, shape: str = "28 2 1 2") -> NodeRecord:
    """A node of 8 GPUs; `shape`: CoresPerSocket, Sockets, Boards, ThreadsPerCore."""
    cores, sockets, boards, threads = shape.split()
    (record,) = parse_nodes(
        f"NodeName=n1 Arch=x86_64 CoresPerSocket={cores}  CPUAlloc={alloc} CPUEfctv={cpus}"
        f" CPUTot={cpus} CPULoad=0.79 AvailableFeatures=a100 ActiveFeatures=a100 Gres=gpu:a100:8"
        f" RealMemory=1048576 AllocMem={alloc * 1024} FreeMem=23158 Sockets={sockets}"
        f" Boards={boards} State={'MIXED' if alloc else 'IDLE'} ThreadsPerCore={threads} TmpDisk=0"
        " Weight=1 Partitions=accel,train-nv\n"
    )
    return record


def snapshot(record: NodeRecord, *jobs: Job) -> Snapshot:
    pools = (Partition(pool.partition) for pool in policy().pools)
    parts = (Partition("accel", state="DOWN"), *pools)
    rules = SubmitRules("ANY", bounds_gpus=True)
    return Snapshot(0.0, jobs, (record,), parts, rewrites_gres=True, submit_rules=rules)


def placed(record: NodeRecord, *jobs: Job) -> list[str]:
    return [p.key for p in propose(snapshot(record, *jobs), policy()).placements]


@pytest.mark.parametrize(
    ("cpus", "shape", "threads"),
    [
        (56, "28 2 1 2", 1),
        (40, "28 2 1 2", 1),
        (112, "28 2 1 2", 2),
        (56, "14 4 2 2", 1),  # Sockets are those of both boards
        (112, "14 4 2 2", 2),
        (56, "28 2 1 1", 1),
        (256, "32 2 1 4", 4),
        (56, "N/A N/A 1 2", 2),  # no cores are told
    ],
)
def test_the_threads_of_a_core_that_are_cpus(cpus: int, shape: str, threads: int) -> None:
    assert node(cpus, shape=shape).threads_per_core == threads


def test_an_odd_number_of_cpus_is_not_rounded_up() -> None:
    each = [gated(number, **SEVEN) for number in range(1, 9)]
    assert placed(node(), *each) == [str(number) for number in range(1, 9)]
    others = [
        running(n, "n1", f"gpu:a100:1(IDX:{n - 1})", partition="train-nv", **SEVEN)
        for n in range(1, 8)
    ]
    assert placed(node(alloc=49), *others, gated(8, **SEVEN)) == ["8"]


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_one_thread_of_each_core_is_no_more_cores(threads: int) -> None:
    """As of --hint=nomultithread and --threads-per-core=1; they count where threads are CPUs."""
    assert placed(node(), gated(1, threads_per_core=threads, **ALL_GPUS)) == ["1"]
    wide = {**ALL_GPUS, "cpus": 60, "cpus_per_task": 60}
    both = placed(node(112), gated(1, threads_per_core=threads, **wide))
    assert both == ([] if threads == 1 else ["1"])


@pytest.mark.parametrize(("cores", "partial"), [(30, True), (56, False)])
def test_a_reservation_of_more_than_half_its_cores(cores: int, partial: bool) -> None:
    text = (
        "ReservationName=half StartTime=1 EndTime=9999999999 Nodes=n1 NodeCnt=1"
        f" CoreCnt={cores} Flags= TRES=cpu={cores} Users=x State=ACTIVE"
    )
    (reservation,) = parse_reservations(text, [node()])
    assert reservation.partial is partial


@pytest.mark.parametrize(("threads", "verdict"), [("2", Admitted), ("3", Refused)])
def test_slurm_holds_submitted_jobs_against_all_threads(threads: str, verdict: type) -> None:
    """Of --threads-per-core Slurm asks only whether cores have them (node_scheduler.c)."""
    known = capacity_of(snapshot(node()), policy())
    sent = {"partition": "accel", "tres_per_node": "gpu:1", "threads_per_core": threads}
    assert isinstance(admit_message(sent, policy(), inventory(), known), verdict)
