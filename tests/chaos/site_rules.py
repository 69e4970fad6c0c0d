"""What a site allowed, and when: from what its admins did and what Slurm showed (pure).

A limit that changes is both for a while: nobody says when slurmctld has heard of it. (On 22.05 it
hears nothing of what sacctmgr has `Modified` once it was started while slurmdbd was away.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from slurm_het.core.model import Job
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.syntax import gres, hostlist
from tests.chaos.events import Event
from tests.chaos.records import Poll, Records, submission_of
from tests.chaos.room import INTAKE, need_of
from tests.chaos.site import LIMITS, NO_LIMIT, Limited, account_of, qos_of

HEARD_SECONDS = 15.0  # from sacctmgr's answer until slurmctld has acted on it
SEEN_SECONDS = 60.0
EDGE_SECONDS = 90.0  # Slurm's backfill and the planner need not fill a gap to the second
RUNNING = {"RUNNING", "SUSPENDED", "CONFIGURING"}
FOR_EVER = float("inf")
ORDER = ("partition", "qos", "user", "account")


@dataclass(frozen=True)
class Site:
    """The rules in force. Without `limits` there are none: the run was at no site."""

    asked: dict[int, Event] = field(default_factory=dict)  # by submission
    limits: dict[Limited, list[tuple[float, float, float]]] = field(default_factory=dict)
    seen: dict[Limited, list[tuple[float, float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Records) -> Site:
        """The site of a run."""
        asked = {a.event.target: a.event for a in records.actions if a.event.verb == "submit"}
        if records.meta.mode != "site":
            return cls(asked)
        spans = {limit: list(_spans(limit, n, records)) for n, limit in enumerate(LIMITS)}
        return cls(asked, spans, _seen(records))

    def values(self, limit: Limited, began: float, ended: float) -> list[float]:
        """What a limit may have been at some time from `began` to `ended`.

        What slurmctld said about then counts too: it may not have heard of what sacctmgr has done.
        """
        told = [value for a, b, value in self.limits[limit] if a <= ended and began <= b]
        seen = self.seen.get(limit, [])
        before = [value for time, value in seen if began - SEEN_SECONDS <= time < began][-1:]
        after = [value for time, value in seen if ended < time <= ended + SEEN_SECONDS][:1]
        return told + before + after + [value for t, value in seen if began <= t <= ended]

    def group(self, limit: Limited, job: Job, partition: str = "") -> str | None:
        """With whom a job counts there ('' is everybody whom it is for); None if it does not."""
        event = self.asked.get(submission_of(job.name))
        if event is None:
            return None
        mine = {
            "qos": qos_of(event), "account": account_of(event), "user": event.user,
            "partition": partition or job.partition,
        }[limit.kind]  # fmt: skip
        if mine != (limit.partition or limit.name):
            return None
        return event.user if limit.each_user else ""

    def overruled(self, limit: Limited, job: Job, span: tuple[float, float]) -> tuple[bool, bool]:
        """Whether another limit stands in for it: may do so, and does for sure.

        Slurm goes by the first that is set of one word: the partition's, the QOS's, the user's,
        the account's.
        """
        partition = limit.partition if job.partition == INTAKE else ""
        values = [
            self.values(other, *span)
            for other in self.limits
            if other.word.removesuffix("PU") == limit.word.removesuffix("PU")
            and ORDER.index(other.kind) < ORDER.index(limit.kind)
            and self.group(other, job, partition) is not None
        ]
        return (
            any(min(found) < FOR_EVER for found in values),
            any(max(found) < FOR_EVER for found in values),
        )

    def may_use(self, job: Job, reservation: ReservationRecord) -> bool:
        """Whether its user asked for a reservation, or is drawn into this one.

        Who is in one may have its nodes also where another one overlaps it, as those for MAINT do.
        """
        event = self.asked.get(submission_of(job.name))
        if event is None or any(word.startswith("--reservation=") for word in event.args):
            return True
        return "MAGNETIC" in reservation.flags and event.user in reservation.users

    def used(self, limit: Limited, group: str, jobs: Iterable[Job]) -> int:
        """What these jobs use of it."""
        return sum(_amount(limit, job) for job in jobs if self.group(limit, job) == group)

    def held(self, job: Job, poll: Poll) -> bool:
        """Whether a limit may keep the job from starting: also by what is promised to others."""
        counted = [j for j in poll.jobs if j.id != job.id and (j.state in RUNNING or pinned(j))]
        return any(
            self._reached(limit, job, counted, poll.time)
            for limit in self.limits
            if limit.kind != "partition"
        )

    def _reached(self, limit: Limited, job: Job, jobs: Sequence[Job], now: float) -> bool:
        partition = limit.partition if job.partition == INTAKE else ""
        group = self.group(limit, job, partition)
        if group is None:
            return False
        span = now - HEARD_SECONDS, now
        if self.overruled(limit, job, span)[1]:
            return False
        most = min(self.values(limit, *span))
        need = need_of(job)
        mine = (need.devices * need.nodes if need else 0) if limit.of_devices else 1
        return self.used(limit, group, jobs) + mine > most

    def closed(self, job: Job, poll: Poll) -> frozenset[str]:
        """The nodes that a reservation, or the partition's QOS, may keep the job from."""
        end = poll.time + 60.0 * (job.time_limit_minutes or 1e6) + EDGE_SECONDS
        shut = {
            node
            for r in poll.reservations
            if r.start < end and poll.time < r.end + EDGE_SECONDS
            for node in r.nodes
        }
        counted = [j for j in poll.jobs if j.id != job.id and (j.state in RUNNING or pinned(j))]
        for limit in self.limits:
            if limit.partition and self._reached(limit, job, counted, poll.time):
                shut |= {n.name for n in poll.nodes if limit.partition in n.partitions}
        return frozenset(shut)


