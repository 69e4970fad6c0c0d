"""One gated job: the task that it gives, or why it gives none and who places it then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from slurm_het.core.jobs.asked import classification_of
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.constraint_hints import or_allowed, where_allowed
from slurm_het.core.jobs.demand import Demand, count_demand, is_accelerator_job
from slurm_het.core.jobs.gres_choice import as_admitted, may_rewrite
from slurm_het.core.jobs.layout import PREFER, leaf_patience, own_nodes, slurm_chooses
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.pool_defaults import capped, with_least_nodes
from slurm_het.core.jobs.pools import (
    UNKNOWN_SUITS,
    Suits,
    fitting_pools,
    fitting_types,
    own_first,
    usable_pools,
)
from slurm_het.core.jobs.request import (
    GresRequests,
    changed_since,
    gres_of,
    registered,
    users_features,
)
from slurm_het.core.jobs.waits import slurm_waits
from slurm_het.core.model import (
    Classification,
    Job,
    Task,
)
from slurm_het.core.policy import Pool
from slurm_het.core.reasons import (
    ForReservation,
    HeterogeneousJob,
    NamesNodes,
    NoAccelerator,
    NoFittingDevice,
    NotInPlan,
    NoUsablePool,
    PlacedByNobody,
    Reason,
    SlurmChooses,
    Unreadable,
)
from slurm_het.core.reservations.closings import magnets_of
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.errors import HetError


@dataclass(frozen=True, slots=True)
class Handover:
    """A gated job that is eligible but not ours to plan: plain Slurm places it in `partitions`.

    `time_limits` has the one (minutes; None: none) that it is to be given, where its user left it
    open; `features` the constraint, where ours is to go (None: it stays)."""

    partitions: tuple[str, ...]
    why: Reason
    time_limits: tuple[int | None, ...] = ()
    features: str | None = None


class Reading(NamedTuple):
    """What a job is, unless that cannot be told, and its task, or why it has none.

    `changed`: its user has changed what it asks for since it was classified, or the Features that
    we have written into it keep it from all pools that it may use by now.
    """

    classification: Classification | None
    outcome: Task | Handover | Reason
    changed: bool = False


def read_job(job: Job, facts: ClusterFacts) -> Reading:
    """Read a gated job."""
    what, mark = None, decode_comment(job.admin_comment)
    try:
        what = classification_of(job, facts.policy, facts.inventory)
        changed = mark is not None and bool(changed_since(job, mark))
        found = _outcome(own_nodes(job), what, facts)
        if not found.held and not changed:
            before = _as_written(job, facts)
            changed = before is not job and _outcome(own_nodes(before), what, facts).held
        return Reading(what, found.outcome, changed)
    except HetError as error:
        return Reading(what, _handover(job, Unreadable(error.message), facts))


def suits_anew(job: Job, facts: ClusterFacts) -> Suits:
    """What each pool can do for a gated job, were it submitted now. Raises HetError."""
    job = own_nodes(_as_written(job, facts))
    holds, types = facts.holds(job), frozenset(facts.types)
    if not any(holds(pool.partition, types) for pool in facts.policy.pools):
        return UNKNOWN_SUITS
    what = classification_of(job, facts.policy, facts.inventory)
    return _suits(job, what, _able(job, what, facts), facts)


def _suits(job: Job, what: Classification, types: frozenset[str], facts: ClusterFacts) -> Suits:
    def allows(partition: str) -> bool:
        alone = tuple(p for p in facts.policy.pools if p.partition == partition)
        return not isinstance(_in_pools(job, what, types, alone, facts), Reason)

    return Suits(facts.holds(job), allows)


def _as_written(job: Job, facts: ClusterFacts) -> Job:
    """The job with the constraint that its user wrote, where it has one of ours."""
    own = users_features(job, frozenset(p.partition for p in facts.policy.pools))
    return job if own is None or own == job.features else replace(job, features=own)


class _Outcome(NamedTuple):
    """What becomes of a job. `held`: a pool that it may use could hold it, or that does not
    matter."""

    outcome: Task | Handover | Reason
    held: bool = True

    @classmethod
    def of(cls, outcome: Task | Handover | Reason, types: frozenset[str], suits: Suits) -> _Outcome:
        if isinstance(outcome, Reason):
            return cls(outcome, held=False)
        names = outcome.pools if isinstance(outcome, Task) else outcome.partitions
        return cls(outcome, any(suits.holds(name, types) for name in names))


def _outcome(job: Job, what: Classification, facts: ClusterFacts) -> _Outcome:
    """The task of a gated job, who else places it, or why it cannot be planned now.

    Raises HetError where a text of the job cannot be read.
    """
    if waits := slurm_waits(job, facts.now):
        return _Outcome(waits)
    if foreign := _not_ours(job, facts):
        return _Outcome(_handover(job, foreign, facts))
    types = _able(job, what, facts)
    asked = gres_of(job).registered(facts.policy)
    least = asked.least_on_a_node(facts.policy, job.nodes_max)
    inside = where_allowed(types, job.features, facts.inventory)
    pools = fitting_pools(what, inside, facts.largest, facts.policy, least)
    if not pools:
        return _Outcome(_not_in_plan(job, what, facts, inside, least))
    if job.reservation:
        pairs = facts.inside.get(job.reservation, frozenset())
        pools = tuple(p for p in pools if any((p.partition, t) in pairs for t in types))
        if not pools:
            return _Outcome(_handover(job, ForReservation(job.reservation), facts))
    own, suits = own_first(pools, what, types), _suits(job, what, types, facts)
    found = _Outcome.of(_in_pools(job, what, types, own, facts), types, suits)
    if found.held:
        return found
    others = own_first(pools, what, types, suits)
    allow = tuple(p for p in others if p not in own and suits.allows(p.partition))
    return _Outcome(_in_pools(job, what, types, allow, facts)) if allow else found


def _in_pools(
    job: Job,
    what: Classification,
    types: frozenset[str],
    pools: tuple[Pool, ...],
    facts: ClusterFacts,
) -> Task | Handover | Reason:
    """What becomes of a job in these pools, as _outcome says it."""
    written = gres_of(job)
    there = facts.in_pools(with_least_nodes(job, pools, facts.partitions_for(job)), pools)
    job, pools = there.job, there.pools
    asked = _before_release(job, written, types, facts)
    names = {p.partition for p in pools}
    largest = facts.largest_node(job.features, names, types)
    demand = count_demand(job, asked, facts.policy, largest, there.by_pool)
    if isinstance(demand, Reason):
        return _handover(job, demand, facts, pools)
    slots = len(demand.slots)
    if options := slurm_chooses(job, written, slots, facts.leaves, facts.most_together(pools)):
        return _chosen_by_slurm(job, what, options, facts, pools)
    usable = usable_pools(job, demand, pools, facts.partitions_for(job), facts.parents)
    if not usable.partitions:
        return NoUsablePool(usable.refuses)
    rewritten = asked is not written and not demand.takes_share
    magnets = () if job.reservation else magnets_of(job, facts.magnets, facts.parents)
    task = _make_task(job, what, demand, types, usable.partitions)
    minutes = there.minutes(usable.partitions)
    task = replace(
        task, rewritten=rewritten, magnets=magnets, minutes=minutes, time_limits=there.time_limits,
        leaf_patience=leaf_patience(job.layout, slots, facts.leaves),
    )  # fmt: skip
    may = facts.rewrites_gres and may_rewrite(task, asked, facts.policy)
    return replace(task, rewrites=facts.rewrites(task)) if may else task


def _able(job: Job, what: Classification, facts: ClusterFacts) -> frozenset[str]:
    """The device types that it can run on. Features that keep it from all that it was classified
    for are its user's own, of a later update."""
    types = fitting_types(what, facts.types, facts.policy)
    return or_allowed(types, job.features, facts.inventory)


