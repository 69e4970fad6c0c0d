"""A hetd that runs in the test's own event loop, on whatever Slurm its client is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from slurm_het.config import load_config
from slurm_het.daemon.app import Daemon

PATIENCE = 60.0  # seconds for what takes one or two


@asynccontextmanager
async def running_daemon(config: Path) -> AsyncIterator[asyncio.Task[None]]:
    """hetd with this configuration; it is told to stop at the end, and waited for."""
    daemon = Daemon(load_config(config))
    running = asyncio.create_task(daemon.run())
    try:
        yield running
    finally:
        daemon.wakes.stop.set()
        await running


async def until(true: Callable[[], object]) -> None:
    """Wait for it; raises TimeoutError if it takes too long."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)
