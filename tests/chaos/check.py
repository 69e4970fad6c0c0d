"""Reads a run's records and says what went wrong (pure). Each rule is one function.

- `lost`: a job neither ran to its end nor was cancelled by us, nor lost its node by our doing.
- `double`: a run began twice, two runs at once, or more runs than requeues and failures explain.
- `overfull`: a device held two whole-device jobs, or a sharer beside one, or more than its memory.
- `stuck`: the gate stayed closed without hetd, or a job waited beside room that nobody else wanted.
- `inverted`: a job started, and what it took was room for one of higher priority that still waits.
- `crash`: hetd ended by a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from slurm_het.core import hostlist
from slurm_het.core.model import Job
from tests.chaos.records import Action, Completion, Mark, Poll, Records, submission_of
from tests.chaos.room import INTAKE, detailed, fits, free_nodes, need_of, uses, wanted_nodes

# Between a node's failure and the moment when all of Slurm has noticed, both ways (seconds).
NODE_SLACK = 15.0
GATE_SECONDS = 10.0  # hetd is dead: the gate is open by then
OPEN_SECONDS = 10.0  # the gate is open and there is room: a job has started by then
CLOSED_SECONDS = 25.0  # as above with hetd planning: grace, retry and a poll come on top
GAP_SECONDS = 4.0  # polls further apart than this say nothing about the time between
SETTLED_SECONDS = 10.0  # a job that changed later than this may have been too late for a plan


@dataclass(frozen=True, slots=True)
class Violation:
    """What went wrong: the rule, the job or thing, when (epoch seconds), and in words."""

    rule: str
    what: str
    time: float
    text: str


def check(records: Records) -> list[Violation]:
    """All violations, by time."""
    rules: tuple[Callable[[Records], Iterable[Violation]], ...] = (
        lost, double, overfull, stuck_gate, stuck_jobs, inverted, crashes,
    )  # fmt: skip
    found = [violation for rule in rules for violation in rule(records)]
    return sorted(found, key=lambda v: v.time)


# --- what we did ---


@dataclass(frozen=True, slots=True)
class Outage:
    """A node was not to be relied on from `began` to `ended`."""

    node: str
    began: float
    ended: float


def outages(records: Records) -> list[Outage]:
    """What we did to nodes. A restarted slurmctld asks all of them anew."""
    out, since = [], dict[str, float]()
    for action in sorted(records.actions, key=lambda a: a.began):
        verb, args = action.event.verb, action.event.args
        if verb == "slurmd-kill" or (verb == "node" and args[1] != "RESUME"):
            since.setdefault(args[0], action.began)
        elif verb == "slurmd-start" or verb == "node":
            if args[0] in since:
                out.append(Outage(args[0], since[args[0]], action.ended + NODE_SLACK))
            if verb == "node" and action.ok:
                since.pop(args[0], None)
    return out + [Outage(node, began, float("inf")) for node, began in since.items()]


def _failed(nodes: Iterable[str], began: float, ended: float, found: list[Outage]) -> bool:
    return any(o.node in set(nodes) and o.began <= ended and began <= o.ended for o in found)


def _about(records: Records, verbs: set[str]) -> dict[int, list[Action]]:
    out: dict[int, list[Action]] = {}
    for action in records.actions:
        if action.event.verb in verbs:
            out.setdefault(action.event.target, []).append(action)
    return out


# --- lost and double ---


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
            if not event.requeue and any(_on_failed(c, found) for c in ends.get(what, ())):
                continue
            job = left.get(what) or left.get((event.target, None))
            fate = (
                f"it is {job.state} {job.reason} in {job.partition}"
                if job
                else _fate(ends.get(what, []), runs.get(what, []))
            )
            text = f"submission {event.target} ({event.kind}) has not run to its end: {fate}"
            yield Violation("lost", f"{action.job}_{task}", action.began, text)


def _on_failed(done: Completion, found: list[Outage]) -> bool:
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
            if not (requeued or failed):
                text = f"submission {index}: began again, and nobody requeued it"
                yield Violation("double", what, second.time, text)
            elif ends.get(first.restart, 0.0) > second.time and not failed:
                text = f"submission {index}: two runs at once from {until:.0f} on"
                yield Violation("double", what, second.time, text)


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

    Where the last to come was placed by plain Slurm (it runs in the intake, the gate was open)
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
                    if newest.partition == INTAKE:
                        continue
                    text = f"held by {', '.join(keys)}: {device.taken} of {memory[node]} GiB shared"
                    yield Violation("overfull", f"{node}:{index}", poll.time, text)


# --- stuck ---


def _spells(polls: Iterable[Poll], true: Callable[[Poll], bool]) -> Iterator[tuple[Poll, Poll]]:
    """(first, last) of each unbroken row of polls for which it is true."""
    first: Poll | None = None
    last: Poll | None = None
    for poll in polls:
        if last and poll.time - last.time > GAP_SECONDS:
            if first:
                yield first, last
            first = None
        if true(poll):
            first = first or poll
        elif first and last:
            yield first, last
            first = None
        last = poll
    if first and last:
        yield first, last


def stuck_gate(records: Records) -> Iterator[Violation]:
    """Without hetd the gate is open."""
    for first, last in _spells(records.polls, lambda p: p.gate == "DOWN" and not p.hetd):
        if last.time - first.time > GATE_SECONDS:
            text = f"closed for {last.time - first.time:.0f} s without hetd"
            yield Violation("stuck", "gate", first.time, text)


def startable(job: Job, now: float) -> bool:
    """Pending, and nothing but room keeps it: no hold, dependency, begin time or array limit."""
    reasons = {
        "Dependency", "BeginTime", "JobHeldUser", "JobHeldAdmin", "JobArrayTaskLimit",
        "PartitionInactive", "Cleaning",
    }  # fmt: skip
    return (
        job.state == "PENDING" and not job.dependency and job.eligible_time <= now
        and job.reason not in reasons and not job.array_limit and job.priority > 0
    )  # fmt: skip


def _order(job: Job) -> tuple[int, int]:
    return -job.priority, job.id


@dataclass(slots=True)
class _Wait:
    """Since when a job could have run on these nodes, in which gate."""

    since: float
    gate: str
    nodes: frozenset[str]
    told: bool = False


def stuck_jobs(records: Records) -> Iterator[Violation]:
    """No job waits long beside room for it, on the same nodes all the time, that no job of higher
    priority may want: those are whom plain Slurm's backfill and our reservations keep room for."""
    found, waits = outages(records), dict[str, _Wait]()
    partitions = _closed_partitions(records)
    before: Poll | None = None
    for poll in records.polls:
        full = detailed(poll, before)
        if before and poll.time - before.time > GAP_SECONDS:
            waits.clear()
        before = full
        alone = _with_room_of_their_own(full, found, partitions)
        waits = {key: wait for key, wait in waits.items() if key in alone}
        for key, (job, nodes) in alone.items():
            wait = waits.get(key)
            nodes &= wait.nodes if wait else nodes
            need = need_of(job)
            if wait is None or wait.gate != full.gate or not need or len(nodes) < need.nodes:
                waits[key] = _Wait(full.time, full.gate, alone[key][1])
                continue
            wait.nodes = nodes
            limit = OPEN_SECONDS if full.gate == "UP" else CLOSED_SECONDS
            if full.time - wait.since > limit and not wait.told:
                wait.told = True
                text = (
                    f"waits in {job.partition} ({job.reason}) beside room on {_fold(nodes)} for"
                    f" {limit:.0f} s, gate {full.gate}"
                )
                yield Violation("stuck", key, full.time, text)


