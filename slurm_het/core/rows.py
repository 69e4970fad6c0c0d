"""What an operator sees of each job: devices, memory, pool, and why it waits.

Everything comes from a Snapshot; what the daemon remembers (`Remembered`) only adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from slurm_het.core import hostlist
from slurm_het.core.demand import count_demand, is_accelerator_job
from slurm_het.core.explain import explain
from slurm_het.core.gres import format_indexes
from slurm_het.core.inventory import Inventory, read_gres
from slurm_het.core.model import Classification, Job, Node, Scenario, Snapshot, Task
from slurm_het.core.plan import could_start
from slurm_het.core.policy import Policy
from slurm_het.core.pools import fitting_pools, fitting_types
from slurm_het.core.queue import display_key, fill_task_pools, is_gated
from slurm_het.core.rewrite import classification_of
from slurm_het.errors import HetError

GATE = "gate"
UNKNOWN = "?"
FINISHED = frozenset({
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL",
    "DEADLINE", "OUT_OF_MEMORY", "REVOKED",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the daemon adds, by job key: why tasks wait, and what Slurm said of those returned."""

    answers: bool = False
    waiting: Mapping[str, str] = field(default_factory=dict)
    returned: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """Devices on one node; `indexes` is None where Slurm does not say which (`count` does)."""

    node: str
    indexes: tuple[int, ...] | None
    count: int

    def __str__(self) -> str:
        where = f"{UNKNOWN}x{self.count}" if self.indexes is None else format_indexes(self.indexes)
        return f"{self.node}:{where}" if where else self.node


@dataclass(frozen=True, slots=True)
class Ask:
    """What a waiting job asks for: devices per node, GiB in all (at least, if types differ)."""

    devices: tuple[int, ...] = ()
    memory_gib: int = 0
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One job as operators see it. `types` are `vendor:type`, or vendors while it waits."""

    job: Job
    id: str
    pool: str
    scenario: Scenario | None
    types: tuple[str, ...]
    held: tuple[Held, ...]
    memory_gib: int
    ask: Ask | None
    seconds: int
    reason: str
    evidence: tuple[str, ...]
    unreadable: bool = False

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
    """All rows, the intake's State (UP or DOWN) as Slurm has it, and what could not be read."""

    rows: tuple[Row, ...]
    intake: str
    warnings: tuple[str, ...]


def make_view(
    snapshot: Snapshot, inventory: Inventory, policy: Policy, memory: Remembered | None = None
) -> View:
    """One row per job record: the pools in the policy's order, then other partitions, the gate."""
    partitions = {p.name: p for p in snapshot.partitions}
    intake = partitions.get(policy.intake_partition)
    state = intake.state if intake else "missing"
    maker = _Maker(snapshot, inventory, policy, memory or Remembered(), state)
    rows = [maker.row(job) for job in snapshot.jobs]
    ranks = {p.partition: n for n, p in enumerate(policy.pools)}

    def order(row: Row) -> tuple[object, ...]:
        rank = len(ranks) + 1 if row.pool == GATE else ranks.get(row.pool, len(ranks))
        task = row.job.array_task_id if row.job.array_task_id is not None else 1 << 30
        array = row.job.array_job_id or row.job.id
        return rank, row.pool, row.waits, -row.job.priority, array, task

    warnings = dict.fromkeys((*inventory.warnings, *maker.warnings))
    return View(tuple(sorted(rows, key=order)), state, tuple(warnings))


