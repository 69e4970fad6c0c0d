"""Runs hetd where there is no systemd: watchdog, restart, and the gate opened when it fails."""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from slurm_het.opener import OPENS, Holds, Opener
from slurm_het.sparing import Sparing

START_SECONDS = 60.0  # until READY=1; the watchdog counts from then on
STOP_SECONDS = 5.0
DIE_SECONDS = 1.0  # after SIGKILL; who lives on waits for storage that hangs
OPEN_SECONDS = 7.0  # how long --open-gate tries; the supervisor tries for ever
LONGEST_PAUSES = 4  # times --restart-seconds, between starts that come to nothing
TICK = 0.1
DEFAULT_RUN_DIR = "/run/slurm-het"
PID_FILE = "supervise.pid"  # beside hetd's sockets: `slurm-het status` looks whether it lives


def main(argv: list[str] | None = None) -> None:
    """Command line: supervise --config HET.yaml [options] -- hetd --config HET.yaml."""
    parser = argparse.ArgumentParser(prog="supervise", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="het.yaml")
    parser.add_argument("--restart-seconds", type=float, default=5.0)
    parser.add_argument("--watchdog-seconds", type=float, default=10.0)
    parser.add_argument("--status-file", type=Path, help="gets the child's pid and state")
    parser.add_argument(
        "--open-gate", action="store_true", help="only open the gate (systemd's ExecStopPost)"
    )
    parser.add_argument("command", nargs="*", help="the program to keep running, after --")
    options = parser.parse_args(argv)
    # The YAML itself, not the checked Config: the gate must open even when hetd refuses its config.
    try:
        config = yaml.safe_load(options.config.read_text())
        run_dir, opener = _run_dir(config), opener_of(config)
    except OSError as error:
        parser.error(f"cannot read {options.config}: {error.strerror}")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        parser.error(
            f"{options.config} names no intake_partition that can be read"
            f" ({' '.join(str(error).split())[:200]}); slurm-het check says what is wrong with it"
        )
    if options.open_gate:
        sys.exit(0 if open_gate(opener) else 1)
    if not options.command:
        parser.error("a program to keep running is needed, after --")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)  # /run is empty after a boot
    except OSError as error:
        parser.error(f"cannot make {run_dir}: {error.strerror}; make it, for SlurmUser")
    supervisor = Supervisor(
        command=options.command,
        opener=opener,
        notify_path=run_dir / "notify.sock",
        restart_seconds=options.restart_seconds,
        watchdog_seconds=options.watchdog_seconds,
        status_file=options.status_file,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing is read anew, and nothing ends
    with _known_by(run_dir / PID_FILE):
        supervisor.run()


@contextlib.contextmanager
def _known_by(path: Path) -> Iterator[None]:
    """Our process's number is there meanwhile."""
    with contextlib.suppress(OSError):  # a full disk is no reason to leave hetd unwatched
        path.write_text(f"{os.getpid()}\n")
    yield
    with contextlib.suppress(OSError):
        path.unlink()


def _run_dir(config: dict[str, Any]) -> Path:
    given = (config.get("paths") or {}).get("control_socket")
    return Path(given).parent if given else Path(DEFAULT_RUN_DIR)


def opener_of(config: dict[str, Any]) -> Opener:
    """The opener for het.yaml as it was read, unchecked. Raises KeyError, TypeError."""
    slurm = config.get("slurm") or {}
    return Opener(
        configured=_text(config["intake_partition"]),
        scontrol=str(Path(_text(slurm.get("bin_dir") or "")) / "scontrol"),
        holds=Holds(_run_dir(config)),
        slurm_conf=str(Path(_text(slurm["conf"]))) if slurm.get("conf") else "",
    )


def _text(value: object) -> str:
    """A value that goes to other programs. Raises TypeError for what is no plain word."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or "\0" in str(value):
        raise TypeError(f"{value!r} is not a word")
    return str(value)


def open_gate(opener: Opener) -> bool:
    """Open the gate; returns whether it is as it should be, after OPEN_SECONDS at most."""
    deadline = time.monotonic() + OPEN_SECONDS
    opener.want(time.monotonic())
    while opener.wanted and time.monotonic() < deadline:
        if line := opener.tick(time.monotonic()):
            _print(line)
        time.sleep(0.02)
    opener.close()
    return not opener.wanted


@dataclass
class Supervisor:
    """Keeps one program running; whenever it is not running, the intake partition is UP.

    One loop does it all in steps that do not wait, so that nothing that hangs keeps it from the
    gate: no child that cannot die, no log that nobody reads.
    """

    command: list[str]
    opener: Opener
    notify_path: Path
    restart_seconds: float
    watchdog_seconds: float
    status_file: Path | None = None
    stopping: bool = False
    log: Log = field(default_factory=lambda: Log())

    def run(self) -> None:
        """Start, watch, open the gate, pause, start again; returns after `stop`."""
        pause = self.restart_seconds
        while not self.stopping:
            child, ready = self._start(), False
            if child:
                ready = self._watch(child)
                self._end(child)
            # One that does not even get ready says the same thing each time: it may wait longer.
            longer = min(2 * pause, LONGEST_PAUSES * self.restart_seconds)
            self._wait(self.restart_seconds if ready else pause, lambda: self.stopping)
            pause = self.restart_seconds if ready else longer
        self._wait(OPEN_SECONDS, lambda: not self.opener.wanted)
        self.opener.close()
        self.log.close()

    def stop(self) -> None:
        """End the program, then `run`."""
        self.stopping = True

    def _start(self) -> Child | None:
        try:
            told = {OPENS: self.opener.opens}
            child = Child(self.command, self.notify_path, self.watchdog_seconds, told)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            self.log.line(f"cannot start {self.command[0]}: {error.strerror or error}{where}")
            self.opener.want(time.monotonic())
            return None
        self.log.line(f"started {self.command[0]} as {child.pid}")
        self._write_status(f"{child.pid} starting")
        return child

    def _watch(self, child: Child) -> bool:
        """Return when the child has ended, or must be ended; whether it had been ready."""
        deadline, ready = time.monotonic() + START_SECONDS, False
        while child.lives() and not self.stopping:
            message = child.message(TICK)
            if "READY=1" in message and not ready:
                ready = True
                self.opener.unwant()
                self._write_status(f"{child.pid} ready")
            if ready and ("WATCHDOG=1" in message or "READY=1" in message):
                deadline = time.monotonic() + self.watchdog_seconds
            if time.monotonic() > deadline:
                self.log.line("missed its watchdog" if ready else "was not ready in time")
                break
            self._tick()
        return ready

    def _end(self, child: Child) -> None:
        """End the child, in bounded time, and have the gate opened."""
        if self.stopping and child.lives():
            child.process.terminate()
            self._wait(STOP_SECONDS, lambda: not child.lives())
        child.kill()
        self.opener.want(time.monotonic())
        self._wait(DIE_SECONDS, lambda: not child.lives())
        status = child.process.returncode
        ended = "does not die" if status is None else f"ended with status {status}"
        self.log.line(f"{child.pid} {ended}")
        child.close()
        self._write_status("")

    def _wait(self, seconds: float, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            self._tick()
            time.sleep(TICK / 2)

    def _tick(self) -> None:
        if line := self.opener.tick(time.monotonic()):
            self.log.line(line)

    def _write_status(self, text: str) -> None:
        if self.status_file is None:
            return
        new = self.status_file.with_suffix(".new")
        try:
            new.write_text(text)
            new.replace(self.status_file)  # whoever reads it never finds it half written
        except OSError as error:  # a full disk is no reason to leave hetd unwatched
            self.log.line(f"cannot write {self.status_file}: {error.strerror}")


class Child:
    """The program as it runs, and the socket on which it tells how it is. Raises OSError."""

    def __init__(
        self,
        command: list[str],
        notify_path: Path,
        watchdog_seconds: float,
        told: dict[str, str] | None = None,
    ) -> None:
        # A socket of its own, made anew: somebody may have removed the directory.
        notify_path.parent.mkdir(parents=True, exist_ok=True)
        notify_path.unlink(missing_ok=True)
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        microseconds = str(int(watchdog_seconds * 1e6))
        notify = {"NOTIFY_SOCKET": str(notify_path), "WATCHDOG_USEC": microseconds}
        # When the supervisor dies, the program gets TERM and ends.
        argv = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        try:
            self.notifications.bind(str(notify_path))
            self.process = subprocess.Popen(
                argv,
                env=os.environ | notify | (told or {}),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self.notifications.close()
            raise
        self.pid = self.process.pid

    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def message(self, seconds: float) -> list[str]:
        """What it tells next; [] if nothing comes in time."""
        return receive(self.notifications, seconds)

    def kill(self) -> None:
        """Kill it, and with it what it runs: a dead hetd's updates must not go on."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Hear nothing more of it."""
        self.notifications.close()


class Log:
    """Lines on stderr, written by a thread: a log that nobody reads holds up nobody.

    Of lines of one kind (equal but for numbers) only so many a minute are written.
    """

    MOST_A_MINUTE = 6

    def __init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(100)
        self._sparing = Sparing()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Write a line, soon; where there are too many it is only counted."""
        kind = re.sub(r"[\d.]+", "#", text)[:100]
        left_out = self._sparing.left_out(kind, self.MOST_A_MINUTE, time.monotonic())
        if left_out is None:
            return
        if left_out:
            text += f" (and {left_out} times more since the last such line)"
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(text)

    def close(self) -> None:
        """Wait a moment for the last lines."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(1.0)

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            _print(text)


def receive(notifications: socket.socket, seconds: float) -> list[str]:
    """The lines of the next notification, whatever its bytes; [] if none comes in time."""
    notifications.settimeout(seconds)
    try:
        return notifications.recv(4096).decode(errors="replace").splitlines()
    except (TimeoutError, BlockingIOError):
        return []


def _print(text: str) -> None:
    # A log on a full disk, or whose reader is gone, must not keep the gate from being opened.
    with contextlib.suppress(OSError):
        print(f"{time.strftime('%F %T')} supervise: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
