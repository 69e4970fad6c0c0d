"""Gated jobs that keep a constraint of ours from a day when there were other nodes or pools.

The hook writes by what there is at submit. Where that changes while the job waits, it would keep
plain Slurm, and the plan, from new nodes, or to nodes that are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.admission import fitting
from slurm_het.core.jobs.constraint_of_ours import Fit, features_for
from slurm_het.core.jobs.mark import MARK, Mark, decode_comment, encode_mark, in_place, says_there
from slurm_het.core.jobs.pools import UNKNOWN_SUITS, Suits, own_first, whats_there
from slurm_het.core.jobs.request import all_that_decides, changed_since, from_marked, users_features
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.errors import HetError

MOST_LOOKED_AT = 100
"""So many jobs are worked out in one cycle, then the next ones: a tenth of a millisecond each where
nodes are alike, ten on 5,000 that are not."""
SuitsOf = Callable[[Job], Suits]
"""What each pool can do for a job; may raise HetError."""


def anything(_job: Job) -> Suits:
    """Where that is not known."""
    return UNKNOWN_SUITS


class Outdated:
    """A cache of who is outdated: of jobs that are the same nothing is worked out again."""

    def __init__(self) -> None:
        self._there = ""
        self._known: dict[tuple[object, ...], bool] = {}

    def first(
        self,
        jobs: Iterable[Job],
        inventory: Inventory,
        policy: Policy,
        most: int,
        suits_of: SuitsOf = anything,
    ) -> list[Job]:
        """Those of the gated jobs for whom admission would write another constraint now, at most
        so many, those of the highest priority."""
        there = whats_there(inventory, policy)
        before = self._known if there == self._there else {}
        self._there, self._known = there, {}
        older = [
            job
            for job in jobs
            if MARK in job.admin_comment and not says_there(job.admin_comment, there)
        ]
        older.sort(key=attrgetter("priority"), reverse=True)
        found, left = list[Job](), MOST_LOOKED_AT
        for job in older:
            like = all_that_decides(job)
            outdated = before.get(like, self._known.get(like))
            if outdated is None and left and len(found) < most:
                outdated, left = _outdated(job, inventory, policy, suits_of), left - 1
            if outdated is not None:
                self._known[like] = outdated
            if outdated and len(found) < most:
                found.append(job)
        return found


def _outdated(job: Job, inventory: Inventory, policy: Policy, suits_of: SuitsOf) -> bool:
    """Whether a job is that: its user's own constraint is left to him, and so is whatever was
    written before it was kept what it was written for."""
    mark = decode_comment(job.admin_comment)
    if mark is None or not mark.there or mark.wrote is None or changed_since(job, mark):
        return False
    own = mark.original.get("features", "")
    ours = mark.wrote.get("features", own)
    if ours != own and users_features(job, frozenset()) is None:
        return False  # it has its user's own again
    return _now(job, mark, inventory, policy, suits_of) != ours


def _now(
    job: Job, mark: Mark, inventory: Inventory, policy: Policy, suits_of: SuitsOf
) -> str | None:
    """The constraint that admission would write for what the job is; None where no pool fits."""
    try:
        request, what = from_marked(job, mark), mark.classification
        types, pools = fitting(request, what, policy, inventory)
        own = own_first(pools, what, types, suits_of(job))
        fit = Fit.of(types, own, inventory.builds)
        return features_for(request, fit, policy) if own else None
    except HetError:
        return None


def brought_up_to_date(
    job: Job, policy: Policy, inventory: Inventory, suits_of: SuitsOf = anything
) -> dict[str, str] | None:
    """The update with which an outdated job has the constraint of today; None where it has to be
    admitted anew: by what it was read as it can run nowhere, or not the nodes have changed."""
    mark, there = decode_comment(job.admin_comment), whats_there(inventory, policy)
    if mark is None or mark.there in {"", there} or changed_since(job, mark):
        return None
    features = _now(job, mark, inventory, policy, suits_of)
    return None if features is None else _with_features(job, mark, features, policy, inventory)


def given_back(job: Job, mark: Mark, policy: Policy, inventory: Inventory) -> dict[str, str]:
    """The update with which a job has its user's own constraint again: none of ours can be met.

    Raises HetError where its record has no room for that.
    """
    own = mark.original.get("features", "")
    return _with_features(job, mark, own, policy, inventory)


def _with_features(
    job: Job, mark: Mark, features: str, policy: Policy, inventory: Inventory
) -> dict[str, str]:
    kept = {name: text for name, text in (mark.wrote or {}).items() if name != "features"}
    if features != mark.original.get("features", ""):
        kept["features"] = features
    there = whats_there(inventory, policy)
    comment = encode_mark(mark._replace(wrote=kept, there=there))
    if (made := decode_comment(comment)) is None or made.wrote is None:
        raise HetError("what it is does not fit into its admin_comment")
    update = {"AdminComment": in_place(job.admin_comment, comment)}
    return update | ({"Features": features} if features != job.features else {})
