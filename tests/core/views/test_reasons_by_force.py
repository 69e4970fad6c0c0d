"""Why jobs wait, in 300 random queues: each reason is derived again, by brute force from the bare
records, with none of the planner's own steps."""

from __future__ import annotations

import re
from collections import Counter
from math import inf

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.planner.proposal import decide
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import AtLimit, GoesToOthers, Kept
from slurm_het.core.views.job_rows import JobRow, make_view
from slurm_het.core.views.starts import NEVER_FREE, with_starts
from slurm_het.core.worth.forecast import Forecast
from tests.support.random_queues import CPUS, Scene
from tests.support.squeue_cluster import NOW, POLICY


class Derived:
    """What must be so for a job to wait for each code, and for the words of its sentence."""

    def __init__(self, scene: Scene, row: JobRow) -> None:
        self.scene, self.ask, self.said = scene, scene.asks[row.id], row.reason
        self.code = row.code

    def held(self) -> None:
        assert self.ask.job.reason == "JobHeldUser"

    def dependency(self) -> None:
        assert self.ask.job.dependency

    def never(self) -> None:
        if "; it asks for" in self.said:
            self.limit()
            assert self.ask.gpus > self.scene.limit.most
            return
        assert not self.scene.starts(self.ask, empty=True, all_up=True, unreserved=True)

    def reserved(self) -> None:
        """It fits but for a reservation, into which it would run."""
        scene, ask = self.scene, self.ask
        assert not scene.starts(ask)
        assert scene.starts(ask, unreserved=True)
        (upkeep,) = scene.reservations
        assert upkeep.name in self.said
        assert upkeep.nodes[0] in self.said

    def no_node(self) -> None:
        """Jobs that end would not help: nodes that the sentence names would."""
        scene, ask = self.scene, self.ask
        assert not scene.starts(ask, empty=True, unreserved=True)
        assert scene.starts(ask, empty=True, all_up=True, unreserved=True)
        named = re.search(r"; ((?:\w+(?:, )?)+) (?:is|are) IDLE\+DRAIN", self.said)
        assert named
        assert all(not scene.nodes[name].up for name in named[1].split(", "))

    def busy(self) -> None:
        """Jobs that end would help; it names what comes nearest."""
        scene, ask = self.scene, self.ask
        assert not scene.starts(ask, unreserved=True)
        assert scene.starts(ask, empty=True, unreserved=True)
        free = {node.name: node.free() for node in scene.fitting(ask) if node.up}
        best = re.search(r"best is (\w+)(?::(\d))? with (\d+)", self.said)
        if best and best[2]:
            (held,) = (h for h in scene.nodes[best[1]].held if h.index == int(best[2]))
            assert self._there(best[1]) == (held.end or inf)
        elif best:
            assert free[best[1]] == int(best[3]) == max(free.values())
            alike = [name for name, count in free.items() if count == int(best[3])]
            assert self._there(best[1]) == self._comes(best[1]) == min(map(self._comes, alike))
        if such := re.search(r"only \d+ such: ([^;]+); next (?:is|are) ([^(]+) \(", self.said):
            fits = {name for name, count in free.items() if count >= ask.number}
            assert set(such[1].split(", ")) == fits
            assert len(fits) < ask.nodes
            assert len(then := such[2].split(", ")) == ask.nodes - len(fits)
            assert all(free[name] < ask.number for name in then)

    def _there(self, node: str) -> float:
        """Until when those are there at the latest who are said to be, on a node."""
        said = r"\(([\d, ]+)(?: and \d+ more)? (?:is|are) there(?: until (\d+) at the latest)?\)$"
        found = re.search(said, self.said)
        assert found
        there = {job.key for job in self.scene.running if job.nodes == node}
        assert there >= set(found[1].split(", "))
        return float(found[2] or inf)

    def _comes(self, node: str) -> float:
        """When so many devices as it asks for have come free there; each has one holder at most."""
        truth = self.scene.nodes[node]
        ends = sorted(held.end or inf for held in truth.held)
        return ends[self.ask.number - truth.free() - 1]

    def host(self) -> None:
        """The devices are there, the CPUs are not."""
        scene, ask = self.scene, self.ask
        assert not scene.starts(ask, unreserved=True)
        able = [node for node in scene.fitting(ask) if node.up]
        assert ask.kind == "shard" or sum(n.free() >= ask.number for n in able) >= ask.nodes
        full = {node.name for node in able if node.others + len(node.held) >= CPUS}
        best = re.search(r"best is (\w+) with 0 CPUs", self.said)
        assert best
        assert best[1] in full
        have = re.search(r"; of the (\d+) nodes that it needs only ((?:\w+(?:, )?)+) ha", self.said)
        free = {node.name for node in able if node.free() >= ask.number} - full
        if have or ask.kind != "shard":
            assert set(have[2].split(", ") if have else ()) == free
            assert len(free) < ask.nodes == int(have[1] if have else ask.nodes)

    def kept(self) -> None:
        """It fits, and not without the nodes that are named; whoever has them goes first, cannot
        start yet, nor before the time told, and this job would still run then."""
        scene, ask = self.scene, self.ask
        assert scene.starts(ask, unreserved="upkeep" in self.said)
        assert scene.within(ask)
        pattern = r"((?:\w+(?:, )?)+) (?:is|are) kept for job (\d+) until (\d+)"
        found = re.findall(pattern, self.said)
        assert not scene.starts(ask, but=frozenset(", ".join(n for n, *_ in found).split(", ")))
        for names, key, until in found:
            owner = scene.asks[key]
            assert owner.turn < ask.turn
            assert not scene.starts(owner)
            assert scene.soonest(owner) <= float(until) < NOW + ask.seconds
            assert all(scene.nodes[name].kind == owner.kind for name in names.split(", "))

    def limit(self) -> None:
        """It asks for more than is left beside what is used, and what those before it may take."""
        scene, ask = self.scene, self.ask
        has = r"may have (\d+) [^,;]+(?:, of which (\d+) (?:is|are) taken)?"
        found = re.search(has + r"; it asks for (\d+)$", self.said)
        assert found
        most, taken, asks = (int(number or 0) for number in found.groups())
        assert (most, asks) == (scene.limit.most, ask.gpus)
        assert taken + asks > most
        assert (asks > most) == (self.code == "never")
        before = [other for other in scene.asks.values() if other.turn < ask.turn]
        assert 0 <= taken - scene.limit.used <= sum(other.gpus for other in before)

    def no_plan(self) -> None:
        assert self.scene.starts(self.ask)
        assert self.scene.within(self.ask)


