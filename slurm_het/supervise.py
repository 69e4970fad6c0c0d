"""Runs hetd where there is no systemd: watchdog, restart, and the gate opened when it fails."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

START_SECONDS = 60.0  # until READY=1; the watchdog counts from then on
STOP_SECONDS = 5.0
GATE_TRY_SECONDS = 5.0
LEASE_TRY_SECONDS = 2.0
TRY_LOCK = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
DEFAULT_RUN_DIR = "/run/slurm-het"
DEFAULT_STATE_DIR = "/var/lib/slurm-het"  # as in config.Paths
GATE_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)


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
        gate = GateOpener.of(config)
    except OSError as error:
        parser.error(f"cannot read {options.config}: {error.strerror}")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        parser.error(
            f"{options.config} names no intake_partition that can be read"
            f" ({' '.join(str(error).split())[:200]}); slurm-het check says what is wrong with it"
        )
    if options.open_gate:
        sys.exit(0 if gate.open(GATE_PAUSES[:3]) else 1)
    if not options.command:
        parser.error("a program to keep running is needed, after --")
    run_dir = _run_dir(config)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)  # /run is empty after a boot
    except OSError as error:
        parser.error(f"cannot make {run_dir}: {error.strerror}; make it, for SlurmUser")
    supervisor = Supervisor(
        command=options.command,
        gate=gate,
        notify_path=run_dir / "notify.sock",
        restart_seconds=options.restart_seconds,
        watchdog_seconds=options.watchdog_seconds,
        status_file=options.status_file,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run()


def _run_dir(config: dict[str, Any]) -> Path:
    given = (config.get("paths") or {}).get("control_socket")
    return Path(given).parent if given else Path(DEFAULT_RUN_DIR)


@dataclass(frozen=True)
class GateOpener:
    """Sets the intake UP in place of a hetd that no longer can, unless another hetd leads."""

    partition: str
    scontrol: str
    lease: Path
    slurm_conf: str = ""

    @classmethod
    def of(cls, config: dict[str, Any]) -> GateOpener:
        """The opener for het.yaml as it was read, unchecked."""
        slurm = config.get("slurm") or {}
        state = (config.get("paths") or {}).get("state_dir") or DEFAULT_STATE_DIR
        return cls(
            partition=str(config["intake_partition"]),
            scontrol=os.path.join(slurm.get("bin_dir") or "", "scontrol"),
            lease=Path(state) / "lease",
            slurm_conf=slurm.get("conf") or "",
        )

    def open(self, pauses: tuple[float, ...]) -> bool:
        """Try to open the gate after each pause (seconds); return whether it is as it should be."""
        if self._led():
            _log("another hetd leads: the gate is left to it")
            return True
        argv = [self.scontrol, "update", f"PartitionName={self.partition}", "State=UP"]
        env = os.environ | ({"SLURM_CONF": self.slurm_conf} if self.slurm_conf else {})
        for pause in pauses:
            time.sleep(pause)
            try:
                subprocess.run(
                    argv, env=env, check=True, capture_output=True, timeout=GATE_TRY_SECONDS
                )
            except (OSError, subprocess.SubprocessError) as error:
                _log(f"could not open the gate: {error}")
            else:
                _log(f"opened the gate: partition {self.partition} is UP")
                return True
        _log("gave up opening the gate; a restarted slurmctld opens it by itself")
        return False

    def _led(self) -> bool:
        """Whether another process holds the lease; False in doubt.

        The storage may hang. So a child process tries the lock, in bounded time.
        """
        argv = [sys.executable, "-c", TRY_LOCK, str(self.lease)]
        try:
            tried = subprocess.run(
                argv, capture_output=True, timeout=LEASE_TRY_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            _log(f"cannot tell whether another hetd leads: {error}")
            return False
        return b"BlockingIOError" in tried.stderr


@dataclass
class Supervisor:
    """Keeps one program running; whenever it is not running, the intake partition is UP."""

    command: list[str]
    gate: GateOpener
    notify_path: Path
    restart_seconds: float
    watchdog_seconds: float
    status_file: Path | None = None
    stopping: bool = False

    def run(self) -> None:
        """Start, watch, open the gate, pause, start again; returns after `stop`."""
        self.notify_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.bind(str(self.notify_path))
            while not self.stopping:
                while receive(notifications, seconds=0.0):
                    pass  # what is left of the last child's messages is not the next one's
                self._watch(self._start(), notifications)
                self.gate.open(GATE_PAUSES[:3] if self.stopping else GATE_PAUSES)
                self._pause(self.restart_seconds)

    def stop(self) -> None:
        """End the program, then `run`."""
        self.stopping = True

    def _start(self) -> subprocess.Popen[bytes]:
        microseconds = str(int(self.watchdog_seconds * 1e6))
        notify = {"NOTIFY_SOCKET": str(self.notify_path), "WATCHDOG_USEC": microseconds}
        # When the supervisor dies, the program gets TERM and opens the gate itself: nobody else is
        # left to do it.
        argv = ["setpriv", "--pdeathsig", "TERM", "--", *self.command]
        child = subprocess.Popen(
            argv, env=os.environ | notify, stdin=subprocess.DEVNULL, start_new_session=True
        )
        _log(f"started {self.command[0]} as {child.pid}")
        self._write_status(f"{child.pid} starting")
        return child

    def _watch(self, child: subprocess.Popen[bytes], notifications: socket.socket) -> None:
        """Return when the child has ended, by itself or because of us."""
        deadline, ready = time.monotonic() + START_SECONDS, False
        while child.poll() is None and not self.stopping:
            message = receive(notifications, seconds=0.1)
            if "READY=1" in message:
                ready = True
                self._write_status(f"{child.pid} ready")
            if ready and ("WATCHDOG=1" in message or "READY=1" in message):
                deadline = time.monotonic() + self.watchdog_seconds
            if time.monotonic() > deadline:
                _log("missed its watchdog" if ready else "was not ready in time")
                child.kill()
                child.wait()
        if self.stopping:
            child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # a dead hetd's updates must not go on
        self._write_status("")
        _log(f"{child.pid} ended with status {child.returncode}")

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < deadline:
            time.sleep(0.1)

    def _write_status(self, text: str) -> None:
        if self.status_file is None:
            return
        new = self.status_file.with_suffix(".new")
        try:
            new.write_text(text)
            new.replace(self.status_file)  # whoever reads it never finds it half written
        except OSError as error:  # a full disk is no reason to leave hetd unwatched
            _log(f"cannot write {self.status_file}: {error.strerror}")


def receive(notifications: socket.socket, seconds: float) -> list[str]:
    """The lines of the next notification, whatever its bytes; [] if none comes in time."""
    notifications.settimeout(seconds)
    try:
        return notifications.recv(4096).decode(errors="replace").splitlines()
    except (TimeoutError, BlockingIOError):
        return []


def _log(text: str) -> None:
    # A log on a full disk, or whose reader is gone, must not keep the gate from being opened.
    with contextlib.suppress(OSError):
        print(f"{time.strftime('%F %T')} supervise: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