class _Maker:
    """Makes rows of one snapshot; collects what could not be read."""

    def __init__(
        self,
        snapshot: Snapshot,
        inventory: Inventory,
        policy: Policy,
        memory: Remembered,
        intake: str,
    ) -> None:
        self.now = snapshot.time
        self.inventory = inventory
        self.policy = policy
        self.warnings: list[str] = []
        self.pool_types = {p.partition: inventory.types_of(p.partition) for p in policy.pools}
        self.queue = fill_task_pools(snapshot, inventory, policy)
        self.tasks: dict[int, Task] = {}
        for task in self.queue.tasks:
            self.tasks.setdefault(task.job_id, task)  # one task of an array speaks for the rest
        self.whys = _Whys(inventory, memory, intake, self.tasks, self.queue.blocked)

    def row(self, job: Job) -> Row:
        what, asked, readable = self._what(job)
        held, gib, types = self._held(job)
        if what and not types:
            types = self._may_get(job, what)
        gated = is_gated(job, self.policy)
        return Row(
            job=job,
            id=display_key(job),
            pool=GATE if gated else job.partition,
            scenario=what.scenario if what else None,
            types=types,
            held=held,
            memory_gib=gib,
            ask=asked if job.state == "PENDING" else None,
            seconds=used_seconds(job, self.now),
            reason=self.whys.gated(job) if gated else _slurms_reason(job),
            evidence=what.evidence if what else (),
            unreadable=not readable,
        )

    def _what(self, job: Job) -> tuple[Classification | None, Ask | None, bool]:
        """Classification and request of an accelerator job; whether it could be read."""
        try:
            if not is_accelerator_job(job, self.policy):
                return None, None, True
            key = display_key(job)
            what = self.queue.classifications.get(key) or classification_of(job, self.policy)
            return what, self._ask(job, what), True
        except HetError as error:
            self.warnings.append(f"job {job.key}: {error.message}")
            return None, None, False

    def _ask(self, job: Job, what: Classification) -> Ask:
        nodes = self._candidates(job, what)
        types = self._fitting(job, what)
        demand = count_demand(job, self.policy, max((len(n.devices) for n in nodes), default=1))
        if isinstance(demand, str):
            return Ask()
        devices = tuple(slot.devices for slot in demand.slots)
        if demand.shared:
            return Ask(devices, demand.memory_gib * len(devices))
        sizes = {d.memory_gib for n in nodes for d in n.devices if d.type in types}
        each = max(what.memory_gib, min(sizes, default=0))
        return Ask(devices, each * sum(devices), at_least=len(sizes) > 1)

    def _candidates(self, job: Job, what: Classification) -> list[Node]:
        """The nodes with a fitting device, in its partition or, from the gate, fitting pools."""
        types = self._fitting(job, what)
        inside = set(job.partition.split(","))
        if is_gated(job, self.policy):
            pools, _ = fitting_pools(what, types, self.pool_types, self.policy)
            inside = {p.partition for p in pools}
        return [
            node
            for node in self.inventory.nodes.values()
            if inside & set(node.partitions) and any(d.type in types for d in node.devices)
        ]

    def _fitting(self, job: Job, what: Classification) -> frozenset[str]:
        """The types it can run on, where it may run: in its pool, or anywhere from the gate."""
        present = self.inventory.types()
        if not is_gated(job, self.policy):
            named = [self.inventory.types_of(p) for p in job.partition.split(",")]
            present = frozenset().union(*named)
        return fitting_types(what, present, self.policy)

    def _may_get(self, job: Job, what: Classification) -> tuple[str, ...]:
        if is_gated(job, self.policy) and not what.types:
            return what.vendors or ("any",)
        types = self._fitting(job, what) or frozenset(what.types)
        return tuple(sorted(self._vendor_type(t) for t in types)) or what.vendors

    def _vendor_type(self, name: str) -> str:
        known = self.policy.types.get(name)
        return f"{known.vendor if known else 'unknown'}:{name}"

    def _held(self, job: Job) -> tuple[tuple[Held, ...], int, tuple[str, ...]]:
        """Devices by node, GiB and types of a job that holds nodes, as Slurm's details say."""
        try:
            names = hostlist.expand(job.nodes)
        except HetError as error:
            self.warnings.append(f"job {job.key}: {error.message}")
            return (Held(UNKNOWN, (), 0),), 0, ()
        held: list[Held] = []
        types: set[str] = set()
        total = 0
        for position, name in enumerate(names):
            detail = job.gres_detail[position] if position < len(job.gres_detail) else ""
            one, gib, found = self._on_node(job, name, detail)
            held.append(one)
            total += gib
            types |= found
        return tuple(held), total, tuple(sorted(types))

    def _on_node(self, job: Job, name: str, detail: str) -> tuple[Held, int, set[str]]:
        node = self.inventory.nodes.get(name)
        devices = {d.index: d for d in node.devices} if node else {}
        indexes: set[int] = set()
        lost, gib = 0, 0
        odd: list[str] = []
        for item in read_gres(detail, f"job {job.key}", odd):
            known = self.policy.gres.get(item.name)
            if not known or not item.count:
                continue
            at = item.indexes or ()
            if item.shares is not None:
                at = tuple(i for i, (used, _) in enumerate(item.shares) if used != 0)
            indexes.update(at)
            lost += 0 if at else item.count if not known.shared else 1
            if known.shared:
                gib += item.count
            else:  # without indexes, the node's first device stands for the others
                alike = [devices[i] for i in at if i in devices] or list(devices.values())[:1]
                gib += sum(d.memory_gib for d in alike) * (1 if at else item.count)
        self.warnings += odd
        whose = [d for i, d in devices.items() if i in indexes or lost]
        types = {f"{d.vendor}:{d.type}" for d in whose}
        if odd:
            return Held(name, None, 0), gib, types
        if lost:
            return Held(name, None, lost + len(indexes)), gib, types
        return Held(name, tuple(sorted(indexes)), len(indexes)), gib, types


