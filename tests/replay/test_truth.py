"""Ten minutes of a real Slurm 22.05, as sacct told of them, and what the model makes of these.

On three nodes of eight A100s, two of eight MI300X and two of four L40S users submitted 180 times:
arrays, lists of partitions, two QOSs; jobs were held, cancelled, requeued and suspended.
"""

from __future__ import annotations

from pathlib import Path

from slurm_het.core.syntax import hostlist
from slurm_het.replay.findings import BUSY, MEAN, P95, waits_of
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import Tally
from slurm_het.replay.sides import Effort, one_side
from slurm_het.replay.source import lines_of, read_past, read_site
from slurm_het.replay.trace import make_trace
from slurm_het.replay.usage import empty_usage
from slurm_het.simulation.world import each_of

DATA = Path(__file__).parents[1] / "data" / "replay"
FIRST = 45.0
"""Seconds that do not count."""


def test_plain_slurms_model_meets_what_a_real_one_did() -> None:
    tally, there = Tally(), read_site((DATA / "site.txt").read_text(), None)
    pasts = read_past(lines_of(DATA / "jobs.txt"), WallClock(), tally)
    trace = make_trace(pasts, there, tally, drop=FIRST)
    model = one_side("plain", trace, there, Effort("first-fit"), lambda *_: None)
    seen = [
        (subject.start - subject.since, start - spec.at)
        for spec, subject, start in zip(trace.world.jobs, trace.subjects, model.starts, strict=True)
        if subject.counts and subject.start is not None and start is not None
    ]
    truth, simulated = (waits_of(column) for column in zip(*seen, strict=True))
    assert len(seen) == sum(subject.counts for subject in trace.subjects) > 150
    assert abs(simulated.mean - truth.mean) <= MEAN * truth.mean
    assert abs(simulated.p95 - truth.p95) <= P95 * truth.p95
    real = empty_usage(there, trace.span.counted, trace.span.end)
    for spec, subject in zip(trace.world.jobs, trace.subjects, strict=True):
        if subject.start is not None and subject.end is not None:
            nodes = hostlist.expand(subject.nodes)
            real.add(nodes, each_of(spec.ask, there.hosts), subject.start, subject.end)
    capacity = trace.world.devices * (trace.span.end - trace.span.counted)
    assert abs(real.total - model.usage.total) <= BUSY * capacity
    assert tally.taken["runs that ended in a requeue"] == 5
    assert tally.taken["jobs that were suspended: they kept their devices"] == 6
    assert tally.left_out["jobs that were held, or waited for another one, to the end"] == 4
