"""Who starts now does not delay those above him that are not pinned ahead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.backfill import USUAL, Backfill
from slurm_het.core.model import Job, Slot, Task
from slurm_het.core.policy import Limits
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.reservation import coming_free
from slurm_het.core.reservations.shield import Shield
from tests.support.world import inventory, policy, running, snapshot, task

NOW = 1000.0


def busy(number: int, node: str, devices: str, end: int) -> Job:
    """A running job that holds A100s until `end` at the latest; 0 is no limit."""
    detail = f"gpu:a100:{len(devices)}(IDX:{','.join(devices)})"
    return running(number, node, detail, end_time=end, cpus=4, memory_per_cpu_mib=1024)


HALVES = (busy(1, "nv1", "0123", 1600), busy(2, "nv2", "0123", 0))
"""Half of nv1 is free for ever, the other one in ten minutes; nv2's never is."""


def wants(key: str, devices: int, minutes: int | None = 60, since: float = 0.0) -> Task:
    return task(key, slots=(Slot(devices, 1, 1024),), minutes=minutes, since=since)


def shield(
    *jobs: Job, protected: int = 8, patience: float = 0.0, backfill: Backfill = USUAL
) -> Shield:
    coming = coming_free(replace(snapshot(*jobs), time=NOW), policy())
    limits = Limits(protected=protected, reserve_after_seconds=patience, backfill=backfill)
    return Shield(Axis(inventory(*jobs), coming, NOW), (), (), limits)


def kept_off(it: Shield, *tasks: Task) -> dict[str, str]:
    """By key, the nodes that a task is kept off."""
    return {t.key: ",".join(sorted(it.keep_off(t).exc_nodes)) for t in tasks}


def test_what_outlasts_the_wait_keeps_off() -> None:
    queue = [wants("7", 8), wants("8", 4), wants("9", 4, minutes=10), wants("10", 1, minutes=None)]
    assert kept_off(shield(*HALVES), *queue) == {"7": "", "8": "nv1", "9": "", "10": "nv1"}
    assert kept_off(shield(*HALVES), *queue[1:], queue[0])["8"] == "", "it is above that"
    assert kept_off(shield(*HALVES, protected=0), *queue)["8"] == ""


@pytest.mark.parametrize(("planned", "off"), [(1, "nv1"), (2, "nv1,nv2"), (20, "nv1,nv2")])
def test_of_an_array_so_many_tasks_have_places_as_slurms_backfill_plans(
    planned: int, off: str
) -> None:
    jobs = busy(1, "nv1", "0123", 1600), busy(2, "nv2", "0123", 1600)
    it = shield(*jobs, backfill=Backfill(of_array=planned))
    assert kept_off(it, wants("7_1", 8), wants("7_2", 8), wants("9", 4))["9"] == off


def test_many_that_get_no_room_take_no_protection_from_others() -> None:
    """Services without an end hold what they want: those behind them wait for other nodes."""
    held = (
        *HALVES,
        running(3, "l40s1", "gpu:l40s:4(IDX:0-3)", end_time=0),
        running(4, "l40s2", "gpu:l40s:4(IDX:0-3)", end_time=0),
    )
    services = [
        task(str(n), slots=(Slot(4, 1, 1024 + n),), types=frozenset({"l40s"}), pools=("infer-nv",))
        for n in range(100, 140)
    ]
    queue = [*services, wants("7", 8), wants("8", 4)]
    assert kept_off(shield(*held), *queue)["8"] == "nv1"


def test_what_is_to_spare_is_given_out_once() -> None:
    """Six of nv1's cards are wanted in ten minutes: two are for anybody, and nv2 is full."""
    jobs = HALVES[0], busy(2, "nv2", "01234567", 0)
    queue = [wants("7", 6), *(wants(key, 1) for key in ("8", "9", "10"))]
    assert kept_off(shield(*jobs), *queue) == {"7": "", "8": "", "9": "", "10": "nv1"}


ONE_NODE = busy(1, "nv1", "0123", 0), busy(2, "nv2", "01234567", 1900)
"""Half of nv1 is free, and no more for ever; nv2 is in fifteen minutes."""


@pytest.mark.parametrize(
    ("first", "off"),
    [
        ((), ""),
        ((wants("5", 2, minutes=240),), "nv1"),
        ((wants("5", 2, minutes=10),), ""),
        ((wants("4", 8, minutes=10), wants("5", 2, minutes=240)), "nv1"),
        ((wants("4", 1, minutes=240), wants("5", 1, minutes=240)), "nv1"),
    ],
    ids=["two are to spare", "they start above", "and end in time", "beside a place", "one by one"],
)
def test_what_those_above_take_that_start_is_not_to_spare(
    first: tuple[Task, ...], off: str
) -> None:
    """Two cards on each of two nodes are for job 7, once nv2 is free; job 9 would be on nv1."""
    both = task("7", slots=(Slot(2, 1, 1024),) * 2, minutes=600)
    it = shield(*ONE_NODE)
    assert kept_off(it, *first, both, wants("9", 1, minutes=1440))["9"] == off


