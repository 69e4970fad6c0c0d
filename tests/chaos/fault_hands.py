"""Makes the faults of faults.py in a sandbox, and mends them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from slurm_het.daemon.lease import lease_path
from slurm_het.errors import HetError
from slurm_het.sandbox import procs
from slurm_het.sandbox.cluster import HETD_ARGV, Sandbox
from slurm_het.sandbox.daemons import SUPERVISOR
from tests.chaos.backup import Backup, can_have_hosts
from tests.chaos.ground import OWNER, Ground

STEP = 0.5
AWAY_SECONDS = 25.0  # the backup waits for 10, and takes some to get ready
SECOND = "supervisor-2"


@contextmanager
def _going_on(pids: Iterable[int]) -> Iterator[None]:
    """Afterwards these go on, as far as they are still there."""
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


class FaultHands:
    """Each fault is a context manager by its name: made on the way in, mended on the way out."""

    def __init__(self, box: Sandbox, ground: Ground, pair: bool = False) -> None:
        self.box, self.ground, self.pair = box, ground, pair
        self.second = box.dir / "second"
        self.good = {self.box.config_path: box.config_path.read_text()}
        self.backup: Backup | None = None
        if pair:
            self.second.mkdir(exist_ok=True)
            self.backup = Backup(box, (box.layout.run, self.second)) if can_have_hosts() else None
            self._start_second()

    def close(self) -> None:
        """End what the sandbox does not know of."""
        if self.backup:
            self.backup.close()

    def _start_second(self) -> None:
        """A hetd of another controller: its own sockets and journal, the shared state directory."""
        self.second.mkdir(exist_ok=True)
        shutil.chown(self.second, OWNER)
        config: dict[str, Any] = yaml.safe_load(self.box.config_path.read_text())
        for key in ("hook_socket", "control_socket", "event_socket"):
            config["paths"][key] = str(self.second / Path(config["paths"][key]).name)
        config["paths"]["journal"] = str(self.ground.state / "second.db")
        path = self.second / "het.yaml"
        self.good[path] = yaml.safe_dump(config)
        path.write_text(self.good[path])
        argv = [sys.executable, "-m", "slurm_het.supervise", "--config", str(path)]
        argv += ["--status-file", str(self.second / "hetd.status"), "--restart-seconds", "2", "--"]
        argv += [*HETD_ARGV, "--config", str(path)]
        self.box._spawn(SECOND, argv, user=OWNER)  # noqa: SLF001  # as the first is started

    def hetds(self) -> list[int]:
        """The hetds that live."""
        found = [self.box.hetd_pid() or 0]
        with contextlib.suppress(OSError, ValueError, IndexError):
            found.append(int((self.second / "hetd.status").read_text().split()[0]))
        return [pid for pid in found if pid and procs.start_time(pid)]

    def _hetd(self) -> int:
        """The one that leads, or else any; 0 if there is none."""
        living = self.hetds()
        with contextlib.suppress(OSError, ValueError, IndexError):
            leader = int(lease_path(self.ground.state).read_text().split()[1])
            if leader in living:
                return leader
        return living[0] if living else 0

    def do(self, name: str, seconds: float) -> tuple[bool, str]:
        """One fault for so long."""
        part, _, how = name.partition("-")
        if part == "storage" and not self.ground.mounted:
            return False, "hetd has no file system of its own: the machine's would fail"
        if part in {"squeue", "show", "update"}:
            fault = self._slurm_fails(part, how)
        else:
            fault = getattr(self, name.replace("-", "_"))()
        with fault:
            time.sleep(seconds)
        return True, ""

    @contextmanager
    def _slurm_fails(self, what: str, how: str) -> Iterator[None]:
        self.ground.fail(what, how)
        try:
            yield
        finally:
            self.ground.fail(what)

    # --- storage ---

    @contextmanager
    def storage_hangs(self) -> Iterator[None]:
        """Whoever writes there hangs, and cannot even be killed."""
        self.ground.run("fsfreeze", "-f", str(self.ground.state))
        try:
            yield
        finally:
            self.ground.run("fsfreeze", "-u", str(self.ground.state))

    @contextmanager
    def storage_readonly(self) -> Iterator[None]:
        """As after an error of the disk."""
        where = str(self.ground.state)
        self._kill(signal.SIGSTOP)  # who has files open for writing keeps it writable
        self._kill(signal.SIGKILL)
        for _ in range(20):
            with contextlib.suppress(subprocess.CalledProcessError):
                self.ground.run("mount", "-o", "remount,ro", where)
                break
            time.sleep(0.1)
        try:
            yield
        finally:
            self.ground.run("mount", "-o", "remount,rw", where)

    @contextmanager
    def storage_full(self) -> Iterator[None]:
        """Nothing can be written any more."""
        filler = self.ground.state / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], check=False,
                       capture_output=True, timeout=60)  # fmt: skip
        self._kill(signal.SIGKILL)
        try:
            yield
        finally:
            filler.unlink(missing_ok=True)

    @contextmanager
    def storage_away(self) -> Iterator[None]:
        """Its mount is gone, and comes back."""
        self.ground.detach()
        try:
            yield
        finally:
            self.ground.attach()

    @contextmanager
    def state_closed(self) -> Iterator[None]:
        """hetd may not enter the directory."""
        self.ground.state.chmod(0)
        self._kill(signal.SIGKILL)
        try:
            yield
        finally:
            self.ground.state.chmod(0o755)

    @contextmanager
    def lease_gone(self) -> Iterator[None]:
        """Somebody has deleted it."""
        lease_path(self.ground.state).unlink(missing_ok=True)
        yield

    @contextmanager
    def lease_of_another(self) -> Iterator[None]:
        """As where locks are none; the other one is gone again at once."""
        with contextlib.suppress(FileNotFoundError), lease_path(self.ground.state).open("r+") as f:
            f.write("elsewhere 1 x")
            f.truncate()
        yield

    # --- supervisor ---

    def _supervisor(self) -> int:
        found = [p.pid for p in self.box.daemons() if p.name in {SUPERVISOR, SECOND} and p.alive]
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self._hetd()}/stat").read_text()
            parent = int(stat.rpartition(")")[2].split()[1])
            found.sort(key=lambda pid: pid != parent)
        if not found:
            raise HetError("there is no supervisor", "it is being started")
        return found[0]

    def _limit(self, pid: int, what: str, soft: str) -> None:
        user = ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--clear-groups"]
        argv = [*user, "prlimit", "--pid", str(pid), f"--{what}={soft}:"]
        subprocess.run(argv, check=False, capture_output=True, timeout=10)

    @contextmanager
    def _lacking(self, what: str, least: str) -> Iterator[None]:
        pid = self._supervisor()
        self._limit(pid, what, least)
        self._kill(signal.SIGKILL)
        try:
            yield
        finally:
            self._limit(pid, what, "512")

    def supervisor_no_descriptors(self) -> contextlib.AbstractContextManager[None]:
        """It can open nothing, and hetd is killed."""
        return self._lacking("nofile", "3")

    def supervisor_no_processes(self) -> contextlib.AbstractContextManager[None]:
        """It can start nothing, and hetd is killed."""
        return self._lacking("nproc", "1")

    @contextmanager
    def supervisor_killed(self) -> Iterator[None]:
        """It is killed; hetd ends by itself."""
        os.kill(self._supervisor(), signal.SIGKILL)
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def both_killed(self) -> Iterator[None]:
        """hetd hangs, and its supervisor is killed."""
        hetd, pid = self._hetd(), self._supervisor()
        self._kill(signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        try:
            yield
        finally:
            if hetd:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(hetd, signal.SIGKILL)
            self.start()

    @contextmanager
    def supervisor_hangup(self) -> Iterator[None]:
        """SIGHUP."""
        os.kill(self._supervisor(), signal.SIGHUP)
        yield

    def start(self) -> None:
        """Have a supervisor."""
        if not any(p.alive for p in self.box.daemons() if p.name == SUPERVISOR):
            self.box.stop_hetd()  # its records
            self.box.start_hetd()
        if self.pair and not any(p.alive for p in self.box.daemons() if p.name == SECOND):
            self._start_second()

    # --- hetd ---

    def _kill(self, number: int) -> None:
        if pid := self._hetd():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    @contextmanager
    def _signalled(self, number: int) -> Iterator[None]:
        self._kill(number)
        yield

    def hetd_killed(self) -> contextlib.AbstractContextManager[None]:
        """SIGKILL."""
        return self._signalled(signal.SIGKILL)

    def hetd_stopped(self) -> contextlib.AbstractContextManager[None]:
        """SIGSTOP: it hangs."""
        return self._signalled(signal.SIGSTOP)

    def hetd_hangup(self) -> contextlib.AbstractContextManager[None]:
        """SIGHUP."""
        return self._signalled(signal.SIGHUP)

    def hetd_ended(self) -> contextlib.AbstractContextManager[None]:
        """SIGTERM."""
        return self._signalled(signal.SIGTERM)

    @contextmanager
    def hetd_no_descriptors(self) -> Iterator[None]:
        """It can open hardly anything more."""
        pid = self._hetd()
        if pid:
            self._limit(pid, "nofile", str(len(os.listdir(f"/proc/{pid}/fd")) + 1))
        yield

    @contextmanager
    def hetd_no_memory(self) -> Iterator[None]:
        """It gets no more memory."""
        pid = self._hetd()
        if pid:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
            self._limit(pid, "as", str(pages * 4096 + (1 << 20)))
        yield

    def _children(self, word: str) -> list[int]:
        """The processes that hetd has started whose command line has that word."""
        pid = self._hetd()
        found = []
        for task in Path(f"/proc/{pid}/task").iterdir() if pid else ():
            for child in (task / "children").read_text().split():
                with contextlib.suppress(OSError):
                    if word in Path(f"/proc/{child}/cmdline").read_text():
                        found.append(int(child))
        return found

    def _each(self, word: str, number: int) -> None:
        with contextlib.suppress(OSError):
            for pid in self._children(word):
                os.kill(pid, number)

    @contextmanager
    def worker_killed(self) -> Iterator[None]:
        """The solver's process dies as often as it is started."""
        for _ in range(6):
            self._each("solve", signal.SIGKILL)
            time.sleep(STEP)
        yield

    @contextmanager
    def hook_killed(self) -> Iterator[None]:
        """The process that answers the hook dies."""
        self._each("hook", signal.SIGKILL)
        yield

    @contextmanager
    def hook_stopped(self) -> Iterator[None]:
        """The process that answers the hook hangs."""
        pids = self._children("hook")
        self._each("hook", signal.SIGSTOP)
        with _going_on(pids):
            yield

    # --- configuration ---

    @contextmanager
    def _configured(self, change: Callable[[str], str | None]) -> Iterator[None]:
        first, second = self.box.config_path, self.second / "het.yaml"
        led_by_second = str(second) in self._words(self._hetd())
        path = second if led_by_second and second in self.good else first
        text = change(self.good[path])
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        self._kill(signal.SIGKILL)
        try:
            yield
        finally:
            path.write_text(self.good[path])

    def _words(self, pid: int) -> list[str]:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return []

    def config_wrong(self) -> contextlib.AbstractContextManager[None]:
        """A key that there is not."""
        return self._configured(lambda text: text + "\nno_such_key: 1\n")

    def config_gone(self) -> contextlib.AbstractContextManager[None]:
        """No file."""
        return self._configured(lambda _: None)

    @contextmanager
    def config_other_intake(self) -> Iterator[None]:
        """Another intake, that there is not; hetd has to be started anew when that is put right."""
        old, new = "intake_partition: accel", "intake_partition: elsewhere"
        with self._configured(lambda text: text.replace(old, new)):
            yield
        self._kill(signal.SIGKILL)

    @contextmanager
    def gate_order_fails(self) -> Iterator[None]:
        """hetd cannot be started any more, and the order to open fails at first."""
        self.ground.fail("gate", "fail")
        with self._configured(lambda _: "no: [yaml"):
            try:
                time.sleep(4.0)
            finally:
                self.ground.fail("gate")
            yield

    # --- sockets and journal ---

    @contextmanager
    def sockets_gone(self) -> Iterator[None]:
        """Somebody has deleted those that hetd listens on."""
        for name in ("hook.sock", "event.sock", "control.sock"):
            (self.box.layout.run / name).unlink(missing_ok=True)
        yield

    @contextmanager
    def notify_gone(self) -> Iterator[None]:
        """Somebody has deleted the supervisor's."""
        (self.box.layout.run / "notify.sock").unlink(missing_ok=True)
        yield

    @contextmanager
    def journal_garbage(self) -> Iterator[None]:
        """Pages of it are overwritten."""
        path = self.ground.state / "journal.db"
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(8192))
        yield

    @contextmanager
    def journal_short(self) -> Iterator[None]:
        """It is cut off."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.ground.state / "journal.db", 3000)
        yield

    @contextmanager
    def journal_gone(self) -> Iterator[None]:
        """Somebody has deleted it."""
        for path in self.ground.state.glob("journal.db*"):
            path.unlink(missing_ok=True)
        yield

    @contextmanager
    def journal_map_short(self) -> Iterator[None]:
        """What hetd has mapped into its memory is not there any more: SIGBUS."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.ground.state / "journal.db-shm", 0)
        yield

    @contextmanager
    def journal_locked(self) -> Iterator[None]:
        """Another program writes into it."""
        db = sqlite3.connect(self.ground.state / "journal.db", timeout=3, isolation_level=None)
        with contextlib.closing(db):
            with contextlib.suppress(sqlite3.Error):
                db.execute("BEGIN IMMEDIATE")
            yield

    # --- Slurm ---

    @contextmanager
    def _stopped(self, name: str) -> Iterator[None]:
        pids = [p.pid for p in self.box.daemons() if p.name == name and p.alive]
        if self.backup and name == "slurmctld":
            pids = self.backup.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        with _going_on(pids):
            yield

    def slurmctld_stopped(self) -> contextlib.AbstractContextManager[None]:
        """SIGSTOP."""
        return self._stopped("slurmctld")

    def munge_stopped(self) -> contextlib.AbstractContextManager[None]:
        """SIGSTOP."""
        return self._stopped("munged")

    @contextmanager
    def slurmctld_restarted(self) -> Iterator[None]:
        """As an admin does; with a backup, the backup takes over meanwhile."""
        if self.backup:
            with self.backup.first_away():
                time.sleep(AWAY_SECONDS)
                yield
        else:
            self.box.restart_slurmctld()
            yield
