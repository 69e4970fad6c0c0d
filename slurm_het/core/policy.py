"""What the admin decided: pools, GRES names, types, rules and weights. Data, no behaviour.

`slurm_het.config` reads it from YAML; examples/het.yaml has them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from slurm_het.core.backfill import USUAL, Backfill
from slurm_het.core.catalog import Catalog
from slurm_het.core.model import SCENARIOS, Scenario, Task
from slurm_het.core.sign import SignTable

Mode = Literal["shadow", "advise", "plan"]
"""Decide and change nothing; tell users as well what would be done; do it."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A resource pool: a partition tagged with the scenario and the vendors it is for."""

    partition: str
    scenario: Scenario
    vendors: tuple[str, ...]
    mode: Mode = "plan"


@dataclass(frozen=True, slots=True)
class GresName:
    """A GRES name that counts as an accelerator.

    `shared`: its unit is one GiB of a device's memory. `alias_of`: users may still write this
    name, the cluster registers the other one. `vendors`: whose devices the name stands for.
    """

    shared: bool = False
    alias_of: str = ""
    vendors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """If a job looks like this, then it is that. The first rule that says something wins.

    A rule matches if any of its `words` is in the job's script and each of the other given
    conditions holds. `module:NAME` as a word matches `module load NAME/version`. `memory_auto`: the
    memory is what the user's program took before.
    """

    name: str
    words: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    job_names: tuple[str, ...] = ()
    scenario: Scenario | None = None
    vendors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    memory_gib: int = 0
    memory_auto: bool = False
    share: bool = False
    job_class: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedJob:
    """A sort of job that the site runs, and its share of the device time in any unit.

    It asks `devices` of any of the `types` (none named: all) with `memory_gib`, on each of `nodes`
    of the `pools` (none named: all), `cpus` and `memory_mib` beside them. `shared`: it takes only
    `memory_gib` of each device. With 0 devices it takes CPUs and memory of nodes that have them,
    and its share is as if it took one of each node.
    """

    share: float
    devices: int = 1
    nodes: int = 1
    types: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    memory_gib: int = 0
    shared: bool = False
    cpus: int = 1
    memory_mib: int = 0


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term of w and v counts; 0 switches one off. Terms: `core/worth/weights.py`."""

    scenario_fit: float = 4.0
    throughput: float = 1.0
    fragmentation: float = 2.0
    scarcity: float = 2.0
    locality: float = 1.0
    preference: float = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one plan is about: at most `window_tasks` tasks, and who nodes are kept for.

    `reservations` blocked tasks of each pool whose nodes others than the gate's jobs may take get
    them kept, once they have been eligible for `reserve_after_seconds`. `protected` more are not
    delayed by tasks below them, as far as Slurm's `backfill` would wait for them: whom it passes
    over starts no later than under it. `speed_patience` is the part of the time saved on a faster
    type for which a task waits for it.
    """

    window_tasks: int = 64
    reservations: int = 1
    reserve_after_seconds: float = 0.0  # as Slurm: who is blocked is protected at once
    protected: int = 500
    backfill: Backfill = USUAL
    speed_patience: float = 0.0

    def keeps_for(self, task: Task, now: float) -> bool:
        """Whether nodes are kept for a task that cannot start, `now` being epoch seconds."""
        waited = now - task.since >= self.reserve_after_seconds
        return waited and self.backfill.keeps_for(task.priority, task.since, now)


ImpossibleMemory = Literal["largest", "ignore", "refuse"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the pure core needs of the configuration.

    `preference` is by device type, -1..1. `throughput[row][type]` is a speed in 0..1; a row is a
    scenario or a class of jobs, and what a class says of a type goes before its scenario. A type in
    neither counts by its TFLOPS relative to the fastest type. Without `expected_jobs` the journal
    tells what to expect. For `history_days` on which hetd ran it counts how a user's program fared
    on a vendor's devices, and how long it ran; 0: not at all. `impossible_memory`: a job whose
    directive asks for more than any device has that it may use gets the largest, or any, or is
    refused at submit. In the `spanning_partition`, over the nodes of several pools, plain Slurm
    places what no pool can hold alone; none: it waits. `others` are pools that plain Slurm
    schedules for now.
    """

    intake_partition: str
    pools: tuple[Pool, ...]
    gres: dict[str, GresName]
    types: Catalog
    default_vendors: tuple[str, ...] = ()
    default_scenario: Scenario = "training"
    rules: tuple[Rule, ...] = ()
    signs: SignTable = field(default_factory=SignTable)
    weights: Weights = field(default_factory=Weights)
    preference: dict[str, float] = field(default_factory=dict)
    throughput: dict[str, dict[str, float]] = field(default_factory=dict)
    expected_jobs: tuple[ExpectedJob, ...] = ()
    history_days: float = 30.0
    impossible_memory: ImpossibleMemory = "largest"
    spanning_partition: str = ""
    others: tuple[Pool, ...] = ()

    @property
    def planned(self) -> Policy:
        """The policy of the pools in plan; the rest are `others`."""
        return self._of([pool for pool in self.pools if pool.mode == "plan"])

    @property
    def shadowed(self) -> Policy:
        """The same of those in shadow and advise."""
        return self._of([pool for pool in self.pools if pool.mode != "plan"])

    @property
    def left_alone(self) -> tuple[Pool, ...]:
        """Of the others those that are in shadow or in advise."""
        return tuple(pool for pool in self.others if pool.mode != "plan")

    def leaves_alone(self, partition: str) -> bool:
        """Whether it is one of those: nothing is done for the jobs that run there."""
        return any(pool.partition == partition for pool in self.left_alone)

    def _of(self, chosen: list[Pool]) -> Policy:
        rest = tuple(pool for pool in self.pools if pool not in chosen)
        return replace(self, pools=tuple(chosen), others=rest) if rest else self

    def job_classes(self) -> tuple[str, ...]:
        """The rows of `throughput` that are no scenario."""
        return tuple(name for name in self.throughput if name not in SCENARIOS)

    def is_whole(self, gres_name: str) -> bool:
        """Whether a GRES of that name is a device as a whole; no other site's GRES is."""
        known = self.gres.get(gres_name)
        return known is not None and not known.shared

    def is_share(self, gres_name: str) -> bool:
        """Whether a GRES of that name is a share of a device, GiB by GiB."""
        return gres_name in self.gres and not self.is_whole(gres_name)

    def vendors(self) -> frozenset[str]:
        """Every vendor that some pool or type names."""
        named = {v for pool in self.pools for v in pool.vendors}
        return frozenset(named | {t.vendor for t in self.types.values()})

    @property
    def spanning(self) -> tuple[Pool, ...]:
        """The spanning partition as if it were a pool; nothing is planned there."""
        name = self.spanning_partition
        return (Pool(name, self.default_scenario, tuple(self.vendors())),) if name else ()

    @property
    def partitions(self) -> frozenset[str]:
        """The partitions that are ours: the intake, and the pools."""
        return frozenset((self.intake_partition, *(pool.partition for pool in self.pools)))

    def pool(self, partition: str) -> Pool | None:
        """The pool that a partition is, or None."""
        return next((p for p in self.pools if p.partition == partition), None)
