"""Why jobs wait that are not in the gate: Slurm's word, and of those that a plan has released to
nodes also where to, and what Slurm waits for there.
"""

from __future__ import annotations

from functools import cached_property

from slurm_het.core.cluster.fit import has_room
from slurm_het.core.jobs.mark import MARK
from slurm_het.core.model import Job
from slurm_het.core.planner.explain import explain
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.planner.slurms_line import stands_in_line
from slurm_het.core.reasons import InSlurmsLine, TellTime, There
from slurm_het.core.reasons.codes import Waits, code_of, code_of_word
from slurm_het.core.reservations.make_way import why_pinned
from slurm_het.core.syntax import hostlist
from slurm_het.core.views.waiting import Remembered, SlurmsWords


def is_pinned(job: Job) -> bool:
    """Whether a plan has released the job, to nodes."""
    return MARK in job.admin_comment and bool(job.req_nodes)


def pin_name(job: Job) -> str:
    """What hetd calls the sentence of a pinned job: that of another pin is another one."""
    return f"{job.key}@{job.req_nodes}"


class SlurmsWhys:
    """The reasons of one snapshot's jobs that are not in the gate."""

    def __init__(self, prepared: Prepared, memory: Remembered, at: TellTime) -> None:
        self.now, self.jobs = prepared.snapshot.time, prepared.snapshot.jobs
        self.inventory, self.policy = prepared.inventory, prepared.policy
        self.memory, self.at = memory, at
        self._words = SlurmsWords(prepared.snapshot, prepared.policy)
        self.tasks = {pin.task.job_id: pin.task for pin in prepared.pins}
        self.preempts = why_pinned(
            prepared.snapshot, prepared.inventory, prepared.pins, prepared.policy
        )

    def waits(self, job: Job) -> Waits:
        """Code and sentence; hetd's, where it sees who is there and the caller does not."""
        name = pin_name(job)
        if is_pinned(job) and name in self.memory.waiting:
            return Waits(self.memory.codes.get(name, "slurm"), self.memory.waiting[name])
        if job.state != "PENDING":
            return Waits("", job.reason if job.finished and job.reason != "None" else "")
        if is_pinned(job):
            return Waits(self._code(job), self._text(job))
        if stands_in_line(job, self.policy):
            code = code_of_word(job.reason)
            code = "behind" if code == "slurm" else code
            return Waits(code, f"{job.reason}; {InSlurmsLine()}")
        return self._words.waits(job)

    def _code(self, job: Job) -> str:
        """That of a job that is pinned."""
        code = self._words.waits(job).code
        if code != "slurm":
            return code
        if job.key in self.preempts:
            return "behind"
        return self._busy_with(job) if self._has_to_wait(job) else "starting"

    def _has_to_wait(self, job: Job) -> bool:
        """Whether its nodes have no room for it yet: by Slurm, or as they are.

        The latter of one for which others are preempted, where slurmdbd did not tell who may be.
        """
        task = self.tasks.get(job.id)
        if job.start_time > self.now or task is None:
            return job.start_time > self.now
        there = map(self.inventory.nodes.get, hostlist.expand_readable(job.req_nodes))
        slot = task.largest_slot
        return not all(node and has_room(task, slot, node) for node in there)

    def _busy_with(self, job: Job) -> str:
        """The code of what one that is pinned ahead waits for: devices, or what is beside them."""
        task = self.tasks.get(job.id)
        code = code_of(explain(task, self.inventory)) if task else "busy"
        return code if code in {"host", "whole-node", "no-node"} else "busy"

    def _text(self, job: Job) -> str:
        """Slurm's reason, where to it is pinned, and Slurm's expected start."""
        nodes = map(self.inventory.nodes.get, hostlist.expand_readable(job.req_nodes))
        lost = [f"{node.name} is {node.state}" for node in nodes if node and not node.usable]
        by = f", expected by {self.at(job.start_time)}" if job.start_time > self.now else ""
        by += self._who_is_there(job) if self._has_to_wait(job) else ""
        if why := self.preempts.get(job.key):
            by = f", {why}"
        return f"{job.reason}; pinned to {job.req_nodes}{f', and {lost[0]}' if lost else by}"

    def _who_is_there(self, job: Job) -> str:
        """The jobs on the nodes that a job is pinned to."""
        nodes = hostlist.expand_readable(job.req_nodes)
        there = dict.fromkeys(key for name in nodes for key in self.on_node.get(name, ()))
        return There(tuple(there)).told(self.at)

    @cached_property
    def on_node(self) -> dict[str, list[str]]:
        """By node, the keys of the jobs that hold it."""
        out: dict[str, list[str]] = {}
        for job in self.jobs:
            for name in hostlist.expand_readable(job.nodes) if job.holds_nodes else ():
                out.setdefault(name, []).append(job.key)
        return out
