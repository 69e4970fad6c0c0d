"""Runs hetd where there is no systemd: watchdog, restart, and the gate opened when it fails."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

START_SECONDS = 60.0
"""How long hetd may take until READY=1; the watchdog counts from then on."""

_STOP_SECONDS = 5.0
_GATE_TRY_SECONDS = 5.0
_GATE_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: supervise --config HET.yaml [options] -- hetd --config HET.yaml."""
    parser = argparse.ArgumentParser(prog="supervise", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="het.yaml")
    parser.add_argument("--restart-seconds", type=float, default=5.0)
    parser.add_argument("--watchdog-seconds", type=float, default=10.0)
    parser.add_argument("--status-file", type=Path, help="where to keep the child's state as JSON")
    parser.add_argument("command", nargs="+", help="the program to keep running, after --")
    options = parser.parse_args(argv)
    # The YAML itself, not the checked Config: the gate must open even when hetd refuses its config.
    config = yaml.safe_load(options.config.read_text())
    supervisor = Supervisor(
        command=options.command,
        partition=str(config["intake_partition"]),
        notify_path=Path(config["paths"]["control_socket"]).parent / "notify.sock",
        restart_seconds=options.restart_seconds,
        watchdog_seconds=options.watchdog_seconds,
        status_file=options.status_file,
    )
    signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
    signal.signal(signal.SIGINT, lambda *_: supervisor.stop())
    supervisor.run()
    return 0


@dataclass
class Supervisor:
    """Keeps one program running; whenever it is not running, the intake partition is UP."""

    command: Sequence[str]
    partition: str
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
            notifications.settimeout(0.1)
            while not self.stopping:
                child = self._start()
                self._watch(child, notifications)
                self._open_gate()
                self._pause(self.restart_seconds)
        self.notify_path.unlink(missing_ok=True)

    def stop(self) -> None:
        """End the program, then `run`."""
        self.stopping = True

    def _start(self) -> subprocess.Popen[bytes]:
        microseconds = str(int(self.watchdog_seconds * 1e6))
        notify = {"NOTIFY_SOCKET": str(self.notify_path), "WATCHDOG_USEC": microseconds}
        parent = os.getpid()
        child = subprocess.Popen(
            self.command,
            env=os.environ | notify,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: _die_with(parent),
        )
        _log(f"started {self.command[0]} as {child.pid}")
        self._write_status(child.pid, ready=False)
        return child

    def _watch(self, child: subprocess.Popen[bytes], notifications: socket.socket) -> None:
        """Return when the child has ended, by itself or because of us."""
        deadline, ready = time.monotonic() + START_SECONDS, False
        while child.poll() is None:
            message = _receive(notifications)
            if "READY=1" in message:
                ready = True
                self._write_status(child.pid, ready=True)
            if "WATCHDOG=1" in message or "READY=1" in message:
                deadline = time.monotonic() + (self.watchdog_seconds if ready else START_SECONDS)
            if self.stopping:
                return _terminate(child)
            if time.monotonic() > deadline:
                _log("missed its watchdog" if ready else "was not ready in time")
                child.kill()
                child.wait()
        return _log(f"{child.pid} ended with status {child.returncode}")

    def _open_gate(self) -> None:
        argv = ["scontrol", "update", f"PartitionName={self.partition}", "State=UP"]
        for pause in _GATE_PAUSES:
            time.sleep(pause)
            try:
                subprocess.run(argv, check=True, capture_output=True, timeout=_GATE_TRY_SECONDS)
            except (OSError, subprocess.SubprocessError) as error:
                _log(f"could not open the gate: {error}")
            else:
                return _log(f"opened the gate: partition {self.partition} is UP")
        return _log("gave up opening the gate; a restarted slurmctld opens it by itself")

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < deadline:
            time.sleep(0.1)

    def _write_status(self, pid: int, *, ready: bool) -> None:
        if self.status_file is None:
            return
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        state = {"pid": pid, "start": int(fields[19]), "ready": ready}
        partial = self.status_file.with_suffix(".partial")
        partial.write_text(json.dumps(state))
        partial.replace(self.status_file)


def _die_with(parent: int) -> None:
    """In the child: be killed when the supervisor dies, even before exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _receive(notifications: socket.socket) -> list[str]:
    try:
        return notifications.recv(4096).decode(errors="replace").splitlines()
    except TimeoutError:
        return []


def _terminate(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    _log(f"{child.pid} stopped")


def _log(text: str) -> None:
    print(f"{time.strftime('%F %T')} supervise: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
