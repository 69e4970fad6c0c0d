"""sd_notify: tells systemd, or our supervisor, that the daemon is ready and alive."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from slurm_het.daemon.health import MAX_BACKOFF
from slurm_het.errors import lacks
from slurm_het.opener import OPENS, opens
from slurm_het.proc_stat import stat_of
from slurm_het.settings import Config

log = logging.getLogger("hetd.watcher")


def stuck_seconds(config: Config) -> float:
    """The seconds after which a cycle that has not ended counts as hanging.

    This is more than the configuration allows for two linear programs and two calls of Slurm in
    turn, and for the pause that follows.
    """
    program_and_call = config.planner.deadline_seconds + config.slurm.timeout_seconds
    return MAX_BACKOFF + 2 * program_and_call


def notify(state: str) -> str:
    """Send READY=1, WATCHDOG=1, STOPPING=1 or STATUS=… to $NOTIFY_SOCKET, if there is one.

    Returns why nobody hears it, or ''.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return ""
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.sendto(state.encode(), address)
    except BlockingIOError:
        return "it reads nothing any more"
    except OSError as error:  # what hetd itself has no more of is no fault of the other side's
        return "" if lacks(error) else error.strerror or str(error)
    return ""


def watchdog_seconds() -> float | None:
    """How often to send WATCHDOG=1: half of what the supervisor allows; None without one."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdecimal() else None


def opened_by(config: Config) -> str:
    """What a supervisor that has read this configuration says that it opens."""
    scontrol = (config.slurm.bin_dir or Path()) / "scontrol"
    return opens(config.policy.intake_partition, str(scontrol), str(config.slurm.conf or ""))


class Watcher:
    """Who watches over hetd, as hetd knows it: systemd, or our supervisor, which tells what it
    opens (`opener.OPENS`). `opens` is what it would say with today's het.yaml."""

    def __init__(self, opens: str) -> None:
        self._unheard = ""
        told = os.environ.get(OPENS, opens)
        self._older = told if told != opens else ""
        self._opens = opens
        if self.trouble:
            log.error("%s", self.trouble)

    @property
    def trouble(self) -> str:
        """What is wrong with it, or ''."""
        if self._unheard:
            return f"the supervisor does not hear hetd ({self._unheard}): restart it"
        if self._older:
            return (
                f"the supervisor has an older configuration (it opens {self._older}; het.yaml says"
                f" {self._opens}): restart it"
            )
        return ""

    def tell(self, state: str) -> None:
        """Tell it; said once where it does not hear it."""
        before, self._unheard = self._unheard, notify(state) or _stopped()
        if self._unheard and not before:
            log.error("%s", self.trouble)


def _stopped() -> str:
    """Whether our own supervisor is stopped: what it is sent finds room for many minutes yet."""
    if OPENS not in os.environ:
        return ""
    supervisor = stat_of(os.getppid())
    return "it is stopped" if supervisor and supervisor.stopped else ""


async def tell_watchdog(
    watcher: Watcher, last_progress: Callable[[], float], stuck_seconds: Callable[[], float]
) -> None:
    """Tell the watchdog that we live, until cancelled; returns at once where there is none.

    Nothing is told, so that the watchdog ends us, while `last_progress()` (seconds of
    time.monotonic()) is longer ago than `stuck_seconds()`.
    """
    period = watchdog_seconds()
    while period:
        if time.monotonic() - last_progress() < stuck_seconds():
            watcher.tell("WATCHDOG=1")
        await asyncio.sleep(period)
