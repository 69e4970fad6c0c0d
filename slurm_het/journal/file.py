"""The journal's file: its tables, and what happens when it cannot be written or read."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from slurm_het.errors import HetError

log = logging.getLogger("hetd.journal")
COMPLAIN_SECONDS = 60.0
REMEDY = "see paths.journal; it is for SlurmUser and root, others ask hetd"
UNREADABLE = (OSError, sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError)
"""What reading an entry may raise: the file is gone or damaged, or holds what we did not write."""

# Tables are only ever added: the file of an older hetd gets those that it has not, and a column
# that holds JSON may have keys that older entries have not.
SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    key TEXT, submitted INTEGER, user TEXT, classification TEXT, PRIMARY KEY (key, submitted));
CREATE TABLE IF NOT EXISTS cycle (
    id INTEGER PRIMARY KEY, time REAL, seconds REAL, solve_seconds REAL, status TEXT, gap REAL,
    objective REAL, bound REAL, tasks INTEGER, placed INTEGER);
CREATE TABLE IF NOT EXISTS placement (
    cycle INTEGER, time REAL, key TEXT, placement TEXT);
CREATE INDEX IF NOT EXISTS placement_key ON placement (key);
CREATE TABLE IF NOT EXISTS demand (
    key TEXT, time REAL, demand TEXT, minutes REAL, PRIMARY KEY (key, demand));
CREATE TABLE IF NOT EXISTS outcome (time REAL, key TEXT, event TEXT, detail TEXT);
CREATE INDEX IF NOT EXISTS outcome_key ON outcome (key);
CREATE TABLE IF NOT EXISTS job_end (
    key TEXT, submitted INTEGER, time REAL, job_end TEXT, PRIMARY KEY (key, submitted));
"""
TABLES_WITH_TIME = ("cycle", "placement", "outcome", "demand", "job_end")


class JournalFile:
    """The database of the journal.

    hetd's own never raises for want of a disk: it says so and tries again with the next entry. A
    damaged file is put aside for a new one. Read only, HetError says why it cannot be read.
    """

    _db: sqlite3.Connection | None = None
    _complain_at = 0.0

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only:
            try:
                self._db = _opened_read_only(path)
            except (OSError, sqlite3.Error) as error:
                raise self.unreadable(error) from error
        else:
            with self.writing():
                pass

    @classmethod
    def copy_of(cls, path: Path | None) -> Self:
        """A journal in memory that begins as the one in the file; without a file it is empty.

        What is written to it is gone with it. Raises HetError if the file cannot be read.
        """
        copy = cls.__new__(cls)
        copy.path = Path(":memory:")
        database = copy._db = sqlite3.connect(":memory:", check_same_thread=False)  # noqa: SLF001
        if path:
            original = cls(path, read_only=True)
            try:
                original.db.backup(database)
            except sqlite3.Error as error:
                raise original.unreadable(error) from error
            finally:
                original.close()
        database.executescript(SCHEMA)
        return copy

    @property
    def db(self) -> sqlite3.Connection:
        """The database, opened when it is needed. Raises sqlite3.Error or OSError."""
        if self._db is None:
            self._db = _opened(self.path)
        return self._db

    def close(self) -> None:
        """Close the database."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; if it fails (a full disk) the log says so, and planning goes on."""
        try:
            db = self.db
        except (OSError, sqlite3.Error) as error:
            self.complain(error)
            db = sqlite3.connect(":memory:")
            db.executescript(SCHEMA)
            yield db
            db.close()
            return
        try:
            with db:
                yield db
        except sqlite3.Error as error:
            self.complain(error)

    def complain(self, error: Exception) -> None:
        """Say that the journal does not work, once in a while."""
        if _is_damage(error):
            self.close()  # opening it again puts it aside
        if time.monotonic() >= self._complain_at:
            log.error("the journal does not work, planning goes on without it: %s", error)
            self._complain_at = time.monotonic() + COMPLAIN_SECONDS

    def unreadable(self, error: Exception) -> HetError:
        """The error for whoever asked for what cannot be read."""
        return HetError(f"cannot read the journal {self.path}: {error}", REMEDY)


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _prepared(path)
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        log.error("the journal %s is damaged (%s): it is kept as %s", path, error, aside)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=2)
    try:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        db.executescript(SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _opened_read_only(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)
    db.execute("SELECT 1 FROM job LIMIT 1")
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'job_end'").fetchone():
        # The file of an older hetd that still runs: no end is known. A temporary table is ours.
        db.execute("CREATE TEMP TABLE job_end (key, submitted, time, job_end)")
    return db


def _is_damage(error: Exception) -> bool:
    """Whether the file itself is bad, not the disk or the permissions."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
