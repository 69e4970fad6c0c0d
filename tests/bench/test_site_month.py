"""A made-up month, small: what the replay keeps from look to look changes no start."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from bench.site_month import BEGIN, DAY, make, records, site_text, submissions, text_of
from slurm_het.core.cluster.inventory import KnownNodes
from slurm_het.core.model import Snapshot
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import Tally
from slurm_het.replay.sacct import read_sacct
from slurm_het.replay.sides import MOST_LOOKS, Effort, FirstFitSolver
from slurm_het.replay.site import ReplaySite
from slurm_het.replay.source import read_past, read_site
from slurm_het.replay.trace import Trace, make_trace
from slurm_het.simulation.backfill import BackfillPasses
from slurm_het.simulation.hetd import Hetd, LookPace
from slurm_het.simulation.run import Side, SideOutcome
from slurm_het.simulation.slurm import Slurm

SEEDS = (1, 2)
PACE = LookPace(idle=600.0, rests=True)


def _options(seed: int = 1) -> argparse.Namespace:
    return argparse.Namespace(jobs=50, days=0.1, nodes=6, load=2.5, seed=seed, quick=True)


def _trace(seed: int) -> tuple[Trace, ReplaySite]:
    there, options = read_site(site_text(6), None), _options(seed)
    lines = text_of(list(records(submissions(options)))).splitlines(keepends=True)
    past = read_sacct(lines, WallClock(), Tally())
    return make_trace(past, there, Tally(), since=float(BEGIN), drop=0.0), there


class _Forgetful(Hetd):
    """It reads all anew at each look."""

    def look(self) -> None:
        told = self.client.records.snapshot

        def anew() -> Snapshot:
            snapshot = told()
            jobs, nodes = map(replace, snapshot.jobs), map(replace, snapshot.nodes)
            return replace(snapshot, jobs=tuple(jobs), nodes=tuple(nodes))

        self.client.records.snapshot = anew  # type: ignore[method-assign]
        self.cycle.memory.nodes = KnownNodes()
        super().look()
        self.client.records.snapshot = told  # type: ignore[method-assign]


def _ours(kind: type[Hetd], directory: Path, seed: int, pace: LookPace = PACE) -> SideOutcome:
    trace, there = _trace(seed)
    directory.mkdir()
    slurm = Slurm(trace.world, there.settings)
    hetd = kind(slurm, FirstFitSolver(), directory, pace)
    try:
        return Side(trace.world, there.settings, hetd).run()
    finally:
        hetd.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_kept_from_look_to_look_changes_no_start(seed: int, tmp_path: Path) -> None:
    usual = _ours(Hetd, tmp_path / "usual", seed)
    assert usual == _ours(_Forgetful, tmp_path / "forgetful", seed)
    waits = [at - job.at for job in _trace(seed)[0].world.jobs if (at := usual.starts[job.id])]
    assert max(waits) > 3600  # there is a queue, so that there was something to get wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pass_that_ends_where_nobody_can_start_changes_no_start(seed: int) -> None:
    trace, there = _trace(seed)
    usual, whole = Side(trace.world, there.settings), Side(trace.world, there.settings)
    whole.backfill = BackfillPasses(whole.slurm, whole=True)
    assert usual.run() == whole.run()


@pytest.mark.parametrize("seed", SEEDS)
def test_looks_that_see_nothing_new_are_left_out_and_change_no_start(
    seed: int, tmp_path: Path
) -> None:
    left_out = _ours(Hetd, tmp_path / "left out", seed)
    every = _ours(Hetd, tmp_path / "every", seed, replace(PACE, rests=False))
    assert left_out.starts == every.starts
    assert left_out.where == every.where
    assert left_out.cycles < every.cycles


def test_saved_looks_are_spent_at_once_and_then_there_are_few(tmp_path: Path) -> None:
    at_once = _ours(Hetd, tmp_path / "at once", 1)
    pace = replace(PACE, least=600.0, saved=10)
    saving = _ours(Hetd, tmp_path / "saving", 1, pace)
    assert saving.cycles < at_once.cycles
    first = sorted(at_once.starts, key=lambda key: at_once.starts[key] or DAY)[:5]
    assert [saving.starts[key] for key in first] == [at_once.starts[key] for key in first]


def test_a_long_past_has_so_many_looks_and_a_short_one_as_many_as_hetd_has() -> None:
    trace, _ = _trace(1)
    assert Effort().pace(trace).least == 0
    jobs = trace.world.jobs * (MOST_LOOKS // len(trace.world.jobs))
    long = replace(trace, world=replace(trace.world, jobs=jobs))
    assert Effort().pace(long).least * MOST_LOOKS == pytest.approx(trace.world.seconds)
    assert Effort(look_every=0.0).pace(long).least == 0


def test_the_month_that_is_made_is_one_of_plain_slurms(tmp_path: Path) -> None:
    options = _options()
    options.quick = False
    make(options, tmp_path)
    tally, there = Tally(), read_site((tmp_path / "site.txt").read_text(), None)
    with (tmp_path / "jobs.txt").open() as lines:
        past = read_past(lines, WallClock(), tally)
        trace = make_trace(past, there, tally, since=float(BEGIN), drop=0.0)
    assert len(trace.subjects) == options.jobs
    assert not tally.left_out
    waits = [subject.start - subject.since for subject in trace.subjects if subject.start]
    assert min(waits) <= 1
    assert max(waits) > 3600
