"""Where others wait in line for the nodes of a pool, its tasks are put into Slurm's line too.

A partition that is no pool may have the same nodes: scavengers of a lower tier. What gets free
there Slurm gives to them at once, long before hetd has seen it and moved a task that plain Slurm
would have put first. So the first tasks of such a pool are released to it without any nodes: Slurm
starts them where and when it would without us. There is little to be planned on a cluster that
others wait for; the tasks behind the first ones stay in the gate.

So it is with a job that the hook passed to a pool, or that its user moved there: those who came
before it, by Slurm's priority, would start before it if they were not in the gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slurm_het.core.cluster.fit import as_written, could_start, reaches_gres, serving
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.demand import is_accelerator_job
from slurm_het.core.jobs.mark import MARK, decode_comment, encode_mark, in_place, mark_of_sent
from slurm_het.core.jobs.pool_defaults import time_limit_text
from slurm_het.core.jobs.waits import slurm_waits
from slurm_het.core.limits.within import at_limit
from slurm_het.core.model import Job, Placement, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import BehindTheLine, InSlurmsLine, Reason
from slurm_het.core.site_limits import Budget
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.errors import HetError

STAYS_SECONDS = 60.0
"""Once nobody else waits for its nodes, a task goes back to the gate so long after it left that."""
AT_ONCE = 50
"""So many tasks are put into Slurm's line in one cycle, at most: each is an update."""

COMPETING = frozenset({"None", "Priority", "Resources", "Reserved_for_higher_priority_jobs"})
"""Slurm's reasons of jobs that start as soon as there is room for them."""

EVALUATED = COMPETING - {"None"}  # it was not only just submitted


class Rival(NamedTuple):
    """Who waits for a pool's nodes in Slurm's line.

    In a partition of the pool's own, tasks of more than `priority` are to start before it; it is 0
    for those of other partitions, where tiers decide. It waits for these `nodes` alone; none: any.
    """

    priority: int = 0
    nodes: frozenset[str] = frozenset()


Rivals = Mapping[str, Rival]
"""By a pool's partition."""


class SlurmsLine(NamedTuple):
    """Who is put into Slurm's line.

    - `tasks`: those that are planned as ever;
    - `joins`: those that are released to their pools without any nodes;
    - `waits`: by key, why these and those that stay in the gate wait;
    - `move`: the keys of pins ahead to take back, for they had better stand in line, and why;
    - `pools`: those where there is such a line.
    """

    tasks: tuple[Task, ...]
    joins: tuple[Task, ...] = ()
    waits: Mapping[str, Reason] = {}
    move: Mapping[str, str] = {}
    pools: frozenset[str] = frozenset()


def rivals_of(snapshot: Snapshot, inventory: Inventory, policy: Policy) -> Rivals:
    """Where jobs that plain Slurm places wait for devices, and only others' jobs hold them back."""
    pools = {pool.partition for pool in policy.pools}
    own = policy.partitions
    up = {partition.name for partition in snapshot.partitions if partition.state == "UP"}
    waiting: set[str] = set()
    rivals: dict[str, Rival] = {}
    for job in snapshot.jobs:
        named = set(job.partition.split(",")) if job.state == "PENDING" else set()
        apart = named.isdisjoint(own)
        new = (named & up) - waiting if apart else named & up & pools
        if not new or not (apart or _passed(job, named, policy)):
            continue
        if not _competes(job, snapshot.time, policy):
            continue
        if apart:
            waiting |= new
        else:
            rivals |= {pool: _first(rivals.get(pool), job) for pool in new}
    beside = inventory.partitions_beside(waiting) if waiting else frozenset()
    return rivals | dict.fromkeys(beside & own, Rival())


def _passed(job: Job, named: set[str], policy: Policy) -> bool:
    """Whether a job of a pool's partition is not one that hetd sent there.

    One that its user moved there out of the gate keeps our mark, but we sent it to no nodes.
    """
    here = policy.intake_partition not in named and job.reason in EVALUATED
    if not here or MARK not in job.admin_comment:
        return here
    return not job.req_nodes and mark_of_sent(job, "in line") is None


def _first(other: Rival | None, job: Job) -> Rival:
    """Of the rivals in one pool: whom most tasks are before, and the nodes of them all."""
    nodes = frozenset(hostlist.expand_readable(job.req_nodes))
    if other is None:
        return Rival(job.priority, nodes)
    both = other.nodes | nodes if other.nodes and nodes else frozenset()
    return Rival(min(other.priority, job.priority), both)


def _competes(job: Job, now: float, policy: Policy) -> bool:
    if job.reason not in COMPETING:
        return False
    try:
        return slurm_waits(job, now) is None and is_accelerator_job(job, policy)
    except HetError:
        return False


