"""What becomes of the jobs that wait while a pool goes to plan, or back: pure.

Each update names another partition than the job is in, so that Slurm refuses it as a whole if the
job has started meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from slurm_het.core.jobs.admission import Admission, Admitted
from slurm_het.core.jobs.mark import MARK, decode_comment
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.policy import Policy


class Move(NamedTuple):
    """A waiting job, and the fields of the update that moves it."""

    job: Job
    fields: dict[str, str]

    @property
    def key(self) -> str:
        """By which Slurm updates it: of an array what is unsplit as a whole."""
        return str(self.job.id)


def into_the_gate(job: Job, admission: Admission, policy: Policy) -> Move | None:
    """How a job that waits in a pool of its own goes to the intake, as the hook would have sent it.

    None for one that is there already (hetd classifies it), and for one that stays.
    """
    if not isinstance(admission, Admitted) or job.partition == policy.intake_partition:
        return None
    comment = admission.fields["admin_comment"]
    if not comment:
        return None  # how to send it back could not be kept
    fields = {"Partition": policy.intake_partition, "AdminComment": _joined(job, comment)}
    if features := admission.fields.get("features"):
        fields["Features"] = features
    return Move(job, fields)


def out_of_the_gate(snapshot: Snapshot, policy: Policy, pools: frozenset[str]) -> Iterator[Move]:
    """How the jobs that wait in the gate, or pinned in one of these pools, become what their users
    submitted.

    Of the gate only those whose users named a pool of these, or that no pool in plan is left for
    (`policy` is what is to be); the rest wait in the intake as ever.
    """
    ours = {policy.intake_partition, *pools}
    for job in snapshot.jobs:
        if job.state != "PENDING" or job.partition not in ours or MARK not in job.admin_comment:
            continue
        mark = decode_comment(job.admin_comment)
        if mark is None:
            continue
        written = mark.original.get("partition", "")
        named = set(filter(None, written.split(",")))
        left = policy.pools and named.isdisjoint(pools) and job.partition not in pools
        if left:
            continue
        fields = _as_written(job, mark.original, written or policy.intake_partition)
        if fields.get("Partition", job.partition) != job.partition:
            yield Move(job, fields)


def _as_written(job: Job, original: Mapping[str, str], partition: str) -> dict[str, str]:
    fields = {"Partition": partition}
    if job.req_nodes:
        fields["ReqNodeList"] = ""
    if (features := original.get("features", "")) != job.features:
        fields["Features"] = features
    return fields


def _joined(job: Job, comment: str) -> str:
    return f"{job.admin_comment} {comment}" if job.admin_comment else comment
