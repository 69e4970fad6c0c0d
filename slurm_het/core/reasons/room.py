"""Reasons that lie in what is free: too few devices, CPUs or memory, or not together."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from slurm_het.core.reasons.base import Reason, TellTime, few
from slurm_het.core.reasons.node import PASSES, Misfit

# --- what is free is not enough for it ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a task needs: `devices` of at least `memory_gib` on each of `nodes`; or, if it
    `takes_share`, `memory_gib` free on one device of each."""

    devices: int
    nodes: int = 1
    memory_gib: int = 0
    takes_share: bool = False

    def __str__(self) -> str:
        where = f"each of {self.nodes} nodes" if self.nodes > 1 else "one node"
        if self.takes_share:
            device = f"one device of {where}" if self.nodes > 1 else "one device"
            return f"{self.memory_gib} GiB free on {device}"
        memory = f" of ≥{self.memory_gib} GiB" if self.memory_gib else ""
        return f"{self.devices}{memory} free on {where}"


@dataclass(frozen=True, slots=True)
class There:
    """The jobs that are where it would go, and when the last of them has ended by its time limit
    (epoch seconds); 0: nobody knows."""

    jobs: tuple[str, ...] = ()
    until: float = 0.0

    def told(self, at: TellTime) -> str:
        """` (12 is there)`, behind the place; '' if nobody is."""
        if not self.jobs:
            return ""
        until = f" until {at(self.until)} at the latest" if self.until else ""
        return f" ({few(self.jobs)} {'are' if len(self.jobs) > 1 else 'is'} there{until})"


NOBODY = There()


@dataclass(frozen=True, slots=True)
class NoCandidate(Reason):
    """None of the nodes of its pools can be given to it; `nodes` by why not."""

    code = "no-candidate"
    wanted: Wanted
    pools: tuple[str, ...]
    nodes: tuple[tuple[Misfit, tuple[str, ...]], ...]

    def __str__(self) -> str:
        why = "; ".join(f"{few(names)} {why.said_of(len(names))}" for why, names in self.nodes)
        none = f"its pools ({', '.join(self.pools)}) have no node"
        return f"needs {self.wanted}; {why or none}"

    @property
    def for_ever(self) -> bool:
        """Whether they would be too few even if all were up, wanted, and had the features."""
        return sum(len(n) for why, n in self.nodes if why.what in PASSES) < self.wanted.nodes


@dataclass(frozen=True, slots=True)
class TooFewAble(Reason):
    """Fewer nodes than it needs could hold it if nothing ran: `able`. `away` would do too, if it
    were not for what stands with them."""

    code = "too-few-able"
    wanted: Wanted
    able: tuple[str, ...]
    away: tuple[tuple[Misfit, tuple[str, ...]], ...]

    def __str__(self) -> str:
        whys = "".join(f"; {few(names)} {why.said_of(len(names))}" for why, names in self.away)
        nodes = f"only {few(self.able)} could have" if self.able else "no node could have"
        return f"needs {self.wanted}; {nodes} them{whys}"

    @property
    def for_ever(self) -> bool:
        """Whether it needs more nodes even so."""
        return len(self.able) + sum(len(names) for _, names in self.away) < self.wanted.nodes


@dataclass(frozen=True, slots=True)
class NodesTooSmall(Reason):
    """No node has as many devices; the `largest` has `devices`."""

    code = "nodes-too-small"
    wanted: Wanted
    largest: str
    devices: int

    def __str__(self) -> str:
        return f"needs {self.wanted}; the largest node, {self.largest}, has {self.devices}"


