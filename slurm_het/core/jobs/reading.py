"""One gated job: the task that it gives, or why it gives none and who places it then."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory, TypeThere
from slurm_het.core.jobs.classify import classification_of
from slurm_het.core.jobs.constraint_hints import where_allowed
from slurm_het.core.jobs.demand import Demand, NodeSize, count_demand, is_accelerator_job, size_of
from slurm_het.core.jobs.gres_choice import as_admitted, choose_gres, may_rewrite
from slurm_het.core.jobs.layout import leaf_patience, slurm_chooses
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.pool_defaults import Bounds, InPools, as_in_the_pools, capped
from slurm_het.core.jobs.pools import fitting_pools, fitting_types, usable_pools
from slurm_het.core.jobs.request import GresRequests, gres_of, registered
from slurm_het.core.jobs.waits import slurm_waits
from slurm_het.core.limits.max_wall import MaxWalls
from slurm_het.core.model import (
    Classification,
    Job,
    Node,
    Partition,
    Snapshot,
    Task,
)
from slurm_het.core.network import in_a_tree
from slurm_het.core.partition import LIFTED, QosFlags, lifted
from slurm_het.core.policy import Policy, Pool
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
from slurm_het.core.reservations.closings import inside_of, magnets_of
from slurm_het.core.site_limits import Parents, SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.worth.weights import Site, site_of
from slurm_het.errors import HetError


@dataclass(frozen=True, slots=True)
class Handover:
    """A gated job that is eligible but not ours to plan: plain Slurm places it in `partitions`.

    `time_limits` has the one (minutes; None: none) that it is to be given, where its user left it
    open."""

    partitions: tuple[str, ...]
    why: Reason
    time_limits: tuple[int | None, ...] = ()


class _NodeShape(NamedTuple):
    """What bears, of a node, on how many nodes a job is spread over."""

    size: NodeSize
    types: frozenset[str]
    partitions: frozenset[str]
    features: frozenset[str]


@dataclass(frozen=True)
class ClusterFacts:
    """What every gated job of a snapshot is held against; worked out once for all of them.

    `now` is the snapshot's time (epoch seconds), `rewrites_gres` as in Snapshot.
    """

    inventory: Inventory
    policy: Policy
    partitions: dict[str, Partition]
    now: float
    rewrites_gres: bool
    qos_flags: QosFlags = field(default_factory=dict)
    could_have: frozenset[frozenset[str]] = frozenset()
    limits: SiteLimits = field(default_factory=SiteLimits)

    @classmethod
    def of(cls, snapshot: Snapshot, inventory: Inventory, policy: Policy) -> ClusterFacts:
        """The facts of a snapshot."""
        partitions = {p.name: p for p in snapshot.partitions}
        rewrites, flags = snapshot.rewrites_gres, snapshot.qos_flags
        rebooted = frozenset(n.features | n.could_have for n in snapshot.nodes if n.could_have)
        return cls(
            inventory, policy, partitions, snapshot.time, rewrites, flags, rebooted, snapshot.limits
        )

    def needs_reboot(self, features: str) -> bool:
        """Whether no node meets a constraint now, and one would once Slurm has rebooted it."""
        if not features or not self.could_have:
            return False
        wanted = parse_features(features)
        return not any(map(wanted.allows, self.inventory.kinds)) and any(
            map(wanted.allows, self.could_have)
        )

    def partitions_for(self, job: Job) -> dict[str, Partition]:
        """The partitions as they are for jobs of its QOS."""
        flags = self.qos_flags.get(job.qos, frozenset()).intersection(LIFTED)
        if flags not in self._lifted:
            self._lifted[flags] = {n: lifted(p, flags) for n, p in self.partitions.items()}
        return self._lifted[flags]

    @cached_property
    def _lifted(self) -> dict[frozenset[str], dict[str, Partition]]:
        return {frozenset(): self.partitions}

    @property
    def parents(self) -> Parents:
        """By account, the one above it, where lists of accounts go by these."""
        return self.limits.parents

    @cached_property
    def max_walls(self) -> MaxWalls:
        """How long one job may run by the site's limits."""
        return MaxWalls(self.limits, self.partitions)

    def in_pools(self, job: Job, pools: tuple[Pool, ...]) -> InPools:
        """The job as Slurm will see it in these pools."""
        max_time = "PartitionTimeLimit" not in self.qos_flags.get(job.qos, ())
        bounds = Bounds(self.max_walls.of(job), max_time)
        return as_in_the_pools(job, pools, self.partitions, self.policy.intake_partition, bounds)

    @cached_property
    def types(self) -> dict[str, TypeThere]:
        """The device types that there are."""
        return self.inventory.types

    @cached_property
    def largest(self) -> dict[str, dict[str, int]]:
        """By a pool's partition and device type, the most that one of its nodes has."""
        return {p.partition: self.inventory.largest_of(p.partition) for p in self.policy.pools}

    @cached_property
    def inside(self) -> dict[str, frozenset[tuple[str, str]]]:
        """By reservation of Slurm's, the partitions and device types that its jobs can be given."""
        return {r.name: inside_of(r, self.inventory) for r in self.inventory.reservations}

    @cached_property
    def magnets(self) -> tuple[ReservationRecord, ...]:
        """The reservations that draw in jobs; when does not matter here."""
        timeless = (replace(r, start=0.0, end=0.0) for r in self.inventory.reservations)
        return tuple(r for r in timeless if "MAGNETIC" in r.flags)

    @cached_property
    def leaves(self) -> int:
        """How many leaf switches there are; 0 where the network is no tree."""
        in_trees = any(in_a_tree(node.parts) for node in self.inventory.nodes.values())
        return len(self.inventory.leaves) if in_trees else 0

    @cached_property
    def site(self) -> Site:
        """What the weights go by."""
        return site_of(self.inventory, self.policy)

    @cached_property
    def node_shapes(self) -> set[_NodeShape]:
        """What the nodes have when nothing runs there; few, as most nodes are alike."""
        return {
            _NodeShape(
                size_of(node),
                frozenset(device.type for device in node.devices),
                frozenset(node.partitions),
                node.features,
            )
            for node in self.inventory.builds
        }

    def largest_node(self, features: str, pools: Set[str], types: Set[str]) -> NodeSize:
        """The most of everything that a node of these pools and types has.

        Raises HetError if the constraint cannot be read.
        """
        able = [s for s in self.node_shapes if pools & s.partitions and types & s.types]
        # Drained or down they may be; that is no reason to spread a job over more of them.
        shapes = [s for s in able if parse_features(features).allows(s.features)] or able
        return NodeSize.largest(shape.size for shape in shapes)

    @cached_property
    def mixed_nodes(self) -> list[Node]:
        """The nodes on which a request without a type may have to be rewritten."""
        whole = [g for g in self.policy.gres.values() if not g.shared and not g.alias_of]
        return [
            node
            for node in self.inventory.nodes.values()
            if len(whole) > 1 or len({d.gres for d in node.devices}) > 1
        ]

    def rewrites(self, task: Task) -> tuple[tuple[str, str], ...]:
        """`choose_gres` for a task, once for all tasks that ask for the same."""
        if not self.mixed_nodes:
            return ()
        if (like := task.request) not in self._rewrites:
            self._rewrites[like] = choose_gres(task, self.mixed_nodes, self.site)
        return self._rewrites[like]

    @cached_property
    def _rewrites(self) -> dict[Task, tuple[tuple[str, str], ...]]:
        return {}

    def fingerprint(self) -> object:
        """All that the reading of a job depends on beside the job; None where it depends on more.

        Which type a request is to name may depend on what is free.
        """
        if self.rewrites_gres and self.mixed_nodes:
            return None
        return (
            self.types, self.largest, self.node_shapes, self.partitions, self.rewrites_gres,
            self.inside, self.magnets, self.leaves, self.qos_flags, self.could_have,
            self.could_have and frozenset(self.inventory.kinds), self.max_walls.limits,
            self.parents,
        )  # fmt: skip


