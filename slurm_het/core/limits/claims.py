"""What a task takes of the site's limits: which of them bear on it, in which order, and how much.

As Slurm does it (src/slurmctld/acct_policy.c): the partition's QOS comes first, then the job's
(the other way round if that has OverPartQOS), then the association of the user and the accounts
above. What a QOS limits is not limited again by a later one: only the accounts' limits all hold.

Not modelled, so that Slurm may hold back a job for them that we release: `node` of jobs that share
nodes, billing, energy, licences as TRES, Min* limits, UsageThreshold and UsageFactorSafe,
MaxTRESRunMins of a user; and NoReserve: nodes may be kept for such a job. What depends on the
number of submitted jobs Slurm checks itself as a job is submitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from slurm_het.core.assignment.problem import Need
from slurm_het.core.cluster.fit import need, takes_whole
from slurm_het.core.model import Job, Node, Task
from slurm_het.core.site_limits import UNLIMITED_MINUTES, Association, Limit, Qos, SiteLimits

_SORTS = {"cpu": 0, "mem": 1, "node": 2}  # of TRES; what is none of these is a GRES
_WORDS: dict[str, tuple[str, ...]] = {
    "QOS GrpTRES": ("QOSGrpCpuLimit", "QOSGrpMemLimit", "QOSGrpNodeLimit", "QOSGrpGRES"),
    "QOS GrpTRESMins": (
        "QOSGrpCPUMinutesLimit", "QOSGrpMemoryMinutes", "QOSGrpNodeMinutes", "QOSGrpGRESMinutes",
    ),
    "QOS GrpTRESRunMins": (
        "QOSGrpCPURunMinutesLimit", "QOSGrpMemoryRunMinutes", "QOSGrpNodeRunMinutes",
        "QOSGrpGRESRunMinutes",
    ),
    "QOS MaxTRESPJ": (
        "QOSMaxCpuPerJobLimit", "QOSMaxMemoryPerJob", "QOSMaxNodePerJobLimit", "QOSMaxGRESPerJob",
    ),
    "QOS MaxTRESPN": ("QOSMaxCpuPerNode", "QOSMaxMemoryPerNode", "", "QOSMaxGRESPerNode"),
    "QOS MaxTRESMinsPJ": (
        "QOSMaxCpuMinutesPerJobLimit", "QOSMaxMemoryMinutesPerJob", "QOSMaxNodeMinutesPerJob",
        "QOSMaxGRESMinutesPerJob",
    ),
    "QOS MaxTRESPU": (
        "QOSMaxCpuPerUserLimit", "QOSMaxMemoryPerUser", "QOSMaxNodePerUserLimit",
        "QOSMaxGRESPerUser",
    ),
    "QOS MaxTRESPA": (
        "MaxCpuPerAccount", "MaxMemoryPerAccount", "MaxNodePerAccount", "MaxGRESPerAccount",
    ),
    "QOS GrpJobs": ("QOSGrpJobsLimit",),
    "QOS GrpWall": ("QOSGrpWallLimit",),
    "QOS MaxJobsPU": ("QOSMaxJobsPerUserLimit",),
    "QOS MaxJobsPA": ("MaxJobsPerAccount",),
    "QOS MaxWallPJ": ("QOSMaxWallDurationPerJobLimit",),
    "Assoc GrpTRES": ("AssocGrpCpuLimit", "AssocGrpMemLimit", "AssocGrpNodeLimit", "AssocGrpGRES"),
    "Assoc GrpTRESMins": (
        "AssocGrpCPUMinutesLimit", "AssocGrpMemMinutes", "AssocGrpNodeMinutes",
        "AssocGrpGRESMinutes",
    ),
    "Assoc GrpTRESRunMins": (
        "AssocGrpCPURunMinutesLimit", "AssocGrpMemRunMinutes", "AssocGrpNodeRunMinutes",
        "AssocGrpGRESRunMinutes",
    ),
    "Assoc MaxTRESPJ": (
        "AssocMaxCpuPerJobLimit", "AssocMaxMemPerJob", "AssocMaxNodePerJobLimit",
        "AssocMaxGRESPerJob",
    ),
    "Assoc MaxTRESPN": ("AssocMaxCpuPerNode", "AssocMaxMemPerNode", "", "AssocMaxGRESPerNode"),
    "Assoc MaxTRESMinsPJ": (
        "AssocMaxCpuMinutesPerJobLimit", "AssocMaxMemMinutesPerJob",
        "AssocMaxNodeMinutesPerJob", "AssocMaxGRESMinutesPerJob",
    ),
    "Assoc GrpJobs": ("AssocGrpJobsLimit",),
    "Assoc GrpWall": ("AssocGrpWallLimit",),
    "Assoc MaxJobs": ("AssocMaxJobsLimit",),
    "Assoc MaxWallPJ": ("AssocMaxWallDurationPerJobLimit",),
}  # fmt: skip
"""Slurm's reason by limit; by what is limited (CPUs, host memory, nodes, GRES) where it says so."""

