"""When waiting jobs probably start, by how users' programs usually end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.paces import Pace, Paces
from slurm_het.core.model import Classification, Job
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Prepared, observe, prepare
from slurm_het.core.policy import Limits
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.views.likely import UsualEnds, likely_starts
from slurm_het.core.views.starts import starts_of
from slurm_het.core.worth.speeds import PastRun
from tests.support.world import gated, policy, running, snapshot

NOW = 10_000.0
MARKED = encode_comment(Classification("training", ("nvidia",), ("a100",), program="p"), {})
FULL = "gpu:a100:8(IDX:0-7)"


def busy(number: int, node: str, began: float = NOW, minutes: int = 60) -> Job:
    """A job of the program, which has all of a node."""
    return running(
        number, node, FULL, user="ann", admin_comment=MARKED, start_time=int(began),
        end_time=int(began) + 60 * minutes, time_limit_minutes=minutes,
    )  # fmt: skip


RUNNING = tuple(busy(n, f"nv{n}") for n in (1, 2))


def known(*parts: float) -> Paces:
    """Runs that took these parts of their limits."""
    runs = tuple(PastRun(int(1000 * part), 1000) for part in parts)
    return Paces([Pace("ann", "p", "a100", 8, runs=runs)])


TENTH = known(*[0.1] * 9)


def waiting(number: int, **fields: object) -> Job:
    """A job that waits for eight A100s."""
    what = {"admin_comment": MARKED, "tres_per_node": "gpu:a100:8", "priority": 1000 - number}
    return gated(number, **(what | fields))


def prepared(*jobs: Job, reservations: tuple[ReservationRecord, ...] = ()) -> Prepared:
    """What hetd prepares from these jobs."""
    memory = Memory(Pins(10.0, 60.0))
    seen = replace(snapshot(*jobs), time=NOW, reservations=reservations)
    observed = observe(seen, policy(), memory, 0.0)
    return prepare(observed, Limits(), memory, 0.0)


def test_jobs_start_when_those_that_run_usually_end_and_the_latest_time_stays_the_limit() -> None:
    """Two nodes: the third waits for one of the first two, which take as small a part."""
    view = prepared(*RUNNING, *(waiting(n) for n in (11, 12, 13)))
    likely = {key: start - NOW for key, start in likely_starts(view, TENTH).items()}
    assert likely == {"11": 360, "12": 360, "13": 720}
    latest = {key: made.start - NOW for key, made in starts_of(view).items()}
    assert latest == {"11": 3600, "12": 3600, "13": 7200}


BOBS = Paces(pace._replace(user="bob") for pace in TENTH.all())


@pytest.mark.parametrize("paces", [Paces(), known(0.1, 0.1), BOBS])
def test_without_enough_runs_of_the_same_user_it_is_the_latest_time(paces: Paces) -> None:
    view = prepared(*RUNNING, waiting(11))
    assert likely_starts(view, paces) == {key: r.start for key, r in starts_of(view).items()}


def test_a_job_that_is_past_its_usual_end_is_judged_by_the_runs_that_were_too() -> None:
    """Half end after a tenth, the others after half: who is at a fifth is one of those."""
    usual = UsualEnds(known(*[0.1] * 6, *[0.5] * 6))
    late = busy(1, "nv1", began=NOW - 720)
    assert usual.ends(replace(snapshot(late), time=NOW)) == {"1": NOW - 720 + 1800}
    longer = busy(1, "nv1", began=NOW - 2000)
    assert usual.ends(replace(snapshot(longer), time=NOW)) == {}


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=12), st.integers(0, 3599))
def test_no_end_is_foretold_before_now_or_after_the_limit(parts: list[float], ran: int) -> None:
    job = busy(1, "nv1", began=NOW - ran)
    for end in UsualEnds(known(*parts)).ends(replace(snapshot(job), time=NOW)).values():
        assert NOW <= end <= job.end_time


def test_who_usually_ends_before_a_maintenance_starts_after_it_if_his_limit_reaches_into_it() -> (
    None
):
    """Slurm goes by the limit there."""
    nodes = ("nv1", "nv2")
    maintenance = ReservationRecord("maint", NOW + 1800, NOW + 5400, nodes)
    view = prepared(*RUNNING, waiting(11), reservations=(maintenance,))
    assert likely_starts(view, TENTH) == {"11": NOW + 5400}
