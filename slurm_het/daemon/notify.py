"""sd_notify: tells systemd, or our supervisor, that the daemon is ready and alive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable


def notify(state: str) -> None:
    """Send READY=1, WATCHDOG=1, STOPPING=1 or STATUS=… to $NOTIFY_SOCKET, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock,
    ):
        sock.sendto(state.encode(), address)


def watchdog_seconds() -> float | None:
    """How often to send WATCHDOG=1: half of what the supervisor allows; None without one."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdecimal() else None


async def tell_watchdog(
    last_progress: Callable[[], float], stuck_seconds: Callable[[], float]
) -> None:
    """Tell the watchdog that we live, until cancelled; returns at once where there is none.

    Nothing is told, so that the watchdog ends us, while `last_progress()` (seconds of
    time.monotonic()) is longer ago than `stuck_seconds()`.
    """
    period = watchdog_seconds()
    while period:
        if time.monotonic() - last_progress() < stuck_seconds():
            notify("WATCHDOG=1")
        await asyncio.sleep(period)
