"""What a queued job becomes whose user asks for something else: `slurm-het ask`, in functions."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.admission import Admitted, Passed, admit, remembering
from slurm_het.core.jobs.mark import Mark, decode_comment, in_place
from slurm_het.core.jobs.request import (
    TRES_FIELDS,
    GresRequests,
    JobRequest,
    from_record,
    gres_of,
)
from slurm_het.core.jobs.trials import NO_TRIALS, Trials
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import HetError


class Anew(NamedTuple):
    """A job in the intake whose user asks for something else since: its batch script, and what is
    asked for, in the words of a directive ('': nothing)."""

    job: Job
    script: str
    asked: str = ""


def asked_anew(
    anew: Anew, policy: Policy, inventory: Inventory, trials: Trials = NO_TRIALS
) -> Admitted:
    """What the job is from now on. Raises HetError where that cannot be."""
    key = anew.job.key
    request = remembering(request_of(anew, policy), policy, inventory, trials)
    made = admit(request, policy, inventory)
    if isinstance(made, Passed):
        raise HetError(f"job {key} is left as it is: {made.why}")
    if wrong := [p for p in made.classification.problems if "slurm-het ask" in p]:
        raise HetError(wrong[0].removeprefix("slurm-het ask: "), "nothing is changed")
    if not made.fields["admin_comment"]:
        raise HetError("what it would be does not fit into its record", "nothing is changed")
    return made


def request_of(anew: Anew, policy: Policy) -> JobRequest:
    """The job as its user wrote it, not as we did, and what he asks for since. Raises HetError.

    Where its GRES are neither what he wrote nor what that became, he has replaced them since.
    """
    job, mark = anew.job, _mark_of(anew.job)
    original = dict(mark.original)
    node, per_job, task, socket = (original.get(field, "") for field in TRES_FIELDS)
    before = replace(
        job, partition=original.get("partition", ""), features=original.get("features", ""),
        tres_per_node=node, tres_per_job=per_job, tres_per_task=task, tres_per_socket=socket,
    )  # fmt: skip
    if not _is_ours(gres_of(job), gres_of(before), mark, policy):
        now = {field: getattr(job, field) for field in TRES_FIELDS}
        before = replace(before, **now)
        kept = {field: text for field, text in original.items() if field not in TRES_FIELDS}
        original = kept | {field: text for field, text in now.items() if text}
    request = from_record(before, anew.script)
    return replace(request, asked=anew.asked, original=original)


def _is_ours(now: GresRequests, before: GresRequests, mark: Mark, policy: Policy) -> bool:
    """Whether these GRES are as the user wrote them, or as the hook or a release rewrote that:
    under another name, with a type, as a share; per node what was asked for in all."""
    what, meant = mark.classification, before.registered(policy)
    if what.share and now == GresRequests(node=(Gres("shard", count=what.memory_gib),)):
        return True
    released = GresRequests(node=meant.job) if not meant.node else meant
    return any(
        all(_same(mine, there, policy) for mine, there in zip(now, then, strict=True))
        for then in (meant, released)
    )


def _same(now: tuple[Gres, ...], then: tuple[Gres, ...], policy: Policy) -> bool:
    """Whether these are those, maybe with a type that they had not."""
    return len(now) == len(then) and all(
        mine.count == there.count
        and there.type in {None, mine.type}
        and (mine.name == there.name or policy.is_whole(mine.name) == policy.is_whole(there.name))
        for mine, there in zip(now, then, strict=True)
    )


def _mark_of(job: Job) -> Mark:
    mark = decode_comment(job.admin_comment)
    if mark is None or not mark.original:
        told = f"how job {job.key} was submitted is not known"
        raise HetError(told, "cancel it, submit it anew")
    return mark


def update_of(
    job: Job, fields: dict[str, str], policy: Policy, *, rewrites: bool
) -> dict[str, str]:
    """The update: with its partition, so that Slurm refuses it once the job has started.

    `rewrites`: this Slurm lets the GRES of a queued job be replaced. Raises HetError.
    """
    mark = decode_comment(job.admin_comment)
    asks = {f: fields[f] for f in TRES_FIELDS if f in fields and fields[f] != getattr(job, f)}
    if asks and not rewrites:
        raise HetError(
            f"it would have to ask for {', '.join(asks.values())}, which this Slurm does not"
            " let a queued job do", "cancel it and submit it anew",
        )  # fmt: skip
    if set(asks) - {"tres_per_node"}:
        raise HetError("it asks for devices per job or task", "cancel it and submit it anew")
    update = {
        "Partition": policy.intake_partition,
        "AdminComment": in_place(job.admin_comment, fields["admin_comment"]),
        "Features": fields.get("features", mark.original.get("features", "") if mark else ""),
    }
    return update | ({"Gres": asks["tres_per_node"]} if asks else {})


def updated(job: Job, update: dict[str, str]) -> Job:
    """The record of the job after such an update."""
    return replace(
        job, partition=update["Partition"], admin_comment=update["AdminComment"],
        features=update["Features"], tres_per_node=update.get("Gres", job.tres_per_node),
    )  # fmt: skip
