"""A submission that nobody has made yet, as the hook would tell of it, and as Slurm's record of it
would read.

What sbatch makes of its options before it asks slurmctld is sbatch's (src/sbatch/opt.c,
src/common/slurm_opt.c); which jobs the hook passes on as they are is job_submit/het_protocol.lua's.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from slurm_het.core.jobs.admission import Admitted
from slurm_het.core.jobs.at_submit import as_record
from slurm_het.core.jobs.request import MAX_DIGITS
from slurm_het.core.memory_defaults import MemoryDefaults
from slurm_het.core.model import Job, Partition
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.arrays import array_size
from slurm_het.core.syntax.durations import parse_time_limit
from slurm_het.errors import HetError

NUMBER = 1 << 40
"""The id of a job that has none yet: of equal priority, those that came before go first."""
UNLOOKED = (
    "bb", "bbf", "cluster-constraint", "clusters", "consolidate-segments", "contiguous",
    "core-spec", "cores-per-socket", "deadline", "extra-node-info", "gres-flags",
    "ntasks-per-core", "ntasks-per-socket", "prefer", "reboot", "segment", "sockets-per-node",
    "spread-job", "spread-segments", "switches", "tmp",
)  # fmt: skip
"""What may bear on when or where a job starts, and is not looked at here."""
_MIB = {"": 1, "m": 1, "k": 1 / 1024, "g": 1024, "t": 1024**2}
_NODES = re.compile(r"(\d{1,9})([km]?)(?:-(\d{1,9})([km]?)(?::(\d{1,9}))?)?", re.IGNORECASE)
_MANY = {"": 1, "k": 1024, "m": 1024**2}
_TIME_OF_DAY = re.compile(
    r"midnight|noon|fika|teatime|elevenses|tomorrow|\d{1,2}:\d\d(:\d\d)?\s?([ap]m?)?"
)
"""Slurm takes what is past today for tomorrow's."""
_ARRAY = re.compile(r"\d{1,8}(-\d{1,8}(:\d{1,8})?)?(,\d{1,8}(-\d{1,8}(:\d{1,8})?)?)*(%\d{1,8})?")
_LATER = re.compile(r"now\+(\d{1,8})(s|sec\w*|m|min\w*|h|hours?|d|days?|weeks?)?\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who submits: what Slurm's record will say of him."""

    name: str
    uid: int
    groups: tuple[str, ...] = ()


class Charged(NamedTuple):
    """The account and the QOS of a job; '' where it names none."""

    account: str = ""
    qos: str = ""

    @property
    def whole(self) -> bool:
        """Whether it names both."""
        return bool(self.account and self.qos)


class Submission(NamedTuple):
    """What is submitted: sbatch's options, the script, and by whom."""

    options: Mapping[str, str]
    script: str
    who: Submitter

    @property
    def named(self) -> Charged:
        """What it names to be charged to."""
        return Charged(self.options.get("account", ""), self.options.get("qos", ""))

    @property
    def tasks(self) -> int:
        """The tasks of its array; 1 if it is none."""
        return array_size(_array(self.options)) if "array" in self.options else 1


def message_of(it: Submission) -> dict[str, str]:
    """The hook's message of a batch job. Raises HetError for a value that sbatch refuses."""
    options, script, who = it
    sizes = _sizes(options)
    sent = {
        "op": "admit", "user_name": who.name, "user_id": str(who.uid), "script": script,
        "account": options.get("account", ""), "qos": options.get("qos", ""),
        "partition": options.get("partition", ""), "name": options.get("job-name", ""),
        "features": options.get("constraint", ""), "comment": options.get("comment", ""),
        "exc_nodes": options.get("exclude", ""), "req_nodes": options.get("nodelist", ""),
        "reservation": options.get("reservation", ""), "array_inx": _array(options),
        "tres_per_node": _joined(options.get("gres", ""), _gpus(options.get("gpus-per-node", ""))),
        "tres_per_job": _gpus(options.get("gpus", "")),
        "tres_per_task": _gpus(options.get("gpus-per-task", "")),
        "tres_per_socket": _gpus(options.get("gpus-per-socket", "")),
        "cpus_per_tres": _each_gpu(options, "cpus-per-gpu", _count),
        "mem_per_tres": _each_gpu(options, "mem-per-gpu", _mib),
        "pn_min_memory": _amount(options, "mem", _mib),
        "min_mem_per_cpu": _amount(options, "mem-per-cpu", _mib),
        "pn_min_cpus": _amount(options, "mincpus", _count),
        "threads_per_core": _amount(options, "threads-per-core", _count),
        "time_limit": _amount(options, "time", _limit),
        "time_min": _amount(options, "time-min", _limit),
        "priority": "0" if "hold" in options else "", "shared": _shared(options), **sizes,
    }  # fmt: skip
    return {field: text for field, text in sent.items() if text}


def passed_on(sent: Mapping[str, str], policy: Policy) -> str:
    """Why the hook leaves the job to plain Slurm without asking; '' if it asks."""
    if sent.get("req_nodes"):
        return "--nodelist"
    ours = policy.partitions
    named = [name for name in sent.get("partition", "").split(",") if name]
    if other := next((name for name in named if name not in ours), ""):
        return f"partition {other} is not ours"
    if re.search(r"[*\[]", sent.get("features", "")):
        return "features with counts or brackets"
    return ""


def record_of_batch(it: Submission, sent: Mapping[str, str], made: Admitted, now: float) -> Job:
    """The record of a job that waits in the intake, of lowest priority."""
    options, job = it.options, as_record(sent, made, NUMBER)
    array, _, limit = sent.get("array_inx", "").partition("%")
    begin = _begin(options.get("begin", ""), now)
    return replace(
        job, groups=it.who.groups, reservation=sent.get("reservation", ""),
        exc_nodes=sent.get("exc_nodes", ""), dependency=options.get("dependency", ""),
        licenses=options.get("licenses", ""), priority=0 if "hold" in options else 1,
        reason="JobHeldUser" if "hold" in options else "PartitionDown", submit_time=int(now),
        eligible_time=int(begin), array_job_id=NUMBER if array else 0, array_tasks=array,
        array_limit=int(limit) if limit.isdecimal() else 0,
        threads_per_core=int(sent.get("threads_per_core", 0)),
    )  # fmt: skip


def as_waiting(it: Submission, charged: Charged) -> Job:
    """The record of a job that waits, as far as the site's limits are read by it."""
    return Job(
        NUMBER, user=it.who.name, uid=it.who.uid, account=charged.account, qos=charged.qos,
        licenses=it.options.get("licenses", ""),
    )  # fmt: skip


def with_default_memory(
    job: Job, partition: Partition | None, cluster: MemoryDefaults | None
) -> Job:
    """The record of a job whose user names no memory, where the partition has no default: with the
    cluster's own, and without any if Slurm does not deal it out (None)."""
    if cluster is None:
        return replace(
            job, memory_per_node_mib=None, memory_per_gpu_mib=None, memory_per_cpu_mib=None
        )
    named = job.memory_per_node_mib or job.memory_per_cpu_mib or job.memory_per_gpu_mib
    if named or (partition and any(partition.memory)) or not any(cluster):
        return job
    return replace(
        job, memory_per_node_mib=None if cluster.per_gpu or cluster.per_cpu else cluster.per_node,
        memory_per_gpu_mib=cluster.per_gpu or None,
        memory_per_cpu_mib=None if cluster.per_gpu else cluster.per_cpu or None,
    )  # fmt: skip


def _sizes(options: Mapping[str, str]) -> dict[str, str]:
    """Nodes, tasks and CPUs, as sbatch works them out."""
    nodes, most = _nodes(options["nodes"]) if "nodes" in options else (1, 1)
    each = _count(options["ntasks-per-node"]) if "ntasks-per-node" in options else 0
    tasks = _count(options["ntasks"]) if "ntasks" in options else nodes * max(1, each)
    cpus = _count(options["cpus-per-task"]) if "cpus-per-task" in options else 1
    sizes = {
        "num_tasks": str(tasks) if "ntasks" in options or tasks > 1 else "",
        "min_cpus": str(tasks if "overcommit" in options else tasks * cpus),
    }
    if "nodes" in options:
        sizes |= {"min_nodes": str(nodes), "max_nodes": str(most)}
    if each:
        sizes["ntasks_per_node"] = str(each)
    return sizes | ({"cpus_per_task": str(cpus)} if "cpus-per-task" in options else {})


def _nodes(text: str) -> tuple[int, int]:
    """The least and the most nodes of `4`, `2-4`, `2k`, and (not 22.05) of `2,4,8` and `2-8:2`."""
    counts: list[int] = []
    for part in text.split(","):
        found = _NODES.fullmatch(part)
        if not found:
            hint = "such as 4, 2-4 or 2,4,8"
            raise HetError(f"--nodes: {text[:40]!r} is no number of nodes", hint)
        least = int(found[1]) * _MANY[found[2].lower()]
        most = int(found[3]) * _MANY[found[4].lower()] if found[3] else least
        counts += [least, most - (most - least) % max(1, int(found[5] or 1))]
    return min(counts), max(counts)


def _gpus(text: str) -> str:
    """`2`, `a100:2` or `a100:1,l40s:1` of --gpus as GRES."""
    return ",".join(f"gpu:{item}" for item in text.split(",") if item)


def _joined(gres: str, gpus: str) -> str:
    items = [re.sub(r"^gres[:/]", "", item) for item in gres.split(",")]
    return ",".join(filter(None, (*items, gpus)))


def _each_gpu(options: Mapping[str, str], name: str, read: Callable[[str], int]) -> str:
    text = _amount(options, name, read)
    return f"gpu:{text}" if text else ""


def _amount(options: Mapping[str, str], name: str, read: Callable[[str], object]) -> str:
    """The amount of an option as text; '' without it."""
    if name not in options:
        return ""
    try:
        return str(read(options[name]))
    except HetError as error:
        raise HetError(f"--{name}: {error.message}", error.hint) from error


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        raise HetError(f"{text[:40]!r} is no number", "see sbatch's manual")
    return int(text)


def _mib(text: str) -> int:
    """`64G`, `512M`, `4096` as MiB."""
    found = re.fullmatch(r"(\d{1,11})([kmgt]?)b?", text.lower())
    if not found:
        raise HetError(f"{text[:40]!r} is no amount of memory", "such as 64G or 4096 (MiB)")
    return math.ceil(int(found[1]) * _MIB[found[2]])


def _limit(text: str) -> str:
    minutes = parse_time_limit(text)
    return "unlimited" if minutes is None else str(minutes)


def _begin(text: str, now: float) -> float:
    """When a job may begin, of `now+2hours` or a date; a time of day is read as later, no more.

    Raises HetError for what is neither.
    """
    low = text.lower()
    if low in {"", "now"}:
        return now
    if found := _LATER.fullmatch(low):
        return now + int(found[1]) * _SECONDS[(found[2] or "s")[0]]
    if _TIME_OF_DAY.fullmatch(low):
        return now + 86400
    try:
        return max(now, datetime.datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        hint = "such as now+2hours, 16:00 or 2030-01-31T16:00"
        raise HetError(f"--begin: {text[:40]!r} is no time that is read here", hint) from error


def _array(options: Mapping[str, str]) -> str:
    """The tasks of --array, without the brackets that Slurm takes, too."""
    text = options.get("array", "").strip("[]")
    if "array" in options and not _ARRAY.fullmatch(text):
        raise HetError(f"--array: {text[:40]!r} is no list of tasks", "such as 0-15 or 1,3,5%2")
    return text


def _shared(options: Mapping[str, str]) -> str:
    """`0` is --exclusive, `1` --oversubscribe, `2` and `3` are of a user, of a label."""
    if "exclusive" not in options:
        return "1" if {"oversubscribe", "share"} & options.keys() else ""
    return {"user": "2", "mcs": "3"}.get(options["exclusive"], "0")