_BEFORE = ("GrpJobs", "GrpWall", "MaxJobsPA", "MaxJobsPU", "MaxJobs", "MaxWallPJ")
"""What Slurm looks at before it looks for nodes, and so tells first."""
OF_JOB = frozenset({"MaxWallPJ", "MaxTRESPJ", "MaxTRESPN", "MaxTRESMinsPJ"})
"""Limits of one job: of these nothing is used up."""


class Bearing(NamedTuple):
    """A limit that bears on a job: Slurm's reason if it holds it back, whose limit it is."""

    reason: str
    of: str
    limit: Limit


@dataclass(frozen=True)
class Whose:
    """All of a job that decides which limits bear on it, in a partition with this QOS."""

    account: str
    user: str
    uid: int
    qos: str
    partition: str
    partition_qos: str

    @classmethod
    def of(cls, job: Job, partition: str, partition_qos: str) -> Whose:
        """The limits of a job, once it is in a partition."""
        return cls(job.account, job.user, job.uid, job.qos, partition, partition_qos)


class Register:
    """The site's limits, by those they are for."""

    def __init__(self, limits: SiteLimits) -> None:
        self.qos = {qos.name: qos for qos in limits.qos}
        self.associations = {(a.account, a.user, a.partition): a for a in limits.associations}
        self.running = Counter[tuple[str, str]]()  # jobs by account and user
        for association in limits.associations:
            self.running[association.account, association.user] += association.running

    def bearing(self, whose: Whose) -> tuple[Bearing, ...]:
        """The limits that bear on such jobs, in the order in which Slurm looks at them."""
        found = list(self._of_qos(whose))
        hidden = {(b.limit.word, b.limit.tres) for b in found}
        if hidden & {("MaxJobsPU", ""), ("MaxJobsPA", "")}:
            hidden.add(("MaxJobs", ""))
        for association in self._chain(whose):
            of = f"account {association.account}"
            if association.user:
                of = f"user {association.user} in {of}"
            for limit in association.limits:
                own = association.user or limit.word.startswith("Grp")  # Slurm hands Max* down
                if own and (limit.word, limit.tres) not in hidden:
                    found.append(Bearing(_reason("Assoc", limit), of, limit))
        found = [bearing for bearing in found if bearing.reason]
        return tuple(sorted(found, key=lambda b: b.limit.word not in _BEFORE))

    def _of_qos(self, whose: Whose) -> Iterator[Bearing]:
        seen: set[tuple[str, str]] = set()
        for qos in self._layers(whose):
            mine: list[tuple[str, Limit]] = [(f"QOS {qos.name}", one) for one in qos.limits]
            account = qos.accounts.get(whose.account, qos.each_account)
            mine += [(f"account {whose.account} in QOS {qos.name}", one) for one in account]
            user = qos.users.get(whose.uid, qos.each_user)
            mine += [(f"user {whose.user} in QOS {qos.name}", one) for one in user]
            for of, limit in mine:
                if (limit.word, limit.tres) not in seen:
                    yield Bearing(_reason("QOS", limit), of, limit)
            seen |= {(limit.word, limit.tres) for _, limit in mine}

    def _layers(self, whose: Whose) -> list[Qos]:
        own, over = self.qos.get(whose.qos), self.qos.get(whose.partition_qos)
        first_own = own is not None and own.over_partition
        layers = (own, over) if first_own else (over, own)
        return list({qos.name: qos for qos in layers if qos}.values())

    def _chain(self, whose: Whose) -> Iterator[Association]:
        """The user's association, then the accounts above it."""
        key = whose.account, whose.user
        own = self.associations.get((*key, whose.partition)) or self.associations.get((*key, ""))
        if own is None:
            return
        yield own
        name, seen = own.account, set[str]()
        while name and name not in seen and (above := self.associations.get((name, "", ""))):
            seen.add(name)
            yield above
            name = above.parent


