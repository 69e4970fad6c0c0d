"""Is all well, in one look: the state of the gate and of hetd, with an exit code for scripts."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from slurm_het.cli.hetd_status import HetdStatus
from slurm_het.cli.render import Styled, cut
from slurm_het.core.syntax.durations import duration
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.totals import Summary
from slurm_het.settings import Paths
from slurm_het.supervise import PID_FILE

STALE = 60.0
"""A hetd that leads and has planned nothing for so many seconds does not go on."""
HOOK_SECONDS = 0.3


class HealthCode(IntEnum):
    """The state as a whole; its number is the exit code of `slurm-het status`."""

    WELL = 0  # the gate is closed, and hetd plans
    BYPASS = 3  # the gate is open, as an admin wants it
    STANDBY = 4  # this hetd stands by: another one leads
    SHADOW = 5  # no pool is in plan: hetd decides, and changes nothing
    TROUBLED = 6  # hetd answers, and something does not work
    HETD_SILENT = 7
    ALL_SILENT = 8  # its supervisor is dead too
    SLURM_SILENT = 9  # slurmctld does not answer
    ELSEWHERE = 10  # no hetd was ever on this host


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state, and what there is to say of it."""

    health: HealthCode
    words: str


def supervisor_lives(paths: Paths) -> bool | None:
    """Whether supervise.py lives; None where none was started here (systemd needs none)."""
    try:
        number = int((paths.control_socket.parent / PID_FILE).read_text())
        return b"supervise" in Path(f"/proc/{number}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False if (paths.control_socket.parent / PID_FILE).exists() else None
    except (OSError, ValueError):
        return None


def hook_answers(paths: Paths) -> bool:
    """Whether somebody listens where slurmctld's hook asks."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(HOOK_SECONDS)
        try:
            sock.connect(str(paths.hook_socket))
        except OSError as error:
            return isinstance(error, PermissionError)  # for slurmctld alone
    return True


def verdict_on(status: HetdStatus, intake: str | None, paths: Paths, now: float) -> Verdict:
    """What is so. `intake` is the State of the intake partition, None: slurmctld is silent."""
    if intake is None:
        return Verdict(
            HealthCode.SLURM_SILENT, f"slurmctld does not answer; {_of_hetd(status, paths)}"
        )
    gate = _gate(intake)
    if status.silence and not status.here:
        return Verdict(HealthCode.ELSEWHERE, f"{gate}; no hetd on this host")
    if status.silence:
        dead = supervisor_lives(paths) is False
        health = HealthCode.ALL_SILENT if dead else HealthCode.HETD_SILENT
        return Verdict(health, f"{gate}; {_of_hetd(status, paths)}")
    if not status.leads:
        return Verdict(HealthCode.STANDBY, f"{gate}; this hetd stands by, another one leads")
    if status.in_shadow:
        return _of_shadow(status, gate, paths, now)
    if status.bypass:
        return Verdict(HealthCode.BYPASS, f"{gate}: bypass is on, plain Slurm schedules")
    return _of_leader(status, gate, paths, now)


def _of_leader(status: HetdStatus, gate: str, paths: Paths, now: float) -> Verdict:
    age = max(0.0, now - status.cycle.time)
    wrong = list(status.troubles)
    if status.state != "closed":
        wrong.append(f"hetd is {status.state}, and plans nothing yet")
    elif status.cycle.time and age > STALE:
        wrong.append("it has planned nothing since")
    if not hook_answers(paths):
        wrong.append("nobody answers the hook")
    if supervisor_lives(paths) is False:
        wrong.append("its supervisor is dead")
    last = f"last plan {age:.0f} s ago, in {status.cycle.seconds:.2f} s"
    words = f"{gate}; hetd leads, {last if status.cycle.time else 'no plan yet'}"
    words = "; ".join(filter(None, [words, status.other_modes]))
    if not wrong:
        return Verdict(HealthCode.WELL, f"{words}; the hook is answered")
    return Verdict(HealthCode.TROUBLED, "; ".join([words, *wrong]))


def _of_shadow(status: HetdStatus, gate: str, paths: Paths, now: float) -> Verdict:
    """Its last decisions instead of a plan; without a hook it is as well."""
    last = status.shadow.cycle
    wrong = list(status.troubles)
    if last.time and now - last.time > STALE:
        wrong.append("it has decided nothing since")
    if supervisor_lives(paths) is False:
        wrong.append("its supervisor is dead")
    when = f"{max(0.0, now - last.time):.0f} s ago" if last.time else "none yet"
    words = f"{status.mode_note}; {gate}, plain Slurm schedules; last decisions {when}"
    health = HealthCode.TROUBLED if wrong else HealthCode.SHADOW
    return Verdict(health, "; ".join([words, *wrong]))


def _gate(intake: str) -> str:
    if intake == "missing":
        return "Slurm has no intake partition"
    return "gate open" if intake == "UP" else "gate closed"


def _of_hetd(status: HetdStatus, paths: Paths) -> str:
    if not status.silence:
        return f"hetd answers, the gate was {status.state}"
    if not status.here:
        return "no hetd on this host"
    return {
        True: "hetd does not answer, its supervisor lives",
        False: "hetd and its supervisor are dead",
        None: "hetd does not answer",
    }[supervisor_lives(paths)]


def header_lines(verdict: Verdict, summary: Summary | None, columns: int) -> list[str]:
    """Three lines: the state, the jobs, the devices. Without a summary the first alone."""
    colour = {HealthCode.WELL: "32", HealthCode.BYPASS: "33", HealthCode.STANDBY: "33"}
    colour[HealthCode.SHADOW] = "33"
    lines: list[str] = [
        Styled(cut(clean(verdict.words), columns, "~"), colour.get(verdict.health, "31;1"))
    ]
    if summary is None:
        return lines
    waits = f"{summary.running} run, {summary.waiting} wait"
    if first := summary.longest:
        waits += f"; longest {duration(first.seconds)}: job {first.id} of {first.user}"
    return [*lines, cut(clean(waits), columns, "~"), cut(_devices(summary, columns), columns, "~")]


def _devices(summary: Summary, columns: int) -> str:
    """`44/88 devices, 3520/7904 GiB: train-nv 12/16 960 GiB, …`; of the pools as much as fits."""
    used, there = summary.sum_of("used"), summary.sum_of("devices")
    gib, memory = summary.sum_of("used_gib"), summary.sum_of("memory_gib")
    line = f"{used}/{there} devices, {gib}/{memory} GiB: "
    short = [f"{p.pool} {p.used}/{p.devices}" for p in summary.pools]
    full = [f"{text} {p.used_gib} GiB" for text, p in zip(short, summary.pools, strict=True)]
    for pools in (full, short):
        if len(line) + len(", ".join(pools)) <= columns:
            return line + ", ".join(pools)
    shown = len(short)
    while shown and len(line) + len(", ".join(short[:shown])) + len(", 99 more") > columns:
        shown -= 1
    return line + ", ".join([*short[:shown], f"{len(short) - shown} more"])


def columns_of_terminal() -> int:
    """How wide the terminal is, or a usual one."""
    return os.get_terminal_size().columns if os.isatty(1) else 80