def _not_in_plan(
    job: Job, what: Classification, facts: ClusterFacts, inside: frozenset[str], least: int
) -> Handover | Reason:
    """A job that no pool fits: one that is not in plan may; else what it needs, for people."""
    policy = replace(facts.policy, pools=facts.policy.left_alone)
    largest = {p.partition: facts.inventory.largest_of(p.partition) for p in policy.pools}
    if others := fitting_pools(what, inside, largest, policy, least):
        return _handover(job, NotInPlan(), facts, own_first(others, what, inside))
    device = "|".join(what.types) or "|".join(what.vendors) or "any vendor"
    memory = (f"at least {what.memory_gib} GiB",) if what.memory_gib else ()
    why = NoFittingDevice((device, *memory))
    return _handover(job, why, facts) if facts.unseen else why  # those may have it


def _not_ours(job: Job, facts: ClusterFacts) -> Reason | None:
    """Why a job that is in the gate all the same is none that we plan; None if it is.

    The hook lets such jobs pass; users put them there with `-p accel`, or by a later update.
    """
    if job.het_job_id:
        return HeterogeneousJob()
    if job.req_nodes:
        return NamesNodes(job.req_nodes)
    if not is_accelerator_job(job, facts.policy):
        per_gpu = job.ntasks_per_gpu  # alone: slurmctld works out how many, and no record tells
        return SlurmChooses((f"--ntasks-per-gpu={per_gpu}",)) if per_gpu else NoAccelerator()
    reboot = facts.needs_reboot(job.features)
    return SlurmChooses((f"--constraint={job.features}",)) if reboot else None


