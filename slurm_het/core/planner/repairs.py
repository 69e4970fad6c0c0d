"""What a snapshot lacks or has too much of, by Slurm version, set right before it is read."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace

from slurm_het.core.jobs.mark import MARK
from slurm_het.core.jobs.request import gres_of
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job, Placement, Snapshot
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import Gres

Holdings = dict[int, dict[str, str]]
"""By job id, the GRES details of its nodes by name, as Slurm last told them."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A job's last plan; `start` (epoch seconds) as in Pin, 0 for at once."""

    placement: Placement
    start: float = 0.0


LastPlan = Callable[[Job], Planned | None]
"""The last plan of a job, from the journal."""


def no_journal(_job: Job) -> Planned | None:
    """The last plan of a job where there is no journal."""
    return None


def may_ask_for_plan(job: Job, policy: Policy) -> bool:
    """Whether the last plan of such a job may be asked for, here or to find pins again."""
    if job.state == "COMPLETING":
        return not job.gres_detail
    if not job.req_nodes:
        return False
    in_pool = any(job.partition == pool.partition for pool in policy.pools)
    return is_gated(job, policy) or (in_pool and job.state == "PENDING")


def with_details(
    snapshot: Snapshot,
    policy: Policy,
    holdings: Holdings,
    last_plan: LastPlan,
    pinned: Container[str] = (),
) -> tuple[Snapshot, Holdings]:
    """The snapshot with the devices of COMPLETING jobs, and what all jobs hold now.

    22.05 prints no GRES details of a COMPLETING job, whose devices are not free yet, and leaves out
    the nodes that are done with it. What it held before tells them; for whoever did not see it run,
    what was last planned for it. That is not asked for jobs in `pinned`: those have their room.
    """

    def planned(job: Job) -> Planned | None:
        return None if job.key in pinned else last_plan(job)

    jobs = tuple(_with_detail(job, policy, holdings, planned) for job in snapshot.jobs)
    held = {
        job.id: dict(zip(hostlist.expand_readable(job.nodes), job.gres_detail, strict=False))
        for job in jobs
        if job.holds_nodes and job.gres_detail
    }
    return replace(snapshot, jobs=jobs), held


def _with_detail(job: Job, policy: Policy, holdings: Holdings, last_plan: LastPlan) -> Job:
    if job.gres_detail or not job.holds_nodes:
        return job
    before = holdings.get(job.id)
    if before is None and job.state == "COMPLETING":
        before = _as_planned(job, last_plan(job), policy)
    names = hostlist.expand_readable(job.nodes)
    if not before or any(name not in before for name in names):
        return job
    return replace(job, gres_detail=tuple(before[name] for name in names))


def _as_planned(job: Job, planned: Planned | None, policy: Policy) -> dict[str, str]:
    """The GRES details that Slurm would print of a job that runs as planned, by node."""
    asked = (item.name for item in gres_of(job).all() if item.name in policy.gres)
    name = next(asked, None)
    if planned is None or name is None:
        return {}
    known, made = policy.gres[name], planned.placement
    each = made.memory_gib if known.shared else 1  # the unit of a share is one GiB
    return {
        node: str(Gres(known.alias_of or name, None, each * len(indexes), indexes=indexes))
        for node, indexes in zip(made.nodes, made.devices, strict=True)
    }


def without_leftovers(snapshot: Snapshot, policy: Policy, last_plan: LastPlan) -> Snapshot:
    """The snapshot, gated jobs with a node list of ours as if they had none.

    24.11 and 26.05 keep the node list of an update that they refuse; hetd clears it, unless it
    ends before that. The next release replaces it. A list that its user wrote is another than the
    one last planned.
    """

    def cleared(job: Job) -> Job:
        if not (job.req_nodes and is_gated(job, policy) and MARK in job.admin_comment):
            return job
        last = last_plan(job)
        ours = last and set(last.placement.nodes) == set(hostlist.expand_readable(job.req_nodes))
        return replace(job, req_nodes="") if ours else job

    return replace(snapshot, jobs=tuple(map(cleared, snapshot.jobs)))
