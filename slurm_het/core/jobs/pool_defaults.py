"""What a user left open of memory, CPUs, nodes and time: each pool's partition has defaults.

Slurm applies those of the partition where a job is tested: of memory and CPUs after a move too, but
not of time. A time limit that the intake gave stays, and one that nobody gave becomes MaxTime. Only
what the intake gives counts as left open: anything else an update has set since, and it stays. So a
job that comes back to the gate gets the intake's again.

The site's MaxWall caps a time that was left open: Slurm itself gives no more, and would hold back a
job with more. `walls` are its minutes by partition, where one bears on the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.jobs.mark import Mark, decode_comment, with_original
from slurm_het.core.jobs.request import (
    ALL_MEMORY,
    CPUS_PER_TASK,
    CPUS_PER_TRES,
    TIME_LIMIT,
    TIME_MIN,
    UNTOLD,
    USERS_LIMIT,
    number_of,
)
from slurm_het.core.memory_defaults import NO_DEFAULTS, MemoryDefaults, TimeLimits
from slurm_het.core.model import Job, Partition, Task
from slurm_het.core.policy import Pool

NO_WALLS: Mapping[str, int] = {}


class Bounds(NamedTuple):
    """How long a job may run: MaxWall by partition, and whether MaxTime holds for its QOS."""

    walls: Mapping[str, int] = NO_WALLS
    max_time: bool = True


NO_BOUNDS = Bounds()


class InPools(NamedTuple):
    """A job as Slurm will see it in the pools, and the pools that suit it so.

    `time_limits` are the limits that it is to be given by pool, where its user left that open or is
    content with less, and the one for the intake if it comes back. Then the job itself has one that
    no pool refuses: the least of them, or its --time-min. `by_pool` is what it asks of CPUs and
    memory in each, where that differs; the job itself has the most then.
    """

    job: Job
    pools: tuple[Pool, ...]
    time_limits: TimeLimits = ()
    shortens: bool = False
    by_pool: tuple[tuple[str, Job], ...] = ()

    def minutes(self, usable: Iterable[str]) -> int | None:
        """The minutes to plan with in these of the pools; None is no limit.

        Of a job with --time-min the least: so Slurm's backfill does, and then gives it what fits.
        """
        if self.shortens or not self.time_limits:
            return self.job.time_limit_minutes
        found = [minutes for pool, minutes in self.time_limits if pool in usable]
        return max((m for m in found if m is not None), default=None) if None not in found else None


def as_in_the_pools(
    job: Job,
    pools: tuple[Pool, ...],
    partitions: Mapping[str, Partition],
    intake: str,
    bounds: Bounds = NO_BOUNDS,
) -> InPools:
    """The job with the pools' defaults for what the hook has marked as left open by its user."""
    mark = decode_comment(job.admin_comment)
    there = _with_host(job, mark, pools, partitions) if mark else InPools(job, pools)
    return _with_time(there, mark, partitions, intake, bounds)


def _with_time(
    there: InPools,
    mark: Mark | None,
    partitions: Mapping[str, Partition],
    intake: str,
    bounds: Bounds,
) -> InPools:
    """The job with the time that each of the pools gives it."""
    job, pools, walls = with_users_limit(there.job), there.pools, bounds.walls
    known = [p for pool in pools if (p := partitions.get(pool.partition))]
    if mark and (least := _time_min(job, mark)):
        # Where MaxWall is below its least it is held back, as it is in plain Slurm.
        caps = {name: wall for name, wall in walls.items() if wall >= least}
        limits = tuple((p.name, _within(job.time_limit_minutes, p, caps)) for p in known)
        limits += ((intake, _least(job.time_limit_minutes, walls.get(intake))),)
        shorter = replace(job, time_limit_minutes=least)
        return there._replace(job=shorter, time_limits=limits, shortens=True)
    said, gate = mark.original.get(TIME_LIMIT) if mark else UNTOLD, partitions.get(intake)
    if said == UNTOLD:
        is_open = _may_be_open(job, known, gate, walls)
    else:
        is_open = said == "" and (
            _is_as_slurm_gave(job, gate, walls)
            or (bounds.max_time and _is_too_long(job, known, gate))
        )
    if not known or not is_open:
        return there
    limits = tuple((p.name, _given_at_release(p, walls)) for p in known)
    shorter = replace(job, time_limit_minutes=_least(*(m for _, m in limits)))
    return there._replace(job=shorter, time_limits=limits + _back_in(intake, job, walls))


