"""When nodes come free, as the model of Slurm's backfill keeps it, held to working it out anew."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from bench.mixes.world import SANDBOX
from slurm_het.replay.source import read_site
from slurm_het.simulation.free_times import NOW
from slurm_het.simulation.jobs import JobSpec, NodeAsk
from slurm_het.simulation.slurm import Slurm
from slurm_het.simulation.world import Machine, World
from tests.replay.past import SITE

ASKS = tuple(NodeAsk(devices, None, 0, 4 * devices, 1000) for devices in (1, 2, 3, 4, 8))
NEVER = float("inf")


def _slurm() -> Slurm:
    there = read_site(SITE, None)
    world = World(
        seconds=1e6, hosts=there.hosts, partitions=there.partitions, jobs=(), config=there.config
    )
    return Slurm(world, SANDBOX)


def _spec(number: int, rng: random.Random, at: float) -> JobSpec:
    ask = rng.choice(ASKS)
    return JobSpec(
        id=number, submission="", at=at, user="ann", account="", qos="", partitions=("train",),
        features="", nodes=rng.choice((1, 1, 2)), ask=ask, minutes=rng.randint(1, 300),
        seconds=rng.uniform(1, 20_000), reservation="", gres=f"gpu:{ask.devices}", script="",
    )  # fmt: skip


def _free_at(machine: Machine, ask: NodeAsk, now: float) -> float:
    """On a copy of the node from which the jobs go one by one."""
    left = Machine(
        machine.host, machine.index, machine.cpus_free, machine.memory_free,
        list(machine.held), list(machine.shared),
    )  # fmt: skip
    when = now
    for run in sorted(machine.jobs.values(), key=lambda run: run.limit_end):
        if left.pick(ask) is not None:
            return when
        left.take(run.spec.ask, run.where[machine.name], -1)
        when = run.limit_end
    return when if left.pick(ask) is not None else NEVER


@pytest.mark.parametrize("seed", range(5))
def test_when_nodes_come_free_is_what_their_jobs_say(seed: int) -> None:
    rng, slurm = random.Random(seed), _slurm()
    for number in range(1, 120):
        slurm.now += rng.uniform(0, 600)
        for run in [run for run in slurm.running.values() if run.end <= slurm.now]:
            slurm.finish(run)
        slurm.submit(_spec(number, rng, slurm.now))
        ask = rng.choice(ASKS)
        everywhere = slurm.free.bits_of(frozenset(slurm.machines))
        told = {name: when for when, _, name in slurm.free.in_order(ask, everywhere)}
        times = [when for when, _, _ in slurm.free.in_order(ask, everywhere)]
        assert times == sorted(times)
        for name, machine in slurm.machines.items():
            expected = _free_at(machine, ask, slurm.now)
            assert max(told.get(name, NEVER), slurm.now) == expected
            assert (name in slurm.free.able(ask)) == (machine.pick(ask) is not None)
        alone = {name: slurm.free.bits_of(frozenset({name})) for name in slurm.machines}
        fits = {name for name, bits in alone.items() if slurm.free.fit_now(ask, bits, 1)}
        assert fits == slurm.free.able(ask)
        able = len(fits)
        for many in (able, able + 1):
            fit = slurm.free.fit_now(ask, everywhere, many)
            assert fit == (many == able)
            assert (slurm.free.room_from(ask, everywhere, many) == NOW) == fit or not many


def ends_looked_at(ends: Iterable[float]) -> list[float]:
    """The times at which Slurm tries a job that waits, of the times when running jobs end.

    It takes those that end close together at once, and looks less finely the further ahead.
    """
    times = sorted(ends)
    looked: list[float] = []
    window, first = 30.0, None
    n = 0
    while n < len(times):
        if first is None:
            first = times[0] + (30.0 - times[0] % 30.0)
        n += 1
        while n < len(times) and times[n] <= first + window:
            n += 1
        looked.append(times[n - 1])
        window *= 2
        while n < len(times) and times[n] > first + window:
            window *= 2
    return looked


def test_backfill_looks_less_finely_the_further_ahead() -> None:
    assert ends_looked_at([600.0, 610.0, 900.0, 4000.0, 4100.0]) == [610.0, 900.0, 4100.0]


@pytest.mark.parametrize("seed", range(5))
def test_the_times_that_are_looked_at_are_slurms(seed: int) -> None:
    rng, slurm = random.Random(seed), _slurm()
    for number in range(1, 60):
        slurm.now += rng.uniform(0, 300)
        slurm.submit(_spec(number, rng, slurm.now))
        names = frozenset(rng.sample(sorted(slurm.machines), 2))
        nodes = slurm.free.bits_of(names)
        ends = {
            run.limit_end for name in names for run in slurm.machines[name].jobs.values()
        }  # fmt: skip
        for end in ends:
            expected = next(at for at in ends_looked_at(ends) if at >= end)
            assert slurm.free.looked_at(nodes, end) == expected
