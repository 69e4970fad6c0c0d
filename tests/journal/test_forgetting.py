"""What the journal forgets: piece by piece, by the days on which hetd ran, and by its size."""

from __future__ import annotations

import time
from pathlib import Path

from slurm_het.core.model import Placement, Plan
from slurm_het.journal import Journal
from slurm_het.journal.forgetting import DAY, KEEP_DAYS, PIECE, used_bytes


def days(journal: Journal, first: int, count: int, each: int = 1) -> None:
    """On each of these days so many jobs started, and hetd looked what to forget."""
    for day in range(first, first + count):
        now = day * DAY + 7.0
        names = [f"{day * 10_000 + n}" for n in range(each)]
        placements = (Placement(k, "train-nv", ("nv1",), ((0,),), ("a100",), 80) for k in names)
        journal.record_plan(now, 0.1, each, Plan(tuple(placements)))
        journal.record_outcomes(now, [(name, "started", "") for name in names])
        forget_all(journal, now)


def forget_all(journal: Journal, now: float, most_bytes: int = 1 << 40) -> int:
    """How many pieces it took."""
    pieces = 1
    while journal.prune(now, most_bytes):
        pieces += 1
        assert pieces < 1000
    return pieces


def kept(journal: Journal) -> list[int]:
    """The days of which something is kept."""
    rows = journal.db.execute("SELECT DISTINCT CAST(time / ? AS INTEGER) FROM outcome", (DAY,))
    return sorted(row[0] for row in rows)


def test_the_last_days_on_which_hetd_ran_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    days(journal, 100, 20)
    days(journal, 200, KEEP_DAYS - 10)  # it was off for long: nothing is older for that
    assert kept(journal) == [*range(110, 120), *range(200, 220)]
    assert journal.db.execute("SELECT COUNT(*) FROM placement").fetchone() == (KEEP_DAYS,)
    assert journal.db.execute("SELECT COUNT(*) FROM day").fetchone()[0] <= KEEP_DAYS + 1


def test_a_site_says_how_many_days_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    days(journal, 100, KEEP_DAYS)
    while journal.prune((99 + KEEP_DAYS) * DAY, keep_days=5):
        pass
    assert kept(journal) == [*range(100 + KEEP_DAYS - 5, 100 + KEEP_DAYS)]


def test_a_clock_that_jumps_deletes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    days(journal, 100, 20)
    before = kept(journal)
    for now in (160 * DAY, 4e9, 3 * DAY, 120.5 * DAY):
        forget_all(journal, now)
    assert kept(journal) == before
    journal.record_outcomes(4e9, [("7", "started", "by a clock that was far ahead")])
    days(journal, 120, 2 * KEEP_DAYS)
    assert kept(journal)[0] > 120, "that it once jumped keeps nothing for ever"


def test_what_a_clock_that_was_ahead_has_written_keeps_nothing_behind_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    ahead = [(f"ahead {n}", "released", "") for n in range(2 * PIECE)]
    journal.record_outcomes(1000 * DAY, ahead)
    days(journal, 100, KEEP_DAYS + 10)
    assert kept(journal) == [*range(110, 110 + KEEP_DAYS), 1000]


def test_it_forgets_in_pieces_and_gives_the_space_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    days(journal, 100, 1, each=40 * PIECE)
    journal.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    large = path.stat().st_size
    for day in range(101, 101 + KEEP_DAYS):
        longest = 0.0
        journal.prune(day * DAY)
    pieces = 0
    while True:
        began = time.perf_counter()
        more = journal.prune((101 + KEEP_DAYS) * DAY)
        longest = max(longest, time.perf_counter() - began)
        if not more:
            break
        pieces += 1
    assert pieces >= 38
    assert longest < 1.0, "ten milliseconds on an idle machine"
    journal.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size < large / 4


def test_it_is_bounded_in_bytes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    days(journal, 100, 10, each=2 * PIECE)
    most = used_bytes(journal.db) // 2
    forget_all(journal, 110 * DAY, most)
    assert most // 2 < used_bytes(journal.db) <= most
    assert kept(journal)[-1] == 109, "the oldest go"


def test_it_is_bounded_in_bytes_whatever_the_clock_said(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    days(journal, 300, 5, each=2 * PIECE)
    days(journal, 100, 5, each=2 * PIECE)
    most = used_bytes(journal.db) // 2
    forget_all(journal, 110 * DAY, most)
    assert used_bytes(journal.db) <= most


def test_an_empty_journal_has_nothing_to_forget(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    assert not journal.prune(4e9, most_bytes=0)