CODES = (
    "held", "dependency", "never", "reserved", "limit", "no-node", "busy", "host", "kept",
    "no-plan",
)  # fmt: skip


def test_each_reason_of_random_queues_is_derived_again() -> None:
    found = Counter[str]()
    for seed in range(330):
        scene = Scene(seed)
        view = make_view(scene.snapshot(), POLICY, Limits(), at=lambda at: f"{at:.0f}")
        for row in view.rows:
            if not row.waits:
                continue
            found[row.code] += 1
            try:
                getattr(Derived(scene, row), row.code.replace("-", "_"))()
            except AssertionError as error:
                pytest.fail(f"seed {seed}, job {row.id}, {row.code}: {row.reason}: {error!r}")
    assert min(found[code] for code in CODES) >= 20, found
    assert set(found) == set(CODES)


def test_what_a_plan_gives_to_others_is_not_enough_for_who_waits_for_that() -> None:
    """Each job that can start is placed, or those that are placed leave it too little beside the
    nodes that are kept for others."""
    found = 0
    for seed in range(300):
        scene = Scene(seed)
        prepared = make_view(scene.snapshot(), POLICY, Limits()).prepared
        plan = decide(prepared, Forecast(), greedy)
        fits = {key for key, ask in scene.asks.items() if scene.starts(ask)}
        assert {placement.key for placement in plan.placements} <= fits, seed
        for placement in plan.placements:
            scene.place(placement)
        off = {task.key: task.exc_nodes for task in prepared.window}
        for key, reason in plan.waiting.items():
            ask = scene.asks[key]
            kept = reason.nodes if isinstance(reason, Kept) else ()
            if not isinstance(reason, AtLimit):
                assert not scene.starts(ask, but=off[key].union(kept)), (seed, key, str(reason))
            if isinstance(reason, GoesToOthers):
                found += 1
                assert key in fits, (seed, key)
                assert all(scene.asks[other].turn < ask.turn for other in reason.jobs), (seed, key)
    assert found >= 20


def test_no_job_is_told_to_start_before_it_could_and_each_is_told_something() -> None:
    """Alone it could start at the time told, or before; none is known where it never could, or
    where those before it may have the nodes for ever."""
    told, never = 0, 0
    for seed in range(300):
        scene = Scene(seed)
        for row in with_starts(make_view(scene.snapshot(), POLICY, Limits())).rows:
            if not row.waits:
                continue
            ask, expected = scene.asks[row.id], row.expected
            assert (expected is None) == bool(row.untold), (seed, row.id)
            if expected:
                told += 1
                assert NOW <= scene.soonest(ask) <= expected.start < float("inf"), (seed, row.id)
                assert scene.starts(ask, expected.start), (seed, row.id)
                assert all(scene.nodes[name].kind == ask.kind for name in expected.nodes)
                assert len(expected.nodes) == ask.nodes
            elif row.untold == NEVER_FREE:
                never += 1
                before = [a for a in scene.asks.values() if a.turn < ask.turn]
                for_ever = any(a.job.time_limit_minutes is None for a in before)
                assert for_ever or scene.soonest(ask) == float("inf"), (seed, row.id)
    assert min(told, never) >= 20
