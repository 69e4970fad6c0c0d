"""hetd's sockets as others find them: looked at now and then, made anew when they are lost.

A socket that somebody removed is still open for hetd, and nobody comes in; a hook process that
hangs still takes connections. Neither tells of itself: hetd asks as the hook does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from slurm_het import wire
from slurm_het.core.capacity import Capacity
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.daemon.control import ControlServer
from slurm_het.daemon.hook_process import HookChild
from slurm_het.daemon.wakes import Wakes
from slurm_het.errors import HetError

log = logging.getLogger("hetd.doors")
LOOK_SECONDS = 10.0
ANSWER_SECONDS = 2.0
SILENCES = 2  # one may be a busy moment


class Doors:
    """Looks after the sockets. `trouble` is what is wrong with them, or ''."""

    def __init__(self, hook: HookChild, control: ControlServer, wakes: Wakes) -> None:
        self.hook, self.control, self.wakes = hook, control, wakes
        self.trouble = ""
        self._silences = 0

    async def watch(self, offered: Callable[[], tuple[Inventory, Capacity]]) -> None:
        """Look until cancelled; what a new hook process is to know is `offered`."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look(*offered())

    async def look(self, inventory: Inventory, capacity: Capacity) -> None:
        """Look once, and mend what is lost."""
        self.trouble = ""
        with self._said():
            if self.control.lost():
                log.error("%s was removed: it is made anew", self.control.path)
                await self.control.stop()
                await self.control.start()
        with self._said():
            if self.wakes.lost():
                log.error("%s was removed: it is made anew", self.wakes.path)
                self.wakes.close()
                self.wakes.listen()
        why = await ask(self.hook.path)
        self._silences = self._silences + 1 if why else 0
        if self._silences < SILENCES:
            return
        self.trouble = f"the hook gets no answer at {self.hook.path}: {why}"
        log.error("%s; its process is started anew", self.trouble)
        with self._said():
            await self.hook.again(inventory, capacity)
            self.trouble, self._silences = "", 0

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except (HetError, OSError) as error:
            self.trouble = str(error).splitlines()[0]
            log.error("%s", self.trouble)


async def ask(path: Path) -> str:
    """Ask what the hook asks; why there is no answer, or ''."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(wire.encode({"op": "ping"}))
                answer = await reader.read(256)
            finally:
                writer.close()
    except TimeoutError:
        return f"no answer in {ANSWER_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return "" if b"action=" in answer else "the connection was closed"
