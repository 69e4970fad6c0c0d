"""What became of a released task, by Slurm's record of its job."""

from __future__ import annotations

from slurm_het.core.cluster.holdings import held_indexes
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.pool_defaults import with_users_limit
from slurm_het.core.jobs.request import TRES_FIELDS, changed_since
from slurm_het.core.model import Job
from slurm_het.core.planner.outcomes import Event
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres, hostlist


def settled(job: Job | None, pin: Pin, policy: Policy, overdue: bool) -> tuple[Event, str] | None:
    """Event and detail once a pin's fate is known; None while its job still waits to start."""
    if job is None:
        return Event.GONE, "it has left Slurm's queue"
    if job.state == "PENDING":
        if job.partition == policy.intake_partition:
            return Event.BACK, f"it is in the intake again ({job.reason})"
        if job.partition != pin.placement.partition and not (
            pin.in_line and set(job.partition.split(",")) <= set(pin.task.pools)
        ):
            return Event.MOVED, f"to {job.partition}, by somebody else"
        return None
    actual = held_indexes(job, policy)
    if job.state == "COMPLETING" and not actual:
        # 22.05 lists neither the devices of a COMPLETING job nor the nodes that are done with it.
        # It lists the nodes again once the job is COMPLETED. Until then the pin holds what is not
        # free yet.
        return (Event.STARTED, "it is ending") if overdue else None
    if not job.nodes:
        return Event.GONE, f"it is {job.state} without having started"
    if pin.in_line:
        return Event.STARTED, _show(actual)
    if set(hostlist.expand_readable(job.nodes)) != set(pin.placement.nodes):
        return Event.ELSEWHERE, f"on {job.nodes}, planned {hostlist.fold(pin.placement.nodes)}"
    planned = dict(zip(pin.placement.nodes, pin.placement.devices, strict=True))
    if actual and actual != planned:
        return (
            Event.STARTED,
            f"other devices than planned: {_show(actual)}, planned {_show(planned)}",
        )
    return Event.STARTED, _show(actual) if actual else f"{job.nodes} (ended since)"


def time_was_set(job: Job, pin: Pin) -> bool:
    """Whether somebody has given a released job another time limit since: then that stays."""
    given, limits = job.time_limit_minutes, dict(pin.task.time_limits)
    if with_users_limit(job) is not job:
        return False
    return any(limits.get(name, given) != given for name in job.partition.split(","))


def asks_anew(job: Job) -> bool:
    """Whether its user has changed the GRES that it asks for since its release."""
    mark = decode_comment(job.admin_comment)
    return mark is not None and not changed_since(job, mark).keys().isdisjoint(TRES_FIELDS)


def asks_otherwise(job: Job | None, pin: Pin) -> bool:
    """Whether its user took it back to ask for fewer nodes, or for some that it was not to have:
    then it can be planned at once."""
    if job is None:
        return False
    own = pin.task.exc_nodes if pin.own_exc_nodes is None else pin.own_exc_nodes
    off = frozenset(hostlist.expand_readable(job.exc_nodes))
    least = int(pin.num_nodes.partition("-")[0] or len(pin.placement.nodes))
    return job.nodes_min < least or off < own


def _show(devices: dict[str, tuple[int, ...]]) -> str:
    return gres.format_places(devices.items())
