"""The nouns of the pipeline: what Slurm says (Snapshot), what we make of it, and the plan. What it
says of a job and of a node is in records.py, of others in files of their own.

Units: device memory in GiB, host memory in MiB, times in epoch seconds, limits in minutes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, NamedTuple

from slurm_het.core.backfill import USUAL, Backfill
from slurm_het.core.capacity import PLAIN_RULES, SubmitRules
from slurm_het.core.measured import Measured
from slurm_het.core.memory_defaults import TimeLimits
from slurm_het.core.network import Network, Parts
from slurm_het.core.partition import Partition as Partition
from slurm_het.core.partition import QosFlags
from slurm_het.core.preemption import NO_PREEMPTION, Preemption
from slurm_het.core.reasons import Reason, Spared
from slurm_het.core.records import FINISHED as FINISHED
from slurm_het.core.records import Job as Job
from slurm_het.core.records import NodeRecord as NodeRecord
from slurm_het.core.site_limits import Claim, SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.worked_out import WorkedOut

Scenario = Literal["training", "inference"]
SCENARIOS: tuple[Scenario, ...] = ("training", "inference")


@dataclass(frozen=True, slots=True)
class Snapshot(WorkedOut):
    """All that a cycle reads from Slurm, at `time` (epoch seconds)."""

    time: float
    jobs: tuple[Job, ...]
    nodes: tuple[NodeRecord, ...]
    partitions: tuple[Partition, ...]
    rewrites_gres: bool = False  # not 22.05: the GRES of a pending job can be replaced
    forgets_sharers: bool = False  # 22.05: see SlurmVersion.forgets_sharers
    limits: SiteLimits = field(default_factory=SiteLimits)
    reservations: tuple[ReservationRecord, ...] = ()
    preemption: Preemption = NO_PREEMPTION
    future: tuple[NodeRecord, ...] = ()  # of state FUTURE: Slurm's verdict at submit counts them
    unseen: frozenset[str] = frozenset()  # nodes of partitions of which Slurm tells nothing
    submit_rules: SubmitRules = PLAIN_RULES
    networks: Mapping[str, Network] = field(default_factory=dict)  # by Partition.topology
    backfill: Backfill = USUAL
    qos_flags: QosFlags = field(default_factory=dict)
    measured: Mapping[str, tuple[Measured, ...]] = field(default_factory=dict)  # by node


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator j: M_j is `memory_gib`. U_j is `occupied_gib`, which Slurm has given away
    (all of it if held whole), and `excess_gib`, which is really in use beyond that.

    `trouble` says why it must not be used, '' if it may. `gres` is the GRES that asks for just such
    a one: `gpu:a100`, `gpu:a100_2`, `npu:910b`.
    `in_shares`: its holders have shares of it, none has all of it.
    """

    node: str
    index: int
    type: str
    vendor: str
    memory_gib: int
    occupied_gib: int = 0
    holders: tuple[str, ...] = ()
    gres: str = ""
    in_shares: bool = False
    excess_gib: int = 0
    trouble: str = ""

    @property
    def free_gib(self) -> int:
        return max(0, self.memory_gib - self.occupied_gib - self.excess_gib)

    @property
    def empty(self) -> bool:
        return not self.holders and self.occupied_gib + self.excess_gib == 0


class CpuCap(NamedTuple):
    """The most CPUs of a node that the jobs of a pool may have together, and what is left."""

    pool: str
    most: int
    free: int


