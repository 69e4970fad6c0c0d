"""What Slurm says of a job and of a node: records, which model.py has too.

Units: device memory in GiB, host memory in MiB, times in epoch seconds, limits in minutes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from slurm_het.core.network import ANYHOW, Layout
from slurm_het.core.worked_out import WorkedOut

FINISHED = frozenset({
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL",
    "DEADLINE", "OUT_OF_MEMORY", "REVOKED"})  # fmt: skip
"""States of a job that is over, and holds nothing any more."""


@dataclass(frozen=True, slots=True)
class Job(WorkedOut):
    """One job record of Slurm, the same shape for every Slurm version.

    TRES strings are normalised (`gpu:a100:2`, no `gres:` prefix). `gres_detail` has one GRES
    string per allocated node, in the order of `nodes`. Memory: at most one of the three is set;
    `memory_per_node_mib == 0` is all memory of the node: `--mem=0`, or no default there.
    """

    id: int
    user: str = ""
    uid: int = 0
    groups: tuple[str, ...] = ()
    account: str = ""
    qos: str = ""
    name: str = ""
    partition: str = ""
    state: str = "PENDING"
    reason: str = "None"
    priority: int = 0
    array_job_id: int = 0
    array_task_id: int | None = None
    array_tasks: str = ""
    array_limit: int = 0
    het_job_id: int = 0
    dependency: str = ""
    features: str = ""
    reservation: str = ""
    licenses: str = ""
    req_nodes: str = ""
    exc_nodes: str = ""
    tres_per_node: str = ""
    tres_per_job: str = ""
    tres_per_task: str = ""
    tres_per_socket: str = ""
    nodes_min: int = 1
    nodes_max: int = 0
    cpus: int = 1
    tasks: int = 1
    cpus_per_task: int = 1
    ntasks_per_node: int = 0
    ntasks_per_gpu: int = 0
    ntasks_per_socket: int = 0
    sockets_per_node: int = 0
    threads_per_core: int = 0
    min_cpus_per_node: int = 1
    cpus_per_gpu: int = 0
    memory_per_node_mib: int | None = None
    memory_per_cpu_mib: int | None = None
    memory_per_gpu_mib: int | None = None
    exclusive: bool = False
    layout: Layout = ANYHOW
    time_limit_minutes: int | None = None
    submit_time: int = 0
    eligible_time: int = 0
    start_time: int = 0
    end_time: int = 0
    restarts: int = 0
    exit_code: int = 0
    exit_signal: int = 0
    nodes: str = ""
    gres_detail: tuple[str, ...] = ()
    admin_comment: str = ""
    comment: str = ""
    alloc_node: str = ""  # where it was submitted; '' if that is not told
    deadline: int = 0  # Slurm ends it, or lets it not start, to keep to that; 0: it has none

    @property
    def key(self) -> str:
        """How Slurm's tools name the job: `123`, or `123_4` for one task of an array.

        The only or last task that waits is `123_4` whether it has a record of its own (24.11) or
        the array's (26.05; `--array=4` on all): Slurm splits nothing off for an update of it.
        """
        if self.array_job_id and (task := self._only_task):
            return f"{self.array_job_id}_{task}"
        return str(self.id)

    @property
    def _only_task(self) -> str:
        """The number of the one task of an array that it is; '' if it is none, or several."""
        if self.array_task_id is not None:
            return str(self.array_task_id)
        tasks = self.array_tasks.partition("%")[0]
        return tasks if tasks.isdecimal() else ""

    @property
    def unsplit(self) -> bool:
        """Whether it stands for all tasks of an array that have no record of their own yet."""
        return bool(self.array_job_id and self.array_task_id is None and self.array_tasks)

    @property
    def own_key(self) -> str:
        """By which an update is of this record alone: `123_[5-9]` for what is unsplit of an array.

        One of the array's id would be of all its tasks, those that run too.
        """
        if self._only_task or not self.unsplit:
            return self.key
        return f"{self.array_job_id}_[{self.array_tasks.partition('%')[0]}]"

    @property
    def label(self) -> str:
        """How people know the job: its key, or `123_[5-9]` for what is unsplit of an array."""
        if self._only_task or not self.unsplit:
            return self.key
        tasks = self.array_tasks
        if len(tasks) > 64:  # Slurm's own tools shorten them so, too
            tasks = f"{tasks[:60].rpartition(',')[0]},..."
        return f"{self.array_job_id}_[{tasks}]"

    def memory_on_node(self, cpus: int, devices: int) -> int | None:
        """MiB on a node where it has so many CPUs and devices; None is all, 0 is not told."""
        if self.memory_per_node_mib is not None:
            return self.memory_per_node_mib or None
        if self.memory_per_gpu_mib is not None:
            return self.memory_per_gpu_mib * devices
        return (self.memory_per_cpu_mib or 0) * cpus

    def meets_deadline(self, start: float) -> bool:
        """Whether it would end before its deadline, if it started then (epoch seconds)."""
        return not self.deadline or start + 60 * (self.time_limit_minutes or 0) <= self.deadline

    @property
    def finished(self) -> bool:
        """Whether the job is over."""
        return self.state in FINISHED

    @property
    def last_end(self) -> int:
        """When one that holds nodes has ended at the latest (epoch seconds); 0: that is not known.

        Slurm lets a job without a limit end in a year. What has ended has an end, limit or not.
        """
        limited = self.time_limit_minutes is not None or self.state == "COMPLETING"
        return self.end_time if limited else 0

    @property
    def holds_nodes(self) -> bool:
        """Whether the job occupies its nodes (running, or not yet cleaned up)."""
        return bool(self.nodes) and self.state in {
            "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STAGE_OUT", "SIGNALING",
            "STOPPED", "RESIZING"}  # fmt: skip


@lru_cache(maxsize=256)
def state_words(state: str) -> frozenset[str]:
    """The words of a node's state: `IDLE+DRAIN*` has IDLE and DRAIN."""
    return frozenset(re.findall(r"[A-Z_]+", state.upper()))


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node record of Slurm. `gres` is the configured GRES string.

    `could_have` are features that it lacks and gets by a reboot, if a job asks for them.
    `threads_per_core` are those of a core that are CPUs.
    """

    name: str
    state: str
    gres: str = ""
    cpus: int = 1
    cpus_alloc: int = 0
    memory_mib: int = 0
    memory_alloc_mib: int = 0
    threads_per_core: int = 1
    features: frozenset[str] = frozenset()
    partitions: tuple[str, ...] = ()
    reason: str = ""
    configured: tuple[int, int] = (0, 0)  # CPUs, MiB, with what jobs cannot have; 0: not told
    gres_stale: bool = False  # Slurm counts devices as used, and no CPU is: see devices_lost()
    weight: int = 1  # Slurm takes nodes of a low one first
    could_have: frozenset[str] = frozenset()
    core_threads: int = 0  # those of a core, dealt out to jobs or not; 0: threads_per_core
    sockets: tuple[int, int] = (0, 0)  # of all boards, and the cores of each; 0: not told
    tmp_disk_mib: int | None = None  # None: not told

    @property
    def future(self) -> bool:
        """Whether it is yet to be. One that a `slurmd -F` has claimed is IDLE+DYNAMIC_FUTURE."""
        return "FUTURE" in state_words(self.state)
