"""How long a job is taken to run whose end nobody has recorded."""

from __future__ import annotations

from slurm_het.replay.past import Tally
from slurm_het.replay.sacct import read_sacct
from slurm_het.replay.trace import DAY, make_trace
from slurm_het.simulation.jobs import JobSpec
from tests.replay.past import CLOCK, DAYS, T0, edges, never_ran, record, site, text_of, trace_of

LATER = 2 * DAY
END = DAYS * DAY
LIMIT = 240 * 60
LIKE: dict[str, object] = {"User": "kim", "TimelimitRaw": 240}
"""As no other record of the past is."""
Row = dict[str, str]


def runs(job_id: int, passed: int, **told: object) -> Row:
    """One that has run for so many seconds when the time looked at ends."""
    return record(
        job_id, END - passed - 60, **(LIKE | {"State": "RUNNING", "End": "Unknown"} | told)
    )


def ended(*lengths: int, first: int = 100, **told: object) -> list[Row]:
    """Jobs that ran so long."""
    return [record(first + n, LATER, ran=ran, **(LIKE | told)) for n, ran in enumerate(lengths)]


def seconds(*records: Row) -> dict[str, float]:
    """How long each job is simulated to run."""
    trace, _ = trace_of(*records)
    pairs = zip(trace.world.jobs, trace.subjects, strict=True)
    return {subject.key: round(spec.seconds, 3) for spec, subject in pairs}


def test_who_still_runs_takes_as_long_as_others_like_it_that_ran_longer() -> None:
    found = seconds(*ended(600, 1800, 3600), runs(1, 900))
    assert found["1"] == 2700
    assert found["101"] == 1800


def test_one_that_is_alike_tells_and_one_that_asks_for_else_does_not() -> None:
    other = "cpu=8,gres/gpu=4,mem=16000M,node=1"
    others = ended(1200, User="bob") + ended(600, first=200, ReqTRES=other)
    assert seconds(*others, runs(1, 60))["1"] == LIMIT
    assert seconds(*others, *ended(1500, first=300), runs(1, 60))["1"] == 1500


def test_five_runs_of_a_user_tell_of_his_other_jobs_by_the_parts_of_their_limits() -> None:
    assert seconds(*ended(*[3600] * 5), runs(1, 60, TimelimitRaw=480))["1"] == 7200
    assert seconds(*ended(*[3600] * 2), runs(1, 60, TimelimitRaw=480))["1"] == 2 * LIMIT


def test_five_runs_of_anybody_tell_where_the_user_has_none() -> None:
    assert seconds(*ended(*[10_800] * 5), runs(1, 9000, User="eve"))["1"] == 10_800


def test_a_job_is_not_expected_to_end_before_it_was_seen_running() -> None:
    assert seconds(*ended(*[1800] * 5), runs(1, 14_700))["1"] == 14_700


def test_who_never_began_takes_as_long_as_others_like_it() -> None:
    assert seconds(*ended(600, 1800), never_ran(1, END - 600, **LIKE))["1"] == 1200


def test_a_run_that_was_cut_short_tells_nothing() -> None:
    cut = ended(60, State="NODE_FAIL") + ended(60, first=200, State="REQUEUED")
    assert seconds(*cut, runs(1, 30))["1"] == LIMIT


def test_an_end_after_the_time_looked_at_is_known_all_the_same() -> None:
    lines = text_of([*edges(), record(1, END - 1000, ran=5400)]).splitlines(keepends=True)
    made = make_trace(read_sacct(lines, CLOCK, Tally()), site(), Tally(), until=T0 + END)
    one: JobSpec = next(
        j for j, s in zip(made.world.jobs, made.subjects, strict=True) if s.key == "1"
    )
    assert one.seconds == 5400
