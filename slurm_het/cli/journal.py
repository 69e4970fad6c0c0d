"""slurm-het journal: what its file holds; its schema up and down; its space given back."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import click

from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.journal.forgetting import MOST_BYTES, TIME_OF, used_bytes
from slurm_het.journal.schema import VERSION, bring_to, version_of

STOP_FIRST = "stop hetd first: systemctl stop hetd"


@click.command()
@CONFIG
@click.option("--schema", type=click.IntRange(0, VERSION), help="Bring it to that schema version.")
@click.option("--vacuum", is_flag=True, help="Rewrite the file, without the space that is free.")
def journal(config: Path | None, schema: int | None, vacuum: bool) -> None:
    """Show what the journal holds; bring it to the schema of an older slurm-het; make it smaller.

    hetd brings an older file up by itself. Before an older slurm-het is installed again, bring it
    down, with hetd stopped.

    \b
    Example:
      slurm-het journal
      slurm-het journal --schema 0
    """
    settings = load_config(config)
    path = settings.paths.journal
    try:
        if schema is not None or vacuum:
            click.echo(_changed(path, schema, vacuum=vacuum))
        else:
            click.echo(_told(path, settings.planner.keep_days))
    except (OSError, sqlite3.Error) as error:
        hint = STOP_FIRST if "locked" in str(error) else "as SlurmUser or root; see paths.journal"
        raise HetError(f"cannot use the journal {path}: {error}", hint) from error


def _changed(path: Path, schema: int | None, *, vacuum: bool) -> str:
    if not path.exists():
        raise HetError(f"there is no journal {path}", "see paths.journal")
    db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        # Nobody else may have it open: a hetd would go on as if nothing had changed.
        db.executescript("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;")
        if schema is not None:
            bring_to(db, schema)
        if vacuum:
            db.executescript("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")
        return f"{path} has schema {version_of(db)} and {path.stat().st_size >> 20} MiB"
    finally:
        db.close()


def _told(path: Path, keep_days: int) -> str:
    read = Journal(path, read_only=True)
    try:
        first = read.db.execute("SELECT time FROM outcome ORDER BY rowid LIMIT 1").fetchone()
        since = time.strftime("%Y-%m-%d", time.localtime(first[0])) if first else "now"
        counts = {
            table: read.db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours
            for table in TIME_OF
        }
        return "\n".join(
            (
                f"{path}: schema {version_of(read.db)},"
                f" {used_bytes(read.db) >> 20} MiB since {since}",
                "  " + ", ".join(f"{count} of {table}" for table, count in counts.items()),
                f"  kept: {keep_days} days on which hetd ran, at most {MOST_BYTES >> 30} GiB",
            )
        )
    finally:
        read.close()
