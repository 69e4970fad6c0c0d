"""The journal's file: how it is opened, and what happens when it cannot be written or read."""

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
from slurm_het.journal.schema import bring_up, cover_up, note_beside, refuse_newer, version_of

log = logging.getLogger("hetd.journal")
FileId = tuple[int, int]  # its device and inode
NO_FILE: FileId = (0, 0)
COMPLAIN_SECONDS = 60.0
LOCKED_SECONDS = 2.0  # so long another program may have the file locked
WAL_BYTES = 64 << 20  # the write-ahead log is cut to this after it was larger
SMALL_BYTES = 64 << 20  # an older file of this size is rewritten so that it can give space back
REMEDY = "see paths.journal; it is for SlurmUser and root, others ask hetd"
UNREADABLE = (OSError, sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError, KeyError)
"""What reading an entry may raise: the file is gone or damaged, or holds what we did not write."""


class JournalFile:
    """The database of the journal, opened when it is first needed.

    hetd's own never raises for want of a disk: it says so and tries again with the next entry. A
    damaged file is put aside for a new one, whoever has found the damage and wherever in the file
    it is; one that was removed or replaced is opened anew. Read only, HetError says why it cannot
    be read. `file` is the one that is open. One thread at a time may use it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path, self.read_only = path, read_only
        self.trouble = ""  # why it does not work; '' when it did the last time
        self._db: sqlite3.Connection | None = None
        self.file = self._wal = self._damaged = NO_FILE
        self._complain_at = 0.0
        self._left_out = 0
        if read_only:
            try:
                _ = self.db
            except (OSError, sqlite3.Error) as error:
                raise self.unreadable(error) from error

    @classmethod
    def noting_beside(cls, path: Path | None) -> Self:
        """A journal that begins as the one in the file, which is read as it is; without a file it
        is empty. What tasks ask for can be noted in it: that is in memory, and gone with it.

        Raises HetError if the file cannot be read.
        """
        journal = cls(path or Path(":memory:"), read_only=path is not None)
        try:
            if path:
                note_beside(journal.db)
            else:
                journal._db = sqlite3.connect(":memory:", check_same_thread=False)
                bring_up(journal._db)
        except sqlite3.Error as error:
            journal.close()
            raise journal.unreadable(error) from error
        return journal

    @property
    def db(self) -> sqlite3.Connection:
        """The database, opened when it is needed. Raises sqlite3.Error or OSError."""
        if self._db is not None and self.file not in {NO_FILE, _identity(self.path)}:
            log.warning("the journal %s was removed or replaced: it is opened anew", self.path)
            self._leave()
        if self._db is None:
            self._db = _opened_read_only(self.path) if self.read_only else self._opened()
            self.file, self._wal = _identity(self.path), _identity(_beside(self.path, "-wal"))
        return self._db

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if _identity(self.path) == self._damaged:  # most damage does not show while it is opened
            _put_aside(self.path, self.trouble)
        try:
            return _prepared(self.path)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            _put_aside(self.path, str(error))
            return _prepared(self.path)

    def close(self) -> None:
        """Close the database."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db, self.file = None, NO_FILE

    def _leave(self) -> None:
        """Close a file that is no longer ours. What was written ahead belongs to it: SQLite would
        take it for that of the file that is there now."""
        ours = self._wal
        self.close()
        if not self.read_only and ours == _identity(_beside(self.path, "-wal")):
            _drop_log(self.path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; if it fails (a full disk) the log says so, and planning goes on."""
        try:
            db = self.db
        except (OSError, sqlite3.Error) as error:
            self.complain(error)
            db = sqlite3.connect(":memory:")
            bring_up(db)
            yield db
            db.close()
            return
        try:
            with db:
                yield db
        except sqlite3.Error as error:
            self.complain(error)
        else:
            self.trouble = ""

    def complain(self, error: Exception, file: FileId = NO_FILE) -> None:
        """Say that the journal does not work, once in a while. `file` is the one that was open to
        whoever has met the error, if that is somebody else: by now another may be in its place."""
        self.trouble = str(error)
        if _is_damage(error):
            self._damaged = file if file != NO_FILE else self.file
            self.close()  # opening it again puts it aside
        self._left_out += 1
        if time.monotonic() >= self._complain_at:
            log.error(
                "the journal %s does not work, planning goes on without it: %s%s", self.path, error,
                f" ({self._left_out} times by now)" if self._left_out > 1 else "",
            )  # fmt: skip
            self._complain_at = time.monotonic() + COMPLAIN_SECONDS
            self._left_out = 0

    def unreadable(self, error: Exception) -> HetError:
        """The error for whoever asked for what cannot be read."""
        return HetError(f"cannot read the journal {self.path}: {error}", REMEDY)


def _identity(path: Path) -> FileId:
    try:
        found = path.stat()
    except OSError:
        return (0, 1)  # none
    return found.st_dev, found.st_ino


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _drop_log(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        _beside(path, suffix).unlink(missing_ok=True)


def _put_aside(path: Path, why: str) -> None:
    aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
    log.error("the journal %s is damaged (%s): it is kept as %s", path, why, aside)
    path.rename(aside)
    _drop_log(path)


def _prepared(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=LOCKED_SECONDS, check_same_thread=False)
    try:
        refuse_newer(db)
        db.executescript(
            "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            f"PRAGMA journal_size_limit={WAL_BYTES};"
        )
        older = version_of(db) == 0 and path.stat().st_size > 0
        bring_up(db)
        if older and db.execute("PRAGMA auto_vacuum").fetchone() == (0,):
            _let_give_back(db, path)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _let_give_back(db: sqlite3.Connection, path: Path) -> None:
    """An older file can give no space back before it is rewritten, which takes a large one long."""
    size = path.stat().st_size
    if size <= SMALL_BYTES:
        db.executescript("PRAGMA auto_vacuum=INCREMENTAL; VACUUM;")
    else:
        log.info(
            "the journal %s keeps its size of %d MiB: `slurm-het journal --vacuum` rewrites it,"
            " with hetd stopped", path, size >> 20,
        )  # fmt: skip


def _opened_read_only(path: Path) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, timeout=LOCKED_SECONDS, check_same_thread=False)
    try:
        db.execute("PRAGMA temp_store = MEMORY")  # first: it drops what is beside the file
        db.execute("SELECT 1 FROM job LIMIT 1")
        cover_up(db)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _is_damage(error: Exception) -> bool:
    """Whether the file itself is bad, not the disk or the permissions."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
