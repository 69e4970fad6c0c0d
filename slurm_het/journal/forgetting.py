"""What the journal forgets, piece by piece: what is old, and what is too much.

Age is counted in days on which hetd ran, not by the clock: a clock that is far ahead for a while
makes nothing old. Entries stand in the order in which they were written, so that the oldest are
found without a look at the others.
"""

from __future__ import annotations

import math
import sqlite3

KEEP_DAYS = 30
MOST_BYTES = 4 << 30
DAY = 86400
PIECE = 500  # entries of each table: some ten milliseconds
LOOKED_THROUGH = 50_000  # for a piece, at most
PIECE_PAGES = 500
TIME_OF = {
    "cycle": "time", "placement": "time", "outcome": "time", "demand": "time", "job_end": "time",
    "job": "submitted", "trial": "time", "pace": "time", "told": "time",
}  # fmt: skip
"""The tables, and the column that says how old an entry is."""


def note_day(db: sqlite3.Connection, now: float) -> None:
    """Note that the journal was written on this day."""
    db.execute("INSERT OR IGNORE INTO day VALUES (?)", (int(now // DAY),))


def forget(
    db: sqlite3.Connection, now: float, most_bytes: int = MOST_BYTES, keep_days: int = KEEP_DAYS
) -> bool:
    """Forget a piece of what is due; returns whether there may be more. Raises sqlite3.Error."""
    old, much = since(db, keep_days), used_bytes(db) > most_bytes
    known = since(db, max(keep_days, KEEP_DAYS))  # others may ask for as many days
    db.execute("DELETE FROM day WHERE (day + 1) * ? < ?", (DAY, known))
    before = max(old, _first_part(db)) if much else old
    gone = _drop(db, before, now + DAY) if before else 0
    if much and not gone:  # the clock was set back: what is first is not the oldest
        gone = _drop(db, math.inf, math.inf)
    return gone > 0


def _drop(db: sqlite3.Connection, before: float, ahead: float) -> int:
    """Drop what is from before then among the first entries of each table; how many.

    What a clock that was ahead has written may stand before them for long: it is passed over.
    """
    gone = 0
    for table, column in TIME_OF.items():
        gone += db.execute(
            f"DELETE FROM {table} WHERE {column} < ? AND rowid IN (SELECT rowid FROM"  # noqa: S608
            f" (SELECT rowid, {column} AS time FROM {table} ORDER BY rowid LIMIT {LOOKED_THROUGH})"
            f" WHERE time <= ? LIMIT {PIECE})",
            (before, ahead),
        ).rowcount
    return gone


def give_back(db: sqlite3.Connection) -> bool:
    """Give a piece of free space back to the file system; returns whether there is more of it.

    An eighth is kept: it is needed again soon. Raises sqlite3.Error.
    """
    free, pages = _number(db, "freelist_count"), _number(db, "page_count")
    if free <= max(PIECE_PAGES, pages // 8) or not _number(db, "auto_vacuum"):
        return False
    db.executescript(f"PRAGMA incremental_vacuum({PIECE_PAGES});")
    return True


def used_bytes(db: sqlite3.Connection) -> int:
    """The bytes of the file that hold something."""
    pages = _number(db, "page_count") - _number(db, "freelist_count")
    return pages * _number(db, "page_size")


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def since(db: sqlite3.Connection, days: float) -> int:
    """What is from before then was written more than so many days ago; 0: nothing."""
    row = db.execute(
        "SELECT day FROM day ORDER BY day DESC LIMIT 1 OFFSET ?", (math.ceil(days),)
    ).fetchone()
    return (row[0] + 1) * DAY if row else 0


def _first_part(db: sqlite3.Connection) -> float:
    """Until when the first twentieth of what is kept was written; 0: nothing is kept."""
    row = db.execute(
        "SELECT time FROM outcome WHERE rowid >="
        " (SELECT MIN(rowid) + (MAX(rowid) - MIN(rowid)) / 20 FROM outcome) ORDER BY rowid LIMIT 1"
    ).fetchone()
    return float(row[0]) if row else 0.0
