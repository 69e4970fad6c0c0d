"""Which of Slurm's devices a device of this host is: `slurmd -G` lists them in Slurm's order, by
their files. Under AutoDetect that order is neither the files' nor always the driver's."""

from __future__ import annotations

import logging
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from slurm_het.core.cluster.ailing import SlurmPlace
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.printable import clean
from slurm_het.errors import HetError
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.host import kill, output_of_child

log = logging.getLogger("het-exporter")
COMMAND = "slurmd -G"
SECONDS = 10.0
AGAIN_SECONDS, RETRY_SECONDS = 600.0, 60.0
FETCHED = Path("/run/slurm/conf/slurm.conf")
"""Where slurmd without a configuration of its own has it."""
_SHARING = {"shard", "mps"}  # they have the files of those that they are shares of
_LINE = re.compile(r"\bGres Name=(\S+) Type=.* Count=(\d{1,6}) .*\bFile=(\S+)")
Files = frozenset[str]
Order = Mapping[str, tuple[Files, ...]]
"""By GRES name the files of each device, in Slurm's order."""


class SlurmOrder:
    """Asks a command, once and again after changes, and keeps what it said."""

    def __init__(self, command: str = COMMAND, ticks: Callable[[], float] = time.monotonic) -> None:
        self._command, self._ticks = shlex.split(command), ticks
        self._order: Order = {}
        self._asked_of: Files = frozenset()
        self._next = float("-inf")
        self._why = ""
        self._stuck: subprocess.Popen[bytes] | None = None

    def places(self, readings: Iterable[DeviceReading]) -> list[SlurmPlace | None]:
        """Of each reading, which of Slurm's devices it is; None where that is not known."""
        told = [frozenset(reading.files or ()) for reading in readings]
        now = frozenset().union(*told)
        if self._command and (self._ticks() >= self._next or not now <= self._asked_of):
            self._ask(now)
        return placed(told, self._order)

    def _ask(self, now: Files) -> None:
        self._asked_of, self._next = now, self._ticks() + AGAIN_SECONDS
        try:
            told = order_of(self._printed())
            why = "" if told else "it lists no devices with files"
        except (HetError, OSError) as error:
            told, why = {}, str(error)
        if why:
            self._next = self._ticks() + RETRY_SECONDS
        elif not _lost_some(told, self._order):
            self._order = told
        if why and why != self._why:
            command = shlex.join(self._command)
            log.warning("which of Slurm's devices is which is not known: %s: %s", command, why)
        self._why = why

    def _printed(self) -> str:
        """What the command prints within the time. Raises HetError, OSError."""
        if self._stuck and self._stuck.poll() is None:
            raise HetError("it hangs: who asked before is not back")
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin"
        given = {"SLURM_CONF": str(FETCHED)} if FETCHED.exists() else {}
        child = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            env=given | os.environ | {"PATH": path, "LC_ALL": "C"},
        )  # fmt: skip
        text, whole = output_of_child(child, time.monotonic() + SECONDS)
        if whole:  # it is about to end by itself
            with suppress(subprocess.TimeoutExpired):
                child.wait(1.0)
        kill(child)
        try:
            status = child.wait(1.0)
        except subprocess.TimeoutExpired:  # it is in the driver, and not even killed
            self._stuck, whole = child, False
        if not whole:
            raise HetError(f"no answer within {SECONDS:g} s")
        said = text.decode("utf-8", "replace")
        if status:
            last = said.strip().rpartition("\n")[2]
            raise HetError(f"it ended with {status}: {clean(last[:200])}")
        return said


def placed(told: list[Files], order: Order) -> list[SlurmPlace | None]:
    """The places of devices with these files. One whose file nothing tells (it is lost) is the one
    that is left, where one is."""
    places = {
        files: SlurmPlace(name, index, len(devices))
        for name, devices in order.items()
        for index, files in enumerate(devices)
    }
    found = [places.get(files) for files in told]
    left = [place for files, place in places.items() if files not in told]
    if told.count(frozenset()) == len(left) == 1:
        found[told.index(frozenset())] = left[0]
    return found


def order_of(printed: str) -> Order:
    """What `slurmd -G` (22.05, 24.11, 26.05) prints. A GRES without files is left out."""
    order: dict[str, list[Files]] = {}
    for name, count, text in _LINE.findall(printed):
        if name in _SHARING or "/" not in text:  # (null)
            continue
        files = _expanded(text)
        if int(count) == 1:  # a MIG slice has three files
            order.setdefault(name, []).append(frozenset(files))
        elif int(count) == len(files):
            order.setdefault(name, []).extend(frozenset((file,)) for file in files)
        else:
            raise HetError(f"{clean(text[:80])!r} are not the files of {count} devices")
    return {name: tuple(those) for name, those in order.items() if len(set(those)) == len(those)}


def _expanded(text: str) -> list[str]:
    files = []
    for part in re.split(r",(?![^\[]*\])", text):
        lead, bracket, rest = part.partition("[")
        numbers = hostlist.expand(f"n[{rest}") if bracket else ("n",)
        files += [lead + number.removeprefix("n") for number in numbers]
    return files


def _lost_some(told: Order, known: Order) -> bool:
    """Whether only some are missing: slurmd finds no lost card, which Slurm still counts."""
    there, before = ({(name, one) for name in of for one in of[name]} for of in (told, known))
    return there < before
