"""The pure parts of the benchmark of waiting times: its trace and its statistics."""

from __future__ import annotations

import statistics

import pytest

from bench.slurm import double_booked
from bench.slurm_stats import Run, figures, percentile, size_class, vendor_class
from bench.slurm_trace import DEVICES, make_trace
from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.model import Job
from slurm_het.errors import HetError
from tests.support.world import inventory, policy, running, snapshot


@pytest.mark.parametrize("seed", [1, 2])
def test_a_trace_has_the_load_it_says_and_a_seed_gives_the_same(seed: int) -> None:
    trace = make_trace(320, 1.1, seed)
    assert trace == make_trace(320, 1.1, seed)
    assert trace != make_trace(320, 1.1, seed + 2)
    assert len(trace) == 320
    work = sum(e.devices * e.seconds for e in trace)
    assert trace[-1].arrival * DEVICES * 1.1 == pytest.approx(work, rel=0.05)
    assert [e.arrival for e in trace] == sorted(e.arrival for e in trace)


def test_scripts_say_what_their_users_name() -> None:
    """The hook makes of each script the partitions that its user names on plain Slurm."""
    for entry in make_trace(200, 1.1, 3):
        options = dict(o.removeprefix("--").split("=", 1) for o in entry.options)
        sent = {"tres_per_node": options["gres"], "script": entry.script, "name": entry.kind}
        if "constraint" in entry.script:
            sent["features"] = "a100|mi300x"
        sent["min_nodes"] = options.get("nodes", "1")
        made = admit_message(sent, policy(), inventory())
        assert isinstance(made, Admitted)
        named = admit_message(
            sent | {"partition": ",".join(entry.partitions)}, policy(), inventory()
        )
        assert isinstance(named, Admitted)
        assert named.classification.partitions == entry.partitions
        assert made.classification.scenario == entry.scenario


def record(number: int, submit: int, start: int, end: int, state: str = "COMPLETED") -> Job:
    return Job(number, "u", state=state, submit_time=submit, start_time=start, end_time=end)


def test_waits_makespan_and_allocated_share() -> None:
    trace = make_trace(3, 1.1, 1)
    jobs = [record(1, 100, 100, 110), record(2, 102, 106, 110), record(3, 104, 110, 120)]
    run = Run.of(trace, jobs, 1.5)
    assert run.waits() == [0, 4, 6]
    held = [e.devices for e in trace]
    assert run.allocated()[0] == 100 * held[0] / DEVICES
    assert run.allocated()[7] == 100 * (held[0] + held[1]) / DEVICES
    mean, median, p95, longest, makespan, allocated, double = figures(run)
    assert (median, p95, longest, makespan, double) == (4, 6, 6, 20, 1.5)
    assert mean == pytest.approx(10 / 3)
    assert allocated == statistics.fmean(run.allocated()[:4])


def test_a_job_that_did_not_complete_spoils_the_run() -> None:
    with pytest.raises(HetError, match="TIMEOUT"):
        Run.of(make_trace(1, 1.1, 1), [record(1, 0, 0, 1, "TIMEOUT")])


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert [percentile(range(1, 21), p) for p in (0, 50, 95, 100)] == [1, 10, 19, 20]


def test_classes() -> None:
    trace = make_trace(320, 1.1, 1)
    assert {size_class(e) for e in trace} == {
        "infer 1", "infer 2", "infer 4", "infer share",
        "train 1", "train 2", "train 2x8", "train 4", "train 8",
    }  # fmt: skip
    assert {"train any", "infer cambricon"} <= {vendor_class(e) for e in trace}


def test_a_card_held_whole_and_by_another_is_double_booked() -> None:
    whole = running(1, "l40s1", "gpu:l40s:1(IDX:0)")
    share = running(2, "l40s1", "shard:l40s:8(IDX:0)")
    other = running(3, "l40s1", "shard:l40s:8(IDX:0)")
    assert double_booked(snapshot(whole), policy()) == 0
    assert double_booked(snapshot(share, other), policy()) == 0
    assert double_booked(snapshot(whole, share), policy()) == pytest.approx(100 / DEVICES)
