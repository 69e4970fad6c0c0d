"""MariaDB in a sandbox's directory: on a Unix socket alone, for SlurmUser alone.

It asks for no password: whoever reaches its socket, in a directory of SlurmUser's own, may do all.
What is asked of a database's safety is not asked of this one, which is gone with its sandbox.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from slurm_het.errors import SlurmError
from slurm_het.sandbox.layout import SandboxLayout, account, program

SOCKET_VARIABLE = "MYSQL_UNIX_PORT"
"""Environment variable by which libmariadb, so slurmdbd, finds the socket of `localhost`."""

_SYSTEM_TABLES = (
    Path("/usr/share/mariadb/mariadb_system_tables.sql"),  # Debian 13
    Path("/usr/share/mysql/mysql_system_tables.sql"),  # Debian 12
)
_OPTIONS = (
    "--skip-networking", "--skip-grant-tables", "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M", "--innodb-undo-tablespaces=0", "--aria-pagecache-buffer-size=1M",
    "--key-buffer-size=1M", "--innodb-lock-wait-timeout=900",
    "--loose-innodb-snapshot-isolation=OFF",  # 26.05 ends when a write conflicts with it on
)  # fmt: skip
# slurmdbd would make its own; but libmariadb 3.4.10 (Debian 13, testing) forgets a default when a
# connection is tried again after "Unknown database", and slurmdbd ends: "maximum allowed number of
# columns (=0)".
_CREATE = b"create database slurm;\ncreate database mysql;\nuse mysql;\n"
_SECONDS = 60  # to make an empty database; it takes a quarter of one


def server(layout: SandboxLayout, user: str) -> list[str]:
    """The command line of mariadbd, to be run as `user`."""
    # --no-defaults comes first or not at all.
    argv = [program("mariadbd"), "--no-defaults", f"--datadir={layout.database}", *_OPTIONS]
    return [*argv, f"--socket={layout.database_socket}", f"--tmpdir={layout.database}",
            f"--user={user}"]  # fmt: skip


def make(layout: SandboxLayout, user: str) -> None:
    """Make an empty database that belongs to `user`. Raises SlurmError."""
    owner = account(user)
    layout.database.mkdir(mode=0o700)
    os.chown(layout.database, owner.pw_uid, owner.pw_gid)
    with layout.output_of("mariadbd").open("ab") as output:
        child = subprocess.Popen(
            [*server(layout, user), "--bootstrap"],
            stdin=subprocess.PIPE, stdout=output, stderr=output,
            user=owner.pw_uid, group=owner.pw_gid, extra_groups=[],
        )  # fmt: skip
        with child:
            try:
                child.communicate(_CREATE + _system_tables().read_bytes(), timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
    if child.returncode != 0:
        raise SlurmError(f"mariadbd could not make a database\n{layout.log_tail('mariadbd')}")


def _system_tables() -> Path:
    for path in _SYSTEM_TABLES:
        if path.exists():
            return path
    raise SlurmError(f"there is none of {', '.join(map(str, _SYSTEM_TABLES))}", "reinstall MariaDB")
