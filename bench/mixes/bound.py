"""The most that can be busy in a mix, whoever plans it: a linear program that knows all.

It knows when each job comes and how long it runs, may interrupt jobs and move them at any moment,
and heeds nobody's place in the queue. Between two moments at which jobs come, or reservations begin
or end, x_cgi is how many seconds the jobs of class c run on the nodes of group g in interval i, all
together; n_ci is how many of class c have come by then:

    maximise   sum devices_c x_cgi
    subject to sum_gi x_cgi       <= jobs of c · seconds that each runs     each c
               sum_g x_cgi        <= n_ci · length of i                     each c, i
               sum_c taken_cg x_cgi <= devices of g not kept · length of i  each g, i
               sum_cg amount_c x_cgi <= limit · length of i                 each limit, i

Whole jobs and nodes, the CPUs, ends that nobody foresees and the order of the queue are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from bench.linear import solve_program
from bench.linear_program import LinearProgram
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.simulation.jobs import JobSpec
from slurm_het.simulation.limits import LimitRule, amount
from slurm_het.simulation.run import devices_of
from slurm_het.simulation.world import KeptNodes, SimulatedHost, World

SECONDS = 60.0
"""So long the program may take."""


@dataclass(frozen=True)
class Group:
    """Equal nodes: of one kind, in the same partitions, kept by the same reservations."""

    host: SimulatedHost
    partitions: frozenset[str]
    kept: tuple[KeptNodes, ...]
    names: tuple[str, ...] = ()

    def devices(self, job: JobSpec) -> float:
        """How many devices a job takes here, all together; 0 if it cannot run here."""
        if not self.partitions.intersection(job.partitions) or job.nodes > len(self.names):
            return 0.0
        if not parse_features(job.features).allows(self.host.features):
            return 0.0
        ask = job.ask
        of_type = zip(self.host.types, self.host.gib, strict=True)
        able = [gib for type_, gib in of_type if ask.type in (None, type_)]
        if ask.share:
            most = max(able, default=0)
            return job.nodes * ask.share / most if most >= ask.share else 0.0
        return float(job.nodes * ask.devices) if len(able) >= ask.devices else 0.0

    def open_at(self, job: JobSpec, at: float) -> bool:
        """Whether no reservation of others has the nodes then, and the job's own has."""
        has = {one.name for one in self.kept if one.start <= at < one.end}
        return has == {job.reservation} if job.reservation else not has

    def open_until_its_end(self, job: JobSpec, at: float) -> bool:
        """The same from then on to the job's time limit."""
        end = at + 60.0 * job.minutes
        ahead = any(at < one.start < end for one in self.kept if one.name != job.reservation)
        own = next((one for one in self.kept if one.name == job.reservation), None)
        return self.open_at(job, at) and not ahead and (own is None or end <= own.end)


def groups_of(world: World) -> list[Group]:
    """The nodes of a world."""
    found: dict[Group, list[str]] = defaultdict(list)
    for host in world.hosts:
        inside = frozenset(name for name, nodes in world.partitions.items() if host.name in nodes)
        kept = tuple(one for _, one in world.kept if host.name in one.nodes)
        found[Group(replace(host, name=""), inside, kept)].append(host.name)
    return [replace(group, names=tuple(names)) for group, names in found.items()]


def limits_on(world: World, job: JobSpec) -> Iterator[tuple[LimitRule, str, int]]:
    """The limits that a job takes of: whose part it is, and how much."""
    for rule in world.rules.rules:
        if rule.bears_on(job) and (takes := amount(rule.limit, job)):
            yield rule, getattr(job, rule.each) if rule.each else "", takes


def most_busy(world: World) -> float:
    """Device-seconds in use that no planner exceeds."""
    lp, groups = LinearProgram(), groups_of(world)
    classes = list(_classes(world))
    work = {job: lp.row(len(times) * lasts(job)) for job, times in classes}
    for begin, end in pairwise(moments_of(world)):
        free = [lp.row(len(g.host.types) * len(g.names) * (end - begin)) for g in groups]
        limits: dict[tuple[LimitRule, str], int] = {}
        for job, times in classes:
            come = sum(at <= begin for at in times)
            terms = {work[job]: 1.0, lp.row(come * (end - begin)): 1.0}
            for rule, who, takes in limits_on(world, job):
                if (rule, who) not in limits:
                    limits[rule, who] = lp.row(rule.limit.most * (end - begin))
                terms[limits[rule, who]] = float(takes)
            for row, group in zip(free, groups, strict=True):
                if come and (takes_here := group.devices(job)) and group.open_at(job, begin):
                    lp.column(devices_of(job, world), terms | {row: takes_here})
    values = solve_program(lp, SECONDS)
    if values is None:
        raise TimeoutError(f"the bound was not found within {SECONDS:g} s")
    return sum(column.gain * x for column, x in zip(lp.columns, values, strict=True))


def _classes(world: World) -> Iterator[tuple[JobSpec, list[float]]]:
    """The jobs that are alike, and when they come."""
    found: dict[JobSpec, list[float]] = defaultdict(list)
    for job in world.jobs:
        found[replace(job, id=0, at=0.0)].append(job.at)
    yield from found.items()


def lasts(job: JobSpec) -> float:
    """How many seconds a job runs: to its time limit at most."""
    return min(job.seconds, 60.0 * job.minutes)


def moments_of(world: World) -> list[float]:
    """When jobs come, and reservations begin or end; and the beginning and the end of it all."""
    kept = {t for _, one in world.kept for t in (one.start, one.end)}
    times = kept.union(job.at for job in world.jobs)
    return sorted({0.0, world.seconds, *(t for t in times if 0 < t < world.seconds)})
