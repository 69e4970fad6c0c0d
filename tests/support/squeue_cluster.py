"""A small cluster for the tests of het-squeue, as plain records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slurm_het.config import parse_config
from slurm_het.core.model import Job, NodeRecord, Partition, Snapshot
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import TellTime
from slurm_het.core.views.job_rows import JobRow, View, make_view
from slurm_het.core.views.waiting import Remembered

CONFIG = """
intake_partition: accel
pools:
  train-nv: {scenario: training, vendors: [nvidia]}
  train-amd: {scenario: training, vendors: [amd]}
  infer-nv: {scenario: inference, vendors: [nvidia]}
types:
  a100: {memory_gib: 80}
"""
POLICY = parse_config(CONFIG).policy
NOW = 1_700_010_000
WAITING: dict[str, Any] = {"partition": "accel", "reason": "PartitionDown", "priority": 100}


def node(name: str, gres: str, pool: str, **changes: Any) -> NodeRecord:
    """A node of a pool, idle unless `changes` say otherwise."""
    base = NodeRecord(name, "IDLE", gres, cpus=64, memory_mib=512 << 10, partitions=("accel", pool))
    return replace(base, **changes)


NODES = (
    node("nv1", "gpu:a100:8(S:0-1)", "train-nv"),
    node("nv2", "gpu:a100:8", "train-nv"),
    node("amd1", "gpu:mi300x:8", "train-amd"),
    node("amd2", "gpu:mi300x:8", "train-amd"),
    node("l40s1", "gpu:l40s:4,shard:192(S:0)", "infer-nv"),
)


def running(number: int, nodes: str, *detail: str, **changes: Any) -> Job:
    """A job that has run for an hour."""
    base = Job(
        number, user="ann", name=f"job{number}", partition="train-nv", state="RUNNING",
        priority=number, nodes=nodes, gres_detail=detail, start_time=NOW - 3600,
        end_time=NOW + 3600, time_limit_minutes=120,
    )  # fmt: skip
    return replace(base, **changes)


def waiting(number: int, tres: str, **changes: Any) -> Job:
    """A job in the gate."""
    base = Job(number, user="bob", name=f"job{number}", tres_per_node=tres, **WAITING)
    return replace(base, **changes)


def snapshot(*jobs: Job, intake: str = "DOWN", nodes: tuple[NodeRecord, ...] = NODES) -> Snapshot:
    """These jobs on the cluster."""
    partitions = (
        Partition("accel", state=intake),
        *(Partition(p.partition) for p in POLICY.pools),
        Partition("cpu", default=True),
    )
    return Snapshot(NOW, jobs, nodes, partitions)


def view(*jobs: Job, memory: Remembered | None = None, at: TellTime = str, **where: Any) -> View:
    """The rows of these jobs."""
    taken = snapshot(*jobs, **where)
    return make_view(taken, POLICY, Limits(), memory, at)


def row(job: Job, *others: Job, **where: Any) -> JobRow:
    """The row of one job, beside others."""
    return next(r for r in view(job, *others, **where).rows if r.job is job)
