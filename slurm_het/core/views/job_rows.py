"""What an operator sees of each job: devices, memory, pool, and why it waits.

Everything comes from a Snapshot; what the daemon remembers (`Remembered`) only adds to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from slurm_het.core.cluster.holdings import HeldDevices, Holding, holding_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.asked import classification_of
from slurm_het.core.jobs.constraint_hints import where_allowed
from slurm_het.core.jobs.demand import NodeSize, count_demand, is_accelerator_job, size_of
from slurm_het.core.jobs.pools import fitting_pools, fitting_types, own_first
from slurm_het.core.jobs.readings import Readings
from slurm_het.core.jobs.request import gres_of
from slurm_het.core.jobs.task_pools import TaskPools, fill_task_pools, is_gated
from slurm_het.core.model import Classification, Job, Node, Scenario, Snapshot, Task
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Observed, Prepared, observe, prepare
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reasons import Reason, TellTime
from slurm_het.core.reasons.codes import Waits, action_for
from slurm_het.core.views.slurms_whys import SlurmsWhys
from slurm_het.core.views.waiting import Remembered, Whys
from slurm_het.errors import HetError

GATE = "gate"
UNTOLD = Waits("", "")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a waiting job asks for: devices per node, GiB in all (at least, if types differ)."""

    devices: tuple[int, ...] = ()
    memory_gib: int = 0
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """When a waiting job starts at the latest (epoch seconds), and where as far as it is known.

    `likely` is when it starts if jobs end as they usually do; None where hetd does not tell.
    """

    start: float
    partition: str
    nodes: tuple[str, ...] = ()
    likely: float | None = None


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job as operators see it. `types` are `vendor:type`, or vendors while it waits.

    It ran for `seconds`, and was queued for `waited`, from its submission on. `code` is that of its
    reason, `action` what to do about that; '' unless it waits. When it starts is known once
    starts.with_starts() has been asked, or `untold` says why not.
    """

    job: Job
    id: str
    pool: str
    scenario: Scenario | None
    types: tuple[str, ...]
    held: tuple[HeldDevices, ...]
    memory_gib: int
    ask: Ask | None
    seconds: int
    waited: int
    reason: str
    evidence: tuple[str, ...]
    unreadable: bool = False
    expected: Expected | None = None
    code: str = ""
    action: str = ""
    untold: str = ""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes it holds, or held."""
        return tuple(h.node for h in self.held)

    @property
    def waits(self) -> bool:
        """Whether the job is still pending."""
        return self.job.state == "PENDING"


@dataclass(frozen=True, slots=True)
class View:
    """All rows, the intake's State (UP or DOWN) as Slurm has it, and what could not be read.

    `prepared` is what they are made from, `readings` what the jobs were read as.
    """

    rows: tuple[JobRow, ...]
    intake: str
    warnings: tuple[str, ...]
    prepared: Prepared
    readings: Readings

    @property
    def snapshot(self) -> Snapshot:
        """The records, set right."""
        return self.prepared.snapshot

    @property
    def inventory(self) -> Inventory:
        """The devices, and who holds them."""
        return self.prepared.inventory


@dataclass(frozen=True, slots=True)
class Counted:
    """What jobs hold and ask for, for sums: rows that do not tell why jobs wait, in no order.

    The rest is as in View. To work out the reasons of ten thousand jobs takes half a second.
    """

    rows: tuple[JobRow, ...]
    intake: str
    warnings: tuple[str, ...]
    snapshot: Snapshot
    inventory: Inventory


def make_view(
    snapshot: Snapshot,
    policy: Policy,
    limits: Limits,
    memory: Remembered | None = None,
    at: TellTime = str,
) -> View:
    """One row per job record: the pools in the policy's order, then other partitions, the gate.

    It is made from what hetd's next cycle would plan from; `at` writes times.
    """
    readings = Readings()
    prepared = as_planned(snapshot, policy, limits, readings)
    intake, known = _intake(snapshot, policy), memory or Remembered()
    maker = _Maker(prepared.snapshot, prepared.inventory, policy, prepared.queue, prepared.pins)
    whys, slurms = Whys(prepared, known, at, intake), SlurmsWhys(prepared, known, at)

    def why(job: Job) -> Waits:
        return whys.waits(job) if is_gated(job, policy) else slurms.waits(job)

    rows = [maker.row(job, why(job)) for job in prepared.snapshot.jobs]
    ranks = {p.partition: n for n, p in enumerate(policy.pools)}

    def order(row: JobRow) -> tuple[object, ...]:
        rank = len(ranks) + 1 if row.pool == GATE else ranks.get(row.pool, len(ranks))
        task = row.job.array_task_id if row.job.array_task_id is not None else 1 << 30
        array = row.job.array_job_id or row.job.id
        return rank, row.pool, row.waits, -row.job.priority, array, task

    warnings = dict.fromkeys((*prepared.inventory.warnings, *maker.warnings))
    return View(tuple(sorted(rows, key=order)), intake, tuple(warnings), prepared, readings)


