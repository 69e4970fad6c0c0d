"""What is written into a job: the update that releases it, and the one that takes it back."""

from __future__ import annotations

from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.layout import comment_for
from slurm_het.core.jobs.mark import rewritten
from slurm_het.core.jobs.pool_defaults import keeping_limit, time_limit_text
from slurm_het.core.memory_defaults import TimeLimits
from slurm_het.core.model import Job, Placement, Task
from slurm_het.core.policy import Policy


def release_fields(
    placement: Placement, job: Job, wanted: str = "", limits: TimeLimits = ()
) -> dict[str, str]:
    """The fields of the one update that starts a job where the plan says.

    They name another partition than the job is in, so that Slurm refuses the update as a whole if
    the job has started meanwhile; `ReqNodeList` alone would shrink it. `wanted` is the GRES that it
    must ask for there, if that is another than it does: its record then tells that it is ours.
    `limits` are a task's time_limits.
    """
    fields = {
        "Partition": placement.partition,
        # One by one: Slurm reads nothing behind the last bracket, as in gpu[1-2]-ib.
        "ReqNodeList": ",".join(placement.nodes),
    }
    if len(placement.nodes) > 1 or job.nodes_min > 1:
        # --gpus=16 without -N leaves the number open, and from 24.11 on a list is candidates only.
        fields = {"NumNodes": str(len(placement.nodes)), **fields}
        if comment := comment_for(job, len(placement.nodes)):  # a requeue keeps that number
            fields["AdminComment"] = comment
    if wanted and job.tres_per_job:
        fields["TresPerJob"] = ""  # else "with and without type identification" (24.11, 26.05)
    minutes = dict(limits).get(placement.partition, job.time_limit_minutes)
    if minutes != job.time_limit_minutes:
        fields["TimeLimit"] = time_limit_text(minutes)
        before = fields.get("AdminComment", job.admin_comment)
        if comment := keeping_limit(job, before, minutes):
            fields["AdminComment"] = comment
    return fields | gres_fields(fields.get("AdminComment", job.admin_comment), wanted)


def gres_fields(comment: str, wanted: str) -> dict[str, str]:
    """The fields that give a job other GRES, if any are wanted, and tell in its record, of which
    this is the AdminComment, that its user did not ask for these."""
    if not wanted:
        return {}
    comment = rewritten(comment, wanted)
    return {"Gres": wanted} | ({"AdminComment": comment} if comment else {})


def spread_fields(task: Task, job: Job) -> dict[str, str]:
    """The field with which a task that has waited for one leaf switch long enough is released:
    Slurm would begin to wait for it anew. (`Switches=0` may leave it waiting for ever: 26.05.)"""
    waits = task.leaf_patience is not None
    return {"Switches": f"{job.layout.switches}@0"} if job.layout.switches and not waits else {}


def return_fields(policy: Policy, pin: Pin | None = None) -> dict[str, str]:
    """The update that takes a pinned job back to the gate, as it was before its release."""
    fields = {"Partition": policy.intake_partition, "ReqNodeList": ""}
    if pin is None:
        return fields
    if pin.num_nodes:
        fields = {"NumNodes": pin.num_nodes, **fields}
    limits = dict(pin.task.time_limits)
    if policy.intake_partition in limits:
        before = limits[policy.intake_partition]
        if limits.get(pin.placement.partition, before) != before:
            fields["TimeLimit"] = time_limit_text(before)
    return {**fields, **pin.gives_back}