def _fold(nodes: Iterable[str]) -> str:
    return hostlist.fold(nodes)


def _with_room_of_their_own(
    poll: Poll, found: list[Outage], closed: dict[str, list[tuple[float, float]]]
) -> dict[str, tuple[Job, frozenset[str]]]:
    """The jobs that could start on nodes that nobody before them may want, and these nodes."""
    held = uses(poll)
    out: dict[str, tuple[Job, frozenset[str]]] = {}
    wanted: set[str] = set()
    bad = {o.node for o in found if o.began <= poll.time <= o.ended}
    for job in sorted((j for j in poll.jobs if j.state == "PENDING"), key=_order):
        need = need_of(job)
        if not startable(job, poll.time) or need is None:
            continue
        nodes = free_nodes(job, need, poll, held) - wanted - bad
        if fits(job, need, nodes, poll) and not _closed(job, nodes, poll, closed):
            out[_key(job)] = job, nodes
        wanted |= wanted_nodes(job, poll)
    return out


def _key(job: Job) -> str:
    return f"{job.array_job_id}_[]" if job.array_job_id and job.array_task_id is None else job.key


def _closed_partitions(records: Records) -> dict[str, list[tuple[float, float]]]:
    """When we had each pool closed."""
    out: dict[str, list[tuple[float, float]]] = {}
    since: dict[str, float] = {}
    for action in sorted(records.actions, key=lambda a: a.began):
        if action.event.verb == "partition":
            name, state = action.event.args
            if state == "UP" and name in since:
                out.setdefault(name, []).append((since.pop(name), action.ended + NODE_SLACK))
            elif state != "UP":
                since.setdefault(name, action.began)
    return out