def count_jobs(snapshot: Snapshot, policy: Policy, limits: Limits) -> Counted:
    """The same jobs with what they hold and ask for alone."""
    seen, known = _observed(snapshot, policy)
    snapshot, inventory = seen.snapshot, seen.inventory
    queue = fill_task_pools(snapshot, inventory, policy, limit=limits.window_tasks)
    maker = _Maker(snapshot, inventory, policy, queue, known.pins.pins.values())
    rows = tuple(maker.row(job, UNTOLD) for job in snapshot.jobs)
    warnings = tuple(dict.fromkeys((*inventory.warnings, *maker.warnings)))
    return Counted(rows, _intake(snapshot, policy), warnings, snapshot, inventory)


def _intake(snapshot: Snapshot, policy: Policy) -> str:
    states = {partition.name: partition.state for partition in snapshot.partitions}
    return states.get(policy.intake_partition, "missing")


def as_observed(snapshot: Snapshot, policy: Policy) -> Observed:
    """What hetd's next cycle would see, as far as Slurm's records tell."""
    return _observed(snapshot, policy)[0]


def as_planned(
    snapshot: Snapshot, policy: Policy, limits: Limits, readings: Readings | None = None
) -> Prepared:
    """What hetd's next cycle would plan from, as far as Slurm's records tell.

    With `readings` what was read of the jobs of the last snapshot need not be read again.
    """
    observed, known = _observed(snapshot, policy)
    known.readings = readings or known.readings
    return prepare(observed, limits, known, 0.0)


def _observed(snapshot: Snapshot, policy: Policy) -> tuple[Observed, Memory]:
    """The same, with what a hetd would know that has just come."""
    # A job that the hook did not prepare is shown as it stands.
    known = Memory(Pins(0, 0), not_adopted={job.id for job in snapshot.jobs})
    observed = observe(snapshot, policy, known, 0.0)
    for due in observed.take_back:
        if not due.penalty:  # hetd's next look takes it back: nothing is kept for it
            known.pins.pins.pop(due.key, None)
    return observed, known


