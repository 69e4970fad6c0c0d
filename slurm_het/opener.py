"""Opens the gate in place of a hetd that no longer can, and shares nothing with what failed.

What is needed when hetd fails is made before: a shell that waits to become `scontrol update`. To
tell it takes no fork, no descriptor, no configuration, no disk and no log; it has limits of its
own. If the one who is to tell it dies, it opens the gate too. Nobody waits for it. If it comes to
nothing, another one is made, for ever, with growing pauses. docs/gate.md says why each case holds.

Only the standard library: this must run where hetd and its configuration do not.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

PARTITION = re.compile(r"[\w.@+-]{1,128}")
NOTHING = "-"
OPENS = "SLURM_HET_OPENS"
"""In the environment of a supervised hetd: `opens` of the opener that stands by for it."""
TRY_SECONDS = 5.0
LONGEST_PAUSE = 10.0

WAIT = """\
read -r told || read -r told <"$2" || told=$1
[ "$told" = - ] || exec "$0" update "PartitionName=$told" State=UP
"""
"""A shell's program: told a partition it becomes scontrol, which opens it; told `-` it ends. At the
end of its input, when nobody is left to tell it, it goes by the note $2, else it opens $1."""


def opens(partition: str, scontrol: str, slurm_conf: str) -> str:
    """What an opener opens, and by what, in words."""
    return f"{partition} by {scontrol}" + (f", {slurm_conf}" if slurm_conf else "")


class Holds:
    """The note of what hetd holds closed on this host: a file in the directory of its sockets.

    hetd writes it before it closes the gate. A hetd that stands by holds nothing: the gate is
    another's. The opener goes by this note and not by het.yaml, which may have changed since.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "holds"

    def write(self, partition: str) -> None:
        """Say what is held closed; '' is nothing. Raises OSError."""
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)  # root's, if it was ended amid this
        new.write_text(f"{partition or NOTHING}\n")
        new.replace(self.path)

    def read(self, configured: str) -> str:
        """What is to be opened; '' is nothing. What cannot be read may hold the configured one."""
        try:
            with self.path.open("rb") as file:
                found = file.read(200).decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return configured
        if found == NOTHING:
            return ""
        return found if PARTITION.fullmatch(found) else configured


class Opener:
    """Opens the gate when `want` says so. `tick` does the next step of it, and never waits.

    `configured` is the intake of het.yaml as it was at the start. Times are seconds of a clock that
    never goes back.
    """

    def __init__(self, configured: str, scontrol: str, holds: Holds, slurm_conf: str = "") -> None:
        self.configured, self.scontrol, self.holds = configured, scontrol, holds
        self.opens = opens(configured, scontrol, slurm_conf)
        self.env = os.environ | ({"SLURM_CONF": slurm_conf} if slurm_conf else {})
        self.wanted = False
        self.tries = 0
        self._next = self._deadline = 0.0
        self._waiting = self._trying = 0  # pids
        self._tell = -1  # the writing end of the pipe to the one that waits
        self._left: list[int] = []  # pids of those killed that have not ended
        self._said = os.memfd_create("scontrol")  # its complaints, on no disk
        self._partition = ""  # that is being opened

    def want(self, now: float) -> None:
        """The gate is to be open from now on."""
        if not self.wanted:
            self.wanted, self.tries, self._next = True, 0, now

    def unwant(self) -> None:
        """hetd is ready: the gate is its own again."""
        self.wanted = False

    def tick(self, now: float) -> str:
        """Go on with what is to be done; returns what is worth a line in the log, or ''."""
        self._left = [pid for pid in self._left if _ended(pid) is None]
        if self._trying:
            return self._look(now)
        if self._waiting and _ended(self._waiting) is not None:
            self._forget()
        if not self._waiting and now >= self._next:
            try:
                self._make()
            except OSError as error:
                return self._again(now, f"cannot start {self.scontrol}: {error.strerror}")
        if self.wanted and self._waiting and now >= self._next:
            self._open(now)
        return ""

    def close(self) -> None:
        """End the one that waits: there is nothing to open any more."""
        if self._waiting:
            with contextlib.suppress(OSError):
                os.write(self._tell, f"{NOTHING}\n".encode())
            self._forget()

    def _make(self) -> None:
        reading, self._tell = os.pipe()
        argv = ["/bin/sh", "-c", WAIT, self.scontrol, self.configured, str(self.holds.path)]
        actions = [(os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_DUP2, self._said, 1),
                   (os.POSIX_SPAWN_DUP2, self._said, 2)]  # fmt: skip
        try:
            # A group of its own: what ends hetd's and ours must not end it.
            self._waiting = os.posix_spawn(
                argv[0], argv, self.env, file_actions=actions, setsid=True,
                setsigmask=(), setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGPIPE),
            )  # fmt: skip
        except OSError:
            os.close(self._tell)
            raise
        finally:
            os.close(reading)

    def _open(self, now: float) -> None:
        partition = self.holds.read(self.configured)
        if not partition:
            self.wanted = False
            return
        os.ftruncate(self._said, 0)
        os.lseek(self._said, 0, os.SEEK_SET)
        with contextlib.suppress(OSError):  # it has ended: the next look finds that out
            os.write(self._tell, f"{partition}\n".encode())
        self._trying, self._deadline = self._waiting, now + TRY_SECONDS
        self._forget()
        self._partition = partition

    def _look(self, now: float) -> str:
        status = _ended(self._trying)
        if status is None and now < self._deadline:
            return ""
        pid, self._trying = self._trying, 0
        if status == 0:
            self.wanted = False
            self._next = now
            with contextlib.suppress(OSError):
                self.holds.write("")
            return f"opened the gate: partition {self._partition} is UP"
        if status is None:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            self._left.append(pid)
            return self._again(now, f"{self.scontrol} did not answer for {TRY_SECONDS:g} s")
        said = os.pread(self._said, 300, 0).decode("utf-8", "replace").strip()
        return self._again(now, said or f"{self.scontrol} ended with status {status}")

    def _again(self, now: float, why: str) -> str:
        pause = min(LONGEST_PAUSE, 0.2 * 2.0 ** min(self.tries, 10))
        self.tries += 1
        self._next = now + pause
        return f"could not open the gate: {why}; tried again in {pause:g} s" if self.wanted else ""

    def _forget(self) -> None:
        if self._tell >= 0:
            os.close(self._tell)
        self._waiting, self._tell = 0, -1


def _ended(pid: int) -> int | None:
    """The status of a child, which is then gone; None as long as it lives."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 1
    return os.waitstatus_to_exitcode(status) if found else None