@dataclass(frozen=True, slots=True)
class TooFewFree(Reason):
    """Too few devices are free; what comes nearest is `best`, which has `free`. Once those who are
    `there` have ended it has enough."""

    code = "too-few-free"
    wanted: Wanted
    best: str
    free: str
    there: There = NOBODY

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        return f"needs {self.wanted}; best is {self.best} with {self.free}{self.there.told(at)}"

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class TooFewNodes(Reason):
    """Some nodes have as many devices free, but not as many nodes as it needs. `then` have them
    next, once those who are `there` have ended."""

    code = "too-few-nodes"
    wanted: Wanted
    nodes: tuple[str, ...]
    then: tuple[str, ...] = ()
    there: There = NOBODY

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        such = f"only {len(self.nodes)} such: {', '.join(self.nodes[:4])}"
        are = "are" if len(self.then) > 1 else "is"
        then = f"; next {are} {few(self.then)}{self.there.told(at)}" if self.then else ""
        return f"needs {self.wanted}; {such}{then}"

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class NotTogether(Reason):
    """What is free would do for each of its nodes, and not for all of them at once."""

    code = "not-together"
    wanted: Wanted

    def __str__(self) -> str:
        spread = "free devices are spread over nodes or types that cannot be combined"
        return f"needs {self.wanted}; {spread}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoomBeside(Reason):
    """Nodes have its devices free, and no room for it beside them. Of the `wanted` nodes that it
    needs, those that have room are `elsewhere`."""

    wanted: int = 1
    elsewhere: tuple[str, ...] = ()

    @property
    @abstractmethod
    def short(self) -> str:
        """What the nodes without room are short of."""

    def __str__(self) -> str:
        if not self.elsewhere:
            return self.short
        have = f"{few(self.elsewhere)} {'have' if len(self.elsewhere) > 1 else 'has'} room"
        return f"{self.short}; of the {self.wanted} nodes that it needs only {have}"


@dataclass(frozen=True, slots=True)
class NeedsWholeNode(NoRoomBeside):
    """It takes nodes for itself, and those with free devices run others; `node` is one."""

    code = "needs-whole-node"
    node: str

    @property
    def short(self) -> str:
        return f"needs a node for itself; {self.node} has free devices but runs other jobs"


@dataclass(frozen=True, slots=True)
class NodeTaken(NoRoomBeside):
    """The nodes with free devices are each another job's alone; `node` is one."""

    code = "node-taken"
    node: str

    @property
    def short(self) -> str:
        return f"devices are free, but {self.node} is another job's alone"


@dataclass(frozen=True, slots=True)
class WouldMix(NoRoomBeside):
    """Slurm 22.05 would give out whole devices and shares of them side by side on these nodes."""

    code = "would-mix"
    nodes: tuple[str, ...]
    takes_share: bool

    @property
    def short(self) -> str:
        others = "a whole-device job" if self.takes_share else "jobs that share devices"
        return f"devices are free on {few(self.nodes)}, but Slurm 22.05 would mix it with {others}"


@dataclass(frozen=True, slots=True)
class OnlyBehindAiling(NoRoomBeside):
    """Devices are free, but Slurm would give it one that is not what it takes it for."""

    code = "only-behind-ailing"
    nodes: tuple[str, ...]

    @property
    def short(self) -> str:
        first = "but Slurm would first give one of those that it must not have"
        return f"devices are free on {few(self.nodes)}, {first}"


@dataclass(frozen=True, slots=True)
class BesideAiling(Reason):
    """Another reason, and the devices that would do if they were what Slurm takes them for."""

    code = "beside-ailing"
    reason: Reason
    devices: tuple[str, ...]

    def told(self, at: TellTime) -> str:
        """The sentence; the time as `at` writes it."""
        return f"{self.reason.told(at)}; not planned: {few(self.devices)}"

    def __str__(self) -> str:
        return self.told(str)


@dataclass(frozen=True, slots=True)
class HostTooSmall(NoRoomBeside):
    """CPUs or host memory (MiB) are short beside the free devices; `node` has most of them."""

    code = "host-too-small"
    cpus: int
    memory_mib: int
    node: str
    cpus_free: int
    memory_free_mib: int

    @property
    def short(self) -> str:
        asks = f"{self.cpus} CPUs and {_gib(self.memory_mib)} GiB of host memory"
        has = f"{self.cpus_free} CPUs and {_gib(self.memory_free_mib)} GiB"
        return f"devices are free, but it needs {asks} beside them; best is {self.node} with {has}"


def _gib(mib: int) -> int:
    return -(-mib // 1024)
