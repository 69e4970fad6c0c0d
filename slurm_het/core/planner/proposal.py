"""The cycle as pure functions: from what Slurm says to what to do about it, in three verbs.

    observed = observe(snapshot, policy, memory, ticks, last_plan)
    prepared = prepare(observed, limits, memory, ticks)
    plan     = decide(prepared, expected, solve)

hetd's cycle, `slurm-het plan`, het-squeue and the benchmarks all call these functions, and all get
the same answers. The functions do no I/O and read no clock: the caller gives `ticks` (seconds of a
clock that never goes back) and the snapshot's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import Inventory, KnownNodes, take_inventory
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.mark import MARK
from slurm_het.core.jobs.outdated import Outdated
from slurm_het.core.jobs.paces import Paces
from slurm_het.core.jobs.reading import suits_anew
from slurm_het.core.jobs.readings import Readings
from slurm_het.core.jobs.task_pools import TaskPools, fill_task_pools, is_gated
from slurm_het.core.limits.within import Within, within_limits
from slurm_het.core.model import Plan, Snapshot, Task
from slurm_het.core.planner.build_problem import Hurry, never
from slurm_het.core.planner.doubts import Doubts
from slurm_het.core.planner.given_up import give_up
from slurm_het.core.planner.in_order import in_order
from slurm_het.core.planner.leaf_waits import LeafWaits
from slurm_het.core.planner.lessons import Lessons
from slurm_het.core.planner.outcomes import Outcome
from slurm_het.core.planner.pins import Pins, begin_later, does_not_start
from slurm_het.core.planner.plan import Solve, in_turn, plan, select
from slurm_het.core.planner.repairs import (
    Holdings,
    LastPlan,
    no_journal,
    with_details,
    without_leftovers,
)
from slurm_het.core.planner.slurms_line import (
    Rivals,
    SlurmsLine,
    line_up,
    rivals_of,
    why_leave,
)
from slurm_het.core.planner.speed_waits import SpeedWaits
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reasons import Reason
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.look_ahead import Outlook, at_hand, look_ahead
from slurm_het.core.reservations.make_way import Way, make_way
from slurm_het.core.reservations.shield import Shield
from slurm_het.core.reservations.unbound import limited
from slurm_het.core.syntax import hostlist
from slurm_het.core.worth.forecast import Forecast

MOST_STRAYS = 50
"""So many gated jobs are classified, or brought up to date, in one cycle."""


@dataclass
class Memory:
    """What one cycle remembers for the next, in addition to Slurm's records.

    A new process starts with an empty memory: all that matters can be read back from Slurm and the
    journal. `not_adopted` are the ids of gated jobs that could not be classified. `passed_over` are
    the keys of the tasks on which the last plan spent its time in vain. `paces` are how long users'
    programs ran, as far as anybody has told. `passing` has, by key, the update that is still to
    come for a job that is in the intake only on its way to another partition.
    """

    pins: Pins
    holdings: Holdings = field(default_factory=dict)
    not_adopted: set[int] = field(default_factory=set)
    passed_over: frozenset[str] = frozenset()
    readings: Readings = field(default_factory=Readings)
    leaf_waits: LeafWaits = field(default_factory=LeafWaits)
    paces: Paces = field(default_factory=Paces)
    passing: dict[str, dict[str, str]] = field(default_factory=dict)
    nodes: KnownNodes = field(default_factory=KnownNodes)
    outdated: Outdated = field(default_factory=Outdated)
    lessons: Lessons = field(init=False)

    def __post_init__(self) -> None:
        self.lessons = Lessons(self.pins.grace_seconds, self.pins.retry_seconds)


class TakeBack(NamedTuple):
    """A pinned job that is to return to the gate, and why.

    `penalty`: the job did not start where it could have. It is tried again later, and elsewhere.
    `refused`: slurmctld did not take its release.
    """

    key: str
    reason: str
    penalty: bool
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """Slurm's records as corrected, the inventory, and what became of the released jobs.

    `left` are, by key, the pins of those that somebody has just moved out of our pools, with their
    nodes.
    """

    snapshot: Snapshot
    inventory: Inventory
    policy: Policy
    outcomes: tuple[Outcome, ...] = ()
    recovered: tuple[str, ...] = ()
    take_back: tuple[TakeBack, ...] = ()
    rivals: Rivals = field(default_factory=dict)
    left: dict[str, Pin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a plan is made from.

    `pins` are the released jobs that are not seen running yet; `room` is what they leave free.
    `queue` has the gated jobs; `strays` are the ids of those that must be classified first, or
    anew.
    `held` says, by key, which tasks a limit holds back, a known one or one that Slurm has told of.
    `way` says who starts by preempting others, `ahead` for whom nodes are kept; its `tasks` may be
    planned now. `window` has those of them that this plan looks at. `line` says who is put into
    Slurm's own line. `shield` knows the places of those that must wait.
    """

    snapshot: Snapshot
    inventory: Inventory
    policy: Policy
    pins: tuple[Pin, ...]
    room: Inventory
    queue: TaskPools
    strays: frozenset[int]
    held: dict[str, Reason]
    way: Way
    ahead: Outlook
    window: tuple[Task, ...]
    line: SlurmsLine
    shield: Shield


