"""Whom a reservation lets in, by its lists: reservation.c's `_set_assoc_list` and
`_valid_job_access_resv`, the same on 22.05, 24.11 and 26.05."""

from __future__ import annotations

from collections.abc import Set

from slurm_het.core.model import Job
from slurm_het.core.site_limits import NONE_ABOVE, Parents, line_of
from slurm_het.core.slurm_reservation import ReservationRecord


def may_use(job: Job, record: ReservationRecord, parents: Parents) -> bool:
    """Whether it lets the job in.

    Where it names both users (or groups) and accounts, Slurm makes pairs of them: these users in
    these accounts, and in none below. Else an account stands for those below it too. Slurm shows
    a user as the admin wrote him: by his name or his uid.
    """
    pairs = bool(_let_in(record.users | record.groups) and _let_in(record.accounts))
    return (
        lets_in(record.users, {job.user, str(job.uid)})
        and lets_in(record.groups, set(job.groups))
        and lets_in(record.accounts, line_of(job.account, NONE_ABOVE if pairs else parents))
        and lets_in(record.qos, {job.qos})
    )


def lets_in(listed: Set[str], mine: Set[str]) -> bool:
    """Whether a list lets in who has these names; `-NAME` keeps out."""
    kept_out = {name[1:] for name in listed if name.startswith("-")}
    if not kept_out.isdisjoint(mine):
        return False
    let_in = _let_in(listed)
    return not let_in or not let_in.isdisjoint(mine)


def _let_in(listed: Set[str]) -> set[str]:
    return {name for name in listed if not name.startswith("-")}
