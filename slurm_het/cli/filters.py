"""The choices squeue offers (-u -j -p -t -w), on het-squeue's rows."""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice

from slurm_het.cli.columns import STATE_CODES
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Snapshot
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.arrays import array_ranges, has_task, have_common
from slurm_het.core.views.job_rows import GATE, JobRow, rows_on
from slurm_het.errors import HetError

_JOB = re.compile(r"(\d{1,10})(?:_(?:(\d{1,8})|\[([\d,:-]{1,200})\]))?\Z")
MAX_TASKS = 100_000
"""So many waiting tasks of arrays have a line of their own at most."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What to show, as the user wrote it; empty is everything."""

    users: str = ""
    jobs: str = ""
    partitions: str = ""
    states: str = ""
    nodes: str = ""
    accounts: str = ""
    names: str = ""
    qos: str = ""


def choose(rows: Iterable[JobRow], choice: Filters, snapshot: Snapshot) -> list[JobRow]:
    """The rows chosen. Raises HetError for states, partitions, nodes, users there are not."""
    states = read_states(choice.states)
    kept = [r for r in rows if (r.job.state in states if states else not r.job.finished)]
    if choice.states.strip().lower() == "all":
        kept = list(rows)
    if choice.users:
        users = _users(choice.users, snapshot)
        kept = [r for r in kept if r.job.user in users or str(r.job.uid) in users]
    if choice.jobs:
        wanted = _jobs(choice.jobs)
        kept = [r for r in kept if any(_is(r, job, tasks) for job, tasks in wanted)]
    if choice.partitions:
        names = _known(choice.partitions, [p.name for p in snapshot.partitions], "partition")
        kept = [r for r in kept if names & {r.pool, *r.job.partition.split(",")}]
    if accounts := _split(choice.accounts):
        kept = [r for r in kept if r.job.account in accounts]
    if named := _split(choice.names):
        kept = [r for r in kept if r.job.name in named]
    if qos := _split(choice.qos):
        kept = [r for r in kept if r.job.qos in qos]
    if choice.nodes:
        kept = list(rows_on(kept, _nodes(choice.nodes, snapshot)))
    return kept


def each_task(rows: Iterable[JobRow], choice: Filters) -> tuple[list[JobRow], int]:
    """The rows chosen, with one for each chosen task of an array that waits; how many such are
    left out, for there are more than MAX_TASKS."""
    out, room, left = list[JobRow](), MAX_TASKS, 0
    wanted = _jobs(choice.jobs)
    for row in rows:
        job = row.job
        if not job.unsplit:
            out.append(row)
            continue
        tasks = _tasks(row, wanted)
        before = len(out)
        for index in islice(tasks, room):
            task = replace(job, array_task_id=index, array_tasks="")
            out.append(replace(row, job=task, id=task.key))
        room -= len(out) - before
        left += sum(1 for _ in tasks)
    return out, left


def _tasks(row: JobRow, wanted: Sequence[_Wanted]) -> Iterator[int]:
    """The tasks that an array's row stands for, of those that are wanted."""
    every = merge(*array_ranges(row.job.array_tasks))
    if not wanted or any(_is(row, number, ()) for number, tasks in wanted if not tasks):
        return every
    mine = tuple(one for number, tasks in wanted if number == row.job.array_job_id for one in tasks)
    return (index for index in every if has_task(mine, index))


def choose_devices(inventory: Inventory, choice: Filters, snapshot: Snapshot) -> Inventory:
    """The nodes chosen, by name and by partition. Raises HetError for nodes there are not."""
    names, asked = _split(choice.partitions), _nodes(choice.nodes, snapshot)
    nodes = {
        name: node
        for name, node in inventory.nodes.items()
        if (not names or names & set(node.partitions)) and (not choice.nodes or name in asked)
    }
    return replace(inventory, nodes=nodes)


def read_states(text: str) -> frozenset[str]:
    """State names for names or short codes; empty for none and for `all`."""
    by_code = {code: name for name, code in STATE_CODES.items()}
    out = set()
    for word in filter(None, (w.strip().upper() for w in text.split(","))):
        if word == "ALL":
            return frozenset()
        if word not in STATE_CODES and word not in by_code:
            valid = ", ".join(f"{name} ({code})" for name, code in STATE_CODES.items())
            raise HetError(f"no job state {word[:40]!r}", f"valid: all, {valid}")
        out.add(by_code.get(word, word))
    return frozenset(out)


def _users(text: str, snapshot: Snapshot) -> frozenset[str]:
    names = _split(text)
    have = {j.user for j in snapshot.jobs} | {str(j.uid) for j in snapshot.jobs}
    for name in names - have:
        try:
            if not name.isdecimal():
                pwd.getpwnam(name)
        except (KeyError, ValueError) as error:
            raise HetError(f"no user {name[:40]!r}", "neither here nor with a job") from error
    return names


def _nodes(text: str, snapshot: Snapshot) -> frozenset[str]:
    asked = frozenset(hostlist.expand(text)) if text else frozenset()
    if unknown := sorted(asked - {n.name for n in snapshot.nodes}):
        raise HetError(f"no node {', '.join(unknown[:4])}", "sinfo lists them")
    return asked


def _split(text: str) -> frozenset[str]:
    return frozenset(w.strip() for w in text.split(",") if w.strip())


def _known(text: str, valid: Sequence[str], what: str) -> frozenset[str]:
    names = _split(text)
    for name in names - set(valid) - {GATE}:
        raise HetError(f"no {what} {name[:40]!r}", f"valid: {', '.join(valid)}")
    return names


_Wanted = tuple[int, tuple[range, ...]]
"""A job, or tasks of an array."""


def _jobs(text: str) -> list[_Wanted]:
    return [_job(word) for word in re.split(r",(?![^\[]*\])", text) if word.strip()]


def _job(text: str) -> _Wanted:
    match = _JOB.match(text.strip())
    if not match:
        raise HetError(f"not a job id: {text[:40]!r}", "such as 11, 11_3 or 11_[3-9]")
    return int(match.group(1)), array_ranges(match.group(2) or match.group(3) or "")


def _is(row: JobRow, number: int, tasks: tuple[range, ...]) -> bool:
    job = row.job
    if not tasks:
        return number in {job.id, job.array_job_id, job.het_job_id}
    if job.array_job_id != number:
        return False
    if job.array_task_id is not None:
        return has_task(tasks, job.array_task_id)
    return have_common(array_ranges(job.array_tasks), tasks)


def one_job(text: str) -> str:
    """The id of one job or task, as it is written. Raises HetError for anything else."""
    if not re.fullmatch(r"\d{1,10}(_\d{1,8})?", text):
        raise HetError(f"not a job id: {text[:40]!r}", "such as 1234 or 1234_7")
    return text