@dataclass(frozen=True, slots=True)
class Node(WorkedOut):
    """A node with its devices and what is free on it now.

    - `has_shards`: shares can be asked for; `held_exclusively`: a job has it with --exclusive;
    - `exclusive_in`: the pools of OverSubscribe=EXCLUSIVE: their jobs get it as a whole;
    - `cpu_caps`: where a pool's MaxCPUsPerNode leaves its jobs less than `cpus` and `cpus_free`;
    - `forgets_sharers`: its Slurm does (SlurmVersion): no whole devices beside shares;
    - `promised_whole`: a job that is released to it has yet to take whole devices;
    - `reserved`: the reservation of Slurm's that has all of it now;
    - `ailing`: a device is fuller than Slurm knows, or must not be used.
    """

    name: str
    usable: bool
    state: str
    cpus: int
    cpus_free: int
    memory_mib: int
    memory_free_mib: int
    threads_per_core: int
    features: frozenset[str]
    partitions: tuple[str, ...]
    devices: tuple[Device, ...]
    idle: bool
    has_shards: bool = False
    held_exclusively: bool = False
    exclusive_in: frozenset[str] = frozenset()
    cpu_caps: tuple[CpuCap, ...] = ()
    forgets_sharers: bool = False
    promised_whole: bool = False
    reserved: str = ""
    reason: str = ""
    parts: Parts = ()  # of the network
    weight: int = 1
    ailing: bool = False
    sockets: int = 0  # 0: not told

    @property
    def powered_down(self) -> bool:
        """Whether Slurm has to power it up for the job it is given."""
        return "POWERED_DOWN" in self.state or "~" in self.state

    def closed_to(self, *, shares: bool) -> bool:
        """Whether Slurm cannot be trusted to give out shares, or whole devices, there now."""
        if not self.forgets_sharers:
            return False
        return self.promised_whole if shares else any(d.in_shares for d in self.devices)


@dataclass(frozen=True, slots=True)
class Classification:
    """What a job is, and the evidence for it. `job_class` is its row of the site's `throughput:`,
    or ''. `problems` are told to its user at submit, mostly of its directives, and not kept."""

    scenario: Scenario
    vendors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    memory_gib: int = 0
    share: bool = False
    evidence: tuple[str, ...] = ()
    job_class: str = ""
    problems: tuple[str, ...] = ()
    named: bool = False  # whether its user named vendors or types; not kept either
    memory_named: bool = False  # the same of the memory, in a directive
    program: str = ""  # the name of what it launches: core/jobs/trials.py


@dataclass(frozen=True, slots=True)
class Slot:
    """What a task asks of one of its nodes: devices, CPUs, host memory (MiB).
    `memory_mib` is for these CPUs; Slurm adds `memory_per_cpu_mib` for each CPU it rounds up by.
    Where the defaults of its pools differ, `by_pool` has what it asks in each, and it has the most.
    """

    devices: int
    cpus: int
    memory_mib: int
    memory_per_cpu_mib: int = 0
    by_pool: tuple[tuple[str, Slot], ...] = ()

    def within(self, pools: Collection[str]) -> Slot:
        """What it asks in these pools: the most of any of them."""
        there = [slot for pool, slot in self.by_pool if pool in pools]
        return Slot.largest(there) if there else self

    @classmethod
    def largest(cls, slots: Sequence[Slot]) -> Slot:
        """The most of everything that any of some slots asks."""
        if len(slots) == 1:
            return slots[0]
        asked = ((s.devices, s.cpus, s.memory_mib, s.memory_per_cpu_mib) for s in slots)
        return cls(*map(max, zip(*asked, strict=True)))