def test_a_short_one_that_may_start_there_makes_no_place_for_a_long_one() -> None:
    """Job 8 may start on either node, and is done in time on both; job 9 is not. Where job 8 was
    guessed to start nothing is left for job 9, but it may start on the other one."""
    alike = busy(1, "nv1", "01234", 1600), busy(2, "nv2", "01234", 1600)
    both = task("7", slots=(Slot(8, 1, 1024),) * 2, minutes=60)
    short, other = wants("8", 3, minutes=5), wants("9", 3, minutes=5)
    assert kept_off(shield(*alike), both, short, wants("9", 3))["9"] == "nv1,nv2"
    assert kept_off(shield(*alike), both, short, other)["9"] == "", "it is done in time as well"


def test_who_is_kept_off_what_is_free_has_a_place_elsewhere() -> None:
    """Job 7 waits for nv1. Job 8 would be on it too long; its own place is on nv2, in ten minutes,
    where job 9 would still be."""
    jobs = (
        busy(1, "nv1", "0123", 4600), busy(2, "nv2", "0123", 0), busy(3, "nv2", "45", 1600),
    )  # fmt: skip
    first = task("7", slots=(Slot(8, 1, 1024),), minutes=600, exc_nodes=frozenset({"nv2"}))
    found = kept_off(shield(*jobs), first, wants("8", 4, minutes=90), wants("9", 2, minutes=600))
    assert found["8"] == "nv1"
    assert found["9"] == "nv1,nv2"


def test_who_finds_no_room_beside_those_above_takes_nothing() -> None:
    """Three would start alone, two do: the third is not taken to run where it does not start."""
    queue = [wants(key, 2, minutes=240) for key in "456"]
    both = task("7", slots=(Slot(2, 1, 1024),) * 2, minutes=600)
    it = shield(*ONE_NODE)
    kept_off(it, *queue, both)
    assert [(made.task.key, made.start) for made in it.given] == [("7", NOW + 240 * 60)]


def test_it_says_for_whom_and_until_when() -> None:
    jobs = HALVES[0], busy(2, "nv2", "01234567", 0)
    it = shield(*jobs)
    kept_off(it, wants("7", 8), wants("8", 4), wants("9", 4, minutes=10))
    assert {key: str(why) for key, why in it.kept.items()} == {
        "8": "nv1 is kept for job 7 until 1600.0 at the latest, and this job might still run then"
    }


def test_who_has_just_come_or_can_never_start_is_not_protected() -> None:
    low = wants("9", 4)
    assert kept_off(shield(*HALVES, patience=60.0), wants("7", 8, since=NOW - 59), low)["9"] == ""
    assert (
        kept_off(shield(*HALVES, patience=60.0), wants("7", 8, since=NOW - 60), low)["9"] == "nv1"
    )
    assert kept_off(shield(*HALVES), wants("7", 9), low)["9"] == ""
    never = [wants(key, 8) for key in "56"]
    two = busy(1, "nv1", "0123", 0), HALVES[1]
    assert kept_off(shield(*two), *never, low)["9"] == ""


def test_only_so_many_are_protected() -> None:
    both = HALVES[0], busy(2, "nv2", "0123", 1900)
    queue = [wants("5", 8, minutes=10), wants("6", 8), wants("9", 4, minutes=30)]
    assert kept_off(shield(*both, protected=1), *queue)["9"] == "nv1"
    assert kept_off(shield(*both, protected=2), *queue)["9"] == "nv1,nv2"


def test_nothing_is_kept_for_whom_slurm_keeps_nothing() -> None:
    """bf_min_prio_reserve, bf_min_age_reserve: plain Slurm starts those below him."""
    queue = [replace(wants("7", 8, since=NOW - 600), priority=50), wants("8", 4)]
    for backfill, off in (
        (Backfill(least_priority=50, least_age_seconds=600), "nv1"),
        (Backfill(least_priority=51), ""),
        (Backfill(least_age_seconds=601), ""),
    ):
        assert kept_off(shield(*HALVES, backfill=backfill), *queue)["8"] == off


def test_nobody_waits_for_whom_slurms_backfill_passes_over() -> None:
    both = HALVES[0], busy(2, "nv2", "0123", 1900)
    queue = [wants("5", 8, minutes=10), wants("6", 8), wants("9", 4, minutes=30)]
    mails = [queue[0], replace(queue[1], user="mail"), queue[2]]

    def off(backfill: Backfill, tasks: list[Task] = queue) -> str:
        return kept_off(shield(*both, backfill=backfill), *tasks)["9"]

    assert off(USUAL) == off(Backfill(jobs=2, of_user=2)) == "nv1,nv2"
    assert off(Backfill(jobs=1)) == off(Backfill(of_user=1)) == "nv1"
    assert off(Backfill(of_user=1), mails) == "nv1,nv2"
    assert off(Backfill(window_seconds=600.0)) == "nv1"
    assert off(Backfill(window_seconds=599.0)) == ""