def _reason(layer: str, limit: Limit) -> str:
    """Slurm's reason; '' of a limit that is not modelled."""
    words = _WORDS.get(f"{layer} {limit.word}", ())
    if len(words) <= 1:
        return "".join(words)
    known = limit.tres in _SORTS or limit.tres.startswith("gres/")
    return words[_SORTS.get(limit.tres, 3)] if known else ""


class Destination(NamedTuple):
    """Where a task may go: the type of its devices, '' if it is not sure; and a node of each shape
    that is there, idle, which says what CPUs and host memory Slurm adds."""

    device_type: str
    shapes: tuple[Node, ...]


def amount(limit: Limit, task: Task, place: Destination, *, safe: bool) -> int:
    """How much of a limit a task takes in a place; 0 if it does not count there, or nobody knows.

    Without `safe` the minutes that it may take do not count before they are used.
    """
    minutes = UNLIMITED_MINUTES if task.minutes is None else task.minutes
    match limit.word:
        case "GrpJobs" | "MaxJobsPU" | "MaxJobsPA" | "MaxJobs" | "GrpWall":
            return 1
        case "MaxWallPJ":
            return minutes
    count = _tres(limit.tres, task, place)
    match limit.word:
        case "GrpTRESMins":  # a job is held back once nothing is left, whatever it asks
            return min(count, 1) if not safe else max(count * minutes, min(count, 1))
        case "GrpTRESRunMins" | "MaxTRESMinsPJ":
            return count * minutes
        case "MaxTRESPN":
            return count // len(task.slots)
    return count


def _tres(tres: str, task: Task, place: Destination) -> int:
    name = task.asks.partition(":")[0] or "gpu"
    match tres:
        case "cpu":
            return sum(need.cpus for need in _needs(task, place))
        case "mem":
            return sum(need.memory_mib for need in _needs(task, place))
        case "node":
            shares = [node for node in place.shapes if not takes_whole(task, node)]
            return len(task.slots) if place.shapes and not shares else 0
        case "gres/shard":
            return task.memory_gib * len(task.slots) if task.takes_share else 0
    if task.takes_share or tres not in {f"gres/{name}", f"gres/{name}:{place.device_type}"}:
        return 0
    return sum(slot.devices for slot in task.slots)


def _needs(task: Task, place: Destination) -> Iterator[Need]:
    """What each slot takes at least, on one node or another."""
    for slot in task.slots:
        needs = [found for node in place.shapes if (found := need(task, slot, node))]
        cpus = min((each.cpus for each in needs), default=slot.cpus)
        memory_mib = min((each.memory_mib for each in needs), default=slot.memory_mib)
        yield Need(cpus, memory_mib)


def lasts(limit: Limit, *, safe: bool) -> bool:
    """Whether what a task takes of it is gone for others while it runs."""
    if limit.word == "GrpTRESMins":
        return safe
    return limit.word not in OF_JOB and limit.word != "GrpWall"


_COUNTED = {"cpu": "CPU", "node": "node"}
"""What has a plural, of TRES; the others are names: `4 gres/gpu`."""


def what(limit: Limit) -> str:
    """What is limited, for a sentence that has before it how much."""
    many = "s" if limit.most != 1 else ""
    noun = _COUNTED.get(limit.tres)
    match limit.word:
        case "GrpJobs" | "MaxJobsPU" | "MaxJobsPA" | "MaxJobs":
            return f"running job{many}"
        case "GrpWall" | "MaxWallPJ":
            return f"minute{many}"
        case "GrpTRESMins" | "GrpTRESRunMins" | "MaxTRESMinsPJ":
            if limit.tres == "mem":
                return f"MiB-minute{many} of host memory"
            return f"{noun}-minute{many}" if noun else f"minute{many} of {limit.tres}"
        case "Licenses":
            return f"licence{many} of {limit.tres}"
    if limit.tres == "mem":
        return "MiB of host memory"
    return f"{noun}{many}" if noun else limit.tres
