"""The same past several times, with the jobs at other times within their seconds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from slurm_het.replay.renditions import renditions
from slurm_het.replay.sides import MOST_RENDITIONS, MOST_RUNS, Effort
from slurm_het.replay.trace import DAY, Trace
from tests.replay.past import record, trace_of


def burst() -> Trace:
    """Nine jobs of one second and one of the next, after one that ran already when it began."""
    before = record(1, -7200, ran=9000, start=0)
    trace, _ = trace_of(before, *(record(2 + n, 2 * DAY + n // 9) for n in range(10)))
    return trace


def test_each_job_comes_within_its_second_and_in_its_order() -> None:
    trace = burst()
    for one in renditions(trace, 20):
        jobs = one.world.jobs
        assert [job.id for job in jobs] == [job.id for job in trace.world.jobs]
        later = [job.at - one.at for job, one in zip(jobs, trace.world.jobs, strict=True)]
        assert all(0 <= seconds < 1 for seconds in later)
        times = [job.at for job in jobs]
        assert times == sorted(times)
        assert len({*times}) > 9


def test_what_is_submitted_from_one_second_into_the_next_has_no_pause_between_them() -> None:
    for one in renditions(burst(), 20):
        times = [job.at for job in one.world.jobs if int(job.at - 2 * DAY) in {0, 1}]
        assert len(times) == 10
        gaps = [later - at for at, later in pairwise(times)]
        assert max(gaps) <= 1 / 9 + 0.001
        assert max(gaps) - min(gaps) < 0.001


def test_one_alone_is_as_recorded_and_of_several_each_is_always_the_same() -> None:
    trace = burst()
    assert renditions(trace, 1) == [trace]
    two, three = renditions(trace, 2), renditions(trace, 3)
    assert two == three[:2]
    assert two[0] != two[1] != trace


def test_who_runs_the_same_ends_a_moment_apart_and_none_much_later_than_recorded() -> None:
    trace = burst()
    for one in renditions(trace, 20):
        ran = [job.seconds for job in one.world.jobs if not job.on and job.seconds > 60 * 2]
        assert max(ran) - min(ran) < 1.0
        assert len({*ran}) == len(ran)
        assert all(3599.5 <= seconds < 3602 for seconds in ran)


def test_who_had_his_nodes_really_has_them_then() -> None:
    there = [job for job in renditions(burst(), 2)[1].world.jobs if job.on]
    assert there
    assert [job.at for job in there] == [job.at for job in burst().world.jobs if job.on]


def test_a_short_past_is_simulated_some_times_and_a_long_one_once() -> None:
    trace = burst()
    jobs = trace.world.jobs * (MOST_RUNS // len(trace.world.jobs))
    long = replace(trace, world=replace(trace.world, jobs=jobs))
    assert Effort().times(trace) == MOST_RENDITIONS > Effort().times(long) == 1
    assert Effort(renditions=3).times(long) == 3
