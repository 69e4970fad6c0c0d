"""The task pools: gated jobs, per scenario, in Slurm's priority order, ready to be planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from operator import attrgetter

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.mark import HANDED_OVER, mark_of_sent
from slurm_het.core.jobs.reading import Handover
from slurm_het.core.jobs.readings import Readings
from slurm_het.core.jobs.waits import Awaited, is_yet_to_begin
from slurm_het.core.model import SCENARIOS, Classification, Job, Scenario, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import ArrayLimit, PlacedBySlurm, Reason, TooLate
from slurm_het.core.syntax.arrays import array_indexes, array_size

AT_A_TIME = 1000
"""So many tasks of one array are listed at most, whatever the limit."""


@dataclass(frozen=True, slots=True)
class TaskPools:
    """The tasks of all scenarios, in Slurm's priority order, and why other jobs give none now.

    `blocked` and `classifications` are by Job.label, `handovers` by Job.key; `blocked` has these
    too. `changed` are the ids of those whose users have changed what they ask for since they were
    classified. `unlisted` is how many more tasks of arrays could be planned than `tasks` has.
    """

    tasks: tuple[Task, ...] = ()
    blocked: dict[str, Reason] = field(default_factory=dict)
    classifications: dict[str, Classification] = field(default_factory=dict)
    handovers: dict[str, Handover] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    unlisted: int = 0

    def pool(self, scenario: Scenario) -> tuple[Task, ...]:
        """The task pool of one scenario."""
        return tuple(t for t in self.tasks if t.scenario == scenario)

    def without(self, keys: Collection[str]) -> TaskPools:
        """The same without these jobs: they are neither planned nor handed over."""
        if not keys:
            return self
        tasks = tuple(task for task in self.tasks if task.key not in keys)
        left = {key: one for key, one in self.handovers.items() if key not in keys}
        return replace(self, tasks=tasks, handovers=left)

    def sizes(self) -> dict[Scenario, int]:
        """How many tasks each task pool has."""
        return {s: len(self.pool(s)) for s in SCENARIOS}


def awaited_in(snapshot: Snapshot, policy: Policy) -> Awaited:
    """Whom the gated jobs depend on."""
    gated = (job for job in snapshot.jobs if is_gated(job, policy))
    return snapshot.once("awaited", lambda: Awaited.by(gated), policy.intake_partition)


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
    """Read the gated jobs as tasks; `limit` bounds how many tasks of an array one job gives.

    `readings` are those of the snapshot before; they are brought up to date.
    """
    facts = ClusterFacts.of(snapshot, inventory, policy)
    started = _started_array_tasks(snapshot, policy)
    out = TaskPools()
    tasks: list[Task] = []
    unlisted = 0
    gated = [job for job in snapshot.jobs if is_gated(job, policy)]
    gated.sort(key=attrgetter("id"))
    gated.sort(key=attrgetter("priority"), reverse=True)  # of equal ones the first stays first
    read = (readings or Readings()).of(gated, facts)
    for job, (what, outcome, changed) in zip(gated, read, strict=True):
        if what:
            out.classifications[job.label] = what
        if changed:
            out.changed.add(job.id)
        if isinstance(outcome, Task) and _is_too_late(job, outcome, facts.now):
            outcome = Handover(outcome.pools, TooLate())
        if isinstance(outcome, Handover):
            out.handovers[job.key] = outcome
            outcome = PlacedBySlurm(outcome.why)
        if isinstance(outcome, Reason):
            out.blocked[job.label] = outcome
            continue
        allowed = _allowed_tasks(job, started)
        if allowed <= 0:
            out.blocked[job.label] = ArrayLimit(job.array_limit)
            continue
        listed = _array_tasks(job, outcome, min(limit, allowed))
        unlisted += allowed - len(listed)
        if job.array_job_id:  # tasks that were split off share the limit with the rest
            started[job.array_job_id] += len(listed)
        tasks += listed
    return replace(out, tasks=tuple(tasks), unlisted=unlisted)


def _started_array_tasks(snapshot: Snapshot, policy: Policy) -> Counter[int]:
    """By array, how many of its tasks run, or are released and about to."""
    return Counter(
        job.array_job_id
        for job in snapshot.jobs
        if job.array_job_id and (job.holds_nodes or _about_to_start(job, policy, snapshot.time))
    )


def _about_to_start(job: Job, policy: Policy, now: float) -> bool:
    """Whether a task is released and may start at once.

    Slurm counts those that run. So one that was requeued and is held, or waits for a dependency,
    takes no place of the others, nor does one that its user moved elsewhere or that was handed
    over: plain Slurm starts whichever can start first.
    """
    if job.state == "PENDING":
        later = not job.priority or job.dependency or is_yet_to_begin(job, now)
        return job.array_task_id is not None and not later and _is_released(job, policy)
    return job.state == "CONFIGURING"


def _is_released(job: Job, policy: Policy) -> bool:
    """Whether a pending job is where we released it: on its nodes, or in Slurm's line."""
    if not all(policy.pool(name) for name in job.partition.split(",")):
        return False
    pinned = job.req_nodes and not job.admin_comment.startswith(HANDED_OVER)
    return bool(pinned) or mark_of_sent(job, "in line") is not None


def _is_too_late(job: Job, task: Task, now: float) -> bool:
    """Whether it would miss its deadline even if it started now. Slurm cancels it then where it
    looks at it: on 22.05 not in a DOWN partition."""
    if not job.deadline or task.minutes is None:
        return False
    limits = [task.limit_in(pool) for pool in task.pools]
    least = min([task.minutes, *(minutes for minutes in limits if minutes is not None)])
    return now + 60 * least > job.deadline


def _allowed_tasks(job: Job, started: Counter[int]) -> int:
    """How many tasks a job stands for that may start, beside those of its array that have."""
    tasks = max(1, array_size(job.array_tasks)) if job.array_tasks else 1
    if not job.array_limit:
        return tasks
    return min(tasks, job.array_limit - started[job.array_job_id])


def _array_tasks(job: Job, task: Task, most: int) -> list[Task]:
    """The first tasks of those that the job stands for, at most so many."""
    if not job.unsplit:
        return [task] if most else []
    indexes = array_indexes(job.array_tasks, min(most, AT_A_TIME))
    return [replace(task, key=f"{job.array_job_id}_{index}") for index in indexes]
