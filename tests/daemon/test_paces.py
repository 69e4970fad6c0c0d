"""How long programs ran: what hetd learns, keeps over its restart, and tells whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.paces import MOST_RUNS, Pace
from slurm_het.core.model import Classification, Job
from slurm_het.core.worth.speeds import PastRun
from slurm_het.daemon import paces as daemon_paces
from slurm_het.daemon.paces import FORGET_SECONDS, QUESTION_SECONDS, RETRY_SECONDS, PaceKeeper
from slurm_het.journal import Journal
from slurm_het.journal.forgetting import DAY
from tests.support.world import inventory, policy

T = TypeVar("T")


def ended(number: int, **fields: Any) -> Job:
    """A job of a program that ended well on an A100, unless the fields say otherwise."""
    mark = encode_comment(Classification("training", program="p"), {})
    base: dict[str, Any] = {
        "user": "ann", "state": "COMPLETED", "nodes": "nv1", "admin_comment": mark,
        "start_time": number + 1, "end_time": number + 9, "tres_per_node": "gpu:1",
    }  # fmt: skip
    return Job(number, **(base | fields))


class Hetd:
    """What hetd has of it, on a journal, with ticks that stand still."""

    def __init__(self, journal: Any, days: float = 30.0) -> None:
        self.ticks = 1000.0
        self.journal = Journal(journal) if isinstance(journal, Path) else journal
        site = replace(policy(), history_days=days)
        self.keeper = PaceKeeper(site, self.journal, lambda: self.ticks)
        self.look()

    def look(self) -> None:
        asyncio.run(self.keeper.look())

    def heard(self, *jobs: Job) -> list[tuple[str, int]]:
        """On what the program ran, and in how many runs, after these jobs have ended."""
        self.keeper.heard(jobs, inventory())
        return [(pace.type, len(pace.runs)) for pace in self.keeper.known.all()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_how_long_programs_ran_is_known_to_the_hetd_that_comes_after(path: Path) -> None:
    Hetd(path).heard(ended(1), ended(2), ended(DAY, nodes="amd1"))
    hetd = Hetd(path)
    assert hetd.heard(ended(2), ended(DAY + 10, nodes="amd1")) == [("a100", 2), ("mi300x", 2)]
    for day in (*range(30), 1000):  # it was off for long: nothing is older for that
        hetd.journal.prune(day * DAY)
    hetd.ticks += FORGET_SECONDS
    hetd.look()
    assert hetd.heard() == Hetd(path).heard() == [("mi300x", 2)]


def test_what_a_clock_far_ahead_has_noted_gives_way_to_what_comes_after(path: Path) -> None:
    hetd = Hetd(path)
    hetd.heard(*(ended(n, end_time=10**10 + n) for n in range(MOST_RUNS)))
    hetd.heard(ended(20))
    (pace,) = hetd.keeper.known.all()
    assert [run.job for run in pace.runs] == [20]


def test_where_it_is_switched_off_nothing_is_learned(path: Path) -> None:
    hetd = Hetd(path, days=0.0)
    assert hetd.heard(ended(1)) == []
    assert hetd.journal.paces(0.0) == []


def test_users_are_told_of_their_own_programs_and_admins_of_all(path: Path) -> None:
    hetd = Hetd(path)
    hetd.heard(ended(1), ended(2, user="bob"))

    def told(user: str | None) -> list[str]:
        return [pace.user for pace in hetd.keeper.told(user)["paces"]]

    assert (told("ann"), told(None), told("")) == (["ann"], ["ann", "bob"], [])


class SlowJournal:
    """A journal that answers when it is told to."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.kept: list[Pace] | None = [Pace("ann", "p", "a100", 1, 5.0, "3", (PastRun(9),))]
        self.written: list[object] = []

    def write(self, entry: object) -> None:
        self.written.append(entry)

    async def ask(self, _question: Callable[[Any], T], otherwise: T, patience: float = 0.0) -> Any:
        if patience < QUESTION_SECONDS:
            return otherwise
        await self.answers.wait()
        return self.kept


def test_no_cycle_waits_for_a_slow_journal_and_what_it_has_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemon_paces, "WAIT_SECONDS", 0.01)

    async def story() -> None:
        journal, now = SlowJournal(), [1000.0]
        keeper = PaceKeeper(policy(), journal, lambda: now[0])  # type: ignore[arg-type]  # part
        await keeper.look()
        keeper.heard([ended(1)], inventory())
        assert (keeper.known.all(), journal.written) == ([], [])
        kept, journal.kept = journal.kept, None  # it cannot be read
        journal.answers.set()
        await keeper.look()
        journal.kept = kept
        await keeper.look()
        assert keeper.known.all() == []
        now[0] += RETRY_SECONDS
        await keeper.look()
        keeper.heard([ended(1)], inventory())
        (pace,) = keeper.known.all()
        assert [run.seconds for run in pace.runs] == [9, 8]
        assert len(journal.written) == 1

    asyncio.run(story())
