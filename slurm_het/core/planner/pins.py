"""Follows released tasks until they run: which started where the plan said, which came back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, replace

from slurm_het.core.cluster.ailing import what_ails
from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin, ailing_for
from slurm_het.core.cluster.placement import placement_of
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.gres_choice import original_gres
from slurm_het.core.jobs.layout import nodes_to_put_back
from slurm_het.core.jobs.mark import MARK, mark_of_sent
from slurm_het.core.jobs.pool_defaults import as_released
from slurm_het.core.jobs.reading import read_job
from slurm_het.core.jobs.waits import is_yet_to_begin
from slurm_het.core.model import Job, Placement, Snapshot, Task
from slurm_het.core.planner.doubts import LIMITS, Returned
from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.core.planner.repairs import LastPlan, Planned, no_journal
from slurm_het.core.planner.settled import asks_anew, asks_otherwise, settled, time_was_set
from slurm_het.core.planner.slurms_line import in_line, stands_in_line
from slurm_het.core.planner.updates import gres_fields
from slurm_het.core.policy import Policy
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.reservation import coming_free
from slurm_het.core.syntax import hostlist

MAX_BACKOFF_STEPS = 6
TENTATIVE_SECONDS = 5.0
"""A job that the hook gave nodes starts so soon, or goes to the gate: others may be free."""
SCHED_INTERVAL = 60.0
"""Seconds until Slurm looks at its queue, whatever happened (its default)."""


class Pins:
    """The released tasks that are not seen running yet, and what is known of those taken back.

    `ticks` are seconds of a clock that never goes back; only `start` is in Slurm's own time.
    """

    def __init__(self, grace_seconds: float, retry_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self.retry_seconds = retry_seconds
        self.pins: dict[str, Pin] = {}
        self.returned: dict[str, Returned] = {}

    def add(self, task: Task, placement: Placement, ticks: float, start: float = 0.0) -> None:
        """Pin a task that is released; if `start` is given, its nodes are free only then."""
        self.pins[task.key] = Pin(task, placement, ticks, start)

    def await_room(self, key: str, preempts: tuple[str, ...], patience: float) -> None:
        """Note whom Slurm is to preempt for a pinned task, and how many seconds they may take."""
        if pin := self.pins.get(key):
            self.pins[key] = replace(pin, preempts=preempts, patience=patience)

    def ahead(self) -> tuple[Pin, ...]:
        """The pins whose nodes are not free yet."""
        return tuple(pin for pin in self.pins.values() if pin.start)

    def take_back(self, key: str, reason: str, ticks: float, *, refused: bool = False) -> None:
        """Note that a pinned task was returned to the gate."""
        pin = self.pins.pop(key, None)
        before = self.returned.get(key, Returned("", 0.0, 0))
        nodes = before.nodes.union(pin.placement.nodes if pin else ())
        self.returned[key] = Returned(reason, ticks, before.times + 1, nodes, refused)

    def stays(self, key: str, ticks: float) -> None:
        """Note that a pinned task could not be returned: most often it has just started.

        It holds what it was given until the next snapshot tells, and has its grace time again.
        """
        if pin := self.pins.get(key):
            self.pins[key] = replace(pin, since=ticks)

    def due(
        self, tasks: Iterable[Task], ticks: float, could_start: Callable[[Task], bool]
    ) -> tuple[Task, ...]:
        """The tasks that may be planned now: not pinned, and not returned a moment ago.

        A task that could start elsewhere is kept off the nodes where it did not start, for a while:
        Slurm knows of limits that its node records do not show.
        """
        due = (t for t in tasks if t.key not in self.pins and self.may_try(t.key, ticks))
        return tuple(self._elsewhere(t, ticks, could_start) for t in due)

    def _elsewhere(self, task: Task, ticks: float, could_start: Callable[[Task], bool]) -> Task:
        returned = self.returned.get(task.key)
        if returned is None or not returned.nodes:
            return task
        # Not for ever: a task that could start elsewhere need not be planned there. After that, the
        # nodes where it did not start are better than none.
        if ticks < returned.since + 2 * self.retry_seconds:
            elsewhere = task.off(returned.nodes)
            if could_start(elsewhere):
                return elsewhere
        self.returned[task.key] = replace(returned, nodes=frozenset())
        return task

    def may_try(self, key: str, ticks: float) -> bool:
        """Whether a job that Slurm refused or did not start has waited long enough since."""
        returned = self.returned.get(key)
        if returned is None:
            return True
        steps = min(returned.times - 1, MAX_BACKOFF_STEPS)
        return ticks >= returned.since + min(self.retry_seconds, self.grace_seconds * 2.0**steps)

    def starting(self) -> bool:
        """Whether a pin should start at Slurm's next pass."""
        return any(not (pin.start or pin.in_line) for pin in self.pins.values())

    def late(self, ticks: float, now: float) -> list[Pin]:
        """Pins past their grace time; `now` is epoch seconds."""
        grace = self.grace_seconds

        def is_late(pin: Pin) -> bool:
            if pin.in_line:
                return False
            if pin.tentative:
                return pin.start > 0 or ticks - pin.since >= TENTATIVE_SECONDS
            return ticks - pin.since >= grace + pin.patience and now - pin.start >= grace

        return [pin for pin in self.pins.values() if is_late(pin)]

    def stranded(self, inventory: Inventory) -> dict[str, str]:
        """Pins to drained, dead or deleted nodes, where Slurm starts nothing, and to devices that
        must not be given out: key to reason."""
        reasons: dict[str, str] = {}
        for key, pin in self.pins.items():
            for name in pin.placement.nodes:
                node = inventory.nodes.get(name)
                if node is None:
                    reasons[key] = f"Slurm has no node {name} any more"
                elif not node.usable:
                    reasons[key] = f"{name} is {node.state}"
                elif device := ailing_for(pin, name, node):
                    reasons[key] = f"{name}:{device.index}: {what_ails(device)}"
        return reasons

    def set_right(self, snapshot: Snapshot, inventory: Inventory, policy: Policy) -> None:
        """Give the pins ahead the starts that follow from what holds their nodes by now.

        A job may outlive its limit, or end long before it. Once the nodes are free, Slurm is to
        start the task in a minute. And its user may ask for less of it meanwhile: then other nodes
        may be free sooner.
        """
        ahead = {key: pin for key, pin in self.pins.items() if pin.start}
        facts = ClusterFacts.of(snapshot, inventory, policy)
        for job in snapshot.jobs if ahead else ():
            if pin := ahead.get(job.key):
                task = _with_less(pin.task, _task_of(job, facts))
                start = _start(task, pin.placement.nodes, snapshot, inventory, policy)
                start = start or min(pin.start, snapshot.time + SCHED_INTERVAL)
                self.pins[job.key] = replace(pin, task=task, start=start)

    def observe(self, snapshot: Snapshot, policy: Policy, ticks: float) -> list[Outcome]:
        """Compare the pins with Slurm's records; forget those that are settled. Returns what
        became of them."""
        jobs = {job.key: job for job in snapshot.jobs}
        outcomes = self._preempted(jobs)
        for key, pin in list(self.pins.items()):
            job = jobs.get(key)
            if job and pin.gives_back and asks_anew(job):
                self.pins[key] = pin = replace(pin, gives_back={})
            became = settled(job, pin, policy, ticks - pin.since >= self.grace_seconds)
            if became:
                outcomes.append(Outcome(key, *became))
                if became[0] is Event.BACK and not asks_otherwise(job, pin):
                    self.take_back(key, became[1], ticks)  # not again at once
                else:
                    del self.pins[key]
                if became[0] in {Event.STARTED, Event.ELSEWHERE, Event.GONE}:
                    self.returned.pop(key, None)
            elif job and time_was_set(job, pin):
                self.pins[key] = replace(pin, task=replace(pin.task, time_limits=()))
        self._forget_the_gone(snapshot)
        return outcomes

    def _forget_the_gone(self, snapshot: Snapshot) -> None:
        """Forget what came back to the gate and waits no more."""
        if not self.returned:
            return
        waiting = [job for job in snapshot.jobs if job.state == "PENDING"]
        known = {job.key for job in waiting}
        arrays = {str(job.array_job_id) for job in waiting if job.array_tasks}
        for key in list(self.returned):
            if key not in known and key.split("_")[0] not in arrays:
                del self.returned[key]

    def _preempted(self, jobs: Mapping[str, Job]) -> list[Outcome]:
        """Who has made room for a pinned task since the last look; each is told of once."""
        outcomes = []
        for key, pin in self.pins.items():
            made = tuple(k for k in pin.preempts if k in jobs and _was_preempted(jobs[k]))
            detail = f"for job {key}, on {hostlist.fold(pin.placement.nodes)}"
            outcomes += [Outcome(victim, Event.PREEMPTED, detail) for victim in made]
            left = tuple(victim for victim in pin.preempts if victim not in made)
            self.pins[key] = replace(pin, preempts=left)
        return outcomes

    def recover(
        self, snapshot: Snapshot, inventory: Inventory, policy: Policy, last_plan: LastPlan
    ) -> list[Pin]:
        """Pins for the jobs that are pending in a pool with their nodes set, and have no pin yet.

        They were released before hetd restarted; or Slurm's answer was lost; or they ran and were
        requeued (`scontrol requeue`, a failed node), and Slurm kept their node list.
        """
        return [
            pin
            for job in snapshot.jobs
            if (_is_pinned(job, policy, last_plan) or stands_in_line(job, policy))
            and job.key not in self.pins
            and not moved_away(job, inventory)
            and (pin := _pin_of(job, snapshot, inventory, policy, last_plan(job)))
        ]