@dataclass(frozen=True, slots=True)
class Task:
    """A gated job (or one array task of it), ready to be planned.

    `memory_gib` is what each device must offer; `takes_share` takes just that much of it, otherwise
    the device is taken whole. `pools` are the partitions it may use, best first. It has been
    eligible `since` (epoch seconds). `job_class` and `program` are as in Classification.
    `asks` is the GRES name it asks for, with the type if it names one; '' reaches any device.
    `rewrites` are nodes (name, GRES) where its request is to be another one; `rewritten` says that
    an earlier release has left it another one. With a `lot` Slurm itself deals out the devices
    over the nodes, so many at a time (see slurm_picks.py); else each node gives what its slot says.
    Such a task may be spread over `most_nodes` (cluster/lots.py); 0: over as many as its slots.
    It uses at most `threads_per_core` of each core that it is given (0: all), and needs so many
    `sockets` of a node. It takes `claims` of the site's limits. `reservation` is the one of Slurm's
    that it is for; `magnets` draw it in unasked. With a `leaf_patience` (seconds that it waits for
    that) one leaf switch has its nodes.
    """

    key: str
    job_id: int
    user: str
    scenario: Scenario
    types: frozenset[str]
    slots: tuple[Slot, ...]
    pools: tuple[str, ...]
    takes_share: bool = False
    memory_gib: int = 0
    exclusive: bool = False
    all_memory: bool = False
    features: str = ""
    exc_nodes: frozenset[str] = frozenset()
    priority: int = 0
    minutes: int | None = None
    since: float = 0.0
    asks: str = ""
    rewrites: tuple[tuple[str, str], ...] = ()
    rewritten: bool = False
    job_class: str = ""
    program: str = ""
    lot: int = 0
    most_nodes: int = 0
    threads_per_core: int = 0
    sockets: int = 1
    claims: tuple[Claim, ...] = ()
    reservation: str = ""
    magnets: tuple[str, ...] = ()
    leaf_patience: int | None = None
    time_limits: TimeLimits = ()  # where its user left it open: see InPools
    _request: Task | None = field(default=None, init=False, repr=False, compare=False)
    _off: tuple[frozenset[str], Task] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        """Worked out once: tasks are what most of a cycle's memories go by."""
        if not self._hash:
            most = self.key, self.types, self.slots, self.pools, self.features, self.exc_nodes
            object.__setattr__(self, "_hash", hash((*most, self.memory_gib, self.minutes)))
        return self._hash

    def rewritten_on(self, node: str) -> str:
        """The GRES that it is to ask for on a node; '' where its own does."""
        if not self.rewrites:  # most; it is asked of every device
            return ""
        return next((gres for name, gres in self.rewrites if name == node), "")

    @property
    def array(self) -> str:
        """The id of the array that it is a task of; '' if it is none."""
        array, task, _ = self.key.partition("_")
        return array if task else ""

    @property
    def largest_slot(self) -> Slot:
        """The slot that asks most of a node: devices first, then CPUs, then host memory."""
        return max(self.slots, key=lambda s: (s.devices, s.cpus, s.memory_mib))

    def limit_in(self, pool: str) -> int | None:
        """The time limit with which it is released to a pool: None is no limit."""
        return dict(self.time_limits).get(pool, self.minutes)

    def limited(self, pool: str, minutes: int | None) -> Task:
        """The task with that time limit in a pool."""
        limits = {**dict(self.time_limits), pool: minutes}
        return replace(self, time_limits=tuple(limits.items()))

    @property
    def request(self) -> Task:
        """The same for all tasks that ask for the same, whoever's they are; made once."""
        if self._request:
            return self._request
        own = {"key": "", "job_id": 0, "user": "", "priority": 0, "minutes": None, "since": 0}
        like = _one_of(replace(self, **own, program="", claims=(), time_limits=()))  # type: ignore[arg-type]  # by name
        object.__setattr__(self, "_request", like)  # frozen for all others
        return like

    def off(self, names: frozenset[str]) -> Task:
        """The same task, kept off these nodes too; made once for the last ones it was kept off."""
        if names <= self.exc_nodes:
            return self
        if self._off and self._off[0] == names:
            return self._off[1]
        # One set for all that are kept off the same nodes, where that will do.
        without = replace(self, exc_nodes=self.exc_nodes | names if self.exc_nodes else names)
        object.__setattr__(self, "_off", (names, without))
        return without


@lru_cache(maxsize=50_000)
def _one_of(request: Task) -> Task:
    """The first of equal ones: to be found again it need not be compared."""
    return request


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one task starts: partition, nodes and, per node, the device indexes.

    `memory_gib` is what it takes of each device: its share, or all the memory of the first one.
    `types` are the types of its devices, sorted. placement_of() makes it. `spared` is what the
    prices kept for others with it, if anything.
    """

    key: str
    partition: str
    nodes: tuple[str, ...]
    devices: tuple[tuple[int, ...], ...]
    types: tuple[str, ...]
    memory_gib: int
    terms: dict[str, float] = field(default_factory=dict)
    spared: Spared | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of a cycle: who starts where, who waits and why, and how good that is.
    `refused`: what is wrong with the solver's solution, in whose place first-fit's is. `shortened`
    are, by key, the time limits of those with --time-min that get less than they asked for.
    """

    placements: tuple[Placement, ...] = ()
    waiting: Mapping[str, Reason] = field(default_factory=dict)
    status: str = "optimal"
    objective: float = 0.0
    bound: float = 0.0
    gap: float = 0.0
    seconds: float = 0.0
    left_out: int = 0
    refused: str = ""
    shortened: Mapping[str, int] = field(default_factory=dict)

    def as_placed(self, task: Task, placement: Placement) -> Task:
        """The task with the time limit that it gets there."""
        limit = self.shortened.get(task.key)
        return task if limit is None else task.limited(placement.partition, limit)