def _chosen_by_slurm(
    job: Job,
    what: Classification,
    options: tuple[str, ...],
    facts: ClusterFacts,
    pools: tuple[Pool, ...],
) -> Handover | Reason:
    """Give a job with options that Slurm alone can keep to it, in the pools that fit.

    Where none of these has a node that it prefers Slurm may hold it for ever (BadConstraints,
    priority 0). So it goes to all that its user allows, and is kept to nothing of ours.
    """
    why = SlurmChooses(options)
    prefers = next((o.removeprefix(PREFER) for o in options if o.startswith(PREFER)), "")
    wide = tuple(
        p for p in facts.policy.pools if not what.partitions or p.partition in what.partitions
    )
    if not prefers or facts.some_meets(prefers, pools) or not facts.some_meets(prefers, wide):
        return _handover(job, why, facts, pools)
    # 22.05 goes through them in this order.
    wide = tuple(sorted(wide, key=lambda pool: not facts.some_meets(prefers, (pool,))))
    given = _handover(job, why, facts, wide)
    own = users_features(job, frozenset())
    return replace(given, features=own) if isinstance(given, Handover) else given


def _handover(
    job: Job, why: Reason, facts: ClusterFacts, pools: tuple[Pool, ...] = ()
) -> Handover | Reason:
    """Give a job that we cannot plan to plain Slurm, in those of the pools that it may use.

    Without `pools`: of all. If it may use none, or is to wait, it stays in the gate. The nodes of
    several together may be what it needs: it may start in the partition that has them all.
    """
    if waits := slurm_waits(job, facts.now):
        return waits
    pools, partitions = pools or facts.policy.pools, facts.partitions_for(job)
    there = facts.in_pools(job, pools)
    whole = (*pools, *facts.policy.spanning)
    usable = usable_pools(there.job, None, whole, partitions, facts.parents)
    if not usable.partitions:
        return PlacedByNobody(why, usable.refuses)
    if there.shortens or not there.time_limits:
        return Handover(usable.partitions, why)
    minutes = there.minutes(usable.partitions)  # the most: none is to end it sooner than its own
    # Slurm holds what we set against no MaxWall: not to the partitions where that is less.
    walled = capped(partitions, facts.max_walls.of(job))
    limited = replace(job, time_limit_minutes=minutes)
    given = usable_pools(limited, None, whole, walled, facts.parents)
    return Handover(given.partitions, why, (minutes,))


def _before_release(
    job: Job, written: GresRequests, types: frozenset[str], facts: ClusterFacts
) -> GresRequests:
    """What the job itself asks for, if a release that came to nothing has rewritten it.

    A type that we have not written is its user's. Where one type is all that fits, the hook may
    have named it: that stays.
    """
    mark = decode_comment(job.admin_comment) if facts.rewrites_gres and len(types) > 1 else None
    if mark is None or not mark.wrote:
        return written
    if gres.parse(mark.wrote.get("tres_per_node", "")) != written.node:
        return written
    original = mark.original
    before = gres.parse(original.get("tres_per_node") or original.get("tres_per_job") or "")
    return as_admitted(written, tuple(registered(item, facts.policy) for item in before))


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
        takes_share=demand.takes_share,
        memory_gib=demand.memory_gib or what.memory_gib,
        exclusive=demand.exclusive,
        all_memory=demand.all_memory,
        features=job.features,
        exc_nodes=frozenset(hostlist.expand(job.exc_nodes)),
        priority=job.priority,
        minutes=job.time_limit_minutes,
        asks=demand.asks,
        lot=demand.lot,
        most_nodes=demand.most_nodes,
        threads_per_core=job.threads_per_core,
        sockets=demand.sockets,
        reservation=job.reservation,
        job_class=what.job_class,
        program=what.program,
        since=job.eligible_time or job.submit_time,
    )