# A job with one of these reasons starts on no node. The same goes for those that begin with one of
# LIMITS.
NO_START = frozenset({
    "BadConstraints", "Licenses", "Dependency", "DependencyNeverSatisfied", "JobHeldUser",
    "JobHeldAdmin", "InvalidAccount", "InvalidQOS", "AccountNotAllowed", "QOSNotAllowed",
})  # fmt: skip


def does_not_start(job: Job) -> bool:
    """Whether Slurm says that it will not start a pinned job, whatever becomes free.

    A pin is a loan: the nodes of such a job go back at once.
    """
    if job.state != "PENDING":
        return False
    return job.reason in NO_START or job.reason.startswith(LIMITS)


def begin_later(snapshot: Snapshot, policy: Policy) -> frozenset[str]:
    """The keys of the released jobs that were requeued and have yet to wait (Slurm: 2 min).

    Until then their nodes are of use to others; then others may be free sooner than their own.
    """
    return frozenset(
        job.key
        for job in snapshot.jobs
        if is_yet_to_begin(job, snapshot.time) and _is_pinned(job, policy)
    )


def _was_preempted(job: Job) -> bool:
    return job.state == "PREEMPTED" or (job.state == "PENDING" and job.restarts > 0)


def moved_away(job: Job, inventory: Inventory) -> bool:
    """Whether somebody moved a pinned job to a partition that its nodes are not in.

    Slurm (22.05) accepts that update, then gives BadConstraints and sets the priority to 0.
    """
    if job.state != "PENDING" or not job.req_nodes or MARK not in job.admin_comment:
        return False
    nodes = map(inventory.nodes.get, hostlist.expand_readable(job.req_nodes))
    partitions = set(job.partition.split(","))
    return any(node and not partitions & set(node.partitions) for node in nodes)


