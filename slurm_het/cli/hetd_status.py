"""The gate as hetd has it, or, while it does not answer, as Slurm alone shows it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from slurm_het.cli.hetd_client import call
from slurm_het.core.measured import Measured
from slurm_het.core.model import Snapshot
from slurm_het.core.reasons import few
from slurm_het.core.views.accuracy import Accuracy
from slurm_het.core.views.waiting import Remembered
from slurm_het.errors import HetError
from slurm_het.settings import Config

SECONDS = 1.0
OF_ROOM = frozenset({"jobs", "nodes", "reservations"})
"""Who may not see these does not see what is free."""


class _Returned(msgspec.Struct):
    reason: str = ""
    times: int = 1


class _Heard(msgspec.Struct, frozen=True):
    on: bool = False


class LastCycle(msgspec.Struct, frozen=True):
    """When hetd's last cycle was (epoch seconds; 0: none yet), and how many seconds it took."""

    time: float = 0.0
    seconds: float = 0.0


NO_CYCLE = LastCycle()


class InShadow(msgspec.Struct, frozen=True):
    """What hetd decides for pools that are not in plan: by job, where it would run or why it would
    wait; how many jobs are in its book; how often what came of it, by event."""

    would: dict[str, str] = {}
    pinned: int = 0
    outcomes: dict[str, int] = {}
    cycle: LastCycle = NO_CYCLE


class _Status(msgspec.Struct):
    """What of hetd's status we use; the rest may grow."""

    gate: str = "unknown"
    bypass: bool = False
    leading: bool | None = None
    troubles: list[str] = []
    waiting: dict[str, str] = {}
    returned: dict[str, _Returned] = {}
    codes: dict[str, str] = {}
    likely: dict[str, float] = {}
    telemetry: _Heard = _Heard()
    cycle: LastCycle = NO_CYCLE
    pinned: int = 0
    modes: dict[str, str] = {}
    shadow: InShadow = InShadow()
    told: Accuracy | None = None


Row = tuple[int, int | None, int | None, int, str, str]