def observe(
    snapshot: Snapshot,
    policy: Policy,
    memory: Memory,
    ticks: float,
    last_plan: LastPlan = no_journal,
) -> Observed:
    """Correct the records, take the inventory, and see what became of the pins."""
    snapshot, memory.holdings = with_details(
        snapshot, policy, memory.holdings, last_plan, memory.pins.pins
    )
    snapshot = without_leftovers(snapshot, policy, last_plan)
    inventory = take_inventory(snapshot, policy, memory.nodes)
    left = _left(snapshot, policy, memory.pins)
    outcomes = memory.pins.observe(snapshot, policy, ticks)
    memory.lessons.look(snapshot.jobs, ticks)
    recovered = memory.pins.recover(snapshot, inventory, policy, last_plan)
    for pin in recovered:
        memory.pins.pins[pin.task.key] = replace(pin, since=ticks)
    memory.pins.set_right(snapshot, inventory, policy)
    observed = Observed(
        snapshot,
        inventory,
        policy,
        tuple(outcomes),
        tuple(pin.task.key for pin in recovered),
        rivals=rivals_of(snapshot, inventory, policy),
        left=left,
    )
    return replace(observed, take_back=tuple(_overdue(observed, memory, ticks)))


def _left(snapshot: Snapshot, policy: Policy, pins: Pins) -> dict[str, Pin]:
    """The pins of those that wait in a partition that is none of ours, still with our nodes."""
    ours = policy.partitions
    out = (j for j in snapshot.jobs if j.key in pins.pins and j.partition not in ours)
    return {
        job.key: pin
        for job in out
        if job.state == "PENDING" and job.req_nodes and (pin := pins.pins[job.key])
        and {*hostlist.expand_readable(job.req_nodes)} == {*pin.placement.nodes}
    }  # fmt: skip


def _overdue(observed: Observed, memory: Memory, ticks: float) -> Iterator[TakeBack]:
    snapshot, inventory = observed.snapshot, observed.inventory
    pins, jobs = memory.pins, {job.key: job for job in snapshot.jobs}
    ending = {key for key, job in jobs.items() if job.state == "COMPLETING"}
    closings = Closings.of(snapshot, inventory)
    stranded = {key: why for key, why in pins.stranded(inventory).items() if key not in ending}
    late = {pin.task.key for pin in pins.late(ticks, snapshot.time)}
    later = begin_later(snapshot, observed.policy)
    for key in later:
        yield TakeBack(key, "it was requeued and begins later", penalty=False)
    for key, pin in pins.pins.items():
        if key in later:
            continue
        job = jobs.get(key)
        if key in stranded:
            yield TakeBack(key, stranded[key], penalty=False)
        elif key not in ending and (shut := closings.shut(pin)):
            yield TakeBack(key, str(shut), penalty=False)
        elif job and does_not_start(job):
            # A limit is no fault of the job: it waits for a sign of change, as others like it do.
            learnt = memory.lessons.learn(pin, job, snapshot.jobs, ticks)
            yield TakeBack(key, job.reason, penalty=not learnt)
        elif key not in ending and (why := why_leave(pin, inventory, observed.rivals, ticks)):
            yield TakeBack(key, why, penalty=False)
        elif key in late:
            yield TakeBack(key, job.reason if job else "unknown", penalty=not pin.tentative)