def as_in_the_gate(
    job: Job, partitions: Mapping[str, Partition], intake: str, walls: Mapping[str, int]
) -> Job:
    """A job that was sent to a pool, with the time limit of the intake, if its user left that open
    and it has what the pool gives. One that somebody has set since stays."""
    mark, gate = decode_comment(job.admin_comment), partitions.get(intake)
    there = [partitions.get(name) for name in job.partition.split(",")]
    if mark is None or gate is None or mark.original.get(TIME_LIMIT) != "":
        return job
    if TIME_MIN in mark.original or not all(p and _is_pools_own(job, p, walls) for p in there):
        return job
    return replace(job, time_limit_minutes=given_by_slurm(gate, walls))


def with_users_limit(job: Job) -> Job:
    """A job with --time-min, with the time limit that its user gave it, though a release has given
    it less, or Slurm just its least. With another one somebody has set it since."""
    mark = decode_comment(job.admin_comment) if USERS_LIMIT in job.admin_comment else None
    if mark is None:
        return job
    given, _, own = mark.original.get(USERS_LIMIT, "").partition(" of ")
    shorter = given, str(number_of(mark.original.get(TIME_MIN, ""), 0))
    if not own or time_limit_text(job.time_limit_minutes) not in shorter:
        return job
    return replace(job, time_limit_minutes=number_of(own, 0) or None)


def limit_given_back(job: Job) -> dict[str, str]:
    """The field of an update by which such a job has its user's time limit again; none where it has
    it, or another one that somebody has set since."""
    own = with_users_limit(job)
    return {} if own is job else {"TimeLimit": time_limit_text(own.time_limit_minutes)}


def keeping_limit(job: Job, comment: str, given: int | None) -> str:
    """The comment with which a gated job is released with that time limit, in place of this one;
    '' if it is to stay."""
    mark, own = decode_comment(comment), with_users_limit(job).time_limit_minutes
    if mark is None or TIME_MIN not in mark.original or given == own:
        return ""
    return with_original(
        comment, USERS_LIMIT, f"{time_limit_text(given)} of {time_limit_text(own)}"
    )


def as_released(task: Task, job: Job) -> Task:
    """The task of a released job, by whose record its limit in its pool is what its release gave
    it, and not all of its user's."""
    if with_users_limit(job) is job:
        return task
    return task.limited(job.partition, job.time_limit_minutes)


def time_limit_text(minutes: int | None) -> str:
    """A time limit as scontrol takes it."""
    return "UNLIMITED" if minutes is None else str(minutes)


def given_by_slurm(partition: Partition, walls: Mapping[str, int]) -> int | None:
    """What Slurm writes into a job without a time limit that is submitted to the partition."""
    if partition.default_minutes is not None:
        return partition.default_minutes
    return walls.get(partition.name, partition.max_minutes)


def with_least_nodes(job: Job, pools: Iterable[Pool], partitions: Mapping[str, Partition]) -> Job:
    """The job with as many nodes as MinNodes of all of these pools, if its user left that open.

    Slurm does so as a job is submitted to such a partition (22.05, 24.11), and in the gate has not.
    """
    if job.nodes_max:
        return job
    known = (p for pool in pools if (p := partitions.get(pool.partition)))
    least = min((p.min_nodes for p in known), default=0)
    return replace(job, nodes_min=least) if least > job.nodes_min else job


def time_limit_in(partition: Partition) -> int | None:
    """The minutes that a job without a time limit gets in a partition; None is no limit."""
    if partition.default_minutes is not None:
        return partition.default_minutes
    return partition.max_minutes


def capped(
    partitions: Mapping[str, Partition], walls: Mapping[str, int]
) -> Mapping[str, Partition]:
    """The partitions, each with MaxWall as its MaxTime where that is less."""
    less = {
        name: replace(p, max_minutes=_least(p.max_minutes, wall))
        for name, wall in walls.items()
        if (p := partitions.get(name))
    }
    return {**partitions, **less}


def _time_min(job: Job, mark: Mark) -> int:
    """The minutes of --time-min, if its limit is longer; else 0."""
    least = number_of(mark.original.get(TIME_MIN, ""), 0)
    return least if job.time_limit_minutes is None or least < job.time_limit_minutes else 0


def _least(*minutes: int | None) -> int | None:
    """The least of some time limits; None is no limit."""
    return min((m for m in minutes if m is not None), default=None)


