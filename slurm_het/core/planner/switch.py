"""What becomes of the jobs that wait while a pool goes to plan, or back: pure.

An update that bears on nodes names another partition than the job is in, so that Slurm refuses it
as a whole if the job has started meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from slurm_het.core.jobs.admission import Admission, Admitted
from slurm_het.core.jobs.asked import gres_as_submitted
from slurm_het.core.jobs.layout import nodes_to_put_back
from slurm_het.core.jobs.mark import MARK, Mark, decode_comment
from slurm_het.core.jobs.pool_defaults import limit_given_back
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist


class Move(NamedTuple):
    """A waiting job, and the fields of the updates that move it, one after the other."""

    job: Job
    updates: tuple[dict[str, str], ...]

    @property
    def key(self) -> str:
        """By which Slurm updates it, and none of the tasks of its array that run."""
        return self.job.own_key


def into_the_gate(job: Job, admission: Admission, policy: Policy) -> Move | None:
    """How a job that waits in a pool of its own goes to the intake, as the hook would have sent it.

    None for one that is there already (hetd classifies it), and for one that stays: plain Slurm
    places it, or it has an AdminComment of the site's, or what it asks for is too long to be kept.
    """
    if not isinstance(admission, Admitted) or job.partition == policy.intake_partition:
        return None
    comment = admission.fields["admin_comment"]
    mark = decode_comment(comment)
    if job.admin_comment or mark is None or not mark.original:
        return None  # how to send it back could not be kept
    fields = {"Partition": policy.intake_partition, "AdminComment": comment}
    if features := admission.fields.get("features"):
        fields["Features"] = features
    return Move(job, (fields,))


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
        named = set(filter(None, mark.original.get("partition", "").split(",")))
        if policy.pools and named.isdisjoint(pools) and job.partition not in pools:
            continue
        yield Move(job, tuple(_as_written(job, mark, policy)))


def sent_elsewhere(snapshot: Snapshot, policy: Policy) -> list[Job]:
    """The jobs that wait with our mark, and for nodes that they ask for, in partitions that are
    none of `policy`: a hetd with another one may have sent them there."""
    return [
        job
        for job in snapshot.jobs
        if job.state == "PENDING" and job.req_nodes and job.partition not in policy.partitions
        and MARK in job.admin_comment and not job.het_job_id
    ]  # fmt: skip


def as_submitted(job: Job, policy: Policy) -> Move:
    """How such a job becomes what its user submitted."""
    mark = decode_comment(job.admin_comment)
    return Move(job, tuple(_as_written(job, mark, policy)) if mark else ())


def _as_written(job: Job, mark: Mark, policy: Policy) -> Iterator[dict[str, str]]:
    """One that is pinned in its own partition goes through the intake, as its node list must not
    change without its partition. Other Features Slurm itself refuses for a job that has started.
    Where the mark had no room for what its user wrote, the hook's partition and Features stay."""
    original = mark.original or {"partition": job.partition, "features": job.features}
    partition, here = original.get("partition") or policy.intake_partition, job.partition
    own_number = nodes_to_put_back(job, len(hostlist.expand_readable(job.req_nodes)))
    number = {"NumNodes": own_number} if job.req_nodes and own_number else {}
    if partition == here and job.req_nodes:
        here = policy.intake_partition
        yield {**number, "Partition": here, "ReqNodeList": ""}
        number = {}
    fields = {**number, "Partition": partition} if partition != here else {}
    if fields and not job.unsplit:  # what is unsplit has no nodes, and scontrol refuses it the word
        fields["ReqNodeList"] = ""
    if (features := original.get("features", "")) != job.features:
        fields["Features"] = features
    fields |= limit_given_back(job) | gres_as_submitted(job, mark, policy)
    yield fields | {"AdminComment": job.admin_comment.partition(MARK)[0].rstrip()}