def _closed(
    job: Job, nodes: frozenset[str], poll: Poll, closed: dict[str, list[tuple[float, float]]]
) -> bool:
    """Whether a pool that the job needs was closed by us just then."""
    names = {p for n in poll.nodes if n.name in nodes for p in n.partitions} - {INTAKE}
    if job.partition != INTAKE:
        names |= set(job.partition.split(","))
    return any(a <= poll.time <= b for name in names for a, b in closed.get(name, ()))


# --- priority ---


def inverted(records: Records) -> Iterator[Violation]:
    """A start that took, from a job of higher priority that had waited long enough to be planned,
    room that this could have used: it fitted for two polls, not since the start, and still waits.

    So backfill is allowed (room that the higher job cannot use), and reservations (a pinned job
    fits only where it is pinned), and what was decided before the higher job had its turn.
    """
    found, closed = outages(records), _closed_partitions(records)
    settled: dict[str, tuple[object, float]] = {}
    window: list[tuple[Poll, dict[str, Job], set[str]]] = []
    before: Poll | None = None
    for poll in records.polls:
        full = detailed(poll, before)
        if before and (poll.time - before.time > GAP_SECONDS or poll.gate != before.gate):
            settled.clear()
            window.clear()
        before = full
        pending = {_key(j): j for j in full.jobs if startable(j, full.time)}
        settled = {
            key: settled[key] if key in settled and settled[key][0] == _self(job)
            else (_self(job), full.time)
            for key, job in pending.items()
        }  # fmt: skip
        bad = {o.node for o in found if o.began <= full.time <= o.ended}
        held = uses(full)
        fitting = set()
        for key, job in pending.items():
            need = need_of(job)
            if need and full.time - settled[key][1] > SETTLED_SECONDS:
                nodes = free_nodes(job, need, full, held) - bad
                if fits(job, need, nodes, full) and not _closed(job, nodes, full, closed):
                    fitting.add(key)
        window = [*window[-3:], (full, pending, fitting)]
        if len(window) == 4:
            yield from _overtaken(window)


def _self(job: Job) -> tuple[object, ...]:
    return job.partition, job.req_nodes, job.features, job.priority, job.exc_nodes


Look = tuple[Poll, dict[str, Job], set[str]]


def _overtaken(window: list[Look]) -> Iterator[Violation]:
    (_, _, fit0), (first, _, fit1), (second, pending2, fit2), (_, pending3, fit3) = window
    victims = [pending3[k] for k in fit0 & fit1 if k in pending2 and k in pending3]
    victims = [job for job in victims if _key(job) not in fit2 | fit3]
    if not victims:
        return
    ran = {j.key for j in first.jobs if j.holds_nodes}
    for job in second.jobs:
        if not job.holds_nodes or job.key in ran or need_of(job) is None:
            continue
        for victim in victims:
            took = set(hostlist.expand(job.nodes)) & wanted_nodes(victim, second)
            if took and victim.priority > job.priority:
                text = (
                    f"started on {job.nodes} (priority {job.priority}) though {_key(victim)}"
                    f" (priority {victim.priority}) had room there and waits"
                )
                yield Violation("inverted", job.key, second.time, text)


def crashes(records: Records) -> Iterator[Violation]:
    """hetd never ends by a bug."""
    for line in records.crashes:
        yield Violation("crash", "hetd", records.polls[-1].time if records.polls else 0.0, line)
