"""What a user left open of memory, CPUs and time: each pool's partition has defaults of its own.

Slurm applies those of the partition where a job is tested: of memory and CPUs after a move too, but
not of time. A time limit that the intake gave stays, and one that nobody gave becomes MaxTime.

The site's MaxWall caps a time that was left open: Slurm itself gives no more, and would hold back a
job with more. `walls` are its minutes by partition, where one bears on the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.jobs.mark import Mark, decode_comment
from slurm_het.core.jobs.request import (
    ALL_MEMORY,
    CPUS_PER_TASK,
    CPUS_PER_TRES,
    TIME_LIMIT,
    TIME_MIN,
    UNTOLD,
    number_of,
)
from slurm_het.core.memory_defaults import MemoryDefaults, TimeLimits
from slurm_het.core.model import Job, Partition
from slurm_het.core.policy import Pool

NO_WALLS: Mapping[str, int] = {}


class Bounds(NamedTuple):
    """How long a job may run: MaxWall by partition, and whether MaxTime holds for its QOS."""

    walls: Mapping[str, int] = NO_WALLS
    max_time: bool = True


NO_BOUNDS = Bounds()


class InPools(NamedTuple):
    """A job as Slurm will see it in the pools, and the pools that suit it so.

    `time_limits` are the limits that it is to be given by pool, where its user left that open. Then
    the job itself has one that no pool refuses: the least of them, or its --time-min.
    """

    job: Job
    pools: tuple[Pool, ...]
    time_limits: TimeLimits = ()
    shortens: bool = False

    def minutes(self, usable: Iterable[str]) -> int | None:
        """The minutes to plan with in these of the pools; None is no limit.

        Of a job with --time-min the least: Slurm's backfill shortens it to what fits.
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
    walls = bounds.walls
    mark = decode_comment(job.admin_comment)
    if mark:
        job, pools = _with_memory(job, mark, pools, partitions)
    known = [p for pool in pools if (p := partitions.get(pool.partition))]
    if mark and not {CPUS_PER_TASK, CPUS_PER_TRES} & mark.original.keys():
        most = max((p.cpus_per_gpu for p in known), default=0)
        job = replace(job, cpus_per_gpu=most or job.cpus_per_gpu)
    if mark and (least := _time_min(job, mark)):
        # Where MaxWall is below its least it is held back, as it is in plain Slurm.
        caps = {name: wall for name, wall in walls.items() if wall >= least}
        limits = tuple((p.name, _within(job.time_limit_minutes, p, caps)) for p in known)
        return InPools(replace(job, time_limit_minutes=least), pools, limits, shortens=True)
    said = mark.original.get(TIME_LIMIT) if mark else UNTOLD
    if said == UNTOLD:
        is_open = _may_be_open(job, known, partitions.get(intake), walls)
    else:
        is_open = said == "" and (
            _is_as_slurm_gave(job, partitions.values(), walls)
            or (bounds.max_time and _is_too_long(job, known))
        )
    if not known or not is_open:
        return InPools(job, pools)
    limits = tuple((p.name, _least(time_limit_in(p), walls.get(p.name))) for p in known)
    shortest = _least(*(m for _, m in limits))
    return InPools(replace(job, time_limit_minutes=shortest), pools, limits)


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


def _gives(partition: Partition, walls: Mapping[str, int]) -> tuple[int | None, ...]:
    """What Slurm may have written into a job without a time limit that was in the partition."""
    wall = walls.get(partition.name)
    return (time_limit_in(partition), *([wall] if wall is not None else []))


def _is_as_slurm_gave(job: Job, partitions: Iterable[Partition], walls: Mapping[str, int]) -> bool:
    """Whether its time limit is one that Slurm gives somewhere: nobody has set it by an update."""
    given = job.time_limit_minutes
    return given is None or any(given in _gives(p, walls) for p in partitions)


def _is_too_long(job: Job, pools: Iterable[Partition]) -> bool:
    """Whether its time limit is above the MaxTime of all of its pools: it would wait for ever.

    Slurm gives such limits for GrpWall, MaxTRESMins and the like too, which are not known here.
    """
    given = job.time_limit_minutes
    return all(_within(given, pool, NO_WALLS) != given for pool in pools)


def _may_be_open(
    job: Job, pools: Iterable[Partition], intake: Partition | None, walls: Mapping[str, int]
) -> bool:
    """Whether the time limit of a job that came past the hook may be the intake's own, and suits
    none of its pools: it would wait for ever. Else it stays, for its user may have given it."""
    given = job.time_limit_minutes
    by_intake = intake is not None and given in _gives(intake, walls)
    return by_intake and not any(_within(given, pool, walls) == given for pool in pools)


def _with_memory(
    job: Job, mark: Mark, pools: tuple[Pool, ...], partitions: Mapping[str, Partition]
) -> tuple[Job, tuple[Pool, ...]]:
    """The job with the pools' defaults of host memory.

    (Where a partition has none, it would get all of a node's: a pool with a default is better.)
    """
    if job.memory_per_node_mib != 0 or ALL_MEMORY in mark.original:
        return job, pools
    known = [(pool, partitions.get(pool.partition)) for pool in pools]
    giving = [(pool, p.memory) for pool, p in known if p and any(p.memory)]
    if not giving:
        return job, pools
    most = MemoryDefaults(*map(max, zip(*(memory for _, memory in giving), strict=True)))
    there = replace(
        job,
        memory_per_node_mib=None if most.per_gpu or most.per_cpu else most.per_node,
        memory_per_gpu_mib=most.per_gpu or None,
        memory_per_cpu_mib=None if most.per_gpu else most.per_cpu or None,
    )
    return there, tuple(pool for pool, _ in giving)
