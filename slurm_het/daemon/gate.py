"""Moves the gate: snapshots and failures are events, orders go to Slurm; see core/gate.py."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from slurm_het.aside import Aside
from slurm_het.core.gate import GateEvent, GateOrder, GateState, step
from slurm_het.core.model import Snapshot
from slurm_het.errors import HetError, SlurmError
from slurm_het.opener import Holds
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.gate")
STORAGE_SECONDS = 2.0  # so long the state directory may take to answer
_SEEN = {"UP": GateEvent.UP, "DOWN": GateEvent.DOWN, "INACTIVE": GateEvent.DOWN}


def bypass_flag(state_dir: Path) -> Path:
    """The file that says that the admin has switched planning off."""
    return state_dir / "bypass"


def closed_flag(state_dir: Path) -> Path:
    """The file that says that slurm-het has closed the gate: for a hetd in shadow that leads next,
    maybe on another host. Whoever is to open it in a hetd's place goes by `Holds`."""
    return state_dir / "closed"


class Gate:
    """The state of the gate as hetd has it, and the hand that moves the intake partition.

    `holds` is the note for those who open the gate if hetd no longer can.
    """

    def __init__(self, slurm: SlurmClient, partition: str, state_dir: Path, holds: Holds) -> None:
        self.slurm = slurm
        self.partition = partition
        self.holds = holds
        self.flag = bypass_flag(state_dir)
        self._closed_flag = closed_flag(state_dir)
        self._flagged: bool | None = None  # not known
        self.bypass = False  # whether `slurm-het bypass on` holds
        self._storage = Aside("bypass")
        self.state = GateState.RECOVERING
        self.refusal: SlurmError | None = None  # why it could not be opened, at the last try
        self._seen = ""

    @property
    def opened(self) -> bool:
        """Whether the intake was UP when it was last seen or set."""
        return self._seen == "UP"

    async def look(self) -> None:
        """See whether bypass is on; as it was while the state directory does not answer."""
        try:
            self.bypass = await self._storage.run(self.flag.exists, STORAGE_SECONDS)
        except (TimeoutError, OSError) as error:
            why = getattr(error, "strerror", None) or f"no answer in {STORAGE_SECONDS:g} s"
            log.error("cannot see %s (%s): bypass is taken to be as it was", self.flag, why)

    async def keep_bypass(self, *, on: bool) -> None:
        """`set_bypass` in bounded time. Raises HetError."""
        try:
            await self._storage.run(lambda: self.set_bypass(on=on), STORAGE_SECONDS)
        except TimeoutError as error:
            raise HetError(f"{self.flag} does not answer", "see to paths.state_dir") from error

    def set_bypass(self, *, on: bool) -> None:
        """Keep what `slurm-het bypass` says. Raises HetError if it cannot be kept."""
        self.bypass = on
        try:
            if on:
                self.flag.parent.mkdir(parents=True, exist_ok=True)
                self.flag.touch()
            else:
                self.flag.unlink(missing_ok=True)
        except OSError as error:
            hint = "as SlurmUser or root"
            raise HetError(f"cannot write {self.flag}: {error.strerror}", hint) from error

    def read(self, snapshot: Snapshot) -> GateEvent:
        """What a snapshot says to the gate."""
        record = next((p for p in snapshot.partitions if p.name == self.partition), None)
        seen = record.state if record else "missing"
        event = _SEEN.get(seen, GateEvent.OTHER)
        if event is GateEvent.OTHER and seen != self._seen:
            log.error("the intake %s is %s: nothing is planned", self.partition, seen)
        self._seen = seen
        return GateEvent.BYPASS if self.bypass and event is not GateEvent.OTHER else event

    async def heed(self, event: GateEvent) -> GateOrder:
        """Take the step; returns its order, carried out. Raises SlurmError if it cannot close."""
        before = self.state
        self.state, order = step(before, event)
        if order in {GateOrder.CLOSE, GateOrder.PLAN}:
            # Before it is closed, or where it was closed before this hetd came: whatever happens
            # next, somebody knows what to open.
            self.note(held=True)
            await self._flag(closed=True)
        if order is GateOrder.CLOSE:
            await self._close()
        elif order is GateOrder.OPEN and not (event is GateEvent.BYPASS and self._seen == "UP"):
            await self._open(event)
        if self.state is not before:
            log.info("gate %s -> %s (%s)", before, self.state, event)
        return order

    async def repeat(self) -> None:
        """Close it once more: a partition's update has Slurm sum up anew what is in use."""
        if self._seen == "DOWN":  # INACTIVE is the admin's word
            await self._close()

    def note(self, *, held: bool) -> None:
        """Note whether this host's hetd may hold the gate closed. Raises HetError."""
        wanted = self.partition if held else ""
        if self.holds.read("?") == wanted:
            return
        try:
            self.holds.write(wanted)
        except OSError as error:
            hint = "paths.control_socket must be in a directory of SlurmUser's"
            raise HetError(f"cannot write {self.holds.path}: {error.strerror}", hint) from error

    async def left_closed(self) -> bool:
        """Whether slurm-het has closed it and nobody has noted that it is open again."""
        if self.refusal or self.holds.read("?") == self.partition:
            return True
        try:
            return await self._storage.run(self._closed_flag.exists, STORAGE_SECONDS)
        except (TimeoutError, OSError):  # the look at the lead says more
            return False

    async def _flag(self, *, closed: bool) -> None:
        """Say it to whoever leads next. One try: the gate does not wait for storage."""
        if self._flagged is closed:
            return
        self._flagged, flag = closed, self._closed_flag
        try:
            what = flag.touch if closed else lambda: flag.unlink(missing_ok=True)
            await self._storage.run(what, STORAGE_SECONDS)
        except (TimeoutError, OSError) as error:
            why = getattr(error, "strerror", None) or f"no answer in {STORAGE_SECONDS:g} s"
            log.error("cannot note in %s whether the gate is closed: %s", flag, why)

    async def _close(self) -> None:
        try:
            await self.slurm.set_partition_state(self.partition, "DOWN")
        except SlurmError:
            self.state, _ = step(self.state, GateEvent.LOST)
            raise
        self._seen = "DOWN"

    async def _open(self, event: GateEvent) -> None:
        try:
            await self.slurm.set_partition_state(self.partition, "UP")
        except SlurmError as error:
            self.refusal = error
            log.error("cannot open the gate (%s): %s", event, error.message)
        else:
            self._seen, self.refusal = "UP", None
            with contextlib.suppress(HetError):  # then it is opened once more, by another hand
                self.note(held=False)
            await self._flag(closed=False)
