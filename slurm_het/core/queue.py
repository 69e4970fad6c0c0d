"""The task pools: gated jobs, per scenario, in Slurm's priority order, ready to be planned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from slurm_het.core import hostlist
from slurm_het.core.demand import Demand, count_demand, is_accelerator_job
from slurm_het.core.features import parse_features
from slurm_het.core.inventory import Inventory
from slurm_het.core.model import SCENARIOS, Classification, Job, Partition, Scenario, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.pools import fitting_pools, fitting_types, usable_pools
from slurm_het.core.rewrite import classification_of
from slurm_het.errors import HetError

# Reasons with which a job in the gate is eligible; any other is Slurm's own word to wait.
ELIGIBLE = frozenset({
    "None", "PartitionDown", "PartitionInactive", "Priority", "Resources", "JobArrayTaskLimit",
    "ReqNodeNotAvail", "Reserved_for_higher_priority_jobs", "BadConstraints", "Cleaning",
    "NodeDown", "PartitionNodeLimit",
})  # fmt: skip


_ARRAY_ITEM = re.compile(r"(\d{1,8})(?:-(\d{1,8})(?::(\d{1,8}))?)?\Z")


@dataclass(frozen=True, slots=True)
class TaskPools:
    """Tasks by scenario, in priority order, and jobs that cannot be planned now, with why."""

    tasks: tuple[Task, ...] = ()
    blocked: dict[str, str] = field(default_factory=dict)
    classifications: dict[str, Classification] = field(default_factory=dict)

    def pool(self, scenario: Scenario) -> tuple[Task, ...]:
        """The task pool of one scenario."""
        return tuple(t for t in self.tasks if t.scenario == scenario)

    def sizes(self) -> dict[Scenario, int]:
        """How many tasks each task pool has."""
        return {s: len(self.pool(s)) for s in SCENARIOS}


def is_gated(job: Job, policy: Policy) -> bool:
    """Whether the job waits in the gate."""
    return (
        job.state == "PENDING" and job.partition == policy.intake_partition and not job.het_job_id
    )


def fill_task_pools(
    snapshot: Snapshot,
    inventory: Inventory,
    policy: Policy,
    scripts: Mapping[int, str] | None = None,
    limit: int = 100_000,
) -> TaskPools:
    """Read the gated jobs as tasks; `limit` bounds how many array tasks one job gives."""
    partitions = {p.name: p for p in snapshot.partitions}
    started = _started_array_tasks(snapshot, policy)
    tasks: list[Task] = []
    blocked: dict[str, str] = {}
    classifications: dict[str, Classification] = {}
    gated = [j for j in snapshot.jobs if is_gated(j, policy)]
    for job in sorted(gated, key=lambda j: (-j.priority, j.id, j.array_task_id or 0)):
        key = display_key(job)
        try:
            what = classification_of(job, policy, (scripts or {}).get(job.id, ""))
            classifications[key] = what
            made = _task(job, what, inventory, partitions, policy, snapshot.time)
        except HetError as error:
            made = error.message
        if isinstance(made, str):
            blocked[key] = made
            continue
        room = limit
        if job.array_limit:
            room = max(0, job.array_limit - started.get(job.array_job_id, 0))
            if not room:
                blocked[key] = f"its array runs at most {job.array_limit} tasks at once"
        more = _array_tasks(job, made, room)
        if job.array_job_id:  # what was split off shares the limit with the rest
            started[job.array_job_id] = started.get(job.array_job_id, 0) + len(more)
        tasks += more
    return TaskPools(tuple(tasks), blocked, classifications)


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


def array_indexes(text: str, limit: int) -> tuple[int, ...]:
    """The first `limit` task ids of `0-9,12-20:2%4`; Slurm may shorten a long list with `...`."""
    out: list[int] = []
    for item in text.split("%")[0].split(","):
        match = _ARRAY_ITEM.match(item)
        if match and len(out) < limit:
            low, high, step = int(match.group(1)), match.group(2), int(match.group(3) or 1) or 1
            last = min(int(high or low), low + (limit - len(out)) * step)
            out += range(low, last + 1, step)
    return tuple(out[:limit])


def _array_tasks(job: Job, task: Task, room: int) -> list[Task]:
    if not (job.array_job_id and job.array_task_id is None and job.array_tasks):
        return [task] if room else []
    indexes = array_indexes(job.array_tasks, min(room, 1000))
    return [replace(task, key=f"{job.array_job_id}_{i}") for i in indexes]


def _task(
    job: Job,
    what: Classification,
    inventory: Inventory,
    partitions: Mapping[str, Partition],
    policy: Policy,
    now: float,
) -> Task | str:
    """The task of a gated job, or in words why it cannot be planned now."""
    waits = _slurm_waits(job, now)
    if waits:
        return waits
    if job.priority == 0:
        return "held (priority 0)"
    if not is_accelerator_job(job, policy):
        return "asks for no accelerator; it waits in the intake until the gate opens"
    types = fitting_types(what, inventory.types(), policy)
    pool_types = {p.partition: inventory.types_of(p.partition) for p in policy.pools}
    pools, _ = fitting_pools(what, types, pool_types, policy)
    if not pools:
        return f"no pool has a device of {describe(what)}"
    biggest = max(
        (len(n.devices) for n in inventory.nodes.values()
         if {p.partition for p in pools} & set(n.partitions)
         and any(d.type in types for d in n.devices)),
        default=1,
    )  # fmt: skip
    demand = count_demand(job, policy, biggest)
    if isinstance(demand, str):
        return demand
    usable, refused = usable_pools(job, len(demand.slots), pools, dict(partitions))
    if not usable:
        return f"may use no fitting pool ({refused})"
    return _make_task(job, what, demand, types, usable)


def _slurm_waits(job: Job, now: float) -> str:
    """Slurm's own word to wait, or ''.

    A DOWN partition's jobs have the reason PartitionDown even while a dependency is open (seen on
    22.05), so the dependency and the begin time are read themselves.
    """
    if job.dependency:
        return f"Dependency {job.dependency}"
    if job.eligible_time > now:
        return "BeginTime"
    return "" if job.reason in ELIGIBLE else job.reason


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
    )


def describe(what: Classification) -> str:
    """A classification's types or vendors, for messages."""
    return "|".join(what.types) or "|".join(what.vendors) or "any vendor"
