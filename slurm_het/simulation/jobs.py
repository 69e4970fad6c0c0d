"""Jobs of the simulation: what they ask, how they come, what becomes of them.

Times are in seconds after the simulation's start, host memory in MiB.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NodeAsk:
    """What a job asks of each of its nodes: whole devices, or `share` GiB of one.

    `gres` is the name by which it asks for them.
    """

    devices: int
    type: str | None
    share: int
    cpus: int
    memory_mib: int
    gres: str = "gpu"
    _hash: int = field(default=0, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self._told()))

    def __hash__(self) -> int:
        return self._hash  # it is asked for at each look at each node

    def __reduce__(self) -> tuple[object, ...]:
        return NodeAsk, self._told()  # another process may have another hash of it

    def _told(self) -> tuple[object, ...]:
        return self.devices, self.type, self.share, self.cpus, self.memory_mib, self.gres


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job as its user submits it. `seconds` is how long it runs; `minutes` its time limit.

    Its user cancels it at `until`, whatever has become of it. It is for the nodes that it names
    by `on`; none: any. Its user is in `groups`. Tasks of one `array` have its name; '' is none.
    """

    id: int
    submission: str
    at: float
    user: str
    account: str
    qos: str
    partitions: tuple[str, ...]
    features: str
    nodes: int
    ask: NodeAsk
    minutes: int
    seconds: float
    reservation: str
    gres: str
    script: str
    priority: int = 0
    until: float = float("inf")
    on: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    array: str = ""


@dataclass(slots=True)
class JobRun:
    """A job in Slurm: what an update may change, and what becomes of it. Of its partitions these
    are `open_to` it."""

    spec: JobSpec
    partitions: tuple[str, ...]
    features: str
    priority: int
    gres: str
    comment: str = ""
    open_to: tuple[str, ...] = ()
    req_nodes: frozenset[str] = frozenset()
    state: str = "PENDING"
    reason: str = "None"
    start: float = -1.0
    end: float = -1.0
    limit_end: float = -1.0
    where: dict[str, tuple[int, ...]] = field(default_factory=dict)
    partition: str = ""
