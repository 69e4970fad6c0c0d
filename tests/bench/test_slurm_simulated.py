"""The trace of bench slurm in simulated time."""

from __future__ import annotations

from bench.slurm_simulated import SECONDS, both, text, world
from bench.slurm_trace import make_trace
from slurm_het.replay.sides import FirstFitSolver


def test_the_simulation_has_what_the_trace_asks() -> None:
    trace = make_trace(60, 1.1, 3)
    named, unnamed = (world(trace, {}, named=named) for named in (True, False))
    assert [job.submission for job in named.jobs] == [str(entry.number) for entry in trace]
    assert {job.partitions for job in unnamed.jobs} == {("",)}
    for job, entry in zip(named.jobs, trace, strict=True):
        assert job.partitions == entry.partitions
        assert (job.seconds, job.at) == (entry.seconds, round(entry.arrival, 2))
        assert bool(job.ask.share) == entry.kind.endswith("share")
        assert job.ask.share or job.ask.devices * job.nodes == entry.devices
        assert bool(job.features) == ("|" in entry.kind)


def test_all_run_on_both_sides_and_their_waits_are_told() -> None:
    runs = both(make_trace(40, 0.8, 1), {"protected": 8}, FirstFitSolver())
    for one in runs:
        assert len(one.lines) == 40
        assert all(0 <= line.wait < SECONDS / 2 for line in one.lines)
    lines = text([runs])
    assert lines[2].startswith("| all | 40 |")
    assert any("train 8" in line for line in lines)
