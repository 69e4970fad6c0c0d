"""Licences: how many are left for a job beside those that Slurm's reservations hold.

What a reservation holds is taken for each job that is not its own and would still run in its time,
be that now or to come. It is so however many of them its own jobs use already, which count once
more. Its own jobs may use all that is not taken for them. (licenses.c and reservation.c's
job_test_lic_resv, the same on 22.05, 24.11 and 26.05.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from slurm_het.core.limits.claims import Bearing
from slurm_het.core.model import Job, Snapshot, Task
from slurm_het.core.reservations.closings import STARTS_WITHIN
from slurm_het.core.site_limits import UNLIMITED_MINUTES, Limit
from slurm_het.core.slurm_reservation import ReservationRecord

Asked = tuple[tuple[Bearing, int], ...]
"""Limits of licences, each with how many of them a job asks for."""
_Holder = tuple[ReservationRecord, dict[str, int]]


class Licences:
    """The cluster's licences, and who holds some of them in advance."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._now = snapshot.time
        self._known = {limit.tres: limit for limit in snapshot.limits.licenses}
        self._holders: list[_Holder] = [
            (record, held)
            for record in snapshot.reservations
            # Slurm never finds one that floats to be at the time of a job.
            if "TIME_FLOAT" not in record.flags and (held := amounts(record.licenses))
        ]

    def asked(self, job: Job, task: Task) -> Asked:
        """What a job asks for: of all that there are, and of what reservations leave of it."""
        if not job.licenses or not self._known:
            return ()
        wanted = {n: count for n, count in amounts(job.licenses).items() if n in self._known}
        taken = list(self._taken_for(job, task)) if self._holders else []
        return tuple(self._asked(wanted, taken))

    def of_all(self, name: str) -> Bearing:
        """The limit that there are no more of them."""
        return Bearing("Licenses", "all jobs", self._known[name])

    def _asked(
        self, wanted: dict[str, int], taken: Iterable[_Holder]
    ) -> Iterator[tuple[Bearing, int]]:
        for name, count in wanted.items():
            holders = {record.name: held[name] for record, held in taken if name in held}
            if holders:
                limit: Limit = self._known[name]
                left = replace(limit, most=max(0, limit.most - sum(holders.values())))
                of = f"jobs outside {' and '.join(sorted(holders))}"
                yield Bearing("Licenses", of, left), count
            yield self.of_all(name), count

    def _taken_for(self, job: Job, task: Task) -> Iterator[_Holder]:
        minutes = UNLIMITED_MINUTES if task.minutes is None else task.minutes
        own = {job.reservation, *task.magnets}
        for record, held in self._holders:
            ends = self._now + minutes * 60 + STARTS_WITHIN
            lasts = record.start < ends and record.end > self._now
            if lasts and record.name not in own:
                yield record, held


def amounts(text: str) -> dict[str, int]:
    """How many of each licence `a:2,b` says; none if there is a choice (`a|b`): that is Slurm's.

    It takes `a;b` too, and from 24.11 on `a=2`, and shows them as they were written.
    """
    if "|" in text:
        return {}
    words = re.split("[,;]", text.replace("=", ":"))
    names = (word.strip().partition(":") for word in words if word.strip())
    return {name: int(count) if count.isdecimal() else 1 for name, _, count in names}
