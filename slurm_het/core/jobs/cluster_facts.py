"""What every gated job of a snapshot is held against, worked out once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import NamedTuple

from slurm_het.core.capacity import UNKNOWN, Capacity
from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.cluster.inventory import Inventory, TypeThere
from slurm_het.core.jobs.demand import NodeSize, size_of
from slurm_het.core.jobs.gres_choice import choose_gres
from slurm_het.core.jobs.job_size import size_of_job
from slurm_het.core.jobs.never import suits_of
from slurm_het.core.jobs.pool_defaults import Bounds, InPools, as_in_the_gate, as_in_the_pools
from slurm_het.core.jobs.pools import Holds
from slurm_het.core.limits.max_wall import MaxWalls
from slurm_het.core.model import Job, Node, Partition, Snapshot, Task
from slurm_het.core.network import ALONE, ANY_NUMBER, in_a_tree
from slurm_het.core.partition import LIFTED, QosFlags, lifted
from slurm_het.core.policy import Policy, Pool
from slurm_het.core.reservations.closings import inside_of
from slurm_het.core.site_limits import Parents, SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.worth.weights import Site, site_of


class _NodeShape(NamedTuple):
    """What bears, of a node, on how many nodes a job is spread over."""

    size: NodeSize
    types: frozenset[str]
    partitions: frozenset[str]
    features: frozenset[str]


@dataclass(frozen=True)
class ClusterFacts:
    """What every gated job of a snapshot is held against; worked out once for all of them.

    `now` is the snapshot's time (epoch seconds), `rewrites_gres` as in Snapshot. `unseen`:
    there are nodes of which Slurm tells nothing.
    """

    inventory: Inventory
    policy: Policy
    partitions: dict[str, Partition]
    now: float
    rewrites_gres: bool
    qos_flags: QosFlags = field(default_factory=dict)
    could_have: frozenset[frozenset[str]] = frozenset()
    limits: SiteLimits = field(default_factory=SiteLimits)
    capacity: Capacity = UNKNOWN
    unseen: bool = False

    @classmethod
    def of(cls, snapshot: Snapshot, inventory: Inventory, policy: Policy) -> ClusterFacts:
        """The facts of a snapshot: gathered once for all that ask beside the same inventory."""
        gather = partial(cls._gather, snapshot, inventory, policy)
        return snapshot.once("facts", gather, (inventory, policy))

    @classmethod
    def _gather(cls, snapshot: Snapshot, inventory: Inventory, policy: Policy) -> ClusterFacts:
        partitions = {p.name: p for p in snapshot.partitions}
        rewrites, flags = snapshot.rewrites_gres, snapshot.qos_flags
        rebooted = frozenset(n.features | n.could_have for n in snapshot.nodes if n.could_have)
        capacity = snapshot.once("capacity", lambda: capacity_of(snapshot, policy), policy)
        return cls(
            inventory, policy, partitions, snapshot.time, rewrites, flags, rebooted,
            snapshot.limits, capacity, bool(snapshot.unseen),
        )  # fmt: skip

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

    def holds(self, job: Job) -> Holds:
        """Whether a partition's nodes with devices of some types could ever hold the job."""
        return suits_of(size_of_job(job, self.policy), self.capacity, self.policy).holds

    def in_the_gate(self, job: Job) -> Job:
        """A job that waits in a pool as it would be in the intake, as far as its time goes."""
        walls = self.max_walls.of(job)
        return as_in_the_gate(job, self.partitions, self.policy.intake_partition, walls)

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

    def most_together(self, pools: Iterable[Pool]) -> int:
        """How many nodes a job may have that the network keeps together: with more, or in a network
        that is neither tree nor blocks, Slurm alone knows which of them it takes."""
        return min(self._together.get(pool.partition, ANY_NUMBER) for pool in pools)

    @cached_property
    def _together(self) -> dict[str, int]:
        """The same by partition, where there is a network."""
        most: dict[str, int] = {}
        for node in self.inventory.nodes.values():
            if node.parts and node.parts[0].holds != ALONE:
                held = max(part.holds for part in node.parts)
                for partition in node.partitions:
                    most[partition] = max(held, most.get(partition, 0))
        return most

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

    def some_meets(self, features: str, pools: Iterable[Pool]) -> bool:
        """Whether a node of these pools meets a constraint.

        Raises HetError if that cannot be read.
        """
        wanted, names = parse_features(features), {pool.partition for pool in pools}
        return any(names & s.partitions and wanted.allows(s.features) for s in self.node_shapes)

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
            self.inside, self.magnets, self.leaves, self._together, self.qos_flags, self.could_have,
            self.could_have and frozenset(self.inventory.kinds), self.max_walls.limits,
            self.parents, self.capacity.kinds, self.unseen,
        )  # fmt: skip
