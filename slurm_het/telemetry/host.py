"""Every device of this host, each vendor's read in a child process that has a deadline."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import msgspec

from slurm_het.errors import HetError
from slurm_het.telemetry import pci
from slurm_het.telemetry.child import ChildAnswer
from slurm_het.telemetry.device import DeviceReading
from slurm_het.vendors import Vendor

SECONDS = 10.0
MAX_ANSWER_BYTES = 4 << 20
_COMMAND = (sys.executable, "-m", "slurm_het.telemetry.child")


class Host:
    """Reads again and again, one child for each vendor; one that hangs is not joined by more."""

    def __init__(
        self,
        vendors: Mapping[str, Vendor],
        sysfs: Path = pci.SYSFS,
        command: tuple[str, ...] = _COMMAND,
        patience: int = 0,
    ) -> None:
        """`patience`: so many times in a row a driver may be late before that is its illness."""
        self._vendors = vendors
        self._sysfs = sysfs
        self._command = command
        self._patience = patience
        self._late: Counter[str] = Counter()
        self._stuck: dict[str, subprocess.Popen[bytes]] = {}
        self._seen: dict[str, tuple[DeviceReading, ...]] = {}
        self.failed: dict[str, str] = {}
        """Of the last read: why a vendor's devices could not be read."""

    def read(
        self, seconds: float = SECONDS, only: Iterable[str] | None = None
    ) -> tuple[DeviceReading, ...]:
        """The devices of all vendors whose cards are on the bus, or of those that are named.

        What a vendor's driver does not tell within `seconds` is there, and unhealthy; so is what
        was read before and is gone. Raises HetError if this host cannot ask, or it is too early to
        say: that is no word on the devices.
        """
        bus = pci.on_bus(self._sysfs)
        cards = {name: pci.cards(vendor, bus) for name, vendor in self._vendors.items()}
        asked = [name for name in self._vendors if cards[name] or name in self._seen]
        chosen = asked if only is None else [name for name in self._vendors if name in {*only}]
        answers = self._answers(chosen, seconds)
        self._wait_for(answers)
        self.failed = {name: told.failed for name, told in answers.items() if told.failed}
        readings: list[DeviceReading] = []
        for name in chosen:
            told = with_unread(name, answers[name], cards[name])
            seen, vendor = self._seen.get(name, ()), self._vendors[name]
            told = counted(told, vendor, self._sysfs, seen)
            told = with_gone(seen, with_files(told, vendor, self._sysfs, seen))
            if told:
                self._seen[name] = told
            readings += told
        return tuple(readings)

    def _answers(self, names: Iterable[str], seconds: float) -> dict[str, ChildAnswer]:
        until = time.monotonic() + seconds
        children = {name: self._started(name) for name in names}
        return {
            name: child if isinstance(child, ChildAnswer) else self._heard(name, child, until)
            for name, child in children.items()
        }

    def _wait_for(self, answers: Mapping[str, ChildAnswer]) -> None:
        for name, told in answers.items():
            self._late[name] = self._late[name] + 1 if told.late else 0
        for name, told in answers.items():
            if not told.asked or 0 < self._late[name] <= self._patience:
                raise HetError(f"{name}: {told.failed}")

    def _started(self, name: str) -> subprocess.Popen[bytes] | ChildAnswer:
        probes = self._vendors[name].probes
        if not probes:
            return ChildAnswer(failed="nothing reads this vendor's devices yet")
        stuck = self._stuck.get(name)
        if stuck is not None and stuck.poll() is None:
            return ChildAnswer(
                failed="its driver hangs: who asked it before is not back", late=True
            )
        self._stuck.pop(name, None)
        try:
            return subprocess.Popen(
                [*self._command, name, *probes],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # it and the program that it asks are killed as one
            )
        except OSError as error:
            return ChildAnswer(failed=f"cannot ask: {error}", asked=False)

    def _heard(self, name: str, child: subprocess.Popen[bytes], until: float) -> ChildAnswer:
        text, whole = output_of_child(child, until)
        kill(child)
        try:
            child.wait(timeout=0.2)
        except subprocess.TimeoutExpired:  # it is in the driver, and not even killed
            self._stuck[name] = child
        if not whole:
            return ChildAnswer(failed="its driver does not answer in time", late=True)
        try:
            return msgspec.json.decode(text, type=ChildAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ChildAnswer(failed="who asked its driver ended without an answer", late=True)


def with_unread(
    vendor: str, answer: ChildAnswer, cards: tuple[pci.Card, ...]
) -> tuple[DeviceReading, ...]:
    """The readings, and an unhealthy one for each card on the bus that they do not tell of.

    Where no reading has an address they are counted instead.
    """
    told = {reading.address for reading in answer.devices}
    if answer.devices and told.isdisjoint(card.address for card in cards):
        return answer.devices
    silent = [card for card in cards if card.address not in told]
    # A reading that has no address is of one of those already: a lost device tells nothing else.
    nameless = sum(1 for reading in answer.devices if not reading.address)
    used = {reading.index for reading in answer.devices}
    free = (index for index in count() if index not in used)
    why = answer.failed or "its driver does not tell of it"
    missing = [
        DeviceReading(next(free), vendor, card.address, unhealthy=why, files=())
        for card in silent[nameless:]
    ]
    return tuple(sorted((*answer.devices, *missing), key=lambda reading: reading.index))


def counted(
    readings: tuple[DeviceReading, ...],
    vendor: Vendor,
    sysfs: Path = pci.SYSFS,
    before: tuple[DeviceReading, ...] = (),
) -> tuple[DeviceReading, ...]:
    """The readings with the indexes that Slurm has: those of `/dev/dri/renderD128` and up.

    A device that was read before keeps its index: where one is lost, a driver counts the others
    anew. Readings whose addresses are not known, or not one for each, stay as they are.
    """
    addresses = [reading.address for reading in readings]
    if "" in addresses or len(set(addresses)) < len(addresses):
        return readings
    known = {old.address: old.index for old in before}
    if not known and "renderD" in vendor.devices.each:
        numbers = {address: pci.render_node(address, sysfs) for address in addresses}
        ordered = sorted(numbers, key=lambda address: numbers[address] or 0)
        if None not in numbers.values():
            known = {address: index for index, address in enumerate(ordered)}
    if not known:
        return readings
    taken = {known[address] for address in addresses if address in known}
    fresh = (index for index in count() if index not in taken)
    now = [
        replace(one, index=known[one.address] if one.address in known else next(fresh))
        for one in readings
    ]
    return tuple(sorted(now, key=lambda reading: reading.index))


def with_files(
    readings: tuple[DeviceReading, ...],
    vendor: Vendor,
    sysfs: Path = pci.SYSFS,
    before: tuple[DeviceReading, ...] = (),
) -> tuple[DeviceReading, ...]:
    """The readings with their device files, as far as they are known: by what was read before of
    that address, by the address, or by the driver's number. A driver that does not tell of each
    card may count the others anew."""
    count_of = Counter(old.address for old in before)
    known = {old.address: old.files for old in before if count_of[old.address] == 1 and old.address}
    by_address = "renderD" in vendor.devices.each
    numbered = not by_address and all(one.files is None for one in readings)

    def files(one: DeviceReading) -> tuple[str, ...]:
        if told := one.files or known.get(one.address):
            return told
        if numbered or (by_address and pci.render_node(one.address, sysfs) is not None):
            return (pci.device_file(vendor, one.index, one.address, sysfs),)
        return ()

    return tuple(replace(one, files=files(one)) for one in readings)


def with_gone(
    before: tuple[DeviceReading, ...], now: tuple[DeviceReading, ...]
) -> tuple[DeviceReading, ...]:
    """The readings of now, and of what was there before and is not: unhealthy, with its index."""
    there = Counter(reading.address for reading in now)
    was = Counter(reading.address for reading in before)  # the dies of a card may share one
    used = {reading.index for reading in now}
    gone = [
        replace(
            old, memory_used_mib=None, processes=(), utilization=None,
            unhealthy="it is gone: not on the bus, and its driver does not tell of it",
        )
        for old in before
        if old.index not in used and (not old.address or there[old.address] < was[old.address])
    ]  # fmt: skip
    return tuple(sorted((*now, *gone), key=lambda reading: reading.index))


def output_of_child(child: subprocess.Popen[bytes], until: float) -> tuple[bytes, bool]:
    """What a child writes, and whether it came to its end within the time and the size."""
    assert child.stdout is not None  # noqa: S101 - it was started with a pipe
    text = b""
    with selectors.DefaultSelector() as selector, child.stdout as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        while len(text) <= MAX_ANSWER_BYTES:
            left = max(0.0, until - time.monotonic())  # who is late may have written in time
            if not selector.select(left):
                return text, False
            part = os.read(pipe.fileno(), 1 << 16)
            if not part:
                return text, True
            text += part
    return text, False


def kill(child: subprocess.Popen[bytes]) -> None:
    """It and what it has started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
