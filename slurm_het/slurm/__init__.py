"""Slurm as we see it: one protocol, one client on its command-line tools, versions in one place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from slurm_het.core.model import Job, Snapshot


class SlurmClient(Protocol):
    """What the daemon and the tools need of Slurm. Every method may raise SlurmError."""

    async def snapshot(self) -> Snapshot:
        """All jobs, nodes and partitions, now."""
        ...

    async def ended_jobs(self, ids: Collection[int] = ()) -> tuple[Job, ...]:
        """The jobs that ended and that Slurm still remembers (slurm.conf's MinJobAge).

        Of these ids, which may be those of arrays, or of all.
        """
        ...

    async def update_job(self, key: str, fields: Mapping[str, str]) -> None:
        """`scontrol update JobId=key field=value ...`, as one update, whole or not at all."""
        ...

    async def tell_job(self, job_id: int, text: str) -> None:
        """Have a line written to the job's standard error (`scontrol notify`)."""
        ...

    async def end_job(self, key: str) -> None:
        """End one job, or one task of an array (`scancel`)."""
        ...

    async def requeue_job(self, key: str) -> None:
        """Have a batch job that has ended wait again, with the same id (`scontrol requeue`)."""
        ...

    async def partition_of(self, key: str) -> str:
        """The partition that a job stands in now; '' if Slurm does not say."""
        ...

    async def set_partition_state(self, partition: str, state: str) -> None:
        """Set a partition UP or DOWN."""
        ...

    async def batch_script(self, job_id: int) -> str:
        """The job's script as it was submitted, or '' if it has none (srun, salloc)."""
        ...
