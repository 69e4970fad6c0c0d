"""Node and partition records from `scontrol -o show`, whose text is the same on every version.

All of this text is the admins', so `Key=Value` may be trusted; the first of a key counts, since
free text (Reason, Comment, Extra) comes after what we read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from slurm_het.core.memory_defaults import MemoryDefaults
from slurm_het.core.model import NodeRecord, Partition
from slurm_het.core.records import state_words
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.durations import parse_minutes
from slurm_het.slurm.preemption import modes_of

_KEY = re.compile(r"(?:^|\s)([A-Z][A-Za-z:/]*)=")
_SIGNED = re.compile(r"\s*\[[^\[\]]*@[^\[\]]*\]\Z")  # who gave a reason, and when
_USED = re.compile(r"\(IDX:\d")  # in GresUsed: `gpu:a100:4(IDX:0-3)`; IDX:N/A of none
_NONE = {"", "(null)", "N/A", "ALL", "NONE"}


def parse_fields(line: str) -> dict[str, str]:
    """One `-o` line as a dict; the first of a key wins."""
    matches = list(_KEY.finditer(line))
    ends = [*(match.start() for match in matches[1:]), len(line)]
    fields: dict[str, str] = {}
    for match, end in zip(matches, ends, strict=False):  # a line without a key has but its end
        fields.setdefault(match.group(1), line[match.end() : end].strip())
    return fields


def _records(text: str, name: str) -> Iterator[dict[str, str]]:
    """The lines that are records of that kind."""
    return (fields for line in text.splitlines() if name in (fields := parse_fields(line)))


def parse_nodes(text: str, *, forgets_devices: bool = False) -> tuple[NodeRecord, ...]:
    """Read `scontrol -o -d show node`. With `SlurmVersion.forgets_devices`, a node that has not
    registered since slurmctld started is UNREGISTERED besides what Slurm says of it.

    One that is powered down is not: it registers when it is powered up, for a job.
    """
    return tuple(_node(fields, forgets_devices) for fields in _records(text, "NodeName"))


def _node(f: dict[str, str], forgets_devices: bool) -> NodeRecord:
    available = _names(f.get("AvailableFeatures", ""))
    features = _names(f.get("ActiveFeatures", "")) or available
    total = _int(f.get("CPUEfctv")) or _int(f.get("CPUTot")) or 1
    state, unheard = f.get("State", "UNKNOWN"), f.get("SlurmdStartTime") == "None"
    if forgets_devices and unheard and "POWERED_DOWN" not in state_words(state):
        state += "+UNREGISTERED"
    return NodeRecord(
        name=f["NodeName"],
        state=state,
        gres="" if f.get("Gres", "") in _NONE else f["Gres"],
        cpus=total,
        cpus_alloc=_int(f.get("CPUAlloc")),
        # MemSpecLimit is printed only where it is set; jobs never get that part.
        memory_mib=max(0, _int(f.get("RealMemory")) - _int(f.get("MemSpecLimit"))),
        memory_alloc_mib=_int(f.get("AllocMem")),
        threads_per_core=_threads(f),
        core_threads=_int(f.get("ThreadsPerCore")),
        sockets=(_int(f.get("Sockets")), _int(f.get("CoresPerSocket"))),
        tmp_disk_mib=_tmp_disk(f),
        features=features,
        could_have=available - features,
        partitions=tuple(p for p in f.get("Partitions", "").split(",") if p),
        reason=_SIGNED.sub("", f.get("Reason", "")),
        weight=_int(f.get("Weight")) or 1,
        configured=(_int(f.get("CPUTot")), _int(f.get("RealMemory"))),
        gres_stale=_int(f.get("CPUAlloc")) == 0 and bool(_USED.search(f.get("GresUsed", ""))),
    )


def _tmp_disk(f: Mapping[str, str]) -> int | None:
    """TmpDisk in MiB; None where the node has less than slurm.conf says, which counts at submit."""
    told = "TmpDisk" in f and "Low TmpDisk" not in f.get("Reason", "")
    return _int(f["TmpDisk"]) if told else None


def _threads(f: Mapping[str, str]) -> int:
    """How many threads of a core Slurm deals out: one, where a node has no more CPUs than cores.

    `CPUs=` in slurm.conf may be the cores; the other threads are none of its CPUs then, though
    ThreadsPerCore counts them. Sockets are those of all boards.
    """
    cores = _int(f.get("Sockets")) * _int(f.get("CoresPerSocket"))  # 0: not told
    if 0 < _int(f.get("CPUTot")) <= cores:
        return 1
    return _int(f.get("ThreadsPerCore")) or 1


def parse_partitions(text: str) -> tuple[Partition, ...]:
    """Read `scontrol -o show partition`."""
    return tuple(_partition(fields) for fields in _records(text, "PartitionName"))


def _partition(f: dict[str, str]) -> Partition:
    return Partition(
        name=f["PartitionName"],
        state=f.get("State", "UP"),
        nodes=f.get("Nodes", ""),
        allow_groups=_names(f.get("AllowGroups", "")),
        allow_accounts=_names(f.get("AllowAccounts", "")),
        deny_accounts=_names(f.get("DenyAccounts", "")),
        allow_qos=_names(f.get("AllowQos", "")),
        deny_qos=_names(f.get("DenyQos", "")),
        alloc_nodes=_hosts(f.get("AllocNodes", "")),
        max_minutes=parse_minutes(f.get("MaxTime", "UNLIMITED")),
        default_minutes=parse_minutes(f.get("DefaultTime", "NONE")),
        max_nodes=None if f.get("MaxNodes") == "UNLIMITED" else _int(f.get("MaxNodes")) or None,
        min_nodes=_int(f.get("MinNodes")),
        max_cpus_per_node=_int(f.get("MaxCPUsPerNode")) or None,
        max_memory_per_node_mib=_int(f.get("MaxMemPerNode")) or None,
        root_only=f.get("RootOnly") == "YES",
        root_disabled=f.get("DisableRootJobs") == "YES",
        exclusive="NODE" in f.get("Exclusive", "") or f.get("OverSubscribe") == "EXCLUSIVE",
        reservation_required=f.get("ReqResv") == "YES",
        default=f.get("Default") == "YES",
        memory=_memory(f),
        cpus_per_gpu=_int(dict(parse_pairs(f.get("JobDefaults", ""))).get("DefCpuPerGPU")),
        tier=_int(f.get("PriorityTier", "1")),
        preempt_modes=modes_of(f.get("PreemptMode", "")),
        grace_seconds=_int(f.get("GraceTime")),
        oversubscribe=max(1, _int(f.get("OverSubscribe", "").removeprefix("FORCE:"))),
        topology="" if f.get("Topology", "") in _NONE else f["Topology"],
        qos="" if f.get("QoS", "") in _NONE else f["QoS"],
    )


def _memory(words: Mapping[str, str]) -> MemoryDefaults:
    return MemoryDefaults(
        _int(dict(parse_pairs(words.get("JobDefaults", ""))).get("DefMemPerGPU")),
        _int(words.get("DefMemPerCPU")),
        _int(words.get("DefMemPerNode")),
    )


def memory_defaults(conf: Mapping[str, str]) -> MemoryDefaults | None:
    """The cluster's defaults of host memory; None where Slurm does not deal that out."""
    deals = "MEMORY" in conf.get("SelectTypeParameters", "").upper()
    return _memory(conf) if deals else None


def conf_words(conf: Mapping[str, str], key: str) -> list[str]:
    """The words of a key of slurm.conf that is a list, as `scontrol show config` has it."""
    value = conf.get(key, "")
    return [] if value in {"", "(null)", "none", "NONE"} else value.split(",")


def parse_pairs(text: str) -> Iterator[tuple[str, str]]:
    """The keys and values of `DefCpuPerGPU=2,DefMemPerGPU=4096`."""
    for item in text.split(","):
        key, _, value = item.partition("=")
        yield key, value


def _names(text: str) -> frozenset[str]:
    return frozenset() if text in _NONE else frozenset(n for n in text.split(",") if n)


def _hosts(text: str) -> frozenset[str]:
    return frozenset() if text in _NONE else frozenset(hostlist.expand_readable(text))


def _int(text: str | None) -> int:
    match = re.match(r"\d+", text or "")
    return int(match.group()) if match else 0