class _Whys:
    """Why gated jobs wait: the daemon's words if it has any, else our own, in device terms."""

    def __init__(
        self,
        inventory: Inventory,
        memory: Remembered,
        intake: str,
        tasks: Mapping[int, Task],
        blocked: Mapping[str, str],
    ) -> None:
        self.inventory = inventory
        self.memory = memory
        self.intake = intake
        self.tasks = tasks
        self.blocked = blocked
        self.known: dict[Task, str] = {}

    def gated(self, job: Job) -> str:
        """Why a job waits in the gate."""
        key = display_key(job)
        task = self.tasks.get(job.id)
        if self.intake == "UP" and not (task and job.reason == "Resources"):
            return job.reason  # plain Slurm schedules: its word counts
        if task is None:
            return self.blocked.get(key, job.reason)
        why = self.memory.waiting.get(task.key) or self._explain(task)
        if self.intake == "UP":
            return f"{job.reason}; {why}"
        return f"{self._returned(job, task)}{why}"

    def _explain(self, task: Task) -> str:
        shape = replace(task, key="", job_id=0, user="", priority=0, minutes=None)
        if shape not in self.known:
            if len(task.slots) == 1 and could_start(task, self.inventory):
                whom = "the next plan" if self.memory.answers else "hetd"
                self.known[shape] = f"can start now; waits for {whom}"
            else:
                self.known[shape] = explain(task, self.inventory)
        return self.known[shape]

    def _returned(self, job: Job, task: Task) -> str:
        found = self.memory.returned.get(task.key)
        if found is None and job.array_tasks:
            start = f"{job.array_job_id}_"
            found = next((r for k, r in self.memory.returned.items() if k.startswith(start)), None)
        if found is None:
            return ""
        reason, times = found
        return f"returned{f' {times} times' if times > 1 else ''} ({reason}); "


def _slurms_reason(job: Job) -> str:
    if job.state == "PENDING":
        return job.reason
    return job.reason if job.state in FINISHED and job.reason != "None" else ""


def used_seconds(job: Job, now: float) -> int:
    """How long the job has run, as squeue counts it: to its end once it is over."""
    if job.state in {"PENDING", "CONFIGURING"} or not job.start_time:
        return 0
    over = job.state in FINISHED or job.state == "COMPLETING"
    end = job.end_time if over and job.end_time else int(now)
    return max(0, end - job.start_time)


def fold_held(held: Iterable[Held]) -> str:
    """`nv[1-2]:0-7;nv3:0`: nodes with equal devices together, in the order of the nodes."""
    groups: dict[str, list[str]] = {}
    for item in held:
        groups.setdefault(str(replace(item, node="")), []).append(item.node)
    return ";".join(f"{_fold(names)}{where}" for where, names in groups.items())


def _fold(names: list[str]) -> str:
    return UNKNOWN if UNKNOWN in names else hostlist.fold(names)


def count_text(counts: Iterable[int]) -> str:
    """Devices per node in short: `4` on one node, `2x8` on two, `5+1` uneven."""
    groups: dict[int, int] = {}
    for count in counts:
        groups[count] = groups.get(count, 0) + 1
    return "+".join(str(c) if n == 1 else f"{n}x{c}" for c, n in groups.items() if c)


def rows_on(rows: Iterable[Row], nodes: frozenset[str]) -> Iterator[Row]:
    """The rows of jobs that hold any of these nodes."""
    return (row for row in rows if row.job.holds_nodes and nodes & set(row.nodes))
