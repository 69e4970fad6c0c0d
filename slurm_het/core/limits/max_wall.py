"""MaxWall: the most minutes that one job may run, in each partition, by the site's limits.

Slurm gives it to a job without --time as it is submitted, where the partition has no DefaultTime.
A time limit that SlurmUser sets is held against it no more, so none that we set may be longer.
"""

from __future__ import annotations

from collections.abc import Mapping

from slurm_het.core.limits.claims import Register, Whose
from slurm_het.core.model import Job, Partition
from slurm_het.core.site_limits import Association, Limit, Qos, SiteLimits


class MaxWalls:
    """The MaxWall of each job. `limits` are what is left of the site's without all others and
    without their use: these are the same from cycle to cycle."""

    def __init__(self, limits: SiteLimits, partitions: Mapping[str, Partition]) -> None:
        self.limits = _without_others(limits)
        self._register = Register(self.limits)
        self._partitions = partitions
        self._of_user: dict[tuple[str, str, str], dict[str, int]] = {}
        self._of_whose: dict[Whose, int] = {}

    def of(self, job: Job) -> Mapping[str, int]:
        """By partition, the minutes of the MaxWall that bears on the job there; without those where
        none does."""
        if not self.limits:
            return {}
        key = job.account, job.user, job.qos
        if key not in self._of_user:
            found = ((p.name, self._in(job, p)) for p in self._partitions.values())
            # TimeLimit=0 would be none at all; who may run 0 minutes is held back for that limit.
            self._of_user[key] = {name: minutes for name, minutes in found if minutes}
        return self._of_user[key]

    def _in(self, job: Job, partition: Partition) -> int:
        whose = Whose.of(job, partition.name, partition.qos)
        if (job.account, job.user, partition.name) not in self._register.associations:
            whose = Whose(job.account, job.user, job.uid, job.qos, "", partition.qos)
        if whose not in self._of_whose:  # most partitions differ in nothing that bears
            bearing = self._register.bearing(whose)
            self._of_whose[whose] = bearing[0].limit.most if bearing else 0
        return self._of_whose[whose]


def _without_others(limits: SiteLimits) -> SiteLimits:
    """A user's association without one stays: one for a partition hides the one for all."""
    qos = tuple(
        Qos(one.name, one.over_partition, walls)
        for one in limits.qos
        if (walls := _max_wall(one.limits))
    )
    associations = tuple(
        Association(one.account, one.user, one.partition, limits=_max_wall(one.limits))
        for one in limits.associations
        if one.user
    )
    limited = any(one.limits for one in associations)
    return SiteLimits(associations if limited else (), qos)


def _max_wall(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    return tuple(limit for limit in limits if limit.word == "MaxWallPJ")
