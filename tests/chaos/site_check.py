"""The rules of a site (pure), from Slurm's own records.

- `over`: a job started, and a limit of its user, account or QOS was exceeded then.
- `entered`: a job started where a reservation that it may not use was, or into which it reaches.
- `victim`: a job was ended to make room, and no rule lets the other one preempt it.
- `pinned`: a job stood pinned against a limit, or into a reservation.
- `untrue`: hetd said for long that a job waits for a limit or a reservation that there was not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from slurm_het.core.model import Job
from slurm_het.core.slurm_reservation import ReservationRecord
from tests.chaos.deeds import Outage, Violation, outages
from tests.chaos.records import Poll, Records, submission_of
from tests.chaos.room import NO_POOLS
from tests.chaos.site import EXEMPT_SECONDS, PREEMPTS, SCAVENGE, by_tier, qos_of
from tests.chaos.site_rules import HEARD_SECONDS, RUNNING, Site, nodes_of, pinned, starts

KNOWN_SECONDS = 3.0  # a reservation that was made later than this before a start is no barrier
PIN_SECONDS = 15.0
SAID_SECONDS = 10.0
GAP_SECONDS = 4.0
LIMIT_REASONS = ("QOS", "Assoc", "MaxJobs", "Licenses")


def over(records: Records) -> Iterator[Violation]:
    """No start exceeds a limit, as the admins set it and for the QOS that the user asked for.

    Of those that started between two looks, whom another limit bound may have come later.
    """
    site = Site.of(records)
    for before, poll, new in starts(records):
        running = [j for j in poll.jobs if j.state in RUNNING]
        for limit in site.limits:
            span = before.time - 1.0, poll.time
            free = {j.id for j in new if site.overruled(limit, j, span)[0]}
            bound = [j for j in running if j.id not in free]
            for job in new:
                group = site.group(limit, job)
                if group is None or job.id in free or not site.used(limit, group, [job]):
                    continue
                used, most = site.used(limit, group, bound), max(site.values(limit, *span))
                if used > most:
                    text = (
                        f"started on {job.nodes}: {limit.kind} {limit.name} {group} uses {used}"
                        f" and {limit.word} is {most:g}"
                    )
                    yield Violation("over", job.key, poll.time, text)


def _in_the_way(site: Site, job: Job, poll: Poll, began: float) -> Iterator[ReservationRecord]:
    """The reservations of its nodes that keep a job from running there from `began` on."""
    end = began + 60.0 * (job.time_limit_minutes or 1e6)
    for r in poll.reservations:
        apart = r.partial or "IGNORE_STATE" in r.flags or not set(r.nodes) & nodes_of(job)
        if not apart and not site.may_use(job, r) and began < r.end and r.start < end:
            yield r


def entered(records: Records) -> Iterator[Violation]:
    """No job starts on the nodes of a reservation that it may not use, if that was known."""
    site, since = Site.of(records), dict[ReservationRecord, float]()
    for _, poll, new in starts(records):
        since = {r: since.get(r, poll.time) for r in poll.reservations}
        for job in new:
            for r in _in_the_way(
                site, job, poll, max(float(job.start_time), poll.time - GAP_SECONDS)
            ):
                if since[r] < job.start_time - KNOWN_SECONDS:
                    text = (
                        f"started on {job.nodes} for {job.time_limit_minutes} min, in the way of"
                        f" the reservation {r.name} ({','.join(sorted(r.flags))}) from"
                        f" {r.start - poll.time:+.0f} s on"
                    )
                    yield Violation("entered", job.key, poll.time, text)


def stands(records: Records) -> Iterator[Violation]:
    """No pin stands for long against a limit or into a reservation, while hetd plans."""
    since: dict[tuple[object, ...], float] = {}
    told: set[tuple[object, ...]] = set()
    last, site = 0.0, Site.of(records)
    for poll in records.polls:
        if poll.time - last > GAP_SECONDS or poll.gate != "DOWN" or not poll.hetd:
            since.clear()
        last = poll.time
        found = {}
        for job in poll.jobs:
            if pinned(job) and job.partition not in NO_POOLS and job.eligible_time <= poll.time:
                for why in _against(site, job, poll):
                    found[job.id, job.restarts, job.req_nodes, why] = job
        since = {what: since.get(what, poll.time) for what in found}
        for what, job in found.items():
            if poll.time - since[what] > PIN_SECONDS and what not in told:
                told.add(what)
                text = f"pinned to {job.req_nodes} for {PIN_SECONDS:.0f} s against {what[-1]}"
                yield Violation("pinned", job.key, poll.time, text)


def _against(site: Site, job: Job, poll: Poll) -> Iterator[str]:
    if job.reason.startswith(LIMIT_REASONS):
        yield job.reason
    expected = max(poll.time, float(job.start_time))  # a pin ahead is for after the reservation
    yield from (f"reservation {r.name}" for r in _in_the_way(site, job, poll, expected))


# --- what is said ---

_SAID_LIMIT = re.compile(r"(?:QOS|Assoc)\w+: .* may have (\d+) ")
_SAID_RESERVATION = re.compile(r"\((r\d+)\)|the reservation (r\d+)")


def untrue(records: Records) -> Iterator[Violation]:
    """Why a job waits is true: such a limit holds for it, such a reservation is there."""
    site = Site.of(records)
    since: dict[tuple[str, str], float] = {}
    told: set[tuple[str, str]] = set()
    there: dict[str, float] = {}
    for poll in records.polls:
        there |= {r.name: poll.time for r in poll.reservations}
        if poll.waiting is None:
            continue
        jobs = {job.key: job for job in poll.jobs if job.state == "PENDING"}
        wrong = {
            (key, why)
            for key, why in poll.waiting.items()
            if key in jobs and not _true(site, jobs[key], why, poll, there)
        }
        since = {what: since.get(what, poll.time) for what in wrong}
        for key, why in wrong:
            if poll.time - since[key, why] > SAID_SECONDS and (key, why) not in told:
                told.add((key, why))
                yield Violation("untrue", key, poll.time, f"is said to wait: {why[:150]}")


def _true(site: Site, job: Job, why: str, poll: Poll, there: dict[str, float]) -> bool:
    """Whether that may be so."""
    if found := _SAID_LIMIT.match(why):
        span, most = (poll.time - HEARD_SECONDS, poll.time), int(found.group(1))
        return any(most in site.values(limit, *span) for limit in site.limits)
    names = [first or second for first, second in _SAID_RESERVATION.findall(why)]
    return all(
        name == job.reservation or poll.time - there.get(name, 0.0) < SAID_SECONDS for name in names
    )


# --- who makes room ---


def victims(records: Records) -> Iterator[Violation]:
    """Whoever was ended for another one was his to preempt; and nobody is ended without reason."""
    yield from _wrong(records)
    yield from _unexplained(records)


def _wrong(records: Records) -> Iterator[Violation]:
    seen: dict[int, Job] = {}
    polls = iter(records.polls)
    poll = next(polls, None)
    site = Site.of(records)
    for event in sorted(records.preempted, key=lambda p: p.time):
        while poll and poll.time < event.time:
            seen |= {job.id: job for job in poll.jobs if job.id not in seen or job.state in RUNNING}
            seen |= {job.id: job for job in poll.jobs if job.state == "PENDING" and pinned(job)}
            poll = next(polls, None)
        victim, by = seen.get(event.victim), seen.get(event.by)
        known = victim and (by or not event.by)
        if known and victim and (why := _not_his(site, records, victim, by, event.time)):
            text = f"preempted for {by.key if by else 'one that is not told'}: {why}"
            yield Violation("victim", victim.key, event.time, text)


def _not_his(site: Site, records: Records, victim: Job, by: Job | None, when: float) -> str:
    """Why nobody may preempt it, or not `by`; '' if he may."""
    theirs = site.asked.get(submission_of(victim.name))
    ours = site.asked.get(submission_of(by.name)) if by else None
    if theirs is None:
        return ""
    exempt = EXEMPT_SECONDS.get(qos_of(theirs), 0)
    if victim.state in RUNNING and when - victim.start_time < exempt - 1.5:
        return f"it had run for {when - victim.start_time:.0f} s, and is exempt for {exempt} s"
    if by_tier(records.meta.seed):
        lower, higher = SCAVENGE in theirs.args, not ours or SCAVENGE not in ours.args
        return "" if lower and higher else "it is in no lower tier"
    mine = [qos_of(ours)] if ours else list(PREEMPTS)
    if any(qos_of(theirs) in PREEMPTS.get(qos, ()) for qos in mine):
        return ""
    return f"QOS {' or '.join(mine)} may not preempt {qos_of(theirs)}"


def _unexplained(records: Records) -> Iterator[Violation]:
    """Jobs that ran, and wait again, and nobody preempted or requeued them, nor failed a node."""
    found = outages(records)
    requeues: dict[int, list[float]] = {}
    for action in records.actions:
        if action.event.verb in {"requeue", "requeuehold"}:
            requeues.setdefault(action.event.target, []).append(action.began)
    preempted: dict[int, list[float]] = {}
    for event in records.preempted:
        preempted.setdefault(event.victim, []).append(event.time)
    ran: dict[int, Job] = {}
    for poll in records.polls:
        for job in poll.jobs:
            old = ran.pop(job.id, None)
            if job.state in RUNNING:
                ran[job.id] = job
            elif job.state == "PENDING" and old and job.restarts > old.restarts:
                began = float(old.start_time)
                asked = [*requeues.get(submission_of(job.name), []), *preempted.get(job.id, [])]
                if not any(began - 2 <= t <= poll.time for t in asked) and not _lost(
                    old, began, poll.time, found
                ):
                    text = f"ran on {old.nodes} and was ended: no preemption, no requeue of ours"
                    yield Violation("victim", job.key, poll.time, text)
            elif old:
                ran[job.id] = old  # COMPLETING


def _lost(job: Job, began: float, ended: float, found: list[Outage]) -> bool:
    names = nodes_of(job)
    return any(o.node in names and o.began <= ended and began <= o.ended for o in found)
