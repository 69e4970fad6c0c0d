"""What a run leaves behind, and its files in a directory: Slurm's own words, and what we did."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from slurm_het.core.model import Job, NodeRecord
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.slurm.records import parse_fields
from tests.chaos.events import Event

NAME = "chaos-"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Meta:
    """How the run came about."""

    seed: int
    minutes: float
    kills: int = 0
    slurm: str = ""
    mode: str = ""  # site, faults
    pair: bool = False  # two hetds
    each: tuple[str, ...] = ()  # these faults, one after the other


@dataclass(frozen=True, slots=True)
class Action:
    """An event when it was done: from `began` to `ended` (epoch seconds).

    `job` is the job id that a submit gave. `ok` is whether the command succeeded; '' in `said`
    where it had nothing to say.
    """

    event: Event
    began: float
    ended: float
    ok: bool
    job: int = 0
    said: str = ""


@dataclass(frozen=True, slots=True)
class Poll:
    """One look at Slurm, at `time`: active jobs, nodes, the intake's state; is hetd alive?

    `waiting` is why hetd says that jobs wait, by key; `limits` what slurmctld says of those in
    site.LIMITS, as far as it shows them. None if these were not asked or did not answer.
    """

    time: float
    gate: str
    hetd: bool
    jobs: tuple[Job, ...]
    nodes: tuple[NodeRecord, ...]
    reservations: tuple[ReservationRecord, ...] = ()
    waiting: dict[str, str] | None = None
    limits: dict[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A line that a job's script wrote: `what` is start or end, of which run, where, on what."""

    submission: int
    what: str
    time: float
    job: int
    restart: int
    task: int
    node: str
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """A line of Slurm's job completion file: a run ended, or a job was cancelled."""

    job: int
    submission: int
    task: int
    state: str
    nodes: str
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Preempted:
    """A line of slurmctld's log: job `victim` (an id) was ended to make room for job `by`.

    `by` is 0 where the victim may not be requeued: Slurm does not say then for whom it was.
    """

    time: float
    victim: int
    by: int


@dataclass(frozen=True, slots=True)
class Records:
    """All of a run."""

    meta: Meta
    actions: tuple[Action, ...] = ()
    polls: tuple[Poll, ...] = ()
    marks: tuple[Mark, ...] = ()
    completions: tuple[Completion, ...] = ()
    left: tuple[Job, ...] = field(default=())  # what had not ended when the run gave up waiting
    crashes: tuple[str, ...] = ()  # lines of hetd's log that tell of a bug
    preempted: tuple[Preempted, ...] = ()


def submission_of(name: str) -> int:
    """The number of the submission that a job's name tells; -1 for other jobs."""
    match = re.fullmatch(rf"{NAME}(\d+)", name)
    return int(match.group(1)) if match else -1


# --- files ---


def write(directory: Path, name: str, value: Any) -> None:
    """Write one value as NAME.json."""
    (directory / f"{name}.json").write_bytes(msgspec.json.encode(value))


def line_of(value: Any) -> bytes:
    """One value as a line of a .jsonl file."""
    return msgspec.json.encode(value) + b"\n"


def load(directory: Path) -> Records:
    """Read a run's directory. Raises OSError or msgspec.DecodeError when it is not one."""
    marks = (line for path in sorted((directory / "marks").iterdir()) for line in _mark_lines(path))
    log = directory / "hetd.log"
    return Records(
        meta=msgspec.json.decode((directory / "meta.json").read_bytes(), type=Meta),
        actions=_lines(directory / "actions.jsonl", Action),
        polls=_lines(directory / "polls.jsonl", Poll),
        marks=tuple(sorted(marks, key=lambda m: m.time)),
        completions=tuple(_completions(directory / "jobcomp.log")),
        left=msgspec.json.decode((directory / "left.json").read_bytes(), type=tuple[Job, ...]),
        crashes=tuple(_crashes(log.read_text(errors="replace") if log.exists() else "")),
        preempted=tuple(_preempted(directory / "slurmctld.log")),
    )


def _lines(path: Path, kind: type[_T]) -> tuple[_T, ...]:
    decoder = msgspec.json.Decoder(kind)
    with path.open("rb") as file:
        return tuple(decoder.decode(line) for line in file)


def _mark_lines(path: Path) -> Iterable[Mark]:
    for line in path.read_text().splitlines():
        what, time, job, restart, task, node, devices = line.split("\t")
        yield Mark(
            int(path.name), what, float(time), int(job), int(restart or 0), int(task or 0), node,
            tuple(int(d) for d in devices.split(",") if d),
        )  # fmt: skip


def _completions(path: Path) -> Iterable[Completion]:
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        fields = parse_fields(line)
        if "JobId" in fields:
            yield Completion(
                job=int(fields["JobId"]),
                submission=submission_of(fields.get("Name", "")),
                task=int(fields.get("ArrayTaskId", 0)),
                state=fields.get("JobState", ""),
                nodes=fields.get("NodeList", ""),
                partition=fields.get("Partition", ""),
            )


_PREEMPTED = re.compile(
    r"\[([\d:.T-]+)\].* preempted (\S+) "
    r"(?:has been \w+ to reclaim resources for (\S+)|had to be killed)"
)


def _preempted(path: Path) -> Iterable[Preempted]:
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        if found := _PREEMPTED.match(line):
            when, victim, by = found.groups()
            stamp = datetime.fromisoformat(when).timestamp()
            yield Preempted(stamp, _id_of(victim), _id_of(by) if by else 0)


def _id_of(told: str) -> int:
    """The id in `JobId=12` or `JobId=12_3(15)`."""
    return int(re.findall(r"\d+", told)[-1])


def _crashes(log: str) -> Iterable[str]:
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("Traceback"):
            rest = (after for after in lines[number + 1 :] if not after.startswith(" "))
            yield next(rest, line)
