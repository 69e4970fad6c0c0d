"""Reads a run's records and says what went wrong (pure). Each rule is one function.

- `lost`: a job neither ran to its end nor was cancelled by us, nor lost its node by our doing.
- `double`: a run began twice, two runs at once, or more runs than requeues and failures explain.
- `overfull`: a device held two whole-device jobs, or a sharer beside one, or more than its memory.
- `bare`: a job that asked for devices was released by hetd, and ran without any.
- `stuck`: the gate stayed closed without hetd, or a job waited beside room that nobody else wanted.
- `inverted`: a job started, and what it took was room for one of higher priority that still waits.
- `crash`: hetd ended by a bug.

Those of a site are in `site_check.py`: `over`, `entered`, `victim`, `pinned`. That of faults is in
`fault_check.py`: `shut`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from slurm_het.core.syntax import hostlist
from tests.chaos.deeds import Outage, Violation, outages
from tests.chaos.fault_check import left_shut
from tests.chaos.records import Action, Completion, Mark, Records, submission_of
from tests.chaos.room import NO_POOLS, uses
from tests.chaos.site_check import entered, over, stands, untrue, victims
from tests.chaos.waits import inverted, lost_devices, stuck_gate, stuck_jobs


def check(records: Records) -> list[Violation]:
    """All violations, by time."""
    rules: tuple[Callable[[Records], Iterable[Violation]], ...] = (
        lost, double, overfull, bare, stuck_gate, lost_devices, stuck_jobs, inverted, crashes,
        over, entered, victims, stands, untrue,
    )  # fmt: skip
    if records.meta.mode == "faults":  # what waits then is left_shut's
        rules = (lost, double, overfull, bare, left_shut, crashes)
    found = [violation for rule in rules for violation in rule(records)]
    return sorted(found, key=lambda v: v.time)


# --- lost and double ---


def _failed(nodes: Iterable[str], began: float, ended: float, found: list[Outage]) -> bool:
    return any(o.node in set(nodes) and o.began <= ended and began <= o.ended for o in found)


def _about(records: Records, verbs: set[str]) -> dict[int, list[Action]]:
    out: dict[int, list[Action]] = {}
    for action in records.actions:
        if action.event.verb in verbs:
            out.setdefault(action.event.target, []).append(action)
    return out


def _runs(records: Records) -> dict[tuple[int, int], list[Mark]]:
    """The marks of each task (submission, array task)."""
    out: dict[tuple[int, int], list[Mark]] = {}
    for mark in records.marks:
        out.setdefault((mark.submission, mark.task), []).append(mark)
    return out


def lost(records: Records) -> Iterator[Violation]:
    """Every task has a run with an end, or a reason."""
    runs, cancels = _runs(records), _about(records, {"cancel"})
    left = {(submission_of(j.name), j.array_task_id): j for j in records.left}
    ends: dict[tuple[int, int], list[Completion]] = {}
    for done in records.completions:
        ends.setdefault((done.submission, done.task), []).append(done)
    found = outages(records)
    for action in records.actions:
        event = action.event
        if event.verb != "submit" or not action.ok:
            continue
        for task in range(event.tasks):
            what = event.target, task
            if any(m.what == "end" for m in runs.get(what, ())):
                continue
            if any(c.event.args[0] in {"", str(task)} for c in cancels.get(event.target, ())):
                continue
            if not event.requeue and any(_ended(c, found) for c in ends.get(what, ())):
                continue
            job = left.get(what) or left.get((event.target, None))
            fate = (
                f"it is {job.state} {job.reason} in {job.partition}"
                if job
                else _fate(ends.get(what, []), runs.get(what, []))
            )
            text = f"submission {event.target} ({event.kind}) has not run to its end: {fate}"
            yield Violation("lost", f"{action.job}_{task}", action.began, text)


def _ended(done: Completion, found: list[Outage]) -> bool:
    """Whether it was preempted (whether rightly is another rule's), or its node failed by us."""
    if done.state == "PREEMPTED":
        return True
    nodes = hostlist.expand(done.nodes)
    return done.state == "NODE_FAIL" and any(o.node in nodes for o in found)


def _fate(ends: list[Completion], marks: list[Mark]) -> str:
    states = [f"{c.state} on {c.nodes or 'no node'}" for c in ends]
    return f"Slurm says {', '.join(states) or 'nothing of it'}; it began {len(marks)} times"


def double(records: Records) -> Iterator[Violation]:
    """Runs are as many as requeues and failed nodes explain, and never two at once."""
    found, requeues = outages(records), _about(records, {"requeue", "requeuehold"})
    for (index, task), marks in _runs(records).items():
        starts = [m for m in marks if m.what == "start"]
        ends = {m.restart: m.time for m in reversed(marks) if m.what == "end"}
        what = f"{starts[0].job if starts else 0}_{task}"
        asked = requeues.get(index, ())  # of an array it may be refused and done for some tasks
        for first, second in pairwise(starts):
            if first.restart == second.restart:
                text = f"submission {index}: run {first.restart} began twice"
                yield Violation("double", what, second.time, text)
                continue
            until = min(ends.get(first.restart, second.time), second.time)
            requeued = any(first.time - 2 <= a.began <= second.time for a in asked)
            nodes = {first.node, *_nodes_of(records, first)}
            failed = _failed(nodes, first.time, second.time, found)
            requeued = requeued or _preempted(records, first, second)
            if not (requeued or failed):
                text = f"submission {index}: began again, and nobody requeued it"
                yield Violation("double", what, second.time, text)
            elif ends.get(first.restart, 0.0) > second.time and not failed:
                text = f"submission {index}: two runs at once from {until:.0f} on"
                yield Violation("double", what, second.time, text)


def _preempted(records: Records, first: Mark, second: Mark) -> bool:
    return any(
        p.victim in {first.job, second.job} and first.time - 2 <= p.time <= second.time
        for p in records.preempted
    )


def _nodes_of(records: Records, mark: Mark) -> set[str]:
    return {
        name
        for c in records.completions
        if c.job == mark.job
        for name in hostlist.expand(c.nodes if c.nodes != "(null)" else "")
    }


# --- devices ---


def overfull(records: Records) -> Iterator[Violation]:
    """No device is over its memory or has a second job beside one that took it whole.

    Where the last to come was placed by plain Slurm (it runs in the intake, the gate was open, or
    in a partition that is no pool)
    that is Slurm's own: on 22.05 an unpinned two-node job was given a card that sharers held.
    """
    seen: set[tuple[str, int, tuple[str, ...]]] = set()
    memory: dict[str, int] = {}  # a node that registers again has no shards for a moment
    for poll in records.polls:
        for node, devices in uses(poll).items():
            memory[node] = max([memory.get(node, 0), *(device.gib for device in devices)])
            for index, device in enumerate(devices):
                keys = tuple(device.whole + [key for key, _ in device.shares])
                full = len(device.whole) > 1 or (device.whole and device.shares)
                if (full or device.taken > memory[node]) and (node, index, keys) not in seen:
                    seen.add((node, index, keys))
                    newest = max(
                        (j for j in poll.jobs if j.key in keys), key=lambda j: j.start_time
                    )
                    if newest.partition in NO_POOLS:
                        continue
                    text = f"held by {', '.join(keys)}: {device.taken} of {memory[node]} GiB shared"
                    yield Violation("overfull", f"{node}:{index}", poll.time, text)


def bare(records: Records) -> Iterator[Violation]:
    """Whoever asked for devices has some, unless plain Slurm let it start without.

    22.05 does so on nodes that have not registered since slurmctld's restart
    (SlurmVersion.forgets_devices): in the open gate, or to what hetd had released before.
    """
    asked = {e.target for e in (a.event for a in records.actions) if e.kind not in {"", "cpu"}}
    restarts = [a for a in records.actions if a.event.verb == "slurmctld-restart"]
    for mark in records.marks:
        if mark.what != "start" or mark.devices or mark.submission not in asked:
            continue
        pool = _partition_of(records, mark)
        seen = [p.time for p in records.polls for j in p.jobs if j.id == mark.job
                and j.partition == pool and j.restarts <= mark.restart]  # fmt: skip
        before = any(r.began < mark.time and seen and seen[0] < r.ended for r in restarts)
        if pool not in {"", *NO_POOLS} and not before:
            text = f"submission {mark.submission}: released to {pool}, runs without devices"
            yield Violation("bare", f"{mark.job}_{mark.task} on {mark.node}", mark.time, text)


def _partition_of(records: Records, mark: Mark) -> str:
    """Where that run was, '' if nobody saw it."""
    for poll in records.polls:
        for job in poll.jobs:
            if job.id == mark.job and job.restarts == mark.restart and job.holds_nodes:
                return job.partition
    ends = [c.partition for c in records.completions if c.job == mark.job]
    return ends[0] if len(ends) == 1 else ""


def crashes(records: Records) -> Iterator[Violation]:
    """hetd never ends by a bug."""
    for line in records.crashes:
        yield Violation("crash", "hetd", records.polls[-1].time if records.polls else 0.0, line)
