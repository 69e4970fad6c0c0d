"""A scenario as the simulation sees it: nodes with their devices, partitions, jobs, what happens.

Times are in seconds after the scenario's start, device memory in GiB, host memory in MiB.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import msgspec

from bench.compare.scenario import Event, Scenario, Submission
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.syntax.hostlist import expand
from slurm_het.errors import HetError
from slurm_het.sandbox.accounting import Accounting
from slurm_het.sandbox.topology import INTAKE, Group, Topology

FIRST_ID = 2


@dataclass(frozen=True, slots=True)
class Ask:
    """What a job asks of each of its nodes: whole devices, or `share` GiB of one."""

    devices: int
    type: str | None
    share: int
    cpus: int
    memory_mib: int


@dataclass(slots=True)
class Machine:
    """A node. Of each device it is known how many GiB shares have of it; `held` are taken whole."""

    name: str
    index: int
    group: Group
    features: frozenset[str]
    types: tuple[str, ...]
    gib: tuple[int, ...]
    cpus_free: int
    memory_free: int
    held: list[bool]
    shared: list[int]
    down: bool = False
    jobs: dict[int, JobRun] = field(default_factory=dict)

    def pick(self, ask: Ask) -> tuple[int, ...] | None:
        """The devices that Slurm takes: the lowest free ones; of shares the first with room."""
        if ask.cpus > self.cpus_free or ask.memory_mib > self.memory_free:
            return None
        found: list[int] = []
        for index, name in enumerate(self.types):
            if ask.type not in (None, name) or self.held[index]:
                continue
            if ask.share:
                if self.shared[index] + ask.share <= self.gib[index]:
                    return (index,)
            elif not self.shared[index]:
                found.append(index)
                if len(found) == ask.devices:
                    return tuple(found)
        return None

    def could_ever(self, ask: Ask) -> bool:
        """Whether the node has room for it once it is empty."""
        if ask.cpus > self.group.cpus or ask.memory_mib > self.group.memory_gib * 1024:
            return False
        fit = [gib for name, gib in zip(self.types, self.gib, strict=True)
               if ask.type in (None, name)]  # fmt: skip
        return any(gib >= ask.share for gib in fit) if ask.share else len(fit) >= ask.devices

    def take(self, ask: Ask, devices: Sequence[int], sign: int = 1) -> None:
        """Take what a job asks, or with the sign -1 give it back."""
        self.cpus_free -= sign * ask.cpus
        self.memory_free -= sign * ask.memory_mib
        for index in devices:
            if ask.share:
                self.shared[index] += sign * ask.share
            else:
                self.held[index] = sign > 0


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job as its user submits it. `seconds` is how long it runs; `minutes` its time limit."""

    id: int
    submission: str
    at: float
    user: str
    account: str
    qos: str
    partitions: tuple[str, ...]
    features: str
    nodes: int
    ask: Ask
    minutes: int
    seconds: float
    reservation: str
    gres: str
    script: str
    licenses: str = ""


@dataclass(slots=True)
class JobRun:
    """A job in Slurm: what an update may change, and what becomes of it."""

    spec: JobSpec
    partitions: tuple[str, ...]
    features: str
    priority: int
    gres: str
    comment: str = ""
    req_nodes: frozenset[str] = frozenset()
    state: str = "PENDING"
    reason: str = "None"
    start: float = -1.0
    end: float = -1.0
    limit_end: float = -1.0
    where: dict[str, tuple[int, ...]] = field(default_factory=dict)
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A reservation of Slurm's."""

    name: str
    start: float
    end: float
    nodes: frozenset[str]
    users: frozenset[str]
    flags: frozenset[str]


@dataclass(frozen=True)
class World:
    """A mix, read. `partitions` have the names of their nodes; the intake has all with devices."""

    scenario: Scenario
    topology: Topology
    accounting: Accounting
    partitions: Mapping[str, frozenset[str]]
    jobs: tuple[JobSpec, ...]

    def machines(self) -> dict[str, Machine]:
        """All nodes, idle."""
        return {m.name: m for m in _machines(self.topology)}

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return sum(len(group.nodes) * group.devices for group in self.topology.groups)


