"""How a child of asyncio is killed, so that asyncio still learns how it ended."""

from __future__ import annotations

import asyncio
import os
import signal

KILL_SECONDS = 1.0


def kill_child(process: asyncio.subprocess.Process) -> None:
    """Kill it if it runs.

    `process.kill` looks first whether it has ended, and so takes its status away from asyncio's
    watcher. That then warns of an unknown child process and calls its end 255.
    """
    look = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        ended = os.waitid(os.P_PID, process.pid, look)
    except ChildProcessError:  # the watcher has seen its end already
        return
    if ended is None:
        os.kill(process.pid, signal.SIGKILL)


async def end_child(process: asyncio.subprocess.Process) -> None:
    """End a program that was too slow, in bounded time.

    A wrapper in its place may have started another one, which lives on and keeps the pipe open.
    """
    kill_child(process)
    try:
        async with asyncio.timeout(KILL_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:  # also amid the end of hetd
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001  # no other way
