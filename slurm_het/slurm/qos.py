"""What slurmdbd says of the QOSs. `scontrol show assoc_mgr` tells neither whom a QOS preempts, nor
its flags, nor what each may have who has no job there (22.05, 24.11, 26.05).

It is the admins' text: names of QOSs, times, limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from slurm_het.errors import SlurmError

SECONDS = 60.0
"""So long an answer is taken to be so."""
PATIENCE = 2.0
"""So long a snapshot waits for the first answer: slurmdbd may be down, and jobs run yet."""
FIELDS = (
    "Name", "Flags", "Priority", "Preempt", "PreemptMode", "PreemptExemptTime", "GraceTime",
    "MaxJobsPU", "MaxTRESPU", "MaxJobsPA", "MaxTRESPA",
)  # fmt: skip
QosFields = Mapping[str, str]
"""What sacctmgr prints of a QOS, by FIELDS; '' of what is not set."""


@dataclass
class QosReader:
    """Asks for the QOSs, beside all else, and remembers what was said.

    `run` runs one of Slurm's programs and gives its output; it raises SlurmError.
    """

    run: Callable[..., Awaitable[str]]
    _known: Mapping[str, QosFields] | None = None
    _asking: asyncio.Task[None] | None = field(default=None, repr=False)
    _answered: float | None = None  # of time.monotonic()

    async def read(self) -> Mapping[str, QosFields]:
        """The QOSs by name, as they were known last; none until slurmdbd has answered once.

        Who gave no answer is asked again the next time.
        """
        due = self._answered is None or time.monotonic() > self._answered + SECONDS
        if self._asking is None or (self._asking.done() and due):
            self._asking = asyncio.create_task(self._ask())
        if self._known is None:
            await asyncio.wait({self._asking}, timeout=PATIENCE)
            self._known = self._known or {}
        return self._known

    async def _ask(self) -> None:
        with contextlib.suppress(SlurmError):
            text = await self.run("sacctmgr", "-nP", "show", "qos", f"format={','.join(FIELDS)}")
            # There is none without a QOS: that would be no answer.
            if known := parse_qos(text):
                self._known, self._answered = known, time.monotonic()


def parse_qos(text: str) -> dict[str, QosFields]:
    """Read what sacctmgr prints of FIELDS, by name; a line with another number of them is none."""
    lines = (line.split("|") for line in text.splitlines())
    return {line[0]: dict(zip(FIELDS, line, strict=True)) for line in lines
            if len(line) == len(FIELDS) and line[0]}  # fmt: skip


def flags_of(known: Mapping[str, QosFields]) -> dict[str, frozenset[str]]:
    """The flags of those QOSs that have any."""
    flags = {name: frozenset(said["Flags"].split(",")) - {""} for name, said in known.items()}
    return {name: mine for name, mine in flags.items() if mine}