def _is_pinned(job: Job, policy: Policy, last_plan: LastPlan = no_journal) -> bool:
    """Whether a job waits where a release has sent it."""
    if job.state != "PENDING" or not job.req_nodes:  # nearly all that wait: no more is asked
        return False
    in_pool = any(job.partition == pool.partition for pool in policy.pools)
    return in_pool and _is_ours(job, last_plan)


def _is_ours(job: Job, last_plan: LastPlan) -> bool:
    """Whether we released a pending job to the nodes that it asks for: it has our mark, or another
    program has written its own over that, and it is where it was last planned."""
    held = job.reason in {"JobHeldUser", "JobHeldAdmin"}
    if not job.req_nodes or job.het_job_id or held:
        return False
    return MARK in job.admin_comment or where_planned(job, last_plan(job))


def where_planned(job: Job, last: Planned | None) -> bool:
    """Whether a job that asks for nodes was last planned for these, in the partition it is in."""
    nodes = set(hostlist.expand_readable(job.req_nodes))
    place = last and (last.placement.partition, set(last.placement.nodes))
    return place == (job.partition, nodes)


def _pin_of(
    job: Job, snapshot: Snapshot, inventory: Inventory, policy: Policy, last: Planned | None
) -> Pin | None:
    task = _task_of(job, ClusterFacts.of(snapshot, inventory, policy))
    nodes = hostlist.expand_readable(job.req_nodes)
    if task is None:
        return None
    if not nodes:
        return Pin(task, in_line(task), 0.0)
    num_nodes = nodes_to_put_back(job, len(nodes))
    back = gres_fields(job.admin_comment, original_gres(task)) if task.rewritten else {}
    if last and where_planned(job, last):
        return Pin(task, last.placement, 0.0, last.start, num_nodes, gives_back=back)
    tentative = last is None and mark_of_sent(job, "at once") is not None
    # Which devices is not known: the first ones are as good a guess as any.
    counts = [slot.devices for slot in task.slots] + [0] * len(nodes)
    first = ((name, tuple(range(count))) for name, count in zip(nodes, counts, strict=False))
    placement = placement_of(task, job.partition, first, inventory.nodes)
    start = _start(task, nodes, snapshot, inventory, policy)
    return Pin(task, placement, 0.0, start, num_nodes, tentative=tentative, gives_back=back)