class Reading(NamedTuple):
    """What a job is, unless that cannot be told, and its task, or why it has none."""

    classification: Classification | None
    outcome: Task | Handover | Reason


def read_job(job: Job, facts: ClusterFacts) -> Reading:
    """Read a gated job."""
    what = None
    try:
        what = classification_of(job, facts.policy, facts.inventory)
        return Reading(what, _outcome(job, what, facts))
    except HetError as error:
        return Reading(what, _handover(job, Unreadable(error.message), facts))


def _outcome(job: Job, what: Classification, facts: ClusterFacts) -> Task | Handover | Reason:
    """The task of a gated job, who else places it, or why it cannot be planned now.

    Raises HetError where a text of the job cannot be read.
    """
    if waits := slurm_waits(job, facts.now):
        return waits
    if foreign := _not_ours(job, facts):
        return _handover(job, foreign, facts)
    types = fitting_types(what, facts.types, facts.policy)
    written = gres_of(job)
    least = written.registered(facts.policy).least_on_a_node(facts.policy, job.nodes_max)
    inside = where_allowed(types, job.features, facts.inventory)
    pools = fitting_pools(what, inside, facts.largest, facts.policy, least)
    if not pools:
        return _not_in_plan(job, what, facts, inside, least)
    if job.reservation:
        pairs = facts.inside.get(job.reservation, frozenset())
        pools = tuple(p for p in pools if any((p.partition, t) in pairs for t in types))
        if not pools:
            return _handover(job, ForReservation(job.reservation), facts)
    there = facts.in_pools(job, pools)
    job, pools = there.job, there.pools
    asked = _before_release(job, written, types, facts)
    names = {p.partition for p in pools}
    largest = facts.largest_node(job.features, names, types)
    demand = count_demand(job, asked, facts.policy, largest)
    if isinstance(demand, Reason):
        return _handover(job, demand, facts, pools)
    slots = len(demand.slots)
    if options := slurm_chooses(job, written, slots, facts.leaves):
        return _handover(job, SlurmChooses(options), facts, pools)
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


