"""What hetd tells of jobs: the records of all, which it has read anyway, the history of one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from slurm_het.daemon.control import Caller
from slurm_het.errors import HetError
from slurm_het.journal import Keeper
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.environment import private
from slurm_het.slurm.shared_records import packed

AGAIN_SECONDS = 1.0
"""So long the same is told again, that many askers cost no more than one."""
HISTORY_SECONDS = 3.0  # whoever asks for a job's waits no longer


class SharedRecords:
    """Tells the records of all jobs; to whom Slurm shows only his own, none."""

    def __init__(self, slurm: CliSlurm) -> None:
        self._slurm = slurm
        self._until = float("-inf")  # of time.monotonic()
        self._text = b""
        self._private = False
        self._turn = asyncio.Lock()

    async def told(self, caller: Caller) -> bytes:
        """The answer's `records`, packed by slurm/shared_records.py. Raises HetError."""
        async with self._turn:
            if time.monotonic() > self._until:
                await self._read()
            if self._private and not caller.admin:
                raise HetError("PrivateData hides others' jobs", "Slurm's commands show your own")
            return self._text

    async def _read(self) -> None:
        self._private = "jobs" in private(await self._slurm.configuration(anew=True))
        share = self._slurm.jobs.share()
        self._text = await asyncio.to_thread(lambda: packed(share()))
        self._until = time.monotonic() + AGAIN_SECONDS
        asyncio.get_running_loop().call_later(2 * AGAIN_SECONDS, self._forget)

    def _forget(self) -> None:
        """They are megabytes: not to be kept for nobody."""
        if time.monotonic() > self._until:
            self._text = b""


async def history_of(key: str, journal: Keeper, caller: Caller) -> dict[str, Any]:
    """What the journal has of a job, for its user and for admins. Raises HetError."""
    await journal.written()
    history = await journal.ask(lambda kept: kept.history(key), None, HISTORY_SECONDS)
    if history is None:
        raise HetError("the journal has no answer now", "see hetd's log, and paths.journal")
    if not caller.admin and (not caller.name or history.user != caller.name):
        raise HetError(f"job {key[:40]} is not yours", "its user and admins may ask")
    return {"history": msgspec.to_builtins(history)}