def _task_of(job: Job, facts: ClusterFacts) -> Task | None:
    """What a released job is planned as, by its record; None if it cannot be any more."""
    # Slurm gives a job with BadConstraints priority 0 (seen on all versions). That is no hold. One
    # that was requeued, and begins later, is to go back to the gate as it was there.
    as_gated = replace(
        facts.in_the_gate(job), partition=facts.policy.intake_partition, reason="None",
        exc_nodes="", req_nodes="", priority=max(1, job.priority), eligible_time=job.submit_time,
        restarts=0,  # it is read with the nodes that it was released to
    )  # fmt: skip
    task = read_job(as_gated, facts).outcome
    return as_released(task, job) if isinstance(task, Task) else None


def _with_less(task: Task, now: Task | None) -> Task:
    """The task as it was released, with the time and the slots that it asks `now` if that is less.

    Never with more: what Slurm itself adds in a pool is none of its user's wish.
    """
    if now is None or len(now.slots) != len(task.slots):
        return task
    if now.minutes is not None and (task.minutes is None or now.minutes < task.minutes):
        task = replace(task, minutes=now.minutes)
    pairs = zip(now.slots, task.slots, strict=True)
    if all(less <= slot for pair in pairs for less, slot in zip(*map(astuple, pair), strict=True)):
        task = replace(task, slots=now.slots)
    return task


def _start(
    task: Task, nodes: tuple[str, ...], snapshot: Snapshot, inventory: Inventory, policy: Policy
) -> float:
    """The latest start (epoch seconds) of a pinned task, by what holds its nodes now; 0 is now.

    Slurm's records do not say whether the task was pinned ahead.
    """
    room = Inventory({name: inventory.nodes[name] for name in nodes if name in inventory.nodes})
    closings = Closings.of(snapshot, inventory)
    if could_start(closings.keep_off((task,), room)[0], room):
        return 0.0
    coming = coming_free(snapshot, policy)
    reservation = Axis(room, coming, snapshot.time, closings.opens).soonest(task)
    return reservation.start if reservation else 0.0