def read_world(raw: Mapping[str, object], place: str = "mix") -> World:
    """Read a mix, a scenario as `./dev compare` has them. Raises HetError where it says what the
    simulation does not know."""
    scenario = msgspec.convert(raw, Scenario)
    topology = scenario.topology(Path(place))
    accounting = topology.accounting or Accounting(enforce=())
    pools: dict[str, frozenset[str]] = {
        name: frozenset(expand(hosts)) for name, hosts in topology.partitions().items()
    }
    pools[INTAKE] = frozenset(n for group in topology.accelerator_groups for n in group.nodes)
    jobs = []
    for submission in scenario.submissions:
        for k in range(submission.count):
            at = submission.at + k * submission.every
            if at < scenario.seconds:
                jobs.append(_job(submission, at, scenario, accounting))
    jobs.sort(key=lambda job: job.at)
    numbered = tuple(replace(job, id=FIRST_ID + n) for n, job in enumerate(jobs))
    return World(scenario, topology, accounting, pools, numbered)


def _machines(topology: Topology) -> Iterator[Machine]:
    index = 0
    for group in topology.groups:
        for name in group.nodes:
            types = tuple(c.type for c in group.cards for _ in range(c.devices))
            # A device of a node without shards has none to give.
            gib = tuple([group.shards_per_device] * len(types))
            yield Machine(
                name, index, group, frozenset(group.features.split(",")), types, gib,
                group.cpus, group.memory_gib * 1024, [False] * len(types), [0] * len(types),
            )  # fmt: skip
            index += 1


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise HetError(f"sbatch: {message}", "the simulation knows few of sbatch's options")


def _options() -> argparse.ArgumentParser:
    parser = _Options(add_help=False)
    parser.add_argument("-p", dest="partition", default="")
    parser.add_argument("-t", dest="minutes", type=int, default=60)
    parser.add_argument("--mem", type=int, required=True)
    parser.add_argument("--gres", required=True)
    parser.add_argument("-N", dest="nodes", type=int, default=1)
    parser.add_argument("-c", dest="cpus", type=int, default=1)
    parser.add_argument("-C", dest="features", default="")
    parser.add_argument("--qos", default="normal")
    parser.add_argument("--reservation", default="")
    parser.add_argument("-L", dest="licenses", default="")
    return parser


_PARSER = _options()


def _job(submission: Submission, at: float, scenario: Scenario, accounting: Accounting) -> JobSpec:
    told = _PARSER.parse_args([*scenario.sbatch, *submission.sbatch])
    items = gres.parse(told.gres)
    if len(items) != 1 or items[0].name not in ("gpu", "shard"):
        raise HetError(f"--gres={told.gres}", "the simulation knows gpu:N, gpu:TYPE:N and shard:N")
    (item,) = items
    parse_features(told.features)
    entry = accounting.entries(submission.user)[0] if submission.user in accounting.users else {}
    share = item.count if item.name == "shard" else 0
    ask = Ask(1 if share else item.count, item.type, share, told.cpus, told.mem)
    return JobSpec(
        0, submission.name, at, submission.user, str(entry.get("Account", "")), told.qos,
        tuple(told.partition.split(",")), told.features, told.nodes, ask, told.minutes,
        submission.sleep, told.reservation, told.gres, submission.text, told.licenses,
    )  # fmt: skip


_START = re.compile(r"now(?:\+(\d+)minutes)?")


def reservation_of(event: Event) -> Kept:
    """The reservation that an event makes. Raises HetError if it is another command."""
    words = dict(word.partition("=")[::2] for word in event.run[3:])
    start = _START.fullmatch(words.get("StartTime", ""))
    if tuple(event.run[:3]) != ("scontrol", "create", "reservation") or not start:
        raise HetError(f"event {event.run}", "the simulation knows scontrol create reservation")
    begin = event.at + 60 * int(start.group(1) or 0)
    return Kept(
        words["ReservationName"], begin, begin + 60 * int(words["Duration"]),
        frozenset(expand(words["Nodes"])), frozenset(words["Users"].split(",")),
        frozenset(filter(None, words.get("Flags", "").split(","))),
    )  # fmt: skip