def _not_in_plan(
    job: Job, what: Classification, facts: ClusterFacts, inside: frozenset[str], least: int
) -> Handover | Reason:
    """A job that no pool fits: one that is not in plan may; else what it needs, for people."""
    policy = replace(facts.policy, pools=facts.policy.left_alone)
    largest = {p.partition: facts.inventory.largest_of(p.partition) for p in policy.pools}
    if others := fitting_pools(what, inside, largest, policy, least):
        return _handover(job, NotInPlan(), facts, others)
    device = "|".join(what.types) or "|".join(what.vendors) or "any vendor"
    memory = (f"at least {what.memory_gib} GiB",) if what.memory_gib else ()
    return NoFittingDevice((device, *memory))


def _not_ours(job: Job, facts: ClusterFacts) -> Reason | None:
    """Why a job that is in the gate all the same is none that we plan; None if it is.

    The hook lets such jobs pass; users put them there with `-p accel`, or by a later update.
    """
    if job.het_job_id:
        return HeterogeneousJob()
    if job.req_nodes:
        return NamesNodes(job.req_nodes)
    if not is_accelerator_job(job, facts.policy):
        return NoAccelerator()
    reboot = facts.needs_reboot(job.features)
    return SlurmChooses((f"--constraint={job.features}",)) if reboot else None


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

    Where one type is all that fits, the hook may have named it: that stays.
    """
    mark = decode_comment(job.admin_comment) if facts.rewrites_gres and len(types) > 1 else None
    if mark is None:
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
        threads_per_core=job.threads_per_core,
        reservation=job.reservation,
        job_class=what.job_class,
        program=what.program,
        since=job.eligible_time or job.submit_time,
    )