def prepare(observed: Observed, limits: Limits, memory: Memory, ticks: float) -> Prepared:
    """Read the gated jobs as tasks, decide for whom to keep nodes, choose the tasks to plan."""
    snapshot, inventory, policy = observed.snapshot, observed.inventory, observed.policy
    limits = replace(limits, backfill=snapshot.backfill)
    queue = fill_task_pools(
        snapshot, inventory, policy, limit=limits.window_tasks, readings=memory.readings
    )
    queue = queue.without(memory.passing.keys())
    waiting, queue = queue.tasks, give_up(queue, memory.pins.returned)
    strays, outdated = _strays(observed, queue, memory)
    pins = tuple(memory.pins.pins.values())
    released = at_hand(pins, snapshot, inventory)
    room = room_beside(inventory, released)
    due = memory.pins.due(queue.tasks, ticks, partial(could_start, inventory=room))
    back = memory.pins.returned
    due = Doubts(waiting, back, snapshot.jobs, ticks, memory.pins.retry_seconds).last(due)
    due = memory.leaf_waits.over(due, pins, ticks, room)
    tasks = _before(due, strays, outdated)
    within = _within_limits(snapshot, tasks, room, memory, ticks)
    at_limit = limited(tasks, within.held)
    tasks = within.claiming(within.tasks) if snapshot.preemption.by else within.tasks
    way = make_way(snapshot, room, tasks, released, policy)
    line = line_up(within.claiming(way.tasks), released, way.room, observed.rivals)
    planned = line.tasks if line.pools else way.tasks
    ahead = look_ahead(snapshot, way.room, planned, released, policy, limits, at_limit)
    shield = Shield(ahead.axis, ahead.reservations, planned, limits)
    shielded = within.in_turn(
        ahead.tasks, shield.keep_off, partial(could_start, inventory=way.room)
    )
    slow = SpeedWaits(way.room, memory.paces, limits.speed_patience, snapshot.time)
    chosen = select(way.room, in_turn(slow.over(shielded), way.room), limits.window_tasks)
    window = within.claiming(chosen)
    held = within.held_beside(shield.kept.keys() | ahead.kept.keys() | {t.key for t in chosen})
    ahead = replace(
        ahead,
        kept={**line.waits, **shield.kept, **ahead.kept, **slow.waits},
        move={**ahead.move, **line.move},
    )
    # The tasks that the last plan looked at in vain come last this once, after those it left out.
    window = tuple(sorted(window, key=lambda task: task.key in memory.passed_over))
    return Prepared(
        snapshot, inventory, policy, pins, way.room, queue, strays, held, way, ahead, window, line,
        shield,
    )  # fmt: skip


def _within_limits(
    snapshot: Snapshot, tasks: tuple[Task, ...], room: Inventory, memory: Memory, ticks: float
) -> Within:
    """The tasks that no limit holds back, neither a known one nor one that Slurm has told of."""
    pins, closings = tuple(memory.pins.pins.values()), Closings.of(snapshot, room)

    def startable(task: Task) -> bool:
        return could_start(closings.keep_off((task,), room)[0], room)

    within = within_limits(snapshot, tasks, pins, room, startable)
    tasks, held = memory.lessons.heed(within.tasks, snapshot.jobs, pins, ticks, startable)
    return within._replace(tasks=tasks, held=held | within.held)


def _before(
    due: tuple[Task, ...], strays: frozenset[int], outdated: frozenset[int]
) -> tuple[Task, ...]:
    """Those of the due that are no strays, up to the first who is about to get the constraint of
    today: nobody goes before him."""
    above = takewhile(lambda task: task.job_id not in outdated, due)
    return tuple(task for task in above if task.job_id not in strays)


def _strays(
    observed: Observed, queue: TaskPools, memory: Memory
) -> tuple[frozenset[int], frozenset[int]]:
    """Those that are to be classified before they are planned, and among them those whose
    constraint of ours is outdated: so many of the first as there is time for."""
    policy = observed.policy
    gated = [job for job in observed.snapshot.jobs if is_gated(job, policy)]
    memory.not_adopted &= {job.id for job in gated}
    out = queue.handovers.keys() | memory.passing.keys()
    able = [j for j in gated if j.key not in out and j.id not in memory.not_adopted]
    first = {j.id for j in able if MARK not in j.admin_comment or j.id in queue.changed}
    facts = ClusterFacts.of(observed.snapshot, observed.inventory, policy)
    suits_of = partial(suits_anew, facts=facts)
    most = 0 if observed.snapshot.unseen else max(0, MOST_STRAYS - len(first))
    older = memory.outdated.first(able, observed.inventory, policy, most, suits_of)
    outdated = frozenset(job.id for job in older)
    return outdated.union(first), outdated


def decide(prepared: Prepared, expected: Forecast, solve: Solve, hurry: Hurry = never) -> Plan:
    """Decide which tasks of the window start where, and why the others wait."""
    made = plan(prepared.room, prepared.window, prepared.policy, solve, expected, hurry)
    return in_order(made, prepared.window, prepared.shield)


def learn(memory: Memory, prepared: Prepared, latest: Plan) -> None:
    """Remember the tasks that `latest` looked at in vain: it ran out of time and placed none.

    Until a plan places one, or all have had their turn.
    """
    in_vain = latest.left_out and not latest.placements
    looked_at = prepared.window[: -latest.left_out] if in_vain else ()
    passed_over = memory.passed_over.union(task.key for task in looked_at)
    all_looked_at = all(task.key in passed_over for task in prepared.window)
    memory.passed_over = frozenset() if not in_vain or all_looked_at else passed_over
