"""The journal beside the event loop: nobody waits for a disk, and what is late is said."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_het.core.model import Placement, Plan
from slurm_het.journal import Journal, Keeper, keeper
from slurm_het.journal.forgetting import DAY, KEEP_DAYS, note_day
from slurm_het.journal.journal import Planning
from tests.journal.test_journal import damage_a_page


def place(key: str) -> Plan:
    return Plan((Placement(key, "train-nv", ("nv1",), ((0,),), ("a100",), 80),))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "state" / "journal.db")
    yield made
    made.close()


class Disk:
    """Storage that hangs for as long as somebody says so."""

    def __init__(self) -> None:
        self.works = threading.Event()

    def wait(self, _journal: Journal) -> None:
        self.works.wait(20)


def test_what_is_written_is_there_when_it_says_so(kept: Keeper) -> None:
    kept.write(lambda journal: journal.record_plan(1.0, 0.1, 1, place("7"), Planning()))

    async def look() -> Placement | None:
        assert await kept.written()
        return await kept.ask(lambda journal: journal.placement_of("7"), None)

    assert asyncio.run(look()) == place("7").placements[0]
    assert not kept.trouble


def test_storage_that_hangs_holds_up_a_cycle_once_and_is_told(
    kept: Keeper, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "WAIT_SECONDS", 0.1)
    disk = Disk()

    async def cycles() -> list[float]:
        took = []
        while not await kept.written():
            await asyncio.sleep(0.01)
        caplog.clear()
        for n in range(5):
            kept.write(disk.wait)
            kept.write(lambda journal: journal.record_outcomes(1.0, [("7", "released", "")]))
            began = time.monotonic()
            assert not await kept.written(), n
            took.append(time.monotonic() - began)
        assert "did not take an entry" in kept.trouble
        disk.works.set()
        while not await kept.written():
            await asyncio.sleep(0.01)
        assert not kept.trouble
        return took

    took = asyncio.run(asyncio.wait_for(cycles(), 30))
    assert took[0] >= 0.09
    assert max(took[1:]) < 0.09
    assert len([r for r in caplog.records if "applied all the same" in r.message]) == 1


def test_what_waits_is_bounded(kept: Keeper) -> None:
    disk = Disk()
    kept.write(disk.wait)
    for _ in range(keeper.MOST_WAITING + 10):
        kept.write(lambda journal: journal.record_outcomes(1.0, [("7", "released", "")]))
    assert "entries were left out" in kept.trouble
    disk.works.set()

    async def caught_up() -> None:
        while not await kept.written():
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(caught_up(), 30))


def test_a_long_question_is_in_the_way_of_no_short_one(kept: Keeper) -> None:
    disk = Disk()

    async def ask() -> None:
        await kept.written()
        long = asyncio.create_task(kept.ask(lambda _: bool(disk.works.wait(20)), False, 30.0))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert await kept.ask(lambda journal: journal.history("7").empty, False)
        assert time.monotonic() - began < 5
        disk.works.set()
        assert await long

    asyncio.run(asyncio.wait_for(ask(), 30))


def test_it_forgets_also_where_it_is_never_silent(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.record_outcomes(100.5 * DAY, [("7", "released", "")])
    for day in range(100, 100 + KEEP_DAYS + 1):
        note_day(journal.db, day * DAY)
    journal.db.commit()
    kept, began, left = Keeper(journal.path), time.monotonic(), 1
    while left and time.monotonic() < began + 10:
        kept.write(lambda journal: journal.record_outcomes(time.time(), [("8", "released", "")]))
        time.sleep(0.005)
        left = journal.db.execute("SELECT COUNT(*) FROM outcome WHERE key = '7'").fetchone()[0]
    assert not left
    kept.close()
    journal.close()


def test_a_question_that_gets_no_answer_has_another_one(
    kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "WAIT_SECONDS", 0.1)
    disk = Disk()
    assert asyncio.run(kept.ask(lambda _: str(disk.works.wait(20)), "nothing", 0.1)) == "nothing"
    disk.works.set()


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), KeyError("x"), TypeError("y")])
def test_whatever_goes_wrong_is_a_sentence_and_no_more(
    kept: Keeper, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    def fail(_journal: Journal) -> None:
        raise fault

    async def write() -> None:
        for _ in range(3):
            kept.write(fail)
        await kept.written()

    asyncio.run(write())
    assert kept.trouble
    assert len(caplog.records) == 1
    assert str(kept.path) in caplog.text


def test_damage_that_only_a_question_meets_is_no_more_than_that_and_is_mended(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.record_outcomes(1.0, [("7", "released", "")])
    journal.close()
    damage_a_page(path, "outcome")
    kept, nothing = Keeper(path), list[tuple[float, str, str]]()

    async def cycles() -> list[list[tuple[float, str, str]]]:
        ask = [kept.ask(lambda journal: journal.outcomes_of("7"), nothing, 9.0) for _ in range(5)]
        answers = await asyncio.gather(*ask)
        kept.write(lambda journal: journal.record_outcomes(2.0, [("7", "started", "")]))
        assert await kept.written()
        return [*answers, await kept.ask(lambda journal: journal.outcomes_of("7"), nothing)]

    *before, after = asyncio.run(asyncio.wait_for(cycles(), 30))
    assert before == [nothing] * 5
    assert after == [(2.0, "started", "")]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    kept.close()


def test_it_ends_in_bounded_time_whatever_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "CLOSE_SECONDS", 0.1)
    disk = Disk()
    hung = Keeper(tmp_path / "journal.db")
    hung.write(disk.wait)
    began = time.monotonic()
    hung.close()
    assert time.monotonic() - began < 5
    disk.works.set()


def test_a_locked_journal_holds_up_no_cycle(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db").db.close()
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kept = Keeper(tmp_path / "journal.db")

    async def cycles() -> float:
        began = time.monotonic()
        for _ in range(4):
            kept.write(lambda journal: journal.record_outcomes(1.0, [("7", "released", "")]))
            await kept.written()
        return time.monotonic() - began

    assert asyncio.run(cycles()) < 4
    other.execute("COMMIT")
    other.close()
    kept.close()
