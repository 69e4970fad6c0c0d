"""How much runs and waits in all, by pool, by user and account: what agrees with Slurm's counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.arrays import array_size
from slurm_het.core.views.job_rows import JobRow, queued_seconds


@dataclass(frozen=True, slots=True)
class PoolUse:
    """The devices of a pool that jobs hold, and the GiB of them, of how many there are."""

    pool: str
    used: int
    devices: int
    used_gib: int
    memory_gib: int


@dataclass(frozen=True, slots=True)
class Longest:
    """Who waits longest: the job as it is shown, its user, and for how many seconds."""

    id: str
    user: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Jobs and tasks of arrays that run (have nodes) and wait, as `squeue -r` counts them."""

    running: int
    waiting: int
    pools: tuple[PoolUse, ...]
    longest: Longest | None

    def sum_of(self, name: str) -> int:
        """The sum of one of PoolUse's numbers over the pools."""
        return sum(getattr(pool, name) for pool in self.pools)


@dataclass(slots=True)
class Total:
    """What one user has in one account: tasks, devices and GiB; of what waits the devices that it
    asks for, and the seconds that the first has waited."""

    account: str
    user: str
    running: int = 0
    devices: int = 0
    memory_gib: int = 0
    waiting: int = 0
    devices_asked: int = 0
    longest_wait: int = 0

    def add(self, other: Total) -> None:
        """Count the other in."""
        self.running += other.running
        self.devices += other.devices
        self.memory_gib += other.memory_gib
        self.waiting += other.waiting
        self.devices_asked += other.devices_asked
        self.longest_wait = max(self.longest_wait, other.longest_wait)


@dataclass(frozen=True, slots=True)
class Totals:
    """By account and user, by account, and of all."""

    users: tuple[Total, ...] = ()
    accounts: tuple[Total, ...] = ()
    all: Total = field(default_factory=lambda: Total("", ""))


def tasks_of(job: Job) -> int:
    """How many lines `squeue -r` prints for it."""
    return max(1, array_size(job.array_tasks)) if job.unsplit else 1


def summary_of(snapshot: Snapshot, inventory: Inventory, policy: Policy) -> Summary:
    """What runs and waits, and the use of each pool. A node of several pools counts for the first
    of them alone."""
    running = waiting = 0
    longest: Longest | None = None
    for job in snapshot.jobs:
        running += job.state == "RUNNING"
        if job.state == "PENDING":
            waiting += tasks_of(job)
            waited = queued_seconds(job, snapshot.time)
            if longest is None or waited > longest.seconds:
                longest = Longest(job.label, job.user, waited)
    return Summary(running, waiting, tuple(pool_uses(inventory, policy)), longest)


def pool_uses(inventory: Inventory, policy: Policy) -> list[PoolUse]:
    """The use of each pool that has devices."""
    there = {pool.partition: PoolUse(pool.partition, 0, 0, 0, 0) for pool in policy.pools}
    for node in inventory.nodes.values():
        pool = next((name for name in there if name in node.partitions), None)
        if pool is None:
            continue
        before = there[pool]
        there[pool] = PoolUse(
            pool,
            before.used + sum(bool(d.holders) for d in node.devices),
            before.devices + len(node.devices),
            before.used_gib + sum(d.occupied_gib for d in node.devices),
            before.memory_gib + sum(d.memory_gib for d in node.devices),
        )
    return [use for use in there.values() if use.devices]


def totals_of(rows: Iterable[JobRow]) -> Totals:
    """By user and account. Rows of jobs that are over count nothing."""
    users: dict[tuple[str, str], Total] = {}
    accounts: dict[str, Total] = {}
    out = Totals()
    for row in rows:
        if not (row.waits or row.job.holds_nodes):
            continue
        account, user = row.job.account, row.job.user
        one = _total(row)
        users.setdefault((account, user), Total(account, user)).add(one)
        accounts.setdefault(account, Total(account, "")).add(one)
        out.all.add(one)

    def rank(total: Total) -> tuple[int, int, str]:
        return -total.devices, -total.devices_asked, total.user or total.account

    ordered = sorted(users.values(), key=rank), sorted(accounts.values(), key=rank)
    return Totals(tuple(ordered[0]), tuple(ordered[1]), out.all)


def _total(row: JobRow) -> Total:
    if row.waits:
        tasks = tasks_of(row.job)
        asked = tasks * sum(row.ask.devices if row.ask else ())
        return Total("", "", waiting=tasks, devices_asked=asked, longest_wait=row.waited)
    held = sum(h.count for h in row.held)
    running = int(row.job.state == "RUNNING")
    return Total("", "", running=running, devices=held, memory_gib=row.memory_gib)
