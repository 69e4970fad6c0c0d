"""The task pools: gated jobs, per scenario, in Slurm's priority order, ready to be planned."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.classify import classification_of
from slurm_het.core.jobs.demand import Demand, NodeSize, count_demand, is_accelerator_job, size_of
from slurm_het.core.jobs.gres_choice import as_admitted, choose, may_rewrite
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.pools import fitting_pools, fitting_types, usable_pools
from slurm_het.core.jobs.request import GresRequests, gres_of, registered
from slurm_het.core.model import (
    SCENARIOS,
    Classification,
    Job,
    Node,
    Partition,
    Pool,
    Scenario,
    Snapshot,
    Task,
)
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.arrays import array_indexes, array_size
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.worth.weights import (
    Site,
    site_of,
)
from slurm_het.errors import HetError

# Reasons with which a job in the gate is eligible; any other is Slurm's own word to wait. BeginTime
# may outlast the begin time, which is read itself: nothing in a DOWN partition is looked at again.
ELIGIBLE = frozenset({
    "None", "PartitionDown", "PartitionInactive", "Priority", "Resources", "JobArrayTaskLimit",
    "ReqNodeNotAvail", "Reserved_for_higher_priority_jobs", "BadConstraints", "Cleaning",
    "NodeDown", "PartitionNodeLimit", "BeginTime",
})  # fmt: skip


AT_ONCE_SECONDS = 2  # from a submission until Slurm finds it eligible; it keeps a begin time itself


@dataclass(frozen=True, slots=True)
class Handover:
    """A gated job that is eligible but not ours to plan: plain Slurm places it in `partitions`."""

    partitions: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class TaskPools:
    """Tasks by scenario, in priority order, and jobs that cannot be planned now, with why.

    `blocked` has the handovers too. Keys of jobs are as `display_key` and, for handovers, `key`.
    `unlisted` is how many more tasks of arrays could be planned than `tasks` has.
    """

    tasks: tuple[Task, ...] = ()
    blocked: dict[str, str] = field(default_factory=dict)
    classifications: dict[str, Classification] = field(default_factory=dict)
    handovers: dict[str, Handover] = field(default_factory=dict)
    unlisted: int = 0

    def pool(self, scenario: Scenario) -> tuple[Task, ...]:
        """The task pool of one scenario."""
        return tuple(t for t in self.tasks if t.scenario == scenario)

    def sizes(self) -> dict[Scenario, int]:
        """How many tasks each task pool has."""
        return {s: len(self.pool(s)) for s in SCENARIOS}


class _Size(NamedTuple):
    """What bears on how many nodes a job is spread over, of a node."""

    size: NodeSize
    types: frozenset[str]
    partitions: frozenset[str]
    features: frozenset[str]


@dataclass(frozen=True)
class _View:
    """What every job of one snapshot is held against; worked out once, not per job."""

    inventory: Inventory
    policy: Policy
    partitions: dict[str, Partition]
    now: float
    rewrites_gres: bool

    @cached_property
    def types(self) -> frozenset[str]:
        return self.inventory.types()

    @cached_property
    def pool_types(self) -> dict[str, frozenset[str]]:
        return {p.partition: self.inventory.types_of(p.partition) for p in self.policy.pools}

    @cached_property
    def sizes(self) -> set[_Size]:
        """What the nodes have when nothing runs there."""
        return {
            _Size(
                size_of(n), frozenset(d.type for d in n.devices), frozenset(n.partitions),
                n.features,
            )
            for n in self.inventory.nodes.values()
        }  # fmt: skip

    def largest(self, features: str, pools: Set[str], types: Set[str]) -> NodeSize:
        """The most of everything that a node for such a job has."""
        able = [s for s in self.sizes if pools & s.partitions and types & s.types]
        # Drained or down they may be; that is no reason to spread a job over more of them.
        sizes = [s for s in able if parse_features(features).allows(s.features)] or able
        return NodeSize.largest(s.size for s in sizes)

    @cached_property
    def site(self) -> Site:
        return site_of(self.inventory, self.policy)

    @cached_property
    def odd_nodes(self) -> list[Node]:
        """The nodes on which a request without a type may have to be rewritten."""
        whole = [g for g in self.policy.gres.values() if not g.shared and not g.alias_of]
        return [
            node
            for node in self.inventory.nodes.values()
            if len(whole) > 1 or len({d.kind for d in node.devices}) > 1
        ]

    def held_against(self) -> object:
        """What the reading of a job depends on beside itself; None if that is more than this.

        Which type a request is to name may depend on what is free.
        """
        if self.rewrites_gres and self.odd_nodes:
            return None
        return self.types, self.pool_types, self.sizes, self.partitions, self.rewrites_gres

    @cached_property
    def _chosen(self) -> dict[Task, tuple[tuple[str, str], ...]]:
        return {}

    def rewrites(self, task: Task) -> tuple[tuple[str, str], ...]:
        """`gres_choice.choose`, once for all tasks that ask for the same."""
        if not self.odd_nodes:
            return ()
        if (like := task.request) not in self._chosen:
            self._chosen[like] = choose(task, self.odd_nodes, self.site)
        return self._chosen[like]


_Reading = tuple[Classification | None, Task | Handover | str]
"""What a job is classified as, unless that failed, and its task, or why it has none."""


class Readings:
    """What the jobs of the last snapshot were read as: most of the next one are the same.

    Ten thousand jobs that wait take half a second to read. For one policy.
    """

    def __init__(self) -> None:
        self._held_against: object = None
        self._known: dict[Job, _Reading] = {}

    def of(self, jobs: list[Job], view: _View) -> Iterator[_Reading]:
        """The reading of each job."""
        against = view.held_against()
        before = self._known if against is not None and against == self._held_against else {}
        self._held_against, self._known = against, {}
        for job in jobs:
            reading = before.get(job) or _read(job, view)
            if not _begins_later(job):
                self._known[job] = reading
            yield reading


def is_gated(job: Job, policy: Policy) -> bool:
    """Whether the job waits in the gate."""
    return job.state == "PENDING" and job.partition == policy.intake_partition


def fill_task_pools(
    snapshot: Snapshot,
    inventory: Inventory,
    policy: Policy,
    limit: int = 100_000,
    readings: Readings | None = None,
) -> TaskPools:
    """Read the gated jobs as tasks; `limit` bounds how many array tasks one job gives.

    `readings`: those of the snapshot before; they are brought up to date.
    """
    partitions = {p.name: p for p in snapshot.partitions}
    view = _View(inventory, policy, partitions, snapshot.time, snapshot.rewrites_gres)
    started = _started_array_tasks(snapshot, policy)
    out = TaskPools()
    tasks: list[Task] = []
    unlisted = 0
    gated = [j for j in snapshot.jobs if is_gated(j, policy)]
    gated.sort(key=lambda j: (-j.priority, j.id, j.array_task_id or 0))
    read = (readings or Readings()).of(gated, view)
    for job, (what, made) in zip(gated, read, strict=True):
        key = display_key(job)
        if what:
            out.classifications[key] = what
        if isinstance(made, Handover):
            out.handovers[job.key] = made
            made = made.why
        if isinstance(made, str):
            out.blocked[key] = made
            continue
        allowed = max(1, array_size(job.array_tasks))
        if job.array_limit:
            allowed = min(allowed, job.array_limit - started.get(job.array_job_id, 0))
            if allowed <= 0:
                out.blocked[key] = f"its array runs at most {job.array_limit} tasks at once"
                continue
        more = _array_tasks(job, made, min(limit, allowed))
        unlisted += allowed - len(more)
        if job.array_job_id:  # what was split off shares the limit with the rest
            started[job.array_job_id] = started.get(job.array_job_id, 0) + len(more)
        tasks += more
    return replace(out, tasks=tuple(tasks), unlisted=unlisted)


def _read(job: Job, view: _View) -> _Reading:
    what = None
    try:
        what = classification_of(job, view.policy)
        return what, _task(job, what, view)
    except HetError as error:
        return what, _handover(job, error.message, view)


def _started_array_tasks(snapshot: Snapshot, policy: Policy) -> dict[int, int]:
    """How many tasks of each array run, or are released and about to."""
    counts: dict[int, int] = {}
    for job in snapshot.jobs:
        released = job.state == "PENDING" and job.array_task_id is not None
        if job.array_job_id and (
            job.holds_nodes
            or job.state == "CONFIGURING"
            or (released and job.partition != policy.intake_partition)
        ):
            counts[job.array_job_id] = counts.get(job.array_job_id, 0) + 1
    return counts


def display_key(job: Job) -> str:
    """`123`, `123_4`, or `123_[5-9]` for the not yet split rest of an array."""
    if job.array_job_id and job.array_task_id is None and job.array_tasks:
        return f"{job.array_job_id}_[{job.array_tasks}]"
    return job.key


def _array_tasks(job: Job, task: Task, room: int) -> list[Task]:
    if not (job.array_job_id and job.array_task_id is None and job.array_tasks):
        return [task] if room else []
    indexes = array_indexes(job.array_tasks, min(room, 1000))
    return [replace(task, key=f"{job.array_job_id}_{i}") for i in indexes]


def _task(job: Job, what: Classification, view: _View) -> Task | Handover | str:
    """The task of a gated job, who else places it, or in words why it cannot be planned now."""
    waits = _slurm_waits(job, view.now)
    if waits:
        return waits
    foreign = _not_ours(job, view.policy)
    if foreign:
        return _handover(job, foreign, view)
    types = fitting_types(what, view.types, view.policy)
    pools, _ = fitting_pools(what, types, view.pool_types, view.policy)
    if not pools:
        return f"no pool has a device of {describe(what)}"
    names = {p.partition for p in pools}
    written = gres_of(job)
    asked = _before_release(job, written, types, view)
    demand = count_demand(job, asked, view.policy, view.largest(job.features, names, types))
    if isinstance(demand, str):
        return _handover(job, demand, view, pools)
    usable, refused = usable_pools(job, demand, pools, view.partitions)
    if not usable:
        return f"may use no fitting pool ({refused})"
    task = replace(
        _make_task(job, what, demand, types, usable),
        rewritten=asked is not written and not demand.shared,
    )
    may = view.rewrites_gres and may_rewrite(task, asked, view.policy)
    return replace(task, rewrites=view.rewrites(task)) if may else task


def _not_ours(job: Job, policy: Policy) -> str:
    """Why a job that is in the gate all the same is none that we plan, or ''.

    The hook lets such jobs pass; users put them there with `-p accel`, or by a later update.
    """
    if job.het_job_id:
        return "is part of a heterogeneous job"
    if job.req_nodes:
        return f"names its nodes ({job.req_nodes})"
    if job.reservation:
        return f"is for the reservation {job.reservation}"
    return "" if is_accelerator_job(job, policy) else "asks for no accelerator"


def _handover(job: Job, why: str, view: _View, pools: tuple[Pool, ...] = ()) -> Handover | str:
    """Give a job that we cannot plan to plain Slurm, in the pools that it may use."""
    waits = _slurm_waits(job, view.now)
    if waits:
        return waits
    usable, refused = usable_pools(job, None, pools or view.policy.pools, view.partitions)
    return Handover(usable, f"{why}; plain Slurm places it") if usable else f"{why} ({refused})"


def _slurm_waits(job: Job, now: float) -> str:
    """Slurm's own word to wait, or ''.

    A DOWN partition's jobs have the reason PartitionDown even while a dependency is open (seen on
    22.05), so the dependency and the begin time are read themselves.
    """
    if job.dependency:
        return f"Dependency {job.dependency}"
    if _begins_later(job) and job.eligible_time > now:
        return "BeginTime"
    if job.reason not in ELIGIBLE:
        return job.reason
    return "" if job.priority else "held (priority 0)"


def _begins_later(job: Job) -> bool:
    """Whether it was to wait from the start. By Slurm's clock alone: ours may be behind it."""
    return job.eligible_time > job.submit_time + AT_ONCE_SECONDS


