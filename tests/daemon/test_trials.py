"""How programs fared: what hetd learns, keeps over its restart, and tells the hook's process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.model import Classification, Job
from slurm_het.daemon.trials import FORGET_SECONDS, MOST_NEWS, TrialKeeper
from slurm_het.journal import Journal
from slurm_het.journal.forgetting import DAY
from tests.support.world import inventory, policy

FAILED: dict[str, Any] = {"state": "FAILED", "exit_code": 1}


def ended(number: int, program: str = "p", **fields: Any) -> Job:
    """A job that ended well on an A100, unless the fields say otherwise."""
    mark = encode_comment(Classification("training", program=program), {"tres_per_node": "gpu:1"})
    base: dict[str, Any] = {
        "user": "ann", "state": "COMPLETED", "nodes": "nv1", "admin_comment": mark,
        "submit_time": number, "start_time": number + 1, "end_time": number + 9,
    }  # fmt: skip
    return Job(number, **(base | fields))


class Hetd:
    """What hetd has of it, on a journal, with ticks that stand still."""

    def __init__(self, path: Path, days: float = 30.0) -> None:
        self.ticks, self.journal = 1000.0, Journal(path)
        site = replace(policy(), history_days=days)
        self.keeper = TrialKeeper(site, self.journal, lambda: self.ticks)
        self.look()

    def run_on_days(self, first: int, days: int) -> None:
        """hetd runs on so many days, and looks what to forget."""
        for day in range(first, first + days):
            self.journal.prune(day * DAY)
        self.ticks += FORGET_SECONDS
        self.look()

    def look(self) -> None:
        asyncio.run(self.keeper.look())

    def heard(self, *jobs: Job) -> list[tuple[str, str, str]]:
        """The news for the hook after these jobs ended."""
        self.keeper.heard(jobs, inventory())
        return [(t.program, t.vendor, t.says) for t in self.keeper.news()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_it_tells_what_it_learns_once_and_nothing_of_more_of_the_same(path: Path) -> None:
    hetd = Hetd(path)
    assert hetd.heard(ended(1, **FAILED)) == [("p", "nvidia", "failed")]
    assert hetd.heard(ended(2, **FAILED)) == []
    assert hetd.heard(ended(3)) == [("p", "nvidia", "worked")]
    assert hetd.heard(ended(4, nodes="amd1", **FAILED)) == [("p", "amd", "failed")]


@pytest.mark.parametrize(
    "fields",
    [
        {"admin_comment": ""},
        {"program": ""},
        {"nodes": "nv1,amd1"},
        {"nodes": "cpu1"},
        {"nodes": "gone1"},
        {"nodes": "nv["},
        {"user": ""},
        {"user": "x" * 100},
        {"state": "CANCELLED"},
    ],
)
def test_what_is_not_certain_is_not_learned(path: Path, fields: dict[str, Any]) -> None:
    assert Hetd(path).heard(ended(1, **(FAILED | fields))) == []


def test_it_is_known_to_the_hetd_that_comes_after_for_so_many_days(path: Path) -> None:
    Hetd(path).heard(ended(1, **FAILED), ended(DAY, nodes="amd1"))
    hetd = Hetd(path)
    assert [(t.vendor, t.says) for t in hetd.keeper.afresh()] == [
        ("nvidia", "failed"), ("amd", "worked"),
    ]  # fmt: skip
    hetd.run_on_days(0, 30)
    assert hetd.heard() == [], "it was off for long: nothing is older for that"
    hetd.run_on_days(1000, 1)
    assert hetd.heard() == [("p", "nvidia", "")], "it says nothing any longer"
    assert [t.vendor for t in Hetd(path).keeper.afresh()] == ["amd"]


def test_what_a_clock_far_ahead_has_noted_gives_way_to_what_comes_after(path: Path) -> None:
    Hetd(path).heard(ended(1, end_time=10**10, **(FAILED | {"start_time": 10**10 - 1})))
    hetd = Hetd(path)
    assert hetd.heard(ended(2)) == [("p", "nvidia", "worked")]
    assert hetd.heard(ended(1)) == [], "it was taken in already"


def test_news_come_in_bounded_pieces(path: Path) -> None:
    hetd = Hetd(path)
    jobs = [ended(n, f"p{n % 100}", user=f"u{n // 100}") for n in range(MOST_NEWS + 10)]
    assert len(hetd.heard(*jobs)) == MOST_NEWS
    assert len(hetd.heard()) == 10


def test_where_it_is_switched_off_nothing_is_learned(path: Path) -> None:
    hetd = Hetd(path, days=0.0)
    assert hetd.heard(ended(1, **FAILED)) == []
    assert hetd.journal.trials(0.0) == []


def test_users_are_told_how_their_own_programs_fared_and_admins_how_all_did(path: Path) -> None:
    hetd = Hetd(path)
    hetd.heard(ended(1, **FAILED), ended(2, user="bob", **FAILED))

    def told(user: str | None) -> list[str]:
        return [trial.user for trial in hetd.keeper.told(user)["trials"]]

    assert (told("ann"), told(None), told("")) == (["ann"], ["ann", "bob"], [])