def _within(minutes: int | None, partition: Partition, walls: Mapping[str, int]) -> int | None:
    """A time limit, shortened to the partition's MaxTime, and to MaxWall there."""
    return _least(minutes, partition.max_minutes, walls.get(partition.name))


def _given_at_release(pool: Partition, walls: Mapping[str, int]) -> int | None:
    """What a release to the pool writes into a job without a time limit."""
    return _least(time_limit_in(pool), walls.get(pool.name))


def _is_pools_own(job: Job, pool: Partition, walls: Mapping[str, int]) -> bool:
    """Whether its time limit is what the pool gives: by a release, or as it was submitted there."""
    given = job.time_limit_minutes
    return given in (_given_at_release(pool, walls), given_by_slurm(pool, walls))


def _back_in(intake: str, job: Job, walls: Mapping[str, int]) -> TimeLimits:
    """The time limit for its way back to the gate: what it has there. (None that is longer than
    MaxWall: Slurm would hold that against what we set no more.)"""
    minutes = job.time_limit_minutes
    return ((intake, minutes),) if _least(minutes, walls.get(intake)) == minutes else ()


def _is_as_slurm_gave(job: Job, gate: Partition | None, walls: Mapping[str, int]) -> bool:
    """Whether its time limit is the one that Slurm gives in the intake: nobody has set it by an
    update. (Who is only being submitted has none yet.)"""
    return job.time_limit_minutes == (given_by_slurm(gate, walls) if gate else None)


def _is_too_long(job: Job, pools: Iterable[Partition], gate: Partition | None) -> bool:
    """Whether its time limit is above the MaxTime of all of its pools: it would wait for ever.

    Without a DefaultTime of the intake Slurm gives such limits for GrpWall, MaxTRESMins and the
    like too, which are not known here.
    """
    if gate and gate.default_minutes is not None:
        return False
    given = job.time_limit_minutes
    return all(_within(given, pool, NO_WALLS) != given for pool in pools)


def _may_be_open(
    job: Job, pools: Iterable[Partition], gate: Partition | None, walls: Mapping[str, int]
) -> bool:
    """Whether the time limit of a job that came past the hook may be the intake's own, and suits
    none of its pools: it would wait for ever. Else it stays, for its user may have given it."""
    given = job.time_limit_minutes
    by_intake = gate is not None and given == given_by_slurm(gate, walls)
    return by_intake and not any(_within(given, pool, walls) == given for pool in pools)


def _with_host(
    job: Job, mark: Mark, pools: tuple[Pool, ...], partitions: Mapping[str, Partition]
) -> InPools:
    """The job with what the pools give it of CPUs and host memory.

    (Where a partition has no default of memory, it would get all of a node's: a pool with one is
    better.)
    """
    known = {pool.partition: p for pool in pools if (p := partitions.get(pool.partition))}
    wants_memory = job.memory_per_node_mib == 0 and ALL_MEMORY not in mark.original
    if wants_memory and (giving := {name: p for name, p in known.items() if any(p.memory)}):
        pools, known = tuple(pool for pool in pools if pool.partition in giving), giving
    else:
        wants_memory = False
    wants_cpus = not {CPUS_PER_TASK, CPUS_PER_TRES} & mark.original.keys()
    defaults = {
        name: (p.memory if wants_memory else NO_DEFAULTS, p.cpus_per_gpu if wants_cpus else 0)
        for name, p in known.items()
    }
    if not defaults:
        return InPools(job, pools)
    by_pool = tuple((name, _given(job, *default)) for name, default in defaults.items())
    if len(set(defaults.values())) == 1:
        return InPools(by_pool[0][1], pools)
    most = MemoryDefaults(*map(max, zip(*(memory for memory, _ in defaults.values()), strict=True)))
    cpus = max(cpus for _, cpus in defaults.values())
    return InPools(_given(job, most, cpus), pools, by_pool=by_pool)


def _given(job: Job, memory: MemoryDefaults, cpus_per_gpu: int) -> Job:
    """The job with these defaults."""
    if cpus_per_gpu:
        job = replace(job, cpus_per_gpu=cpus_per_gpu)
    if not any(memory):
        return job
    return replace(
        job,
        memory_per_node_mib=None if memory.per_gpu or memory.per_cpu else memory.per_node,
        memory_per_gpu_mib=memory.per_gpu or None,
        memory_per_cpu_mib=None if memory.per_gpu else memory.per_cpu or None,
    )