def _seen(records: Records) -> dict[Limited, list[tuple[float, float]]]:
    """When slurmctld said what of each limit."""
    out: dict[Limited, list[tuple[float, float]]] = {}
    for poll in records.polls:
        for index, value in (poll.limits or {}).items():
            most = FOR_EVER if value == NO_LIMIT else float(value)
            out.setdefault(LIMITS[index], []).append((poll.time, most))
    return out


def _spans(limit: Limited, index: int, records: Records) -> Iterator[tuple[float, float, float]]:
    """From when to when a limit may have had which value. A call that failed may yet be done."""
    changes = [
        (a.began, a.ended if a.ok else FOR_EVER, float(a.event.args[1]))
        for a in records.actions
        if a.event.verb == "limit" and a.event.args[0] == str(index)
    ]
    changes.sort()
    told = [(-FOR_EVER, -FOR_EVER, float(limit.value)), *changes]
    for number, (began, _, value) in enumerate(told):
        over = (done + HEARD_SECONDS for _, done, _ in told[number + 1 :])
        yield began, min(over, default=FOR_EVER), FOR_EVER if value == NO_LIMIT else value


def _amount(limit: Limited, job: Job) -> int:
    if not limit.of_devices:
        return 1
    items = [item for text in job.gres_detail for item in gres.parse(text)]
    if job.nodes:
        return sum(item.count for item in items if item.name == "gpu")
    need = need_of(job)
    return need.devices * need.nodes if need else 0


def pinned(job: Job) -> bool:
    """Whether it waits where a plan put it."""
    return job.state == "PENDING" and job.partition != INTAKE and bool(job.req_nodes)


def starts(records: Records) -> Iterator[tuple[Poll, Poll, list[Job]]]:
    """Two looks, one after the other, and the jobs that run in the second and not in the first."""
    for before, poll in pairwise(records.polls):
        ran = {(j.id, j.restarts) for j in before.jobs if j.state in RUNNING}
        new = [j for j in poll.jobs if j.state in RUNNING and (j.id, j.restarts) not in ran]
        yield before, poll, new


def nodes_of(job: Job) -> frozenset[str]:
    """Where it runs or is pinned."""
    return frozenset(hostlist.expand(job.nodes or job.req_nodes))