def _before_release(
    job: Job, written: GresRequests, types: frozenset[str], view: _View
) -> GresRequests:
    """What the job itself asks for, if a release that came to nothing has rewritten it.

    Where one type is all that fits, the hook may have named it: that stays.
    """
    kept = decode_comment(job.admin_comment) if view.rewrites_gres and len(types) > 1 else None
    if kept is None:
        return written
    before = gres.parse(kept[1].get("tres_per_node") or kept[1].get("tres_per_job") or "")
    return as_admitted(written, tuple(registered(item, view.policy) for item in before))


def _make_task(
    job: Job,
    what: Classification,
    demand: Demand,
    types: frozenset[str],
    pools: tuple[str, ...],
) -> Task:
    parse_features(job.features)  # refuse now what could not be placed later
    return Task(
        key=job.key,
        job_id=job.id,
        user=job.user,
        scenario=what.scenario,
        types=types,
        slots=demand.slots,
        pools=pools,
        shared=demand.shared,
        memory_gib=demand.memory_gib or what.memory_gib,
        exclusive=demand.exclusive,
        all_memory=demand.all_memory,
        features=job.features,
        exc_nodes=frozenset(hostlist.expand(job.exc_nodes)),
        priority=job.priority,
        minutes=job.time_limit_minutes,
        asks=demand.asks,
        unit=demand.unit,
        threads_per_core=job.threads_per_core,
        job_class=what.job_class,
        since=job.eligible_time or job.submit_time,
    )


def describe(what: Classification) -> str:
    """A classification's types or vendors, for messages."""
    return "|".join(what.types) or "|".join(what.vendors) or "any vendor"
