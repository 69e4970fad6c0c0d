"""Where a sandbox keeps its files, and what it needs of the machine."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slurm_het.errors import HetError, SlurmError
from slurm_het.slurm.versions import SlurmVersion, parse_version

APT_LINE = "apt-get install -y slurmctld slurmd slurm-client munge lua5.1 lua-socket"
PROGRAMS = ("slurmctld", "slurmd", "scontrol", "sbatch", "sinfo", "munged")
ACCOUNTING_APT_LINE = "apt-get install -y --no-install-recommends slurmdbd mariadb-server-core"
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "sacctmgr")
SOCKET_PATH_MAX = 100
"""Bytes; the kernel's sun_path has 108, and munged appends `.lock` to its own."""

_PORTS = range(12_000, 32_000)  # below Linux's ephemeral ports
_SYSTEM_DIRS = ("/usr/sbin", "/sbin")


@dataclass(frozen=True)
class SandboxLayout:
    """The paths inside a sandbox directory."""

    dir: Path

    @property
    def marker(self) -> Path:
        """The file that says the directory is a sandbox's, and may be removed."""
        return self.dir / "sandbox.json"

    @property
    def etc(self) -> Path:
        """slurm.conf, the hook, het.yaml."""
        return self.dir / "etc"

    @property
    def run(self) -> Path:
        """Sockets and pid files."""
        return self.dir / "run"

    @property
    def log(self) -> Path:
        """One log per daemon."""
        return self.dir / "log"

    @property
    def bin(self) -> Path:
        """The stand-in programs, first in the jobs' PATH."""
        return self.dir / "bin"

    @property
    def work(self) -> Path:
        """A directory anyone may write to, for jobs' output."""
        return self.dir / "work"

    @property
    def slurm_conf(self) -> Path:
        """The cluster's slurm.conf."""
        return self.etc / "slurm.conf"

    @property
    def het_config(self) -> Path:
        """The slurm-het configuration of this cluster."""
        return self.etc / "het.yaml"

    @property
    def munge_socket(self) -> Path:
        """The socket of this sandbox's own munged, in a directory of its own user, root."""
        return self.dir / "munge.sock"

    @property
    def database(self) -> Path:
        """MariaDB's data, SlurmUser's alone."""
        return self.dir / "database"

    @property
    def database_socket(self) -> Path:
        """Where MariaDB listens."""
        return self.database / "mariadb.sock"

    def log_of(self, daemon: str) -> Path:
        """The log file a Slurm daemon writes itself."""
        return self.log / f"{daemon}.log"

    def output_of(self, daemon: str) -> Path:
        """Where a daemon's standard output and error go."""
        return self.log / f"{daemon}.out"

    def log_tail(self, daemon: str, lines: int = 15) -> str:
        """The last lines of a daemon's log, for an error message."""
        path = self.log_of(daemon)
        if not path.exists():
            path = self.output_of(daemon)
        if not path.exists():
            return f"({path} was not written)"
        last = path.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- end of {path}", *last, "---"])

    def make_dirs(self, nodes: tuple[str, ...], owner: int = 0) -> None:
        """Create every directory; other users may read, but no logs, and write in `work` only.

        What slurmctld and hetd write in belongs to `owner`, SlurmUser.
        """
        for path in (self.dir, self.etc, self.run, self.log, self.bin, self.work):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        self.work.chmod(0o1777)
        self.log.chmod(0o700)  # they tell whose jobs did what, which PrivateData may hide
        (self.dir / "munge").mkdir(mode=0o700)
        for inner in ("state/slurmctld", *(f"spool/{node}" for node in nodes)):
            (self.dir / inner).mkdir(parents=True)
        for path in (self.run, self.log, self.dir / "state", self.dir / "state" / "slurmctld"):
            os.chown(path, owner, -1)


def account(user: str) -> pwd.struct_passwd:
    """A user's entry in the password database. Raises HetError if there is none."""
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise HetError(f"there is no user {user!r}", "name one from /etc/passwd") from error


def require_users(users: Iterable[str]) -> None:
    """Refuse to go on when a site's user is none of this machine: nobody could submit as them."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    for user in users:
        if user not in known:
            hint = "name others, or add them: useradd NAME"
            raise HetError(f"accounting: users: {user}: this machine has no such user", hint)


def default_dir() -> Path:
    """Where the sandbox is unless --dir says otherwise."""
    return Path(tempfile.gettempdir()) / "slurm-het-sandbox"


def checked_dir(path: Path) -> Path:
    """The absolute path; refuses one whose sockets the kernel could not bind."""
    absolute = path.absolute()
    if len(os.fsencode(SandboxLayout(absolute).run / "slurm-het-events.sock")) >= SOCKET_PATH_MAX:
        raise HetError(
            f"the sandbox directory is too long for Unix sockets: {absolute}",
            "choose a short one, e.g. --dir /tmp/sb1",
        )
    if re.search(r"[\s#%=,\[\]\"'\\]", str(absolute)):
        raise HetError(
            f"Slurm's configuration cannot name this directory: {str(absolute)!r}",
            "choose a --dir without blanks and without # % = , [ ] or quotes",
        )
    return absolute


def require_root(what: str) -> None:
    """Refuse to go on unless root: daemons change users, and device files are made."""
    if os.geteuid() != 0:
        raise HetError(
            f"{what} needs root: Slurm's daemons start jobs as other users",
            f"run it as root, e.g. sudo slurm-het {what}",
        )


def require_own_name() -> None:
    """Refuse to go on when this host cannot look up its own name, as slurmctld does to listen."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        raise HetError(
            f"this host does not know its own name {name!r}: {error}",
            f"add it to /etc/hosts: echo '127.0.1.1 {name}' >> /etc/hosts",
        ) from error


def search_path() -> str:
    """PATH with the directories where Debian keeps daemons."""
    path = os.environ.get("PATH", "/usr/bin:/bin")
    missing = [entry for entry in _SYSTEM_DIRS if entry not in path.split(":")]
    return ":".join([path, *missing])


def program(name: str) -> str:
    """The full path of one of Slurm's, munge's or MariaDB's programs."""
    found = shutil.which(name, path=search_path())
    if found is None:
        hint = f"install Slurm and munge: {APT_LINE}"
        if name in ACCOUNTING_PROGRAMS:
            hint = f"install it: {ACCOUNTING_APT_LINE}"
        raise SlurmError(f"{name} is not installed", hint)
    return found


def require_programs(*, accounting: bool = False) -> SlurmVersion:
    """The installed Slurm. Raises SlurmError if a program that a sandbox starts is missing."""
    for name in (*PROGRAMS, *(ACCOUNTING_PROGRAMS if accounting else ())):
        program(name)
    return slurm_version()


def slurm_version() -> SlurmVersion:
    """The installed Slurm. Raises SlurmError if there is none."""
    argv = [program("slurmctld"), "-V"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    return parse_version(done.stdout)


def free_ports(count: int) -> range:
    """A run of TCP ports nobody listens on; random, so that parallel sandboxes differ."""
    for _ in range(200):
        first = _PORTS.start + secrets.randbelow(len(_PORTS) - count)
        ports = range(first, first + count)
        if all(_is_free(port) for port in ports):
            return ports
    raise HetError(f"no {count} free TCP ports in a row", "stop other sandboxes first")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