def line_up(
    tasks: tuple[Task, ...], pins: Iterable[Pin], room: Inventory, rivals: Rivals
) -> SlurmsLine:
    """Who of the tasks, in Slurm's priority order and with their claims, is put into its line.

    A task that could start now is planned, unless somebody stands in line before it: what is free
    then is of no use to the others who wait. No more of a pool's tasks are put into line than could
    run if all its devices got free.
    """
    pins = tuple(pins)
    asked: Counter[str] = Counter()
    for pin in pins:
        if pin.in_line:
            asked.update(dict.fromkeys(pin.task.pools, _devices(pin.task)))
    lines = rivals.keys() | asked.keys()
    if not lines:
        return SlurmsLine(tasks)
    there = _contested(room, rivals)
    spent: Counter[Budget] = Counter()
    planned: list[Task] = []
    joins: list[Task] = []
    waits: dict[str, Reason] = {}
    for task in tasks:
        may = _may_join(task, {pool for pool in lines if _before(task, pool, rivals)}, room)
        stands = any(asked[pool] for pool in task.pools)
        if not may or (not stands and could_start(task, room)):
            planned.append(task)
        elif over := _over(task, spent):
            waits[task.key] = over
            continue
        elif len(joins) < AT_ONCE and any(asked[pool] < there[pool] for pool in task.pools):
            joins.append(task)
            waits[task.key] = InSlurmsLine()
            asked.update(dict.fromkeys(task.pools, _devices(task)))
        else:
            waits[task.key] = BehindTheLine()
            continue
        for claim in task.claims:
            spent[claim.budget] += claim.amount
    why = "jobs of other partitions wait for its nodes: it is to be in line with them"
    others = {pool for pool in lines if pool not in rivals or not rivals[pool].priority}
    ahead = (pin for pin in pins if pin.start and _may_join(pin.task, others, room))
    move = {pin.task.key: why for pin in ahead}
    return SlurmsLine(tuple(planned), tuple(joins), waits, move, frozenset(lines))


def _before(task: Task, pool: str, rivals: Rivals) -> bool:
    return pool not in rivals or task.priority > rivals[pool].priority


def _contested(room: Inventory, rivals: Rivals) -> Counter[str]:
    """How many devices of each partition those in Slurm's line wait for."""
    there: Counter[str] = Counter()
    for node in room.nodes.values():
        for name in node.partitions:
            only = rivals[name].nodes if name in rivals else frozenset()
            there[name] += len(node.devices) if not only or node.name in only else 0
    return there


def why_leave(pin: Pin, inventory: Inventory, rivals: Rivals, ticks: float) -> str:
    """Why a released task is to go back to the gate, to join the line or because there is none.

    Where others wait in line, one may have taken what a plan had thought free.
    """
    contested = not rivals.keys().isdisjoint(pin.task.pools)
    if pin.in_line:
        stays = contested or ticks < pin.since + STAYS_SECONDS
        return "" if stays else "nobody else waits for its nodes any more"
    if not contested or pin.start or pin.preempts:
        return ""
    for name, slot in zip(pin.placement.nodes, pin.task.slots, strict=False):
        node = inventory.nodes.get(name)
        if node and len(serving(pin.task, node)) < slot.devices:
            return f"others have taken what was free on {name}"
    return ""


def in_line(task: Task) -> Placement:
    """The placement of a task that is put into Slurm's line: it has no nodes."""
    return Placement(task.key, task.pools[0], (), (), (), task.memory_gib)


def stands_in_line(job: Job, policy: Policy) -> bool:
    """Whether a job was put into Slurm's line, and waits there."""
    if job.state != "PENDING" or job.req_nodes or not mark_of_sent(job, "in line"):
        return False
    return all(policy.pool(name) for name in job.partition.split(","))


def line_fields(task: Task, job: Job) -> dict[str, str]:
    """The update that puts a gated job into Slurm's line; none if it has no mark of ours."""
    mark = decode_comment(job.admin_comment)
    comment = mark and encode_mark(mark._replace(sent="in line"))
    if not comment:
        return {}
    fields = {
        "Partition": ",".join(task.pools),
        "AdminComment": in_place(job.admin_comment, comment),
    }
    for minutes in _limits(task):  # one, or none: else it may not join
        fields["TimeLimit"] = time_limit_text(minutes)
    return fields


def _may_join(task: Task, lines: Iterable[str], room: Inventory) -> bool:
    """Whether Slurm, left alone, gives it what fits, in a pool where there is a line."""
    if set(task.pools).isdisjoint(lines):
        return False
    if task.reservation or task.magnets or task.rewrites or task.rewritten:
        return False
    if len(_limits(task)) > 1:
        return False  # one job has one time limit, whichever pool it starts in
    known, request = room.grid.known.left_alone, task.request
    if request not in known:
        known[request] = _suits_slurm(request, room)
    return known[request]


def _suits_slurm(task: Task, room: Inventory) -> bool:
    """Whether Slurm gives it what fits wherever in its pools it may start it."""
    features = parse_features(task.features)
    for state in room.grid.states:
        node = state.node
        if set(task.pools).isdisjoint(node.partitions) or not features.allows(node.features):
            continue
        if node.closed_to(shares=task.takes_share):
            return False
        reached = any(reaches_gres(task.asks, device.gres) for device in node.devices)
        if reached and not as_written(task, node):
            return False
    return True


def _limits(task: Task) -> set[int | None]:
    """The time limits that its pools would give it, where its user left that open."""
    return {minutes for pool, minutes in task.time_limits if pool in task.pools}


def _over(task: Task, spent: Counter[Budget]) -> Reason | None:
    over = (at_limit(claim, task, spent[claim.budget]) for claim in task.claims)
    return next((reason for reason in over if reason), None)


def _devices(task: Task) -> int:
    return sum(slot.devices for slot in task.slots)
