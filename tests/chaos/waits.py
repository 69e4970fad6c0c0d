"""The rules about waiting: nothing is stuck, and nobody is overtaken (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from slurm_het.core.model import Job
from slurm_het.core.syntax import hostlist
from tests.chaos.deeds import Outage, Violation, closed_pools, outages
from tests.chaos.records import Poll, Records
from tests.chaos.room import (
    INTAKE,
    Need,
    Use,
    detailed,
    fits,
    free_nodes,
    need_of,
    uses,
    wanted_nodes,
)
from tests.chaos.site import SCAVENGE
from tests.chaos.site_rules import Site

GATE_SECONDS = 10.0  # hetd is dead: the gate is open by then
OPEN_SECONDS = 10.0  # the gate is open and there is room: a job has started by then
CLOSED_SECONDS = 25.0  # as above with hetd planning: grace, retry and a poll come on top
GAP_SECONDS = 4.0  # polls further apart than this say nothing about the time between
SETTLED_SECONDS = 10.0  # a job that changed later than this may have been too late for a plan


def _spells(polls: Iterable[Poll], true: Callable[[Poll], object]) -> Iterator[tuple[Poll, Poll]]:
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


def lost_devices(records: Records) -> Iterator[Violation]:
    """Devices that Slurm takes for used, and no job holds, are counted anew."""
    for first, last in _spells(records.polls, lambda p: p.gate == "DOWN" and p.hetd and _lost(p)):
        if last.time - first.time > CLOSED_SECONDS:
            text = (
                f"no job holds its devices, and Slurm takes them for used on {_fold(_lost(last))}"
            )
            yield Violation("stuck", "devices", first.time, text)


def _lost(poll: Poll) -> frozenset[str]:
    held = {n for j in poll.jobs if j.holds_nodes for n in hostlist.expand(j.nodes)}
    return frozenset(n.name for n in poll.nodes if n.gres_stale) - held


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
    barred = Barred(found, closed_pools(records), Site.of(records))
    before: Poll | None = None
    for poll in records.polls:
        full = detailed(poll, before)
        if before and poll.time - before.time > GAP_SECONDS:
            waits.clear()
        before = full
        alone = with_room_of_their_own(full, barred)
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


@dataclass(frozen=True)
class Barred:
    """What keeps jobs from nodes beside other jobs: what we did to nodes and pools, and the site's
    rules."""

    outages: list[Outage]
    closed: dict[str, list[tuple[float, float]]]
    site: Site

    def free(self, job: Job, need: Need, poll: Poll, held: dict[str, list[Use]]) -> frozenset[str]:
        """The nodes on which nothing keeps it."""
        bad = {o.node for o in self.outages if o.began <= poll.time <= o.ended}
        shut = {n for n, spans in self.closed.items() if any(a <= poll.time <= b for a, b in spans)}
        if shut & set(job.partition.split(",")):
            return frozenset()
        bad |= {node.name for node in poll.nodes if shut & set(node.partitions)}
        return free_nodes(job, need, poll, held) - bad - self.site.closed(job, poll)

    def startable(self, job: Job, poll: Poll) -> bool:
        """Whether only room may be missing. What is plain Slurm's alone is not looked at."""
        plain = job.reservation or job.partition == SCAVENGE
        return not plain and startable(job, poll.time) and not self.site.held(job, poll)


def with_room_of_their_own(poll: Poll, barred: Barred) -> dict[str, tuple[Job, frozenset[str]]]:
    """The jobs that could start on nodes that nobody before them may want, and these nodes."""
    held = uses(poll)
    out: dict[str, tuple[Job, frozenset[str]]] = {}
    wanted: set[str] = set()
    for job in sorted((j for j in poll.jobs if j.state == "PENDING"), key=_order):
        need = need_of(job)
        if not startable(job, poll.time) or need is None:
            continue
        nodes = barred.free(job, need, poll, held) - wanted
        if barred.startable(job, poll) and fits(job, need, nodes, poll):
            out[_key(job)] = job, nodes
        wanted |= wanted_nodes(job, poll)
    return out


def _key(job: Job) -> str:
    return f"{job.array_job_id}_[]" if job.array_job_id and job.array_task_id is None else job.key


# --- priority ---


def inverted(records: Records) -> Iterator[Violation]:
    """A start that took, from a job of higher priority that had waited long enough to be planned,
    room that this could have used: it fitted for two polls, not since the start, and still waits.

    So backfill is allowed (room that the higher job cannot use), and reservations (a pinned job
    fits only where it is pinned), and what was decided before the higher job had its turn.
    """
    barred = Barred(outages(records), closed_pools(records), Site.of(records))
    settled: dict[str, tuple[object, float]] = {}
    window: list[tuple[Poll, dict[str, Job], set[str]]] = []
    before: Poll | None = None
    for poll in records.polls:
        full = detailed(poll, before)
        if before and (poll.time - before.time > GAP_SECONDS or poll.gate != before.gate):
            settled.clear()
            window.clear()
        before = full
        pending = {_key(j): j for j in full.jobs if barred.startable(j, full)}
        settled = {
            key: settled[key] if key in settled and settled[key][0] == _self(job)
            else (_self(job), full.time)
            for key, job in pending.items()
        }  # fmt: skip
        held = uses(full)
        fitting = set()
        for key, job in pending.items():
            need = need_of(job)
            if not need or full.time - settled[key][1] <= SETTLED_SECONDS:
                continue
            if fits(job, need, barred.free(job, need, full, held), full):
                fitting.add(key)
        window = [*window[-3:], (full, pending, fitting)]
        if len(window) == 4:
            yield from _overtaken(window)


def _self(job: Job) -> tuple[object, ...]:
    return job.partition, job.req_nodes, job.features, job.priority, job.exc_nodes


Look = tuple[Poll, dict[str, Job], set[str]]


def _overtaken(window: list[Look]) -> Iterator[Violation]:
    (_, pending0, fit0), (first, _, fit1), (second, pending2, fit2), (_, pending3, fit3) = window
    victims = [pending3[k] for k in fit0 & fit1 if k in pending2 and k in pending3]
    victims = [job for job in victims if _key(job) not in fit2 | fit3]
    if not victims:
        return
    ran = {j.key for j in first.jobs if j.holds_nodes}
    decided = {k for k, j in pending0.items() if j.partition != INTAKE and j.req_nodes}
    for job in second.jobs:
        if not job.holds_nodes or job.key in ran | decided or need_of(job) is None:
            continue
        for victim in victims:
            took = set(hostlist.expand(job.nodes)) & wanted_nodes(victim, second)
            if took and victim.priority > job.priority and not _ahead(victim, took, second, ran):
                text = (
                    f"started on {job.nodes} (priority {job.priority}) though {_key(victim)}"
                    f" (priority {victim.priority}) had room there and waits"
                )
                yield Violation("inverted", job.key, second.time, text)


def _ahead(victim: Job, nodes: set[str], poll: Poll, ran: set[str]) -> bool:
    """Whether one that comes before the victim has started there too: what it left was no room."""
    return any(
        job.holds_nodes
        and job.key not in ran
        and _order(job) < _order(victim)
        and nodes & set(hostlist.expand(job.nodes))
        for job in poll.jobs
    )
