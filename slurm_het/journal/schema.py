"""The journal's tables, by the version of their schema, and the way from each to the next.

A file tells its version by `PRAGMA user_version`. An older one is brought up in place when hetd
opens it, which takes a moment whatever its size; `slurm-het journal --schema N` brings one down
for an older slurm-het. One that is newer than this code is left alone. To change the schema: a step
up, and one down.
"""

from __future__ import annotations

import sqlite3

# A column that holds JSON may have keys that older entries have not.
DEMAND = "(key TEXT, time REAL, demand TEXT, minutes REAL, PRIMARY KEY (key, demand))"
FIRST = f"""
CREATE TABLE IF NOT EXISTS job (
    key TEXT, submitted INTEGER, user TEXT, classification TEXT, PRIMARY KEY (key, submitted));
CREATE TABLE IF NOT EXISTS cycle (
    id INTEGER PRIMARY KEY, time REAL, seconds REAL, solve_seconds REAL, status TEXT, gap REAL,
    objective REAL, bound REAL, tasks INTEGER, placed INTEGER);
CREATE TABLE IF NOT EXISTS placement (
    cycle INTEGER, time REAL, key TEXT, placement TEXT);
CREATE INDEX IF NOT EXISTS placement_key ON placement (key);
CREATE TABLE IF NOT EXISTS demand {DEMAND};
CREATE TABLE IF NOT EXISTS outcome (time REAL, key TEXT, event TEXT, detail TEXT);
CREATE INDEX IF NOT EXISTS outcome_key ON outcome (key);
CREATE TABLE IF NOT EXISTS job_end (
    key TEXT, submitted INTEGER, time REAL, job_end TEXT, PRIMARY KEY (key, submitted));
"""
UP = (
    # 1: an entry is of an id and its submit time (0: not known); `restarts` tells a job that was
    # requeued from another one of the same id. `day`: on which days this journal was written.
    """
    ALTER TABLE placement ADD COLUMN submitted INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outcome ADD COLUMN submitted INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE job ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE day (day INTEGER PRIMARY KEY);
    INSERT INTO day WITH RECURSIVE
        span (first, last) AS (SELECT
            (SELECT CAST(time / 86400 AS INTEGER) FROM cycle ORDER BY id LIMIT 1),
            (SELECT CAST(time / 86400 AS INTEGER) FROM cycle ORDER BY id DESC LIMIT 1)),
        days (day) AS (
            SELECT MAX(first, last - 60) FROM span WHERE first <= last
            UNION ALL SELECT day + 1 FROM days, span WHERE day < last)
        SELECT day FROM days;
    """,
    # 2: how users' programs fared on vendors' devices (core/jobs/trials.py).
    """
    CREATE TABLE trial (
        user TEXT, program TEXT, vendor TEXT, time REAL, well INTEGER, failures INTEGER,
        submitted INTEGER, job TEXT, PRIMARY KEY (user, program, vendor));
    """,
    # 3: how much memory of a device these took (core/jobs/sizes.py), as a list in JSON.
    "ALTER TABLE trial ADD COLUMN peaks TEXT NOT NULL DEFAULT '[]';",
    # 4: how long users' programs ran on types of devices (core/jobs/paces.py), as a list in JSON.
    """
    CREATE TABLE pace (
        user TEXT, program TEXT, type TEXT, devices INTEGER, time REAL, job TEXT, runs TEXT,
        PRIMARY KEY (user, program, type, devices));
    """,
    # 5: when jobs were told to start (core/views/accuracy.py). The index finds those that started
    # last; those that have not are not in it.
    """
    CREATE TABLE told (
        key TEXT, submitted INTEGER, time REAL, first REAL, last_time REAL, last REAL,
        started REAL, PRIMARY KEY (key, submitted));
    CREATE INDEX told_started ON told (started) WHERE started > 0;
    """,
)
DOWN = (
    """
    ALTER TABLE placement DROP COLUMN submitted;
    ALTER TABLE outcome DROP COLUMN submitted;
    ALTER TABLE job DROP COLUMN restarts;
    DROP TABLE day;
    """,
    "DROP TABLE trial;",
    "ALTER TABLE trial DROP COLUMN peaks;",
    "DROP TABLE pace;",
    "DROP TABLE told;",
)
VERSION = len(UP)
OLDER = (
    # What each version lacks of the next, for whoever reads it as it is.
    """
    CREATE TEMP VIEW placement AS SELECT rowid AS rowid, *, 0 AS submitted FROM main.placement;
    CREATE TEMP VIEW outcome AS SELECT rowid AS rowid, *, 0 AS submitted FROM main.outcome;
    CREATE TEMP VIEW job AS SELECT *, 0 AS restarts FROM main.job;
    CREATE TEMP TABLE day (day);
    """,
    """
    CREATE TEMP TABLE trial (
        user, program, vendor, time, well, failures, submitted, job, peaks);
    """,
    "CREATE TEMP VIEW IF NOT EXISTS trial AS SELECT *, '[]' AS peaks FROM main.trial;",
    "CREATE TEMP TABLE pace (user, program, type, devices, time, job, runs);",
    "CREATE TEMP TABLE told (key, submitted, time, first, last_time, last, started);",
)


def version_of(db: sqlite3.Connection) -> int:
    """The version of the file's schema."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def bring_up(db: sqlite3.Connection) -> None:
    """Make the tables, and those of an older file what they are today. Raises sqlite3.Error."""
    db.executescript(FIRST)
    bring_to(db, VERSION)


def refuse_newer(db: sqlite3.Connection) -> None:
    """Raise sqlite3.NotSupportedError for a file that a newer slurm-het has made."""
    if (version := version_of(db)) > VERSION:
        raise sqlite3.NotSupportedError(
            f"a newer slurm-het made it (schema {version}, this one knows {VERSION}); move it"
            f" away, or let the newer one do: slurm-het journal --schema {VERSION}"
        )


def bring_to(db: sqlite3.Connection, version: int) -> None:
    """Change the schema to this version, step by step, each of them whole or not at all."""
    while (now := version_of(db)) != version:
        after = now + 1 if now < version else now - 1
        script = UP[now] if now < version else DOWN[after]
        try:
            db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {after}; COMMIT;")
        except sqlite3.Error:
            if db.in_transaction:
                db.rollback()
            raise


def cover_up(db: sqlite3.Connection) -> None:
    """Let an older file, which is only read, look as one of today. Raises sqlite3.Error."""
    refuse_newer(db)
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'job_end'").fetchone():
        db.execute("CREATE TEMP TABLE job_end (key, submitted, time, job_end)")  # no end is known
    for script in OLDER[version_of(db) :]:
        db.executescript(script)


def note_beside(db: sqlite3.Connection) -> None:
    """Let what tasks ask for be noted in memory beside a file that is only read: of all tables only
    that one is copied. Raises sqlite3.Error."""
    db.execute(f"CREATE TEMP TABLE demand {DEMAND}")
    with db:
        db.execute("INSERT INTO temp.demand SELECT * FROM main.demand")
