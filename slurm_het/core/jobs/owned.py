"""Nodes that a user has alone (--exclusive=user, ExclusiveUser=YES of a partition)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from slurm_het.core.model import Job, Task
from slurm_het.core.network import EXCLUSIVE_USER
from slurm_het.core.syntax import hostlist


def off_others_nodes(tasks: Iterable[Task], jobs: Iterable[Job]) -> tuple[Task, ...]:
    """The tasks, each kept off the nodes that jobs of another user keep to themselves."""
    owners = {
        name: job.user
        for job in jobs
        if EXCLUSIVE_USER in job.layout.by_slurm and job.holds_nodes
        for name in hostlist.expand_readable(job.nodes)
    }
    tasks = tuple(tasks)
    if not owners:
        return tasks
    others = {
        user: frozenset(name for name, owner in owners.items() if owner != user)
        for user in {task.user for task in tasks}
    }
    return tuple(replace(t, exc_nodes=t.exc_nodes | others[t.user]) for t in tasks)
