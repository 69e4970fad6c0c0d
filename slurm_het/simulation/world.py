"""What the simulation is about: nodes with their devices, partitions, reservations.

Times are in seconds after the simulation's start, device memory in GiB, host memory in MiB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from slurm_het.core.jobs.demand import Demand
from slurm_het.core.jobs.pools import refusal_of
from slurm_het.core.model import Job, Partition, Slot
from slurm_het.settings import Config
from slurm_het.simulation.jobs import JobRun, JobSpec, NodeAsk
from slurm_het.simulation.limits import NO_RULES, SiteRules


@dataclass(frozen=True, slots=True)
class SimulatedHost:
    """A node as slurm.conf has it. `types` and `gib` are of each device: its type, and the most
    that shares can have of it; `names` the GRES by which it is registered."""

    name: str
    gres: str
    cpus: int
    memory_mib: int
    features: frozenset[str]
    types: tuple[str, ...]
    gib: tuple[int, ...]
    names: tuple[str, ...]


def each_of(ask: NodeAsk, hosts: Iterable[SimulatedHost]) -> float:
    """How many devices a job takes of a node. A share is its part of the largest device, wherever
    it is: what a job takes does not depend on where it runs."""
    if not ask.share:
        return float(ask.devices)
    return ask.share / max((gib for host in hosts for gib in host.gib), default=ask.share)


@dataclass(slots=True)
class Machine:
    """A node now: of each device how many GiB shares have of it, and whether it is `held` whole."""

    host: SimulatedHost
    index: int
    cpus_free: int
    memory_free: int
    held: list[bool]
    shared: list[int]
    down: bool = False
    jobs: dict[int, JobRun] = field(default_factory=dict)
    name: str = field(init=False)
    _picks: dict[NodeAsk, tuple[int, ...] | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.name = self.host.name

    def pick(self, ask: NodeAsk) -> tuple[int, ...] | None:
        """The devices that Slurm takes: the lowest free ones; of shares the first with room."""
        try:
            return self._picks[ask]
        except KeyError:
            self._picks[ask] = found = self._pick(ask)
            return found

    def _pick(self, ask: NodeAsk) -> tuple[int, ...] | None:
        if ask.cpus > self.cpus_free or ask.memory_mib > self.memory_free:
            return None
        if not ask.devices:
            return ()
        found: list[int] = []
        host = self.host
        for index, name in enumerate(host.types):
            if ask.type not in (None, name) or self.held[index] or host.names[index] != ask.gres:
                continue
            if ask.share:
                if self.shared[index] + ask.share <= host.gib[index]:
                    return (index,)
            elif not self.shared[index]:
                found.append(index)
                if len(found) == ask.devices:
                    return tuple(found)
        return None

    @property
    def empty(self) -> int:
        """How many devices are nobody's."""
        pairs = zip(self.held, self.shared, strict=True)
        return sum(not held and not shared for held, shared in pairs)

    def could_ever(self, ask: NodeAsk) -> bool:
        """Whether the node has room for it once it is empty."""
        host = self.host
        if ask.cpus > host.cpus or ask.memory_mib > host.memory_mib:
            return False
        fit = [
            gib
            for type_, gib, gres in zip(host.types, host.gib, host.names, strict=True)
            if ask.type in (None, type_) and gres == ask.gres
        ]
        return any(gib >= ask.share for gib in fit) if ask.share else len(fit) >= ask.devices

    def take(self, ask: NodeAsk, devices: Sequence[int], sign: int = 1) -> None:
        """Take what a job asks, or with the sign -1 give it back."""
        self._picks.clear()
        self.cpus_free -= sign * ask.cpus
        self.memory_free -= sign * ask.memory_mib
        for index in devices:
            if ask.share:
                self.shared[index] += sign * ask.share
            else:
                self.held[index] = sign > 0


@dataclass(frozen=True, slots=True)
class KeptNodes:
    """A reservation of Slurm's."""

    name: str
    start: float
    end: float
    nodes: frozenset[str]
    users: frozenset[str]
    flags: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class World:
    """All that is simulated, for so many seconds. `partitions` have the names of their nodes; the
    intake has all with devices; `records` are what else Slurm says of some of them. `kept` are
    reservations, each with when it is made. `config` is what hetd goes by."""

    seconds: float
    hosts: tuple[SimulatedHost, ...]
    partitions: Mapping[str, frozenset[str]]
    jobs: tuple[JobSpec, ...]
    config: Config
    records: Mapping[str, Partition] = field(default_factory=dict)
    rules: SiteRules = NO_RULES
    kept: tuple[tuple[float, KeptNodes], ...] = ()

    def admits(self, job: JobSpec, partition: str) -> bool:
        """Whether Slurm would start the job in a partition, by that one's limits and lists."""
        record = self.records.get(partition)
        if record is None:
            return True
        ask = job.ask
        asked = Job(
            job.id, job.user, 0 if job.user == "root" else 1, groups=tuple(job.groups),
            account=job.account, qos=job.qos, reservation=job.reservation, nodes_min=job.nodes,
            time_limit_minutes=job.minutes,
        )  # fmt: skip
        slots = (Slot(ask.devices, ask.cpus, ask.memory_mib),) * job.nodes
        demand = Demand(slots, bool(ask.share), ask.share, False, False, "", 0)
        return refusal_of(asked, demand, replace(record, state="UP")) is None

    def machines(self) -> dict[str, Machine]:
        """All nodes, idle."""
        return {
            host.name: Machine(
                host, index, host.cpus, host.memory_mib,
                [False] * len(host.types), [0] * len(host.types),
            )
            for index, host in enumerate(self.hosts)
        }  # fmt: skip

    @cached_property
    def gres_names(self) -> frozenset[str]:
        """The GRES by which devices are registered."""
        return frozenset(name for host in self.hosts for name in host.names)

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return sum(len(host.types) for host in self.hosts)
