"""A Slurm in memory, for the tests of hetd that need no real one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from slurm_het.core.model import Job, Snapshot
from slurm_het.errors import SlurmBusyError, SlurmError
from tests.support.world import snapshot, with_side_door


class FakeControllers:
    """One that always answers."""

    async def watch(self, directory: Path) -> None:
        """Nothing to see."""


class FakeSlurm:
    """Jobs on the sandbox's nodes; updates are kept, and refused for the keys in `refuse`."""

    def __init__(self, *jobs: Job, gate: str = "DOWN") -> None:
        self.jobs = jobs
        self.gate = gate
        self.updates: list[tuple[str, dict[str, str]]] = []
        self.refuse: set[str] = set()
        self.no_time: set[str] = set()  # jobs for which slurmctld has no time
        self.no_time_after: dict[str, str] = {}  # nor to send them elsewhere than there
        self.started: set[str] = set()  # jobs that start before an update reaches them
        self.refusal = "Requested partition configuration not available now"
        self.stale: set[str] = set()  # nodes of which Slurm takes devices for used
        self.drained: set[str] = set()
        self.times: dict[str, int] = {}  # DefaultTime by partition, where it is another
        self.side_door = False  # whether a partition that is no pool has the nodes too
        self.stuck: set[str] = set()  # jobs that stay in the intake whatever is sent
        self.told: list[tuple[int, str]] = []
        self.ended: list[str] = []
        self.requeued: list[str] = []
        self.closed = 0
        self.controllers = FakeControllers()
        self.time = 0.0

    async def snapshot(self) -> Snapshot:
        shot = snapshot(*self.jobs)
        shot = with_side_door(shot) if self.side_door else shot
        nodes = tuple(
            replace(
                n, gres_stale=n.name in self.stale,
                state=n.state + "+DRAIN" * (n.name in self.drained),
            )
            for n in shot.nodes
        )  # fmt: skip
        partitions = tuple(
            replace(
                p, state=self.gate if p.name == "accel" else p.state,
                default_minutes=self.times.get(p.name, p.default_minutes),
            )
            for p in shot.partitions
        )  # fmt: skip
        return replace(shot, time=self.time, partitions=partitions, nodes=nodes)

    async def ended_jobs(self, ids: Collection[int] = ()) -> tuple[Job, ...]:
        return tuple(job for job in self.jobs if job.finished and (not ids or job.id in ids))

    async def update_job(self, key: str, fields: Mapping[str, str]) -> None:
        self.updates.append((key, dict(fields)))
        if key in self.no_time or fields.get("Partition") != self.no_time_after.get(
            key, fields.get("Partition")
        ):
            raise SlurmBusyError("Resource temporarily unavailable")
        if key in self.started:
            raise SlurmError("Job is no longer pending execution")
        if key in self.refuse and "accel" not in fields.values():
            raise SlurmError(self.refusal)

    async def tell_job(self, job_id: int, text: str) -> None:
        self.told.append((job_id, text))

    async def end_job(self, key: str) -> None:
        self.ended.append(key)

    async def requeue_job(self, key: str) -> None:
        if key in self.refuse:
            raise SlurmError("Requested operation is presently disabled")
        self.requeued.append(key)

    async def partition_of(self, key: str) -> str:
        return "accel" if key in self.stuck else ""

    async def set_partition_state(self, partition: str, state: str) -> None:
        assert partition == "accel"
        self.gate = state
        self.closed += state == "DOWN"

    async def batch_script(self, job_id: int) -> str:
        return "module load rocm\ntorchrun x" if job_id == 77 else ""
