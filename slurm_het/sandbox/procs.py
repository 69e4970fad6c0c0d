"""Processes of a sandbox: started, recorded, recognised and ended, never anybody else's."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm_het.proc_stat import stat_of

MARK = "SLURM_HET_SANDBOX"
"""Environment variable that every daemon of a sandbox, and what they start, carries."""
ASK_SECONDS = 1.0
"""How often a process that is to end is asked."""

_CLIENTS = {"srun", "salloc", "sbatch", "sattach"}


@dataclass(frozen=True)
class Process:
    """A process by its id and its start time, which a recycled id does not share."""

    name: str
    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return self.start != 0 and start_time(self.pid) == self.start

    def signal(self, number: int) -> None:
        """Send a signal, if it is still the same process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def record(self, directory: Path) -> None:
        """Write NAME.pid, for a later `down`."""
        (directory / f"{self.name}.pid").write_text(f"{self.pid} {self.start}\n")


def start_time(pid: int) -> int:
    """When the process started, in ticks since boot; 0 if it is gone or a zombie."""
    stat = stat_of(pid)
    return 0 if stat is None or stat.ended else stat.start


def read_recorded(directory: Path) -> list[Process]:
    """The processes recorded as NAME.pid in a directory."""
    found = []
    for path in sorted(directory.glob("*.pid")):
        words = path.read_text().split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            found.append(Process(path.stem, int(words[0]), int(words[1])))
    return found


def spawn(
    name: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    record_in: Path,
    user: pwd.struct_passwd,
) -> Process:
    """Start a daemon as `user` in its own session, its output appended to `log`; record it."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            env=dict(env),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            start_new_session=True,
        )
    process = Process(name, child.pid, start_time(child.pid))
    process.record(record_in)
    child.returncode = 0  # it outlives this object by design: no ResourceWarning
    return process


def end(processes: Iterable[Process], term_seconds: float, first: int = signal.SIGTERM) -> None:
    """Ask the processes to stop, wait, then kill those that did not.

    They are asked again and again: from Slurm 24.11 on a slurmctld that reads its configuration
    anew takes no SIGTERM meanwhile, and one that is killed forgets the last seconds' jobs.
    """
    targets = list(processes)
    deadline = time.monotonic() + term_seconds
    while targets and (left := deadline - time.monotonic()) > 0:
        targets = _signalled(targets, first, min(ASK_SECONDS, left))
    _signalled(targets, signal.SIGKILL, 3.0)


def _signalled(processes: Sequence[Process], number: int, seconds: float) -> list[Process]:
    """Those that are there still, so long after the signal at most."""
    for process in processes:
        process.signal(number)
    wait_gone(processes, seconds)
    return [process for process in processes if process.alive]


def wait_gone(processes: Sequence[Process], seconds: float) -> bool:
    """Wait until all are gone; false if the time was not enough."""
    deadline = time.monotonic() + seconds
    while True:
        for process in processes:
            _reap(process.pid)
        if not any(process.alive for process in processes):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)


def strays(directory: Path) -> list[Process]:
    """What this sandbox's daemons, jobs and waiting clients left, our own ancestors excepted."""
    spared = _ancestors()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if _belongs(entry, directory):
                pid = int(entry.name)
                found.append(Process(f"stray-{pid}", pid, start_time(pid)))
    return [process for process in found if process.start]


def _belongs(entry: Path, directory: Path) -> bool:
    if not (entry / "root").samefile("/"):
        return False  # the same path in a chroot is another sandbox
    command = (entry / "comm").read_text().strip()
    if command == "slurmstepd":
        # Its title overwrites its environment, but it keeps its slurmd's log open.
        links = [str(fd.readlink()) for fd in (entry / "fd").iterdir()]
        return any(link.startswith(f"{directory}/log/") for link in links)
    environ = (entry / "environ").read_bytes().split(b"\0")
    if f"{MARK}={directory}".encode() in environ:
        return True
    in_job = any(variable.startswith(b"SLURM_JOB_ID=") for variable in environ)
    ours = f"SLURM_CONF={directory}/etc/slurm.conf".encode() in environ
    return ours and (in_job or command in _CLIENTS)


def _ancestors() -> set[int]:
    pid, found = os.getpid(), set[int]()
    while pid > 0:
        found.add(pid)
        stat = stat_of(pid)
        pid = stat.parent if stat else 0
    return found


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