@dataclass(frozen=True, slots=True)
class HetdStatus:
    """hetd's word on the gate, or why there is none (`silence`); whether its socket is here.

    `leads`: it does not stand by. `plans`: it has the lead; one that starts does not know yet.
    `troubles` are sentences on what does not work at present, `pinned` counts tasks that are
    released and not running yet. `modes` are those of the pools, `shadow` is of those not in plan.
    `accuracy` says how good told start times were.
    """

    state: str = ""
    bypass: bool = False
    silence: str = ""
    here: bool = True
    memory: Remembered = field(default_factory=Remembered)
    leads: bool = True
    troubles: tuple[str, ...] = ()
    measured: Mapping[str, tuple[Measured, ...]] = field(default_factory=dict)
    cycle: LastCycle = NO_CYCLE
    plans: bool = False
    pinned: int = 0
    accuracy: Accuracy | None = None
    modes: Mapping[str, str] = field(default_factory=dict)
    shadow: InShadow = field(default_factory=InShadow)

    @property
    def in_shadow(self) -> bool:
        """Whether no pool is in plan."""
        return bool(self.modes) and "plan" not in self.modes.values()

    @property
    def mode_note(self) -> str:
        """Of pools that are not in plan: which, and that nothing is changed there; '' if none."""
        if len(set(self.modes.values()) - {"plan"}) == 1 and self.in_shadow:
            (mode,) = set(self.modes.values())
            return f"{mode}, all pools: slurm-het changes nothing"
        told = self.other_modes
        return f"{told} (slurm-het changes nothing there)" if told else ""

    @property
    def other_modes(self) -> str:
        """The pools that are not in plan, by mode; '' if none."""
        by_mode = {
            mode: [pool for pool, own in self.modes.items() if own == mode]
            for mode in ("shadow", "advise")
        }
        return "; ".join(f"{mode}: {few(pools)}" for mode, pools in by_mode.items() if pools)

    def with_devices(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what devices say of themselves, as far as hetd has heard."""
        return replace(snapshot, measured=self.measured) if self.measured else snapshot

    def remembers(self, settings: Config, hidden: Collection[str]) -> Remembered:
        """What it adds to Slurm's records, of which `hidden` is kept from the caller."""
        unseen = not OF_ROOM.isdisjoint(hidden) or (self.silence and settings.telemetry.on)
        return replace(self.memory, sees_more=bool(unseen))

    def note(self, intake: str, slurm_state: str) -> str:
        """One line for the operator; empty when all is as it should be."""
        gate = "" if self.in_shadow else self._of_the_gate(intake, slurm_state)
        return "; ".join(filter(None, (gate, self.mode_note, *self.troubles)))

    def _of_the_gate(self, intake: str, slurm_state: str) -> str:
        if self.silence:
            meaning = _meaning(intake, slurm_state, here=self.here)
            return f"{self.silence}: gate state from Slurm alone: {meaning}"
        if slurm_state == "UP":
            why = "bypass is on" if self.bypass else f"hetd says {self.state}"
            return f"the gate is open ({why}): plain Slurm schedules"
        return idle(intake, slurm_state, self.state) if self.leads else ""

    def as_json(self, intake: str, slurm_state: str) -> dict[str, Any]:
        """The documented keys of `gate`."""
        return {
            "state": self.state or ("open" if slurm_state == "UP" else "closed"),
            "bypass": self.bypass,
            "intake": intake,
            "intake_state": slurm_state,
            "hetd": not self.silence,
            "modes": dict(self.modes),
        }


def idle(intake: str, slurm_state: str, state: str) -> str:
    """Where the gate is closed and hetd does not plan: that, else ''."""
    if slurm_state == "UP" or state not in {"recovering", "open"}:
        return ""
    return f"the intake {intake} is {slurm_state}, and hetd, which is {state}, plans nothing yet"


def _meaning(intake: str, state: str, *, here: bool) -> str:
    if state == "UP":
        return f"the intake {intake} is UP = plain Slurm schedules"
    if state == "missing":
        return f"Slurm has no partition {intake}"
    if not here:
        return f"the intake {intake} is {state} = its jobs wait for hetd, if it runs"
    return f"the intake {intake} is {state} = its jobs wait (slurm-het bypass on lets them go)"


def ask_hetd(socket: Path, *, devices: bool = True, hidden: Collection[str] = ()) -> HetdStatus:
    """hetd's status; its silence, or an answer we cannot read, is a status that says so.

    With `devices` also what they say of themselves. Who may not see what is free, for that is
    `hidden` from him (PrivateData), asks why his jobs wait, too.
    """
    try:
        status = msgspec.convert(call(socket, {"op": "status"}, SECONDS), _Status)
    except HetError as error:
        if not os.path.lexists(socket):
            silence = f"no hetd on this host (it would listen at {socket})"
            return HetdStatus(silence=silence, here=False, memory=Remembered(since=None))
        return _silent(error.message, socket)
    except msgspec.ValidationError as error:
        return _silent(f"hetd's status cannot be read ({error})", socket)
    returned = {key: (r.reason, r.times) for key, r in status.returned.items()}
    own = {} if OF_ROOM.isdisjoint(hidden) else ask_reasons(socket)
    waiting = {key: text for key, (_, text) in own.items()} | status.waiting
    codes = {key: code for key, (code, _) in own.items()} | status.codes
    memory = Remembered(True, waiting, returned, codes, status.likely)
    leads, troubles = status.leading is not False, tuple(status.troubles)
    measured = ask_devices(socket) if devices and status.telemetry.on else {}
    return HetdStatus(
        status.gate, status.bypass, memory=memory, leads=leads, troubles=troubles,
        measured=measured, cycle=status.cycle, plans=status.leading is True, pinned=status.pinned,
        modes=status.modes, shadow=status.shadow,
        accuracy=status.told,
    )  # fmt: skip


def _silent(why: str, socket: Path) -> HetdStatus:
    """A hetd that is, or was, here and says nothing; it marked its socket after its last cycle."""
    try:
        since = socket.stat().st_mtime
    except OSError:
        since = 0.0
    return HetdStatus(silence=why, memory=Remembered(since=since))


def ask_reasons(socket: Path) -> dict[str, tuple[str, str]]:
    """Why the caller's jobs wait, code and sentence by key; nothing where hetd does not tell."""
    try:
        reply = call(socket, {"op": "reasons"}, SECONDS)
        return msgspec.convert(reply.get("reasons"), dict[str, tuple[str, str]])
    except (HetError, msgspec.ValidationError):
        return {}


def ask_devices(socket: Path) -> dict[str, tuple[Measured, ...]]:
    """What devices say of themselves, by node; nothing where hetd does not answer that."""
    try:
        reply = call(socket, {"op": "devices"}, SECONDS)
        rows = msgspec.convert(reply.get("devices"), dict[str, list[Row]])
    except (HetError, msgspec.ValidationError):
        return {}
    return {name: tuple(Measured(*row) for row in those) for name, those in rows.items()}