class _Maker:
    """Makes rows of one snapshot; collects what could not be read."""

    def __init__(
        self,
        snapshot: Snapshot,
        inventory: Inventory,
        policy: Policy,
        queue: TaskPools,
        pins: Iterable[Pin],
    ) -> None:
        self.now = snapshot.time
        self.inventory, self.policy, self.queue = inventory, policy, queue
        self.warnings: list[str] = []
        # One task of an array speaks for the rest.
        self.tasks = {task.job_id: task for task in reversed(queue.tasks)}
        self.tasks |= {pin.task.job_id: pin.task for pin in pins}
        self._known_sizes: dict[tuple[tuple[str, ...], frozenset[str]], frozenset[int]] = {}

    def row(self, job: Job, why: Waits) -> JobRow:
        held = holding_of(job, self.inventory, self.policy, self.warnings)
        what, asked, readable = self._what(job, held)
        types = held.types
        if what and not types and job.state == "PENDING":
            types = self._may_get(job, what)
        gated = is_gated(job, self.policy)
        return JobRow(
            job=job,
            id=job.label,
            pool=GATE if gated else job.partition,
            scenario=what.scenario if what else None,
            types=types,
            held=held.nodes,
            memory_gib=held.memory_gib,
            ask=asked,
            seconds=used_seconds(job, self.now),
            waited=queued_seconds(job, self.now),
            reason=why.text,
            code=why.code if job.state == "PENDING" else "",
            action=action_for(why.code, job.reason) if job.state == "PENDING" else "",
            evidence=what.evidence if what else (),
            unreadable=not readable,
        )

    def _what(self, job: Job, held: Holding) -> tuple[Classification | None, Ask | None, bool]:
        """Classification and, while it waits, request of a job; whether they could be read.

        A job that asked for no device may hold some: --exclusive, or a partition's default.
        """
        try:
            asks = is_accelerator_job(job, self.policy)
            if not asks and not held.types:
                return None, None, True
            known = self.queue.classifications.get(job.label)
            what = known or classification_of(job, self.policy, self.inventory)
            waits = asks and job.state == "PENDING"
            return what, self._ask(job, what) if waits else None, True
        except HetError as error:
            self.warnings.append(f"job {job.key}: {error.message}")
            return None, None, False

    def _ask(self, job: Job, what: Classification) -> Ask:
        """What the planner has of it; of a job that is not ours to plan, what it says itself."""
        if task := self.tasks.get(job.id):
            slots, memory_gib, shared = task.slots, task.memory_gib, task.takes_share
            sizes = self._sizes(task)
        else:
            nodes, types = self._candidates(job, what), self._fitting(job, what)
            sizes = _sizes_of(nodes, types)
            demand = count_demand(
                job, gres_of(job), self.policy, NodeSize.largest(map(size_of, nodes))
            )
            if isinstance(demand, Reason):
                return Ask()
            slots, shared = demand.slots, demand.takes_share
            memory_gib = demand.memory_gib or what.memory_gib
        devices = tuple(slot.devices for slot in slots)
        if shared:
            return Ask(devices, memory_gib * len(devices))
        each = max(memory_gib, min(sizes, default=0))
        return Ask(devices, each * sum(devices), at_least=len(sizes) > 1)

    def _sizes(self, task: Task) -> frozenset[int]:
        """How much memory the devices have that it may get; the same for most tasks of a pool."""
        like = task.pools, task.types
        if like not in self._known_sizes:
            pools, nodes = set(task.pools), self.inventory.nodes.values()
            there = (node for node in nodes if pools & set(node.partitions))
            self._known_sizes[like] = _sizes_of(there, task.types)
        return self._known_sizes[like]

    def _candidates(self, job: Job, what: Classification) -> list[Node]:
        """The nodes with a fitting device, in its partition or, from the gate, fitting pools."""
        types = self._fitting(job, what)
        inside = set(job.partition.split(","))
        if is_gated(job, self.policy):
            largest = {
                p.partition: self.inventory.largest_of(p.partition) for p in self.policy.pools
            }
            inside_it = where_allowed(types, job.features, self.inventory)
            pools = fitting_pools(what, inside_it, largest, self.policy)
            inside = {p.partition for p in own_first(pools, what, inside_it)}
        return [
            node
            for node in self.inventory.nodes.values()
            if inside & set(node.partitions) and any(d.type in types for d in node.devices)
        ]

    def _fitting(self, job: Job, what: Classification) -> frozenset[str]:
        """The types it can run on, where it may run: in its pool, or anywhere from the gate."""
        present = self.inventory.types
        if not is_gated(job, self.policy):
            named = [self.inventory.types_of(p) for p in job.partition.split(",")]
            present = {name: present[name] for name in frozenset().union(*named)}
        return fitting_types(what, present, self.policy)

    def _may_get(self, job: Job, what: Classification) -> tuple[str, ...]:
        if is_gated(job, self.policy) and not what.types and not what.partitions:
            return what.vendors or ("any",)
        fitting = self._fitting(job, what)
        inside = {d.type for n in self._candidates(job, what) for d in n.devices} & fitting
        types = inside or fitting or frozenset(what.types)
        return tuple(sorted(self._vendor_type(t) for t in types)) or what.vendors

    def _vendor_type(self, name: str) -> str:
        there = self.inventory.types.get(name)
        known = there or self.policy.types.get(name)
        return f"{known.vendor if known else 'unknown'}:{name}"


def used_seconds(job: Job, now: float) -> int:
    """How long the job has run, as squeue counts it: to its end once it is over."""
    if job.state in {"PENDING", "CONFIGURING"} or not job.start_time:
        return 0
    over = job.finished or job.state == "COMPLETING"
    end = job.end_time if over and job.end_time else int(now)
    return max(0, end - job.start_time)


def queued_seconds(job: Job, now: float) -> int:
    """How long the job has been in the queue, or was before it started (squeue's PendingTime)."""
    until = job.start_time if job.state != "PENDING" and job.start_time else int(now)
    return max(0, until - job.submit_time) if job.submit_time else 0


def rows_on(rows: Iterable[JobRow], nodes: frozenset[str]) -> Iterator[JobRow]:
    """The rows of jobs that hold any of these nodes."""
    return (row for row in rows if row.job.holds_nodes and nodes & set(row.nodes))


def _sizes_of(nodes: Iterable[Node], types: Collection[str]) -> frozenset[int]:
    return frozenset(d.memory_gib for node in nodes for d in node.devices if d.type in types)
