"""What a change of modes would do, looked at before it is done: checks, and a cycle run dry."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from slurm_het.cli.checks import findings
from slurm_het.cli.checks.hook import stale
from slurm_het.cli.checks.reading import read_site
from slurm_het.cli.checks.site import Finding
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.jobs.admission import Passed
from slurm_het.core.jobs.mark import HANDED_OVER
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job, Plan, Snapshot
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Prepared, decide, observe, prepare
from slurm_het.core.planner.switch import Move, into_the_gate
from slurm_het.core.views.waiting import Remembered, Whys
from slurm_het.core.views.watch import startable, would_start
from slurm_het.core.worth.forecast import Forecast
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.shadow import ShadowSlurm
from slurm_het.times import local_time

SHOWN = 10
"""So many lines of a kind are shown; of the others how many there are."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What is found wrong, who goes to the gate, who stays with plain Slurm and why, the plan.

    `left` is what is to be done by hand afterwards.
    """

    found: tuple[Finding, ...]
    left: tuple[Finding, ...]
    moves: tuple[Move, ...]
    stay: tuple[tuple[str, str], ...]
    prepared: Prepared
    plan: Plan

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """What forbids the change."""
        return tuple(finding for finding in self.found if not finding.remark)

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        yield f"check: {len(self.wrong)} wrong, {len(self.found) - len(self.wrong)} remarks"
        for finding in self.wrong[:SHOWN]:
            yield f"  wrong: {finding.place}: {finding.what}; do: {finding.remedy}"
        tasks = len(self.prepared.queue.tasks) + self.prepared.queue.unlisted
        yield f"jobs waiting now: {tasks} tasks for its gate; {len(self.moves)} jobs move there"
        yield from _cut(f"  {key} stays with plain Slurm: {why}" for key, why in self.stay)
        yield f"the first cycle (by first fit): {len(self.plan.placements)} tasks start"
        yield from _cut(
            f"  {made.key} on {','.join(made.nodes)} in {made.partition}"
            for made in self.plan.placements
        )
        if codes := self._waits():
            told = ", ".join(f"{count} {code}" for code, count in codes.most_common())
            yield f"  {codes.total()} jobs wait: {told}"

    def _waits(self) -> Counter[str]:
        """How many jobs wait in the gate by the code of why."""
        prepared, placed = self.prepared, {made.key for made in self.plan.placements}
        whys = Whys(prepared, Remembered(), local_time)
        gated = (job for job in prepared.snapshot.jobs if is_gated(job, prepared.policy))
        return Counter(whys.waits(job).code for job in gated if job.key not in placed)


def _why_stays(job: Job) -> str:
    """Why one that we could plan does not move to the gate."""
    if HANDED_OVER in job.admin_comment:
        return "slurm-het gave it to plain Slurm before"
    return "how it was could not be kept in its AdminComment"


def _cut(lines: Iterator[str]) -> Iterator[str]:
    every = list(lines)
    yield from every[:SHOWN]
    if len(every) > SHOWN:
        yield f"  and {len(every) - SHOWN} more"


async def effect_of(wanted: Config) -> Effect:
    """What a configuration would do to the jobs that wait now. Raises HetError."""
    slurm, policy = CliSlurm(wanted.slurm), wanted.policy.planned
    site = await read_site(wanted)
    shadow = ShadowSlurm(slurm, policy)
    snapshot = await shadow.over_all(site.snapshot)
    moves, stay = [], []
    for job in site.snapshot.jobs:
        made = shadow.book.admission(job)
        if isinstance(made, Passed):
            stay.append((job.label, str(made.why)))
        elif made and (move := into_the_gate(job, made, policy)):
            moves.append(move)
        elif made and job.partition != policy.intake_partition:
            stay.append((job.label, _why_stays(job)))
    prepared = _prepared(snapshot, wanted)
    plan = decide(prepared, Forecast(), greedy)
    left = tuple(finding for finding in stale(site) if finding.remark)
    return Effect(tuple(findings(site)), left, tuple(moves), tuple(stay), prepared, plan)


def startable_now(
    snapshot: Snapshot, wanted: Config, pools: Collection[str]
) -> tuple[int, frozenset[str]]:
    """How many of the waiting tasks could start on what is free in these pools; which of them a
    cycle would start now."""
    prepared, ours = _prepared(snapshot, wanted), frozenset(pools)
    return startable(prepared, ours), would_start(decide(prepared, Forecast(), greedy), ours)


def _prepared(snapshot: Snapshot, wanted: Config) -> Prepared:
    """What a hetd with that configuration would make its first plan from."""
    planner, ticks = wanted.planner, time.monotonic()
    memory = Memory(Pins(planner.grace_seconds, planner.retry_seconds))
    observed = observe(snapshot, wanted.policy.planned, memory, ticks)
    return prepare(observed, planner.limits, memory, ticks)
