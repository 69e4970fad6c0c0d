"""Alive is not well: when reads or updates that fail mean that the gate must not stay closed."""

from __future__ import annotations

import pytest

from slurm_het.core.planner.outcomes import Event, Outcome
from slurm_het.daemon.health import Health

DENIED = "scontrol update JobId=1: Access/permission denied"


def happened(event: Event, detail: str = "", user: str = "alice") -> list[tuple[Outcome, str]]:
    return [(Outcome("1", event, detail), user)]


def test_reads_fail_from_the_start_of_the_first_cycle_that_failed() -> None:
    health = Health(30.0, 120.0)
    assert not health.failing(1e6)
    health.failed(100.0)
    health.failed(120.0)
    assert not health.failing(129.0)
    assert health.failing(130.0)
    health.worked([], 131.0)
    assert not health.failing(1e6)


@pytest.mark.parametrize(
    ("event", "detail", "useless"),
    [
        (Event.REFUSED, DENIED, True),
        (Event.BUSY, "Resource temporarily unavailable", True),
        (Event.BUSY, "not sent: slurmctld was silent a moment ago", False),
        (Event.KEPT, "scontrol did not answer within 15 s", True),
        (Event.REFUSED, "Requested node configuration is not available", False),
        (Event.KEPT, "Job is no longer pending execution", False),
        (Event.BACK, "it is in the intake again", False),
        (Event.RETURNED, DENIED, False),
    ],
)
def test_updates_in_vain(event: Event, detail: str, useless: bool) -> None:
    health = Health(30.0, 120.0)
    health.worked(happened(event, detail), 100.0)
    assert not health.useless(200.0), "once is no fault"
    health.worked(happened(event, detail), 120.0)
    assert not health.useless(129.0)
    assert bool(health.useless(130.0)) == useless


def test_a_job_that_starts_shows_that_updates_have_an_effect() -> None:
    health = Health(30.0, 120.0)
    health.worked(happened(Event.REFUSED, DENIED), 100.0)
    health.worked(happened(Event.REFUSED, DENIED), 120.0)
    health.worked(happened(Event.STARTED), 121.0)
    assert not health.useless(200.0)


def test_a_slurmctld_that_was_away_is_no_fault_of_updates() -> None:
    health = Health(3.0, 120.0)
    health.worked(2 * happened(Event.BUSY, "scontrol did not answer within 5 s"), 100.0)
    health.failed(101.0)
    health.worked(happened(Event.KEPT, "scontrol did not answer within 5 s"), 110.0)
    assert not health.useless(110.0)


def test_one_user_who_moves_his_jobs_back_is_no_fault() -> None:
    health = Health(30.0, 120.0)
    for at in range(100, 200):
        health.worked(happened(Event.BACK), float(at))
    assert not health.useless(200.0)
    health.worked(happened(Event.BACK, user="bob"), 200.0)
    health.worked(happened(Event.BACK, user="bob"), 231.0)
    assert "no effect" in health.useless(231.0)


@pytest.mark.parametrize("event", [Event.RELEASED, Event.RESERVED, Event.RETURNED])
def test_an_update_that_slurm_took_shows_that_updates_are_not_refused(event: Event) -> None:
    health = Health(30.0, 120.0)
    health.worked(2 * happened(Event.BUSY, "Resource temporarily unavailable"), 100.0)
    health.worked(happened(event), 101.0)
    assert not health.useless(140.0)


def test_a_release_that_is_taken_and_comes_back_has_no_effect() -> None:
    health = Health(30.0, 120.0)
    for at in range(100, 140):
        for user in ("alice", "bob"):
            health.worked(happened(Event.RELEASED, user=user), float(at))
            health.worked(happened(Event.BACK, user=user), float(at))
    assert "in the intake again" in health.useless(140.0)


def test_two_failures_far_apart_have_nothing_to_do_with_each_other() -> None:
    health = Health(30.0, 120.0)
    for day in range(1, 5):
        health.worked(happened(Event.REFUSED, DENIED), day * 86400.0)
        assert not health.useless(day * 86400.0)
    health.worked(happened(Event.REFUSED, DENIED), 4 * 86400.0 + 100)
    assert health.useless(4 * 86400.0 + 100)
    assert not health.useless(5 * 86400.0), "nothing has been tried since"


def test_reads_that_fail_where_updates_did_fail_since_these() -> None:
    for refused, lasting in ((1, False), (2, True)):
        health = Health(30.0, 120.0)
        for number in range(refused):
            health.worked(happened(Event.REFUSED, DENIED), 100.0 + number)
        health.failed(120.0)
        assert not health.failing(129.0)
        assert health.failing(130.0) == lasting
        assert health.failing(150.0)
